"""What a log line shows, and what it never does."""

import json
import logging
import sys
from types import SimpleNamespace

import pytest

from gardenos.logs import JSONFormatter, TextFormatter


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("crm.tasks", logging.WARNING, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


def failure(message: str) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
        return made


FORMATTERS = [TextFormatter(), JSONFormatter()]


@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize(
    "secret",
    [
        "postgresql://app:canary-123@db.example/x",
        "Authorization: Bearer canary-123.abc",
        "password=canary-123",
        '{"api_key": "canary-123"}',
        "token: canary-123",
        "gos_a1b2c3d4_canary-123",
        "canary-123@customer.example",
        "+49 151 canary"[:7] + "5123456",
    ],
)
def test_secrets_and_personal_data_are_taken_out(formatter: logging.Formatter, secret: str):
    for line in (
        formatter.format(record("refused %s", secret)),
        formatter.format(record("refused", given=secret)),
        formatter.format(failure(secret)),
    ):
        assert "canary-123" not in line
        assert "5123456" not in line


def test_the_secret_key_never_shows(settings: SimpleNamespace):
    assert settings.SECRET_KEY not in TextFormatter().format(record("key %s", settings.SECRET_KEY))


def test_a_value_cannot_forge_a_line_or_steer_the_terminal():
    line = TextFormatter().format(record("lead %s", "a\n2026-01-01 00:00:00 INFO forged\x1b[31m\u202e\r"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "\\n2026-01-01" in line


def test_every_line_of_a_traceback_is_set_off():
    lines = TextFormatter().format(failure("first\nforged")).splitlines()
    assert all(line.startswith("  | ") for line in lines[1:])


def test_json_is_one_object_a_line_with_its_extras():
    line = JSONFormatter().format(record("sent\n%s", "x", lead_id=7, thing=object()))
    event = json.loads(line)
    assert "\n" not in line
    assert (event["level"], event["logger"], event["lead_id"]) == ("warning", "crm.tasks", 7)
    assert "thing" not in event


def test_a_line_names_the_request_it_belongs_to(monkeypatch: pytest.MonkeyPatch):
    ids = SimpleNamespace(current_request_id=lambda: "abc12345")
    monkeypatch.setitem(sys.modules, "crm.api.request_ids", ids)
    assert "[abc12345]" in TextFormatter().format(record("hello"))
    assert json.loads(JSONFormatter().format(record("hello")))["request_id"] == "abc12345"


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_stranger_who_names_a_foreign_host_gets_a_line_and_no_traceback(formatter):
    refused = failure("Invalid HTTP_HOST header")
    refused.name = "django.security.DisallowedHost"
    assert "Traceback" not in formatter.format(refused)
    assert "Traceback" in formatter.format(failure("ours"))
