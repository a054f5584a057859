"""Reading another system's tables: one read-only snapshot, streamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.utils.translation import gettext as _
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from crm.errors import ImportRefused
from crm.imports.legacy.mapping import Mapping, Part

AT_A_TIME = 1_000  # rows fetched for one round trip


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that can write nothing and sees one moment. Raises ImportRefused without the password."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise ImportRefused(
            _("The DSN cannot be read; write postgresql://user:password@host:5432/name.")
        ) from None
    try:
        connection = psycopg.connect(
            dsn, connect_timeout=10, options="-c default_transaction_read_only=on -c lock_timeout=5s"
        )
    except psycopg.Error as error:
        raise ImportRefused(_("No connection: %s") % _safe(error, parts)) from None
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            yield connection
        except psycopg.Error as error:
            raise ImportRefused(_safe(error, parts)) from None
        finally:
            connection.rollback()


def _safe(error: psycopg.Error, parts: dict[str, Any]) -> str:
    """The first line of the error, without the password."""
    said = str(error).strip().splitlines()
    text = said[0][:200] if said else type(error).__name__
    password = str(parts.get("password") or "")
    return text.replace(password, "***") if password else text


def check_tables(connection: psycopg.Connection[Any], mapping: Mapping) -> None:
    """Raises ImportRefused naming a table or column that is not there."""
    for part in mapping.parts:
        wanted = {part.table: {part.id}}
        for join in part.joins.values():
            wanted[part.table].add(join.column)
            wanted.setdefault(join.table, set()).add(join.key)
        for column in part.fields.values():
            alias, dot, name = column.rpartition(".")
            wanted[part.joins[alias].table if dot else part.table].add(name)
        for table, columns in wanted.items():
            rows = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
                " AND NOT attisdropped",
                [sql.Identifier(mapping.schema, table).as_string(connection)],
            ).fetchall()
            known = {name for (name,) in rows}
            if not known:
                raise ImportRefused(
                    _("%(part)s: there is no table %(table)s.")
                    % {"part": part.kind, "table": f"{mapping.schema}.{table}"}
                )
            if missing := sorted(columns - known):
                raise ImportRefused(
                    _("%(part)s: the table %(table)s has no column %(column)s.")
                    % {"part": part.kind, "table": f"{mapping.schema}.{table}", "column": missing[0]}
                )


def rows_of(connection: psycopg.Connection[Any], mapping: Mapping, part: Part) -> Iterator[dict[str, Any]]:
    """The rows by our field names, `id` with them, in the order of their ids."""
    columns = [sql.SQL("main.{} AS id").format(sql.Identifier(part.id))]
    for name, column in part.fields.items():
        alias, _dot, theirs = column.rpartition(".")
        columns.append(
            sql.SQL("{}.{} AS {}").format(
                sql.Identifier(f"join {alias}" if alias else "main"),
                sql.Identifier(theirs),
                sql.Identifier(name),
            )
        )
    joins = [
        sql.SQL(" LEFT JOIN {} AS {} ON {}.{} = main.{}").format(
            sql.Identifier(mapping.schema, join.table),
            sql.Identifier(f"join {alias}"),
            sql.Identifier(f"join {alias}"),
            sql.Identifier(join.key),
            sql.Identifier(join.column),
        )
        for alias, join in part.joins.items()
    ]
    query = sql.SQL("SELECT {} FROM {} AS main{} ORDER BY main.{}").format(
        sql.SQL(", ").join(columns),
        sql.Identifier(mapping.schema, part.table),
        sql.SQL("").join(joins),
        sql.Identifier(part.id),
    )
    with connection.cursor(name="gardenos_legacy", row_factory=dict_row) as cursor:
        cursor.itersize = AT_A_TIME
        cursor.execute(query)
        yield from cursor
