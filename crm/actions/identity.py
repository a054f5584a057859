"""What makes two inquiries the same person: normal forms, match keys, and the locks that guard them."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

import idna
import phonenumbers
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection
from django.utils.translation import gettext as _

from crm.errors import InvalidValue
from crm.models import STRONG_KEYS, KeyKind

IMPORT_LOCK = 7_301_001  # advisory: shared by intake, merge, convert; held alone by a chunk of an import
# Addresses at these tell nothing about the company. The big public mail hosts, kept short on purpose.
FREE_MAIL = frozenset(
    """
    aol.com fastmail.com free.fr gmail.com gmx.at gmx.ch gmx.de gmx.net googlemail.com hotmail.co.uk
    hotmail.com hotmail.fr icloud.com laposte.net libero.it live.com mac.com mail.com mail.ru
    mailbox.org me.com msn.com online.de orange.fr outlook.com outlook.de pm.me posteo.de proton.me
    protonmail.com qq.com seznam.cz t-online.de wanadoo.fr web.de wp.pl yahoo.co.uk yahoo.com yahoo.de
    yahoo.fr yandex.ru ymail.com zoho.com
    """.split()
)
_PLAIN_DOMAIN = re.compile(r"(?:(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_PLAIN_LETTERS = {
    "ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"
}  # fmt: skip
_LETTERS = str.maketrans(_PLAIN_LETTERS)


def fold(text: str) -> str:
    """Lower case without accents, single spaces: how names are compared and searched."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c)).translate(_LETTERS)
    return " ".join(plain.split())


def fold_sql(text: str) -> str:
    """`fold` of an SQL expression, as SQL: marks beyond U+036F and runs of spaces stay."""
    plain = f"lower(regexp_replace(normalize({text}, NFKD), '[\\u0300-\\u036F]', '', 'g'))"
    for letter, letters in _PLAIN_LETTERS.items():
        plain = f"replace({plain}, '{letter}', '{letters}')"
    return plain


def normalise_email(raw: str) -> tuple[str, str]:
    """(address in lower case with an ASCII domain, the same without its plus-tag).

    Raises InvalidValue naming `email`. Domains are encoded by UTS 46 / IDNA 2008 (RFC 5891).
    """
    wrong = InvalidValue(
        _("“%s” is not an e-mail address; it should look like name@example.com.") % raw[:60], field="email"
    )
    local, at, domain = raw.strip().lower().rpartition("@")
    if not at or not local or len(raw) > 320:
        raise wrong
    try:
        if not _PLAIN_DOMAIN.fullmatch(domain):  # what is plain already is its own encoding, and most are
            domain = idna.encode(domain, uts46=True).decode()
        address = f"{local}@{domain}"
        validate_email(address)
    except (idna.IDNAError, UnicodeError, ValidationError):
        raise wrong from None
    if len(address) > 254:  # RFC 5321 4.5.3.1.3
        raise wrong
    return address, f"{local.partition('+')[0]}@{address.rpartition('@')[2]}" if local[0] != "+" else address


def normalise_phone(raw: str, country: str = "") -> str:
    """E.164 (ITU-T). A number without a country code is read as one of `country` (ISO code).

    Raises InvalidValue naming `phone`.
    """
    try:
        number = phonenumbers.parse(raw[:60], country.upper() or None)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        raise InvalidValue(
            _("“%s” is not a phone number; write it with its country code, such as +44 20 7946 0018.")
            % raw[:60],
            field="phone",
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@dataclass(frozen=True, slots=True)
class Identity:
    """The normal forms of one person's data."""

    name: str
    company: str = ""
    email: str = ""
    email_plain: str = ""
    phone: str = ""
    external: str = ""  # "<source id>:<id>"
    keys: list[tuple[str, str]] = field(default_factory=list)  # all match keys, strong ones first

    @property
    def strong_keys(self) -> list[tuple[str, str]]:
        return [key for key in self.keys if key[0] in STRONG_KEYS]

    @property
    def search_text(self) -> str:
        """What the trigram index holds: folded name and company, the address, the phone's digits."""
        parts = (fold(self.name), fold(self.company), self.email, self.phone.lstrip("+"))
        return " ".join(part for part in parts if part)


def identify(
    *,
    name: str,
    company: str = "",
    email: str = "",
    phone: str = "",
    country: str = "",
    external_id: str = "",
    source_id: int = 0,
) -> Identity:
    """Bring one person's data to normal form. Raises InvalidValue for `email` or `phone`."""
    address, plain = normalise_email(email) if email.strip() else ("", "")
    number = normalise_phone(phone, country) if phone.strip() else ""
    external = f"{source_id}:{external_id.strip()}" if external_id.strip() else ""
    keys: list[tuple[str, str]] = []
    if external:
        keys.append((KeyKind.EXTERNAL, external[:420]))
    if address:
        keys += [(KeyKind.EMAIL, value) for value in dict.fromkeys((address, plain))]
    if number:
        keys.append((KeyKind.PHONE, number))
    domain = address.rpartition("@")[2]
    if domain and domain not in FREE_MAIL:
        keys.append((KeyKind.DOMAIN, domain))
    if name and company:
        keys.append((KeyKind.NAME_COMPANY, f"{fold(name)}|{fold(company)}"[:420]))
    return Identity(name, company, address, plain, number, external, keys)


def identities_of(name: str, company: str, points: Iterable[tuple[str, str]]) -> list[Identity]:
    """One identity for each stored way to reach somebody (kind, normal form); without any, the name's."""
    return [
        identify(
            name=name,
            company=company,
            email=norm if kind == KeyKind.EMAIL else "",
            phone=norm if kind == KeyKind.PHONE else "",
        )
        for kind, norm in points
    ] or [identify(name=name, company=company)]


def lock_identities(keys: Iterable[tuple[str, str]]) -> None:
    """Hold these keys until the transaction ends, so that two doors cannot create the same person twice.

    The import lock (shared) first, then keys by number, then rows: the one order that everything keeps.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [IMPORT_LOCK])
        cursor.execute(
            "SELECT pg_advisory_xact_lock(number) FROM (SELECT DISTINCT hashtextextended(value, 0) AS number"
            " FROM unnest(%s::text[]) AS value ORDER BY 1) AS sorted",
            [[f"{kind}:{value}" for kind, value in keys]],
        )
