"""Values of the customer's own fields: known keys, right types."""

from datetime import date
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from crm.errors import InvalidValue
from crm.models import CustomField, FieldType

MAX_TEXT = 2_000


def checked_custom(values: Any, *, target: str = "lead") -> dict[str, Any]:
    """The values as they are stored. Raises InvalidValue naming `custom.<key>`. One query unless empty."""
    if not isinstance(values, dict):
        raise InvalidValue(_("Write an object of field keys and values."), field="custom")
    if not values:
        return {}
    known = {
        f.key: f for f in CustomField.objects.filter(target=target, key__in=[str(k)[:60] for k in values])
    }
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise InvalidValue(_("There is no field “%s”.") % str(key)[:60], field=f"custom.{str(key)[:60]}")
        if value in (None, ""):
            continue
        checked[key] = _checked(known[key], value)
    return checked


def _checked(field: CustomField, value: Any) -> Any:
    wrong = InvalidValue(
        _("%s: this is not the right kind of value.") % field.label, field=f"custom.{field.key}"
    )
    match field.type:
        case FieldType.NUMBER:
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
                raise wrong
            if abs(value) > 10**15:  # type: ignore[operator]
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
    return value
