"""What a door may hand in about a lead, checked field by field."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from crm.actions.custom_fields import checked_custom
from crm.errors import InvalidValue

LENGTHS = {
    "name": 200,
    "company": 200,
    "title": 120,
    "interest": 300,
    "email": 320,
    "phone": 60,
    "message": 20_000,
}
TEXTS = (*LENGTHS, "country", "currency", "external_id", "mailing_address", "physical_address")
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


MOST_TAGS_AT_ONCE = 30


@dataclass(frozen=True, slots=True)
class LeadFields:
    """What a door may hand in, checked. Empty text means "not given"."""

    name: str = ""
    company: str = ""
    title: str = ""
    email: str = ""
    phone: str = ""
    country: str = ""
    interest: str = ""
    est_value: Decimal | None = None
    currency: str = ""
    message: str = ""
    external_id: str = ""
    mailing_address: str = ""
    physical_address: str = ""
    custom: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()  # names

    @classmethod
    def of(cls, payload: dict[str, Any]) -> "LeadFields":
        """Raises InvalidValue naming the field that is wrong or unknown."""
        unknown = sorted(set(payload) - set(cls.__dataclass_fields__))
        if unknown:
            raise InvalidValue(_("There is no field “%s”.") % unknown[0][:60], field=unknown[0])
        values = dict(payload)
        for name in TEXTS:
            values[name] = _text(name, payload.get(name))
        values["country"] = checked_country(values["country"])
        values["currency"] = checked_currency(values["currency"])
        values["est_value"] = checked_amount(payload.get("est_value"))
        values["custom"] = checked_custom(payload.get("custom") or {})
        values["tags"] = checked_tags(payload.get("tags") or ())
        return cls(**values)


def checked_tags(value: Any) -> tuple[str, ...]:
    """Names of tags: a list of them, or one text in which commas or semicolons part them. Each once, whatever
    its case. Raises InvalidValue (`tags`).
    """
    names = re.split("[,;]", value) if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise InvalidValue(_("Write a list of tags."), field="tags")
    once: dict[str, str] = {}
    for name in names:
        text = _text("tags", name)
        if len(text) > 60 or "," in text or ";" in text:
            raise InvalidValue(_("A tag's name has 1 to 60 characters, without commas."), field="tags")
        if text:
            once.setdefault(text.lower(), text)
    if len(once) > MOST_TAGS_AT_ONCE:
        raise InvalidValue(_("A record holds at most %d tags.") % MOST_TAGS_AT_ONCE, field="tags")
    return tuple(once.values())


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidValue(_("Write text here."), field=name)
    if UNSTORABLE.search(value):
        raise InvalidValue(_("This text holds characters that cannot be stored."), field=name)
    limit = LENGTHS.get(name, 500)
    value = value.strip() if name == "message" else " ".join(value.split())
    if len(value) > limit:
        raise InvalidValue(_("Use at most %d characters.") % limit, field=name)
    return value


def checked_country(value: str) -> str:
    """An ISO 3166 code of two letters, or empty. Raises InvalidValue."""
    if value and not (len(value) == 2 and value.isascii() and value.isalpha()):
        raise InvalidValue(_("Write the country as its two-letter code, such as GB."), field="country")
    return value.upper()


def checked_currency(value: str) -> str:
    """An ISO 4217 code of three letters, or empty. Raises InvalidValue."""
    if value and not (len(value) == 3 and value.isascii() and value.isalpha()):
        raise InvalidValue(_("Write the currency as its three-letter code, such as EUR."), field="currency")
    return value.upper()


def checked_amount(value: Any, *, field: str = "est_value") -> Decimal | None:
    """Money with at most 12 digits before the point, rounded to cents. Raises InvalidValue."""
    if value in (None, ""):
        return None
    try:
        amount = Decimal(str(value)).quantize(Decimal("0.01"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount < Decimal(10) ** 12:
        raise InvalidValue(_("Write the value as a number from 0 on, such as 18400.00."), field=field)
    return amount
