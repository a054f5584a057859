"""The way out: hands one mail to the mail server and says what became of it.

SMTP gives a mail to the server in one act: the answer to the line with the lone dot that ends DATA (RFC 5321,
4.1.1.4 and 6.1). Whatever fails before that dot was written has sent nothing; whatever fails after it and
before the answer leaves the outcome unknown, and only a person can say what to do.
"""

import ipaddress
import re
import smtplib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage as DjangoMail
from django.core.mail import get_connection
from django.core.mail.backends.smtp import EmailBackend

from crm.mail.compose import Letter, compose

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


class Outcome(StrEnum):
    """What became of one try to deliver."""

    SENT = "sent"  # the server has taken responsibility
    LATER = "later"  # nothing was sent; trying again may help
    REFUSED = "refused"  # nothing was sent; trying again will not help
    UNKNOWN = "unknown"  # it may or may not have been sent


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome and, for people, why: the server's code or the kind of trouble, never an address."""

    outcome: Outcome
    reason: str = ""


def mail_stays_here() -> bool:
    """True if mail cannot leave this machine: the catcher, or a server on this machine's own loopback."""
    host = urlsplit(settings.EMAIL_URL).hostname if settings.EMAIL_URL else ""
    if not host or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def can_send() -> bool:
    """False where mail has nowhere to go: no EMAIL_URL, and no catcher page to read it on."""
    return bool(settings.EMAIL_URL or settings.MAIL_CATCHER)


def deliver(letter: Letter) -> Delivery:
    """Try once to hand over the letter. Never raises for what a network, disk or server can do.

    Takes at most about 2 minutes: EMAIL_TIMEOUT (20 s) for each of the few answers waited for.
    """
    try:
        raw = compose(letter)
    except ValueError:
        return Delivery(Outcome.REFUSED, "a header of the mail cannot be written")
    if settings.EMAIL_BACKEND == SMTP_BACKEND:
        return _by_smtp(raw, sender=letter.sender, to=letter.to)
    try:
        get_connection().send_messages([_Ready(raw, letter)])
    except OSError as error:  # the catcher's disk
        return Delivery(Outcome.LATER, f"the mail could not be kept ({error.__class__.__name__})")
    return Delivery(Outcome.SENT)


class _Ready(DjangoMail):
    """A finished mail for Django's other backends (the catcher, the test runner's outbox)."""

    def __init__(self, raw: bytes, letter: Letter) -> None:
        super().__init__(letter.subject, letter.text, letter.sender, [letter.to])
        self.raw = raw

    def message(self, **kwargs: Any) -> Any:
        return self

    def as_bytes(self, **kwargs: Any) -> bytes:
        return self.raw


def _by_smtp(raw: bytes, *, sender: str, to: str) -> Delivery:
    """One connection, one mail. TLS, sign-in and time limits are those of Django's backend."""
    backend = EmailBackend(fail_silently=False)
    try:
        backend.open()
        assert backend.connection is not None
        delivery = _talk(backend.connection, raw, sender=sender, to=to)
    except smtplib.SMTPResponseException as error:  # no welcome, no TLS, no sign-in: nothing about this mail
        delivery = Delivery(Outcome.LATER, f"the mail server does not let us in (SMTP {error.smtp_code})")
    except (OSError, smtplib.SMTPException) as error:
        delivery = Delivery(Outcome.LATER, _no_answer(error))
    _hang_up(backend)
    return delivery


def _talk(connection: smtplib.SMTP, raw: bytes, *, sender: str, to: str) -> Delivery:
    """MAIL, RCPT, DATA. Raises OSError or SMTPException only while nothing can have been sent."""
    connection.ehlo_or_helo_if_needed()
    code, _answer = connection.mail(sender)
    if code < 300:
        code, _answer = connection.rcpt(to)
    if code < 300:
        code, _answer = connection.docmd("data")
    if code != 354:
        return _refusal(code)
    connection.send(_stuffed(raw))
    try:
        connection.send(b".\r\n")
        code, _answer = connection.getreply()
    except (OSError, smtplib.SMTPException) as error:
        return Delivery(Outcome.UNKNOWN, _no_answer(error))
    return Delivery(Outcome.SENT) if 200 <= code < 300 else _refusal(code)


def _stuffed(raw: bytes) -> bytes:
    """A dot more where a line starts with one (RFC 5321, 4.5.2). `raw` ends with CRLF."""
    return re.sub(rb"(?m)^\.", b"..", raw)


def _refusal(code: int) -> Delivery:
    """5xx is final, all else is worth another try; the server's words may hold addresses and are left out."""
    if 500 <= code < 600:
        return Delivery(Outcome.REFUSED, f"the mail server refused it (SMTP {code})")
    return Delivery(Outcome.LATER, f"the mail server asked for another try (SMTP {code})")


def _no_answer(error: Exception) -> str:
    return f"no answer from the mail server ({error.__class__.__name__})"


def _hang_up(backend: EmailBackend) -> None:
    """The outcome is known by now; how the goodbye goes does not matter."""
    try:
        backend.close()
    except (OSError, smtplib.SMTPException):
        backend.connection = None
