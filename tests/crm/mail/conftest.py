"""A mail server process for the module, and the settings that lead to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crm.mail.smtp_server import Sink, running_server


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    with running_server(tmp_path_factory.mktemp("smtp")) as sink:
        yield sink


@pytest.fixture
def sink(_server: Sink, settings: object) -> Sink:
    """The server, emptied, and Django pointed at it."""
    for path in Path(_server.folder).iterdir():
        path.unlink()
    settings.EMAIL_URL = f"smtp://127.0.0.1:{_server.port}"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", _server.port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = 2
    settings.DEFAULT_FROM_EMAIL = "Firm <crm@firm.example>"
    return _server


@pytest.fixture(autouse=True)
def _mail_has_a_way(settings: object) -> None:
    settings.MAIL_CATCHER = True
