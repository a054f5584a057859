"""The history page of a record: each change with who, when, and the values before and after."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from crm.models import HISTORY, ActorKind, User, acting, history_of
from crm.permissions import without_kept_fields

SHOWN = 100  # changes


@dataclass(frozen=True, slots=True)
class FieldChange:
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Change:
    at: datetime
    who: str
    fields: list[FieldChange]


def changes_of(record: models.Model) -> list[Change]:
    """The newest changes first, SHOWN at most. Two queries, and one for each kind of thing pointed to."""
    model = HISTORY.get(type(record))
    if model is None:
        return []
    rows = list(history_of(record)[:SHOWN])
    for row in rows if hasattr(model, "custom") else ():
        row.custom = without_kept_fields(acting(), str(record._meta.model_name), row.custom or {})
    fields = [field for field in model._meta.concrete_fields if not field.name.startswith("pgh_")]
    names = _Names(rows, record, fields)
    found, newer = [], record
    for row in rows:
        changed = [
            FieldChange(
                str(capfirst(field.verbose_name)),
                names.of(field, getattr(row, field.attname)),
                names.of(field, getattr(newer, field.attname)),
            )
            for field in fields
            if getattr(row, field.attname) != getattr(newer, field.attname)
        ]
        found.append(Change(row.pgh_created_at, names.actor(row.pgh_context), changed))
        newer = row
    return found


class _Names:
    """Keys as the names of what they point to, looked up once for each kind of thing."""

    def __init__(self, rows: list[Any], record: models.Model, fields: list[Any]) -> None:
        wanted: dict[type[models.Model], set[Any]] = {
            User: {(row.pgh_context or {}).get("user") for row in rows} if rows else set()
        }
        for field in fields:
            if not isinstance(field, models.ForeignKey):
                continue
            values = {getattr(row, field.attname) for row in [*rows, record]}
            if len(values) > 1:
                wanted.setdefault(field.related_model, set()).update(values)  # type: ignore[arg-type]
        self._names = {
            model: {row.pk: str(row) for row in model._base_manager.filter(pk__in=keys - {None})}
            for model, keys in wanted.items()
            if keys - {None}
        }

    def of(self, field: Any, value: Any) -> str:
        if value is None or value == "":
            return _("(empty)")
        if isinstance(field, models.ForeignKey):
            return self._names.get(field.related_model, {}).get(value, f"#{value}")  # type: ignore[arg-type]
        if isinstance(value, dict):
            text = ", ".join(f"{key}: {one}" for key, one in value.items()) or str(_("(empty)"))
        elif isinstance(value, list):
            text = ", ".join(map(str, value))
        else:
            text = str(dict(field.flatchoices).get(value, value))
        return text if len(text) <= 300 else text[:299] + "…"

    def actor(self, context: dict[str, Any] | None) -> str:
        """Without a context the change came from outside of the product."""
        if not context:
            return _("by hand, in the database")
        person = self._names.get(User, {}).get(context.get("user"))
        if context["kind"] == ActorKind.API:
            return _("%(person)s, by the token “%(token)s”") % {"person": person, "token": context["label"]}
        return person or context["label"]
