"""How a record is reached and recognised, noted before a change and put back as it was: for undo.

Doing the change backwards is not enough. A new address may have taken the place of one that bounced, or of a
second one that was there already; keys may come from inquiries that spelt the name otherwise.
"""

import json
from typing import Any

from django.db import connection

from crm.models import Account, Contact, ContactPoint, Lead, MatchKey

Reached = Lead | Contact | Account


def note_ways(record: Reached) -> dict[str, Any]:
    """The rows of contact points and match keys, and the search text, as JSON. Two queries at most."""
    noted: dict[str, Any] = {"search_text": record.search_text}
    with connection.cursor() as cursor:
        for table, column in _tables(record):
            cursor.execute(
                f"SELECT to_jsonb(way)::text FROM {table} AS way WHERE {column} = %s ORDER BY id",  # noqa: S608
                [record.pk],
            )
            noted[table] = [json.loads(row) for (row,) in cursor.fetchall()]
    return noted


def put_ways_back(record: Reached, noted: dict[str, Any]) -> None:
    """Make the rows what `note_ways` noted, ids and times included; the search text only in memory.

    The caller holds the keys, and the record by its version.
    """
    record.search_text = noted["search_text"]
    with connection.cursor() as cursor:
        for table, column in _tables(record):
            rows = json.dumps(noted[table])
            cursor.execute(
                f"DELETE FROM {table} AS now WHERE {column} = %s AND NOT EXISTS (SELECT"  # noqa: S608
                f" FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb) AS old"
                " WHERE old IS NOT DISTINCT FROM now)",
                [record.pk, rows],
            )
            cursor.execute(
                f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"  # noqa: S608
                " ON CONFLICT (id) DO NOTHING",
                [rows],
            )


def keys_of_ways(noted: dict[str, Any]) -> list[tuple[str, str]]:
    """The match keys among them."""
    return [(row["kind"], row["value"]) for row in noted[MatchKey._meta.db_table]]


def _tables(record: Reached) -> list[tuple[str, str]]:
    models = [MatchKey] if isinstance(record, Account) else [ContactPoint, MatchKey]
    return [(model._meta.db_table, f"{record._meta.model_name}_id") for model in models]
