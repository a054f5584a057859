"""The mail catcher: without EMAIL_URL mails become files in the data directory and stay on this machine."""

import contextlib
import email
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage as DjangoMail
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

KEPT = 500  # the oldest beyond these are removed
SIZE_LIMIT = 1_000_000  # bytes of one mail that are read back
_NAME = re.compile(r"\d{8}T\d{12}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """A caught mail as a person reads it: decoded, text only, line breaks as LF."""

    name: str
    sender: str
    to: str
    reply_to: str
    subject: str
    message_id: str
    text: str
    caught_at: datetime


class CatcherBackend(BaseEmailBackend):
    """Django's mail backend of a set-up without EMAIL_URL. Raises OSError if the disk refuses."""

    def send_messages(self, email_messages: Sequence[DjangoMail]) -> int:
        for mail in email_messages:
            _keep(mail.message().as_bytes())
        return len(email_messages)


def caught_mails(limit: int = 100) -> list[CaughtMail]:
    """The newest caught mails, newest first."""
    names = sorted(_names(), reverse=True)[:limit]
    return [mail for mail in map(caught_mail, names) if mail]


def caught_mail(name: str) -> CaughtMail | None:
    """One caught mail, or None. `name` comes from an address, so only names of our own making are opened."""
    if not _NAME.fullmatch(name):
        return None
    try:
        with (_folder() / f"{name}.eml").open("rb") as file:
            message = email.message_from_bytes(file.read(SIZE_LIMIT), policy=policy.default)
    except FileNotFoundError:
        return None
    moment = datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S%f")  # noqa: DTZ007 made aware below
    return CaughtMail(
        name=name,
        sender=str(message["from"] or ""),
        to=str(message["to"] or ""),
        reply_to=str(message["reply-to"] or ""),
        subject=str(message["subject"] or ""),
        message_id=str(message["message-id"] or ""),
        text=_text_of(message),
        caught_at=timezone.make_aware(moment, timezone.get_fixed_timezone(0)),
    )


def _folder() -> Path:
    return Path(settings.GARDENOS_DATA_DIR) / "mail"


def _names() -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        for path in _folder().iterdir():
            if path.suffix == ".eml" and _NAME.fullmatch(path.stem):
                yield path.stem


def _keep(raw: bytes) -> None:
    """Write the whole file before it gets its name, so that a reader never sees half a mail."""
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{timezone.now():%Y%m%dT%H%M%S%f}-{secrets.token_hex(6)}"
    unfinished = _folder() / f"{name}.part"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(_folder() / f"{name}.eml")
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    for old in sorted(_names(), reverse=True)[KEPT:]:
        (_folder() / f"{old}.eml").unlink(missing_ok=True)


def _text_of(message: EmailMessage) -> str:
    """The plain text; of a mail that has none, its source as text (never interpreted)."""
    part = message.get_body(("plain",)) or message
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(part)
    text = payload.decode(part.get_content_charset("utf-8"), "replace")
    return text.replace("\r\n", "\n")
