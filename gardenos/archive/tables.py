"""Which tables an archive holds, and how a table is written as text and read again."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.db import connection, models

from crm.models.base import Xid8Field

# Nothing that people entered: what a running site makes anew, or what only this database could read.
LEFT_OUT = {
    "django_session": "people sign in again",
    "django_content_type": "made by migrate",
    "auth_permission": "made by migrate; decides nothing",
    "auth_group": "decides nothing",
    "auth_group_permissions": "decides nothing",
    "django_admin_log": "the audit log and the history say who changed what",
    "django_q_ormq": "hints; sweepers find due work again",
    "django_q_schedule": "made by migrate",
    "django_q_task": "reports of past runs",
    "crm_outboxevent": "live updates; browsers fetch anew under a new epoch",
    "crm_liveepoch": "renewed, so that old cursors are known as old",
    "crm_idempotencykey": "answers to resends, 48 h",
    "crm_ratehit": "rate windows",
    "crm_importstage": "rows of running imports; the file is staged again",
    "crm_heartbeat": "proof of progress of running processes",
    "ai_agents_pumplease": "leases of running processes",
}


def archived_models() -> list[type[models.Model]]:
    """Every table of ours and of the libraries but LEFT_OUT, by name."""
    found = [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy and model._meta.db_table not in LEFT_OUT
    ]
    return sorted(found, key=lambda model: model._meta.db_table)


def columns_of(model: type[models.Model]) -> list[str]:
    """The columns that are kept. Transaction ids mean nothing in another database."""
    return [
        str(field.column)
        for field in model._meta.local_concrete_fields
        if not isinstance(field, Xid8Field) and not field.generated
    ]


def copy_out(model: type[models.Model], columns: list[str], write: Callable[[bytes], Any]) -> int:
    """Write the table's rows as CSV with a header, ordered by key; returns how many.

    NULL is an empty cell, no text is "". Times are UTC in ISO 8601, bytes in hex, arrays and JSON as
    PostgreSQL writes them. Must be called inside a transaction.
    """
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))  # type: ignore[union-attr]
    statement = f"COPY (SELECT {names} FROM {table} ORDER BY {key}) TO STDOUT (FORMAT csv, HEADER)"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'")
        with cursor.copy(statement) as copy:
            for block in copy:
                write(block)
        return cursor.rowcount


def copy_in(model: type[models.Model], columns: list[str], blocks: Iterator[bytes]) -> int:
    """Read rows as copy_out wrote them. Returns how many. Raises django.db.Error for what does not fit."""
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    table = quote(model._meta.db_table)
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv, HEADER MATCH)") as copy:
            for block in blocks:
                copy.write(block)
        return cursor.rowcount


def digest_of(model: type[models.Model], columns: list[str]) -> tuple[int, str]:
    """(number of rows, SHA-256 in hex of the table as copy_out writes it)."""
    digest = hashlib.sha256()
    rows = copy_out(model, columns, digest.update)
    return rows, digest.hexdigest()
