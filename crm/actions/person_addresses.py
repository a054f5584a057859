"""Rows that no lead or contact owns, found by the addresses that stand in them: spam, failed, refused."""

import re
from collections.abc import Iterator
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
            *ContactPoint.objects.filter(mine).values_list("kind", "norm"),
            *MatchKey.objects.filter(mine).values_list("kind", "value"),
        }
        return cls(
            frozenset(norm for kind, norm in known if kind == PointKind.EMAIL),
            frozenset(norm for kind, norm in known if kind == PointKind.PHONE),
        )

    def keys_in(self, rows: QuerySet[Any], column: str) -> list[int]:
        """The keys of those rows whose JSON `column` names this person.

        The database picks what looks like it, whatever the case, the tag, the script of the domain or the
        spacing; each is then read as the intake would read it.
        """
        looks = Q()
        for mail in self.mails:
            local = mail.rpartition("@")[0].partition("+")[0] or mail
            looks |= Q(text__contains=f"{local}@") | Q(text__contains=f"{local}+")
        for phone in self.phones:
            looks |= Q(digits__contains=phone[-TAIL:].lstrip("+"))
        if not looks:
            return []
        digits = Func(F("text"), Value(r"\D"), Value(""), Value("g"), function="regexp_replace")
        found = rows.annotate(text=Lower(Cast(column, TextField())))
        found = found.annotate(digits=Cast(digits, TextField())).filter(looks)
        return [pk for pk, value in found.values_list("pk", column).iterator() if self.are_in(value)]

    def are_in(self, value: Any) -> bool:
        """Whether what stands there is this person's: by e-mail address, or by number where no e-mail address
        is given. Families share a number.
        """
        texts = [text for text in _texts(value) if len(text) <= LONGEST]
        mails = [forms for text in texts for found in _MAIL.findall(text) if (forms := _mail(found))]
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
