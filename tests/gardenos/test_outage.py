"""While the database changes over, everybody is told to come again: 503 with Retry-After, never 500."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, connection, transaction
from django.test import Client, RequestFactory

from crm.errors import is_outage
from gardenos.outage import unexpected
from tests.factories import make_user

pytestmark = pytest.mark.django_db
TIMED_OUT = "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)"


@contextmanager
def standby() -> Iterator[None]:
    """The database answers as a primary does that has stepped down."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        yield
        transaction.set_rollback(True)


@pytest.fixture
def somebody() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(make_user())
    return client


@pytest.mark.parametrize("path", ["/api/v1/leads/", "/leads/new/"])
def test_a_write_to_a_standby_is_answered_with_when_to_come_again(somebody: Client, path: str):
    with standby():
        answer = somebody.post(path, {"name": "Ada Ash"}, headers={"Idempotency-Key": "one"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    if path.startswith("/api/"):
        assert answer.json()["code"] == "unavailable"
        assert answer["Content-Type"] == "application/problem+json"
    else:
        assert "Back in a moment" in answer.content.decode()


def test_a_database_that_is_away_before_the_view_is_reached_is_told_the_same_way(
    somebody: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SessionStore, "load", lambda store: sql(TIMED_OUT))
    for path in ("/leads/", "/api/v1/leads/"):
        with transaction.atomic():
            answer = somebody.get(path)
            transaction.set_rollback(True)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def sql(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)


@pytest.mark.parametrize(
    ("statement", "is_one"),
    [
        ("SET TRANSACTION READ ONLY; CREATE TABLE made ()", True),
        (TIMED_OUT, True),
        ("SELECT 1 / 0", False),
        ("SELECT nothing", False),
        ("INSERT INTO crm_lead (id) VALUES (NULL)", False),
    ],
)
def test_only_what_a_second_try_may_survive_is_an_outage(statement: str, is_one: bool):
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        sql(statement)
    assert is_outage(caught.value) is is_one


def test_any_other_error_is_still_our_fault():
    try:
        raise ValueError("as the test wants it")
    except ValueError:
        answer = unexpected(RequestFactory().get("/leads/"))
    assert (answer.status_code, answer.has_header("Retry-After")) == (500, False)


def test_no_numbers_come_from_a_sequence_that_a_promoted_standby_has_lost():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'S' AND relpersistence = 'u'")
        assert cursor.fetchall() == []
