"""The bytes of a mail, made from an approved text so that the reader's text equals it exactly.

The body travels as quoted-printable: pure ASCII, lines of at most 76 characters, trailing blanks, a lone
dot and "From " encoded, and the last line break present only if the author wrote one (RFC 2045, 6.7).
"""

import re
import unicodedata
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.utils import format_datetime
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from crm.errors import InvalidValue
from crm.plaintext import one_line

SUBJECT_LIMIT = 200  # characters, as FollowUp.subject
BODY_LIMIT = 20_000  # characters, as FollowUp.body
LINE_LIMIT = 75  # signs before a soft break, which is the 76th (RFC 2045, 6.7)
WORD_BYTES = 45  # 60 signs of base64 and 12 around them: under the 75 of RFC 2047
_LINE_ENDS = re.compile(r"\r\n?")
_BLANKS = re.compile(r"\s+")
_ENCODED_WORD = re.compile(r"=\?")


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one person. `message_id` without angle brackets; `at` is aware and becomes the Date."""

    message_id: str
    sender: str
    sender_name: str
    reply_to: str
    to: str
    subject: str
    text: str
    at: datetime


def new_message_id() -> str:
    """`<uuid>@<host of SITE_URL>`. Kept with the message, so that a second copy is known as one."""
    return f"{uuid4()}@{urlsplit(settings.SITE_URL).hostname or 'localhost'}"


def clean_subject(text: str) -> str:
    """One line without blanks at the ends. Raises InvalidValue (subject) if empty, too long or unprintable.

    Line breaks become blanks, so nothing in a subject can start another header.
    """
    line = _BLANKS.sub(" ", text).strip()
    if not line:
        raise InvalidValue(_("The message has no subject."), field="subject")
    if len(line) > SUBJECT_LIMIT:
        raise InvalidValue(
            _("The subject is longer than %(limit)s characters.") % {"limit": SUBJECT_LIMIT}, field="subject"
        )
    _refuse_unprintable(line, field="subject")
    return line


def clean_body(text: str) -> str:
    """Line breaks as LF. Raises InvalidValue (body) if empty, too long or unprintable."""
    body = _LINE_ENDS.sub("\n", text)
    if not body.strip():
        raise InvalidValue(_("The message is empty."), field="body")
    if len(body) > BODY_LIMIT:
        raise InvalidValue(
            _("The message is longer than %(limit)s characters.") % {"limit": BODY_LIMIT}, field="body"
        )
    _refuse_unprintable(body, field="body")
    return body


def clean_address(text: str) -> str:
    """An address a mail can be sent to: ASCII before the @, the domain in its ASCII form (RFC 5891).

    Raises InvalidValue (to_address); also for line breaks, several addresses, a name beside the address, and
    quotes in it.
    """
    try:
        validate_email(text)
        local, domain = text.rsplit("@", 1)
        if '"' in local:  # quoted local parts: legal, unused, and quoted once more by email.headerregistry
            raise UnicodeError
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except (ValidationError, UnicodeError):
        raise InvalidValue(_("This is not an address a mail can be sent to."), field="to_address") from None


def _refuse_unprintable(text: str, *, field: str) -> None:
    """Control characters other than line break and tab, and halves of surrogate pairs, are nobody's words."""
    if any(unicodedata.category(sign) in {"Cc", "Cs"} and sign not in "\n\t" for sign in text):
        raise InvalidValue(_("The text holds characters that cannot be sent."), field=field)


def compose(letter: Letter) -> bytes:
    """The mail, ready for the wire, CRLF throughout, ASCII only. The same letter gives the same bytes.

    Written out by hand because email.policy folds encoded words anew and may then add blanks to a subject.
    Raises ValueError if a header field holds anything but printable ASCII, so none can start a second field.
    """
    reply_to = letter.reply_to if letter.reply_to != letter.sender else ""
    fields = {
        "From": _mailbox(letter.sender, letter.sender_name),
        "To": _mailbox(letter.to),
        "Reply-To": _mailbox(reply_to, letter.sender_name) if reply_to else "",
        "Subject": _header_text(letter.subject),
        "Date": format_datetime(letter.at),
        "Message-ID": f"<{letter.message_id}>",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
    }
    head = "".join(f"{name}: {_checked(value)}\r\n" for name, value in fields.items() if value)
    return f"{head}\r\n{_quoted_printable(letter.text)}".encode("ascii")


def _checked(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("A header field holds a line break or another unprintable sign.")
    return value.replace("?= =?", "?=\r\n =?")  # folding: one encoded word a line


def _mailbox(address: str, name: str = "") -> str:
    """`Name <address>` with the name quoted or encoded; the address was checked by clean_address."""
    local, _at, domain = address.rpartition("@")
    shown = one_line(name)  # without characters that nobody sees and no header can hold
    if not shown:
        return str(Address(username=local, domain=domain))
    if shown.isascii() and not _ENCODED_WORD.search(shown):
        return str(Address(shown, username=local, domain=domain))
    return f"{_encoded_words(shown)} <{Address(username=local, domain=domain)}>"


def _header_text(text: str) -> str:
    """Plain where it is plain; else encoded words (RFC 2047), which keep every blank."""
    if text.isascii() and not _ENCODED_WORD.search(text):
        return text
    return _encoded_words(text)


def _encoded_words(text: str) -> str:
    """RFC 2047 words of whole characters, at most 75 signs each; blanks between them do not count."""
    words, chunk = [], b""
    for sign in [*text, ""]:
        encoded = sign.encode("utf-8")
        if chunk and (not encoded or len(chunk) + len(encoded) > WORD_BYTES):
            words.append(f"=?utf-8?b?{b64encode(chunk).decode('ascii')}?=")
            chunk = b""
        chunk += encoded
    return " ".join(words)


def _quoted_printable(text: str) -> str:
    """The text as quoted-printable that decodes to it byte for byte, with CRLF for LF.

    SMTP ends every mail with a line break; a soft one keeps it out of a text that has none there.
    """
    *lines, last = [_encoded_line(line) for line in text.encode("utf-8").split(b"\n")]
    return "".join(f"{line}\r\n" for line in [*lines, *([f"{last}="] if last else [])])


def _encoded_line(line: bytes) -> str:
    """One line, softly broken before its 76th sign; what mail software is known to change is encoded."""
    pieces, width = [], 0
    for index, byte in enumerate(line):
        sign = _encoded_byte(byte, is_first=width == 0, is_last=index == len(line) - 1)
        if width + len(sign) > LINE_LIMIT:
            pieces.append("=\r\n")
            sign, width = _encoded_byte(byte, is_first=True, is_last=index == len(line) - 1), 0
        pieces.append(sign)
        width += len(sign)
    return "".join(pieces)


def _encoded_byte(byte: int, *, is_first: bool, is_last: bool) -> str:
    """Blanks at a line's end get lost, dots and "From " at its start get changed: those are encoded too."""
    is_plain = 33 <= byte <= 126 and byte != ord("=")
    is_kept_blank = byte in b" \t" and not is_last
    if (is_plain and not (is_first and byte in b".F")) or is_kept_blank:
        return chr(byte)
    return f"={byte:02X}"
