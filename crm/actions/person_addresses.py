"""Rows that no lead or contact owns, found by the addresses that stand in them: spam, failed, refused."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import phonenumbers
from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Lower

from crm.actions.identity import normalise_email, normalise_phone
from crm.actions.personal_data import Person
from crm.errors import InvalidValue
from crm.models import ContactPoint, MatchKey, PointKind

LONGEST = 320  # characters: longer values are prose, which may speak of somebody else,
PROSE = "message"  # as this one may
TAIL = 7  # last digits of a number, which stand in every way to write it
_NO_DIGIT = re.compile(r"\D")
_NUMBER = re.compile(r"\+?[\d ()./-]{7,30}")
_MAIL = re.compile(r"[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The normal forms of one person's e-mail addresses and telephone numbers."""

    mails: frozenset[str]
    phones: frozenset[str]

    @classmethod
    def of(cls, person: Person) -> "Addresses":
        """From what they can be reached and are recognised by. Two queries."""
        mine = Q(lead__in=person.leads) | Q(contact__in=person.contacts)
        known = {
            *person.ways,
            *ContactPoint.objects.filter(mine).values_list("kind", "norm"),
            *MatchKey.objects.filter(mine).values_list("kind", "value"),
        }
        return cls(
            frozenset(norm for kind, norm in known if kind == PointKind.EMAIL),
            frozenset(norm for kind, norm in known if kind == PointKind.PHONE),
        )

    @property
    def ways(self) -> frozenset[tuple[str, str]]:
        """The same as (kind, normal form)."""
        mails = {(str(PointKind.EMAIL), mail) for mail in self.mails}
        return frozenset(mails | {(str(PointKind.PHONE), phone) for phone in self.phones})

    def keys_in(self, rows: QuerySet[Any], column: str) -> list[int]:
        """The keys of those rows whose JSON `column` names this person.

        The database picks what looks like it, whatever the case, the tag, the script of the domain or the
        spacing; each is then read as the intake would read it.
        """
        looks = Q()
        for beginning in self._beginnings():
            looks |= Q(said__contains=beginning)
        for tail in self._tails():
            looks |= Q(digits__contains=tail)
        if not looks:
            return []
        digits = Func(F("said"), Value(r"\D"), Value(""), Value("g"), function="regexp_replace")
        found = rows.annotate(said=Lower(Cast(column, TextField())))
        found = found.annotate(digits=Cast(digits, TextField())).filter(looks)
        return [pk for pk, value in found.values_list("pk", column).iterator() if self.are_in(value)]

    def _beginnings(self) -> Iterator[str]:
        """How an e-mail address of theirs begins in every way to write it."""
        for mail in self.mails:
            local = mail.rpartition("@")[0].partition("+")[0] or mail
            yield from (f"{local}@", f"{local}+")

    def _tails(self) -> Iterator[str]:
        """How a number of theirs ends, without what people put between the digits."""
        return (phone[-TAIL:].lstrip("+") for phone in self.phones)

    def may_be_in(self, text: str) -> bool:
        """The quick look at a text of which most say nothing of the person."""
        text = text.lower()
        if any(beginning in text for beginning in self._beginnings()):
            return True
        return bool(self.phones) and any(tail in _NO_DIGIT.sub("", text) for tail in self._tails())

    def are_in(self, value: Any) -> bool:
        """Whether what stands there is this person's: by e-mail address, or by number where no e-mail address
        is given. Families share a number.
        """
        texts = _short_texts(value)
        mails = _mails(texts)
        if mails:
            return any(self.mails & forms for forms in mails)
        return any(_is_number(text, phone) for text in texts for phone in self.phones)


def _texts(value: Any) -> Iterator[str]:
    """Every value of a JSON document, as text, but for the message."""
    if isinstance(value, dict):
        value = [one for name, one in value.items() if name != PROSE]
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)


def _short_texts(value: Any) -> list[str]:
    return [text for text in _texts(value) if len(text) <= LONGEST]


def _mails(texts: list[str]) -> list[frozenset[str]]:
    """The normal forms of each e-mail address that stands there."""
    return [forms for text in texts for found in _MAIL.findall(text) if (forms := _mail(found))]


def _mail(text: str) -> frozenset[str]:
    try:
        return frozenset(normalise_email(text.rstrip(".")))
    except InvalidValue:
        return frozenset()


def _is_number(text: str, phone: str) -> bool:
    """Whether the text is this number, with its country's code or without."""
    try:
        country = phonenumbers.region_code_for_number(phonenumbers.parse(phone)) or ""
        return normalise_phone(text, country) == phone
    except (InvalidValue, phonenumbers.NumberParseException):
        return False


def ways_in(value: Any, *, country: str = "") -> frozenset[tuple[str, str]]:
    """The e-mail addresses and telephone numbers that stand in a JSON document, as (kind, normal form).

    `country`: of numbers without their country's code, where the document has none of its own.
    """
    texts = _short_texts(value)
    ways = {(str(PointKind.EMAIL), form) for forms in _mails(texts) for form in forms}
    own = value.get("country") if isinstance(value, dict) else ""
    country = own if isinstance(own, str) and len(own) == 2 else country
    for text in texts:
        if _NUMBER.fullmatch(text.strip()):
            with suppress(InvalidValue):
                ways.add((str(PointKind.PHONE), normalise_phone(text, country)))
    return frozenset(ways)
