"""What every table has."""

from typing import Any
from uuid import uuid4

from django.db import models
from django.db.models import F


class Record(models.Model):
    """A row with a public name (used in URLs and the API) and its times (aware, UTC)."""

    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class VersionedRecord(Record):
    """An editable root: `version` grows by one with each change and is the ETag of the API."""

    version = models.PositiveIntegerField(default=1, editable=False)
    undo_offer: Any = None  # not a column: the Undo row that the action which returned this record wrote

    class Meta:
        abstract = True

    def save_changed(self, *fields: str) -> None:
        """Save these fields, the time and the next version. The caller holds the row's lock."""
        self.version += 1
        self.save(update_fields=[*fields, "version", "updated_at"])


class Xid8Field(models.BigIntegerField):
    """A PostgreSQL transaction id (xid8), read as int. Orders rows by when their transaction began."""

    description = "PostgreSQL transaction id"

    def db_type(self, connection: Any) -> str:
        return "xid8"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else str(value)


class CurrentTransaction(models.Func):
    """The id of the running transaction, as a column default."""

    function = "pg_current_xact_id"
    output_field = Xid8Field()


def choices_known(model_table: str, field: str, values: list[str]) -> models.CheckConstraint:
    """The database refuses a word that is not in the list."""
    return models.CheckConstraint(
        name=f"{model_table}_{field}_known", condition=models.Q(**{f"{field}__in": values})
    )


__all__ = ["CurrentTransaction", "F", "Record", "VersionedRecord", "Xid8Field", "choices_known"]
