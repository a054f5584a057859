"""The customer's own fields: known keys, right types, and what becomes of values when a field changes."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from crm.errors import InvalidValue, PermissionRefused
from crm.models import CustomField, FieldType, acting
from crm.models.hidden import is_hiding, without_addresses
from crm.models.leads import RANKS, roles_up_to

MAX_TEXT = 2_000
MOST_FIELDS = 100  # of one target, retired ones included
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def checked_custom(values: Any, target: str = "lead", *, is_asked: bool = False) -> dict[str, Any]:
    """The values as they are stored, if whoever acts may fill these fields in. With `is_asked` a person fills
    them in and empties no required one.

    Raises InvalidValue and PermissionRefused naming `custom.<key>`. One query unless empty.
    """
    if not isinstance(values, dict):
        raise InvalidValue(_("Write an object of field keys and values."), field="custom")
    if not values:
        return {}
    fields = CustomField.objects.filter(target=target, key__in=[str(k)[:60] for k in values])
    known = {f.key: f for f in fields}
    who = acting().user
    roles = roles_up_to(who.role) if who else RANKS
    checked = {}
    for key, value in values.items():
        if key not in known or known[key].read_from not in roles:
            raise InvalidValue(_("There is no field “%s”.") % str(key)[:60], field=f"custom.{str(key)[:60]}")
        if known[key].write_from not in roles:
            raise PermissionRefused(
                _("Your role may read “%s”, not fill it in.") % known[key].label, field=f"custom.{key}"
            )
        if value in (None, ""):
            if is_asked and known[key].is_required and known[key].is_active:
                raise _is_needed(key, known[key].label)
            continue
        checked[key] = checked_value(known[key], value)
    return checked


def required_fields(target: str = "lead") -> QuerySet[CustomField]:
    """Those that a person has to fill in when they make such a record, in their order: of those they may."""
    fields = CustomField.objects.filter(target=target, is_required=True, is_active=True)
    return fields.writable_by(acting())


def required_labels(target: str = "lead") -> dict[str, str]:
    """Their labels, by key. One query."""
    return dict(required_fields(target).values_list("key", "label"))


def refuse_missing(custom: Mapping[str, Any] | None, target: str = "lead") -> None:
    """Raises InvalidValue naming the first required field without a value. One query."""
    for key, label in required_labels(target).items():
        if (custom or {}).get(key) in (None, ""):
            raise _is_needed(key, label)


def _is_needed(key: str, label: str) -> InvalidValue:
    return InvalidValue(_("“%s” is needed.") % label, field=f"custom.{key}")


def merged_custom(kept: dict[str, Any], values: Any, *, target: str, is_asked: bool) -> dict[str, Any]:
    """What a record's own fields are once these are changed; None takes a value away, what is not named
    stays. Raises as `checked_custom`, for what differs.
    """
    if not isinstance(values, dict):
        raise InvalidValue(_("Write an object of field keys and values."), field="custom")
    changes = {key: value for key, value in values.items() if key not in kept or kept[key] != value}
    checked = checked_custom(changes, target, is_asked=is_asked)
    return {**{key: old for key, old in kept.items() if key not in changes}, **checked}


def checked_value(field: CustomField, value: Any) -> Any:
    """The value as it is stored. Raises InvalidValue naming `custom.<key>`."""
    wrong = InvalidValue(
        _("%s: this is not the right kind of value.") % field.label, field=f"custom.{field.key}"
    )
    match field.type:
        case FieldType.NUMBER:
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
                raise wrong
            if not abs(value) <= 10**15:  # type: ignore[operator] # also refuses what is no number (NaN)
                raise wrong
            return float(value) if isinstance(value, Decimal) else value
        case FieldType.BOOLEAN:
            if not isinstance(value, bool):
                raise wrong
            return value
        case FieldType.DATE:
            try:
                return date.fromisoformat(str(value)).isoformat()
            except ValueError:
                raise wrong from None
        case FieldType.CHOICE:
            if value not in field.options:
                raise wrong
            return value
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        raise wrong
    if field.type == FieldType.URL and not _is_link(value):
        raise wrong
    return value


def _is_link(text: str) -> bool:
    """A web address: never javascript: or data:, which a click would run."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and not any(c.isspace() for c in text)


def value_from_text(field: CustomField, text: str) -> Any:
    """What a text in an address or a file means for this field. Raises InvalidValue as `checked_value`."""
    wrong = InvalidValue(
        _("%s: this is not the right kind of value.") % field.label, field=f"custom.{field.key}"
    )
    value: Any = text
    if field.type == FieldType.NUMBER:
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise wrong from None
        if not number.is_finite():
            raise wrong
        value = int(number) if number == number.to_integral_value() and abs(number) < 10**15 else number
    if field.type == FieldType.BOOLEAN:
        if text.lower() not in _YES_NO:
            raise wrong
        value = _YES_NO[text.lower()]
    return checked_value(field, value)


def custom_condition(field: CustomField, operator: str, text: str) -> Q:
    """Rows whose field equals the text ("", by the GIN index), or is at least ("min") or at most ("max") it.

    Raises InvalidValue for a text that is none of the field's type, and for an order that it does not have.
    """
    value = value_from_text(field, text)
    if isinstance(value, str) and is_hiding() and without_addresses(value) != value:
        raise InvalidValue(
            _("Your team does not show phone numbers and e-mail addresses to readers."),
            field=f"custom.{field.key}",
        )
    if not operator:
        return Q(custom__contains={field.key: value})
    if field.type not in {FieldType.NUMBER, FieldType.DATE}:
        raise InvalidValue(
            _("%s has no order; compare it with one value.") % field.label, field=f"custom.{field.key}"
        )
    lookup = "gte" if operator == "min" else "lte"
    # jsonb compares numbers as numbers and ISO dates, which are in order as texts, as texts
    return Q(custom__has_key=field.key, **{f"custom__{field.key}__{lookup}": value})
