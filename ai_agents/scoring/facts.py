"""What the statistical score looks at: one table. A new feature is a line of it and a field of Facts.

Only what was known early counts: how many times somebody wrote is counted over their first week and never
past the outcome, because a lead that was won has had more letters than one that has just come in.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from crm.models import FieldType

VERSION = "features.v1"
EARLY = timedelta(days=7)  # engagement after this says how the work went, not how promising the lead was
CUSTOM = "custom:"
Value = str | float | bool | None  # None: not given

_WORD = re.compile(r"\w+")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Facts:
    """One lead as it was early on. `arrived_at` is in the organisation's time zone, None for imported leads,
    whose file says nothing about the hour. `given`: names of the fields that came with the first inquiry.
    """

    source: str = ""
    channel: str = ""
    country: str = ""
    given: frozenset[str] = frozenset()
    has_company_mail: bool = False
    est_value: float | None = None
    message: str = ""
    inquiries: int = 1
    replies: int = 0
    arrived_at: datetime | None = None
    custom: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feature:
    """How one value is read. Numbers are cut into bins of equally many leads; everything else is words."""

    key: str
    label: str | Promise
    read: Callable[[Facts], Value] = field(repr=False)
    is_number: bool = False


def _given(name: str) -> Callable[[Facts], bool]:
    return lambda facts: name in facts.given


def _times(number: int) -> str:
    return "3+" if number >= 3 else str(number)


def _part_of_day(facts: Facts) -> Value:
    if facts.arrived_at is None:
        return None
    hour = facts.arrived_at.hour
    return "6-12" if 6 <= hour < 12 else "12-18" if 12 <= hour < 18 else "18-6"


def _is_weekend(facts: Facts) -> Value:
    return None if facts.arrived_at is None else facts.arrived_at.weekday() >= 5


FEATURES: tuple[Feature, ...] = (
    # where it came from
    Feature("source", _("Source"), lambda facts: facts.source or None),
    Feature("channel", _("Came by"), lambda facts: facts.channel or None),
    Feature("country", _("Country"), lambda facts: facts.country or None),
    # what was given
    Feature("given_email", _("E-mail given"), _given("email")),
    Feature("given_phone", _("Phone given"), _given("phone")),
    Feature("given_company", _("Company given"), _given("company")),
    Feature("given_title", _("Job title given"), _given("title")),
    Feature("given_interest", _("Interest given"), _given("interest")),
    Feature("given_mailing_address", _("Mailing address given"), _given("mailing_address")),
    Feature("given_physical_address", _("Site address given"), _given("physical_address")),
    Feature("company_mail", _("Company's own e-mail domain"), lambda facts: facts.has_company_mail),
    Feature("est_value", _("Estimated value"), lambda facts: facts.est_value, is_number=True),
    # how they got in touch, in the first week
    Feature("inquiries", _("Inquiries in the first week"), lambda facts: _times(facts.inquiries)),
    Feature("replies", _("Replies in the first week"), lambda facts: _times(facts.replies)),
    # when
    Feature("weekend", _("Came on a weekend"), _is_weekend),
    Feature("part_of_day", _("Time of day"), _part_of_day),
    # counted in their first message
    Feature(
        "words",
        _("Words in the message"),
        lambda facts: float(len(_WORD.findall(facts.message))) if facts.message else None,
        is_number=True,
    ),
    Feature("questions", _("Asks a question"), lambda facts: "?" in facts.message),
    Feature("figures", _("Names a figure"), lambda facts: any(sign.isdigit() for sign in facts.message)),
    Feature("links", _("Has a link"), lambda facts: bool(_LINK.search(facts.message))),
)


def custom_feature(key: str, label: str, kind: str) -> Feature:
    """A custom field by its declared type: numbers in bins, choices and yes/no by value; of texts, links and
    dates only whether they were given.
    """
    name = f"{CUSTOM}{key}"
    match kind:
        case FieldType.NUMBER:
            return Feature(name, label, lambda facts: _number(facts.custom.get(key)), is_number=True)
        case FieldType.BOOLEAN | FieldType.CHOICE:
            return Feature(name, label, lambda facts: facts.custom.get(key))
    return Feature(name, label, lambda facts: facts.custom.get(key) not in (None, ""))


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
