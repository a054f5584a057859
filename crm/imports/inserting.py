"""Writing many rows of a model with one statement."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import chain
from typing import Any
from uuid import uuid4

from django.db import connection, models


def insert_select(
    model: type[models.Model], values: Mapping[str, str], source: str, parameters: Mapping[str, Any]
) -> None:
    """Insert one row for each that `source` (FROM and what follows) gives. See `insert_sql`."""
    sql, defaults = insert_sql(model, values, source)
    with connection.cursor() as cursor:
        cursor.execute(sql, {**defaults, **parameters})


def insert_sql(
    model: type[models.Model], values: Mapping[str, str], source: str
) -> tuple[str, dict[str, Any]]:
    """(INSERT ... SELECT, the parameters that the model's defaults need).

    `values`: SQL expression by field name; the others get their default, public ids a random one, and times
    of creation `%(at)s`. A column that is added to the model later needs nothing here.
    """
    columns, expressions, defaults = [], [], {}
    for field in model._meta.concrete_fields:
        name = f"default_{model._meta.model_name}_{field.name}"
        if field.name in values:
            expression = values[field.name]
        elif field.primary_key or field.has_db_default():
            continue
        elif field.name == "public_id":
            expression = "gen_random_uuid()"
        elif getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False):
            expression = "%(at)s"
        else:
            expression = f"%({name})s"
            defaults[name] = _default(field)
        columns.append(connection.ops.quote_name(field.column))  # type: ignore[arg-type]
        expressions.append(expression)
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(expressions)} {source}", defaults


def _default(field: models.Field) -> Any:
    value = field.get_default()
    if isinstance(field, models.JSONField) and value is not None:
        return json.dumps(value)
    return value


def copy_rows(model: type[models.Model], rows: Iterable[Mapping[str, Any]], *, at: datetime) -> None:
    """Append rows by COPY: values by field name, the others get their default. Ids are drawn unless given."""
    fields = [field for field in model._meta.concrete_fields if not field.has_db_default()]
    first = next(iter_rows := iter(rows), None)
    if first is None:
        return
    if "id" not in first:
        fields = [field for field in fields if not field.primary_key]
    defaults = {field.name: _constant(field, at) for field in fields}
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    has_public_id = "public_id" in defaults
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in chain([first], iter_rows):
            values = {**defaults, **row}
            if has_public_id:
                values["public_id"] = uuid4()
            copy.write_row(list(values.values()))


def _constant(field: models.Field, at: datetime) -> Any:
    is_time = getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False)
    return at if is_time else None if field.primary_key else _default(field)


def update_rows(model: type[models.Model], rows: Sequence[models.Model], fields: Iterable[str]) -> None:
    """Write these fields of rows that are in memory; the caller holds their locks. One statement."""
    if not rows:
        return
    names = [model._meta.get_field(name).column for name in fields]  # type: ignore[union-attr]
    quoted = [connection.ops.quote_name(name) for name in names]  # type: ignore[arg-type]
    table = connection.ops.quote_name(model._meta.db_table)
    values = [{"id": row.pk} | {name: row.__dict__[name] for name in names} for row in rows]  # type: ignore[index]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} AS old SET {', '.join(f'{name} = new.{name}' for name in quoted)}"  # noqa: S608
            f" FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb) AS new WHERE old.id = new.id",
            [as_json(values)],
        )


def as_json(value: Any) -> str:
    """JSON that loses nothing on its way into a column: times to the microsecond, amounts to the cent."""
    return json.dumps(value, default=_as_text)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
