"""Every test talks to a real PostgreSQL, with the rights that the running product has."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_django
from django.core.management import call_command
from django.db import connection, connections
from django.db.backends.signals import connection_created
from django.test import TransactionTestCase

from crm import clock
from tests.workers import stop_own_server

_tests_run_as_app = False


def pytest_unconfigure() -> None:
    connections.close_all()
    stop_own_server()


def _become_app(sender: object, connection: object, **kwargs: object) -> None:
    if _tests_run_as_app:
        with connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute("SET ROLE gardenos_app")


connection_created.connect(_become_app)
_flush_as_app = TransactionTestCase._fixture_teardown


def _flush_as_owner(self: TransactionTestCase) -> None:
    """TRUNCATE is the owner's right alone."""
    global _tests_run_as_app
    _tests_run_as_app = False
    connections.close_all()
    try:
        _flush_as_app(self)
    finally:
        _tests_run_as_app = True
        connections.close_all()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:  # type: ignore[misc]
    """Make the database as its owner, then lower the rights to the app's."""
    global _tests_run_as_app
    TransactionTestCase._fixture_teardown = _flush_as_owner
    _tests_run_as_app = True
    connection.close()
    yield
    _tests_run_as_app = False
    connection.close()


@pytest.fixture(scope="module")
def lasting_rows(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[None]:
    """For a module's own fixture of rows that take long to make: they are committed, and gone at its end."""
    global _tests_run_as_app
    yield
    _tests_run_as_app = False
    with django_db_blocker.unblock():
        connections.close_all()
        call_command("flush", verbosity=0, interactive=False)
        connections.close_all()
    _tests_run_as_app = True


@pytest.fixture
def owners_rights(transactional_db: None) -> Iterator[None]:
    """Every connection of this test is the owner's, as those of `migrate` are."""
    global _tests_run_as_app
    _tests_run_as_app = False
    connections.close_all()
    yield
    _tests_run_as_app = True
    connections.close_all()


@pytest.fixture(autouse=True)
def _own_files(settings: object, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "files"  # type: ignore[attr-defined]


@pytest.fixture
def noon() -> Iterator[datetime]:
    """A clock that stands at noon UTC of 2 March 2026, a Monday."""
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    with clock.frozen(at):
        yield at
