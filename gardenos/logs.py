"""Log lines: one event, one line, with the request's id, without secrets or terminal control codes."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

from django.conf import settings

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_REDACTIONS = [
    (re.compile(r"(://[^\s:/@]*):[^\s@]+@"), r"\1:***@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"\b(gos_\w{4,16}_|sk-|whsec_)[\w-]{8,}"), r"\1***"),
    (
        re.compile(
            r"(?i)(['\"]?\b\w*(?:password|passwd|secret|token|api[_-]?key|sessionid|csrftoken)\w*['\"]?\s*[=:]\s*)"
            r"('[^']*'|\"[^\"]*\"|[^\s,;&)}\]]+)"
        ),
        r"\1***",
    ),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<e-mail>"),
    (re.compile(r"\+\d[\d ()/.-]{6,}\d"), "<phone>"),
]
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}
LEAST_SECRET_LENGTH = 8


def redact(text: str) -> str:
    """Take out passwords, tokens, keys, e-mail addresses and phone numbers."""
    for secret in _known_secrets():
        text = text.replace(secret, "***")
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def one_line(text: str) -> str:
    """Line breaks and control characters written out: no value can forge a line or steer a terminal."""
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _known_secrets() -> list[str]:
    """Values the environment called secret, and the embedded set-up's own."""
    module = sys.modules.get("gardenos.settings")
    values = (
        [reading.value for reading in module.env.readings.values() if reading.is_secret] if module else []
    )
    if settings.configured:
        values += [
            settings.SECRET_KEY,
            *(str(base.get("PASSWORD", "")) for base in settings.DATABASES.values()),
        ]
    return [value for value in values if len(value) >= LEAST_SECRET_LENGTH]


def _request_id() -> str:
    module = sys.modules.get("crm.api.request_ids")  # loaded with the middleware, in web processes only
    return module.current_request_id() if module else ""


def _has_trace(record: logging.LogRecord) -> bool:
    """What Django refuses as suspicious (a foreign Host, say) is no fault of ours: the line says it all, and
    strangers must not be able to fill a disk with tracebacks."""
    return bool(record.exc_info) and not record.name.startswith("django.security.")


class TextFormatter(logging.Formatter):
    """`12:00:00 WARNING crm.tasks [request id] message`, a traceback's lines set off by `  | `."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        request_id = _request_id()
        tag = f" [{request_id}]" if request_id else ""
        line = one_line(redact(f"{at} {record.levelname} {record.name}{tag} {record.getMessage()}"))
        if record.exc_info and _has_trace(record):
            trace = redact(self.formatException(record.exc_info))
            line += "".join(f"\n  | {one_line(row)}" for row in trace.splitlines())
        return line


class JSONFormatter(logging.Formatter):
    """One JSON object a line, with whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        request_id = _request_id()
        if request_id:
            event["request_id"] = request_id
        if record.exc_info and _has_trace(record):
            event["exception"] = redact(self.formatException(record.exc_info))
        for name, value in record.__dict__.items():
            if name not in _STANDARD and isinstance(value, str | int | float | bool):
                event[name] = redact(value) if isinstance(value, str) else value
        return json.dumps(event, ensure_ascii=True)
