"""COPY into the stage, and what concerns the stage as a whole."""

from collections.abc import Iterable

import orjson
from django.db import connection

from crm.imports.rows import StagedRow
from crm.models import ImportStage, KeyKind

DELETE_ROWS = 20_000  # a statement; far below a second
_COLUMNS = (
    "job_id",
    "row_no",
    "line_no",
    "raw",
    "fields",
    "custom",
    "outcome",
    "email_key",
    "email_plain_key",
    "phone_key",
    "external_key",
    "domain_key",
    "name_company_key",
    "row_hash",
    "search_text",
    "verdict",
    "field",
    "message",
)


def copy_rows(job_id: int, rows: Iterable[StagedRow]) -> None:
    """Append rows to the stage, by COPY."""
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY crm_importstage ({', '.join(_COLUMNS)}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(_values(job_id, row))


def _values(job_id: int, row: StagedRow) -> tuple:
    person = row.identity
    return (
        job_id,
        row.row_no,
        row.line_no,
        None if row.raw is None else _json(row.raw),
        _json(row.fields),
        _json(row.custom),
        row.outcome,
        person.email if person else "",
        person.email_plain if person else "",
        person.phone if person else "",
        person.external if person else "",
        row.key(KeyKind.DOMAIN),
        row.key(KeyKind.NAME_COMPANY),
        row.row_hash,
        person.search_text if person else "",
        row.verdict,
        row.field,
        row.message,
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def learn_sizes() -> None:
    """Tell the planner what the stage holds now, well under a second at any size (ANALYZE takes a sample).

    Autovacuum comes by once a minute. Until then a stage that was last seen empty is planned for as empty,
    and judging compared each row with all others.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT crm_analyze_import_stage()")


def staged_count(job_id: int, first: int, last: int) -> int:
    """How many of the rows `first` to `last` lie in the stage: fewer after a crash of the server."""
    return ImportStage.objects.filter(job_id=job_id, row_no__range=(first, last)).count()


def clear_some(job_id: int) -> bool:
    """Delete a slice of an import's stage. Returns whether anything was there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM crm_importstage WHERE id IN"
            " (SELECT id FROM crm_importstage WHERE job_id = %s ORDER BY row_no LIMIT %s)",
            [job_id, DELETE_ROWS],
        )
        return cursor.rowcount > 0
