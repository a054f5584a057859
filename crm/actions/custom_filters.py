"""Filters of lists by own fields: `custom:<key>` compares one value, `custom:<key>_min` and `_max` numbers
and dates. The same for all four kinds of records.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from crm.actions.custom_fields import custom_condition
from crm.models import CustomField, acting

CUSTOM = "custom:"


def is_custom(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(CUSTOM)


def unknown_customs(filters: Mapping[str, str], target: str = "lead") -> list[str]:
    """Names among these filters whose field there is not (any more). One query, if there are any."""
    fields = _fields(filters, target)
    return [name for name in filters if is_custom(name) and _field_of(name, fields) is None]


def custom_conditions(filters: Mapping[str, str], target: str = "lead") -> list[Q]:
    """One for each filter whose field is in use. Raises InvalidValue (`custom.<key>`) for a value that its
    field cannot have. One query, if there are any.
    """
    fields = _fields(filters, target)
    conditions = []
    for name, value in filters.items():
        found = _field_of(name, fields) if is_custom(name) else None
        if found:
            conditions.append(custom_condition(*found, value))
    return conditions


def narrow_by(rows: QuerySet[Any], filters: Mapping[str, str], target: str = "lead") -> QuerySet[Any]:
    """The rows whose own fields are so. Raises as `custom_conditions`."""
    for condition in custom_conditions(filters, target):
        rows = rows.filter(condition)
    return rows


def _fields(filters: Mapping[str, str], target: str) -> dict[str, CustomField]:
    names = [name.removeprefix(CUSTOM)[:64] for name in filters if is_custom(name)]
    if not names:
        return {}
    keys = {name.removesuffix(end) for name in names for end in ("_min", "_max", "")}
    fields = CustomField.objects.filter(target=target, is_active=True, key__in=keys)
    return {f.key: f for f in fields.visible_to(acting())}  # a field that one may not read is no filter


def _field_of(name: str, fields: Mapping[str, CustomField]) -> tuple[CustomField, str] | None:
    """(the field, the operator: "", "min" or "max"). A field whose own key ends so comes first."""
    key = name.removeprefix(CUSTOM)
    if key in fields:
        return fields[key], ""
    for operator in ("min", "max"):
        plain = key.removesuffix(f"_{operator}")
        if plain != key and plain in fields:
            return fields[plain], operator
    return None
