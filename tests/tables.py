"""What the tables hold, as one value: to show that a refused request changed nothing."""

import re
from functools import cache

from django.db import connection

# Tables that note that somebody was here, not what they did; they are left out of every comparison
# (4xx, undo, twin import, archive).
TRACE_TABLES = re.compile(
    r"auditlog|auditseal|pghistory|django_migrations|django_session|django_content_type|django_q_"
    r"|crm_(outboxevent|undo|job|bulkrow|importjob|importrow|importstage|idempotencykey|ratehit|heartbeat|liveepoch"
    r"|dashboardcount)$"
    r"|ai_agents_pumplease|gardenos_cache|account_|auth_"
)
# Columns that differ between two ways to the same state; left out where two states are compared.
TRACE_COLUMNS = {"id", "public_id", "version", "created_at", "updated_at"}


@cache
def compared_tables() -> list[str]:
    """Every table of the database but the trace tables."""
    return [name for name in connection.introspection.table_names() if not TRACE_TABLES.search(name)]


@cache
def _statement() -> str:
    digest = (
        "SELECT '{0}', count(*) || ' ' || "
        "md5(coalesce(string_agg(md5(row::text), '' ORDER BY md5(row::text)), '')) FROM \"{0}\" AS row"
    )
    return " UNION ALL ".join(digest.format(name) for name in compared_tables())


def state_of_tables() -> dict[str, str]:
    """Number and digest of the rows of every table but the trace tables. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_statement())
        return dict(cursor.fetchall())


def rows_written() -> int:
    """Rows of those tables that this transaction wrote so far, kept or taken back. Cheap.

    The same number before and after means that nothing changed; another means: compare `state_of_tables`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_xact_user_tables"
            " WHERE relname = ANY(%s)",
            [compared_tables()],
        )
        return cursor.fetchone()[0]
