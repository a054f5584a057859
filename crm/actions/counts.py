"""The dashboard's summaries: folded while nobody looks, compared with the tables when somebody doubts."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

GROUP = "subject, status, owner_id, team_id, source_id, stage_id, currency"
FOLD_LOCK = 7_301_003  # advisory: two sweeps must not fold the same rows
FOLD = f"""
    WITH many AS (
        SELECT id FROM (
            SELECT id, n, amount, count(*) OVER (PARTITION BY {GROUP}) AS rows_ FROM crm_dashboardcount
        ) counted WHERE rows_ > 1 OR (n = 0 AND amount = 0)
    ), gone AS (
        DELETE FROM crm_dashboardcount WHERE id IN (SELECT id FROM many) RETURNING *
    ), folded AS (
        INSERT INTO crm_dashboardcount ({GROUP}, n, amount)
        SELECT {GROUP}, sum(n), sum(amount) FROM gone GROUP BY {GROUP} HAVING sum(n) <> 0 OR sum(amount) <> 0
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM folded)
"""  # noqa: S608 names of our own
RECOUNT = f"""
    WITH truth AS (
        SELECT 'lead' AS subject, status, owner_id, team_id, source_id, NULL::bigint AS stage_id, currency,
               count(*) AS n, sum(coalesce(est_value, 0)) AS amount
          FROM crm_lead WHERE deleted_at IS NULL AND merged_into_id IS NULL
         GROUP BY status, owner_id, team_id, source_id, currency
        UNION ALL
        SELECT 'opportunity', state, owner_id, team_id, source_id, stage_id, currency,
               count(*), sum(coalesce(amount, 0))
          FROM crm_opportunity WHERE deleted_at IS NULL
         GROUP BY state, owner_id, team_id, source_id, stage_id, currency
    )
    INSERT INTO crm_dashboardcount ({GROUP}, n, amount)
    SELECT {GROUP}, sum(n), sum(amount) FROM (
        SELECT {GROUP}, n, amount FROM truth
        UNION ALL
        SELECT {GROUP}, -n, -amount FROM crm_dashboardcount
    ) compared GROUP BY {GROUP} HAVING sum(n) <> 0 OR sum(amount) <> 0
    RETURNING {GROUP}, n, amount
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Difference:
    """A group whose summary was wrong: `n` and `amount` are what it lacked."""

    group: dict[str, Any]
    n: int
    amount: Decimal


@transaction.atomic
def fold_dashboard_counts() -> int:
    """Make one row of each group's rows. Returns how many rows fewer there are. Sums stay what they are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [FOLD_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(FOLD)
        gone, folded = cursor.fetchone()
    return gone - folded


@transaction.atomic
def recount_dashboard() -> list[Difference]:
    """Count the tables, and correct every summary that differs. Returns the differences, normally none.

    One statement sees tables and summaries at the same moment, so nobody has to wait while it counts, and a
    correction is one more row to sum.
    """
    names = GROUP.split(", ")
    with connection.cursor() as cursor:
        cursor.execute(RECOUNT)
        rows = cursor.fetchall()
    return [Difference(dict(zip(names, group, strict=True)), int(n), amount) for *group, n, amount in rows]
