"""Which leads an assignment rule is for: {"source": ["fair"], "score_min": 60}; all must fit, {} fits any.

| key | value | fits when |
|---|---|---|
| source | codes of sources | the lead came from one of them |
| country | two-letter codes | the lead is in one of them |
| kind | person, business | it is one |
| score_min | 0 to 100 | it is scored, at least so high |
| est_value_min | a number as text | its estimated value is at least so high |
| interest_contains | words | its interest holds one of them, whatever the case |
| custom:KEY | values | its own field KEY has one of them |
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from crm.actions.intake import checked_amount
from crm.errors import CRMError, InvalidValue
from crm.models import CustomField, FieldTarget, Lead, LeadKind, LeadSource

CUSTOM = "custom:"
MOST_VALUES = 200


def checked_condition(value: Any) -> dict[str, Any]:
    """The condition as it is stored: lists where several values may stand. Raises InvalidValue (field
    `condition`) whose text names the key that is wrong.
    """
    if not isinstance(value, dict):
        _refuse(_("Write an object, such as {“country”: [“DE”]}; {} fits every lead."))
    return {key: _checked(key, wanted) for key, wanted in value.items()}


def fits(condition: dict[str, Any], lead: Lead) -> bool:
    """Whether the lead (with its source) meets all of a stored condition."""
    return all(_FITS[_kind(key)](lead, key, wanted) for key, wanted in condition.items())


def _kind(key: str) -> str:
    return CUSTOM if key.startswith(CUSTOM) else key


def _checked(key: str, wanted: Any) -> Any:
    match _kind(key):
        case "source":
            return _known(key, wanted, set(LeadSource.objects.values_list("code", flat=True)))
        case "kind":
            return _known(key, wanted, set(LeadKind.values))
        case "country":
            codes = [code.upper() for code in _texts(key, wanted)]
            if any(len(code) != 2 or not code.isascii() or not code.isalpha() for code in codes):
                _refuse(_("“%s” takes two-letter codes, such as GB.") % key)
            return codes
        case "score_min":
            if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 <= wanted <= 100:
                _refuse(_("“%s” takes a whole number from 0 to 100.") % key)
            return wanted
        case "est_value_min":
            return _amount(key, wanted)
        case "interest_contains":
            return _texts(key, wanted)
        case "custom:":
            if not CustomField.objects.filter(target=FieldTarget.LEAD, key=key.removeprefix(CUSTOM)).exists():
                _refuse(_("“%s” is none of your own fields of leads.") % key[:60])
            return _values(key, wanted)
    _refuse(_("There is no condition “%s”.") % str(key)[:60])


def _amount(key: str, wanted: Any) -> str:
    try:
        amount = None if isinstance(wanted, bool) else checked_amount(wanted)
    except CRMError:
        amount = None
    if amount is None:
        _refuse(_("“%s” takes a number from 0 on, such as “10000”.") % key)
    return str(amount)


def _values(key: str, wanted: Any) -> list[Any]:
    values = wanted if isinstance(wanted, list) else [wanted]
    if not 0 < len(values) <= MOST_VALUES or any(isinstance(v, dict | list) or v is None for v in values):
        _refuse(_("“%s” takes a value or a list of values.") % key[:60])
    return values


def _texts(key: str, wanted: Any) -> list[str]:
    values = _values(key, wanted)
    if any(not isinstance(v, str) or not v.strip() or len(v) > 300 or "\0" in v for v in values):
        _refuse(_("“%s” takes words.") % key[:60])
    return [v.strip() for v in values]


def _known(key: str, wanted: Any, known: set[str]) -> list[str]:
    values = _texts(key, wanted)
    for value in values:
        if value not in known:
            _refuse(_("“%(key)s”: there is no “%(value)s”.") % {"key": key, "value": value[:60]})
    return values


def _refuse(words: str) -> Any:
    raise InvalidValue(words, field="condition")


_FITS: dict[str, Callable[[Lead, str, Any], bool]] = {
    "source": lambda lead, key, wanted: lead.source.code in wanted,
    "country": lambda lead, key, wanted: lead.country in wanted,
    "kind": lambda lead, key, wanted: lead.kind in wanted,
    "score_min": lambda lead, key, wanted: lead.score is not None and lead.score >= wanted,
    "est_value_min": lambda lead, key, wanted: (
        lead.est_value is not None and lead.est_value >= Decimal(wanted)
    ),
    "interest_contains": lambda lead, key, wanted: any(
        word.casefold() in lead.interest.casefold() for word in wanted
    ),
    CUSTOM: lambda lead, key, wanted: lead.custom.get(key.removeprefix(CUSTOM)) in wanted,
}
