"""The queue: AgentTask rows are claimed under a lease, and finished only by whoever still holds it.

A claimed task is in its pump's hand until `start` lets it call a model. Both are bounded by the pool's target
across all pumps: what calls by the target, what is in hand beside it by `ahead`.

Leases and due times use the database's clock (statement_timestamp()), so that no machine's clock matters.
No transaction here lasts longer than its few statements; none is open while a model thinks.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

from django.db import connection, models, transaction

from ai_agents.actions import budget, pace
from ai_agents.actions.outcomes import Outcome, after_lost_lease
from ai_agents.models import AgentPool, AgentTask, TaskState
from crm import events
from crm.progress import mark_of, own_instance

OLDEST_SHARE = 16  # one claimed task in so many is the one that waited longest, so that no priority starves
REAP_AT_ONCE = 200
_CLAIMING = (
    0x67617264656E0001  # advisory lock: one claim at a time, where a limit holds for all kinds together
)
_TABLE = AgentTask._meta.db_table

_CLAIM = f"""
UPDATE {_TABLE} AS task
SET state = 'running', attempts = attempts + 1,
    lease_token = (%(mark)s || right(replace(gen_random_uuid()::text, '-', ''), 16))::uuid,
    lease_until = statement_timestamp() + %(lease_s)s * interval '1 second',
    started_at = now(), called_at = NULL, updated_at = now()
FROM (
    SELECT id FROM {_TABLE}
    WHERE kind = %(kind)s AND state = 'queued' AND run_after <= statement_timestamp()
        AND (deadline IS NULL OR deadline > statement_timestamp())
    ORDER BY {{order}} LIMIT %(most)s FOR UPDATE SKIP LOCKED
) AS due
WHERE task.id = due.id
RETURNING task.*
"""  # noqa: S608  only names of our own
_CLAIM_FIRST = _CLAIM.format(order="priority, run_after, id")
_CLAIM_OLDEST = _CLAIM.format(order="run_after, id")


_START = f"""
UPDATE {_TABLE} AS task SET called_at = coalesce(called_at, statement_timestamp()), updated_at = now()
FROM (
    SELECT id FROM unnest(%s::bigint[], %s::uuid[]) WITH ORDINALITY AS wanted (id, token, place)
    JOIN {_TABLE} AS held USING (id)
    WHERE held.state = 'running' AND held.lease_token = wanted.token
    ORDER BY place LIMIT %s
) AS next
WHERE task.id = next.id
RETURNING task.id
"""  # noqa: S608  only names of our own


def claim(
    kind: str,
    most: int,
    *,
    lease_s: float,
    ahead: int = 0,
    oldest_first: bool = False,
    most_in_all: int = 0,
) -> list[AgentTask]:
    """Take up to `most` due tasks of a kind into hand, and never more than its pool's target, and `ahead`
    beside it, allow to run everywhere, its rate a minute, and `most_in_all` and `ahead` for all kinds
    together (0: no limit).

    Locks the pool's row for these few statements, so that the bounds hold across pumps. Attempts are counted
    here: a task that kills its process has still spent one. Sorted by priority.
    """
    with transaction.atomic():
        if most_in_all:
            most = min(most, most_in_all + ahead - _running_in_all())
        pool = AgentPool.objects.select_for_update(no_key=True).filter(kind=kind, paused=False).first()
        if pool is None or most <= 0:
            return []
        running = AgentTask.objects.filter(kind=kind, state=TaskState.RUNNING).count()
        most = min(most, pool.target + ahead - running)
        if pool.rpm and most > 0:
            most = min(most, pace.room(pool))
        if most <= 0:
            return []
        sql = _CLAIM_OLDEST if oldest_first else _CLAIM_FIRST
        tasks = list(
            AgentTask.objects.raw(
                sql, {"kind": kind, "most": most, "lease_s": lease_s, "mark": mark_of(own_instance())}
            )
        )
        if pool.rpm:
            pace.book(kind, len(tasks))
    return sorted(tasks, key=lambda task: (task.priority, task.run_after, task.pk))


def start(kind: str, tasks: Sequence[AgentTask], *, most_in_all: int = 0) -> set[int]:
    """Let these claimed tasks of a kind call a model, in their order, as far as the pool's target everywhere
    and `most_in_all` for all kinds together (0: no limit) leave room. Returns the ids of those that may.

    The rest stays in hand, or was lost to somebody else.
    """
    if not tasks:
        return set()
    with transaction.atomic(), connection.cursor() as cursor:
        room = len(tasks)
        if most_in_all:
            room = min(room, most_in_all - _running_in_all(calling=True))
        pool = AgentPool.objects.select_for_update(no_key=True).filter(kind=kind, paused=False).first()
        if pool is None or room <= 0:
            return set()
        calling = AgentTask.objects.filter(
            kind=kind, state=TaskState.RUNNING, called_at__isnull=False
        ).count()
        room = min(room, pool.target - calling)
        if room <= 0:
            return set()
        cursor.execute(_START, [[task.pk for task in tasks], [task.lease_token for task in tasks], room])
        return {pk for (pk,) in cursor.fetchall()}


def _running_in_all(*, calling: bool = False) -> int:
    """Tasks of every kind that run now (`calling`: that may call); other claims wait until the caller's is
    done.
    """
    of_those = " AND called_at IS NOT NULL" if calling else ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CLAIMING])
        cursor.execute(f"SELECT count(*) FROM {_TABLE} WHERE state = 'running'{of_those}")  # noqa: S608
        return cursor.fetchone()[0]


def renew(tasks: Iterable[AgentTask], *, lease_s: float) -> set[int]:
    """Hold the leases of these for another `lease_s`. Returns the ids that are no longer ours."""
    held = {task.pk: task.lease_token for task in tasks}
    if not held:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} SET lease_until = statement_timestamp() + %s * interval '1 second' "  # noqa: S608
            "WHERE state = 'running' AND id = ANY(%s) AND lease_token = ANY(%s) RETURNING id",
            [lease_s, list(held), list(held.values())],
        )
        return set(held) - {row[0] for row in cursor.fetchall()}


def lock_held(tasks: Sequence[AgentTask]) -> list[AgentTask]:
    """Those of the tasks whose lease is still ours, locked until the transaction ends, in the order of
    their ids.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {_TABLE} WHERE state = 'running' AND id = ANY(%s) AND lease_token = ANY(%s) "  # noqa: S608
            "ORDER BY id FOR UPDATE",
            [[task.pk for task in tasks], [task.lease_token for task in tasks]],
        )
        held = {row[0] for row in cursor.fetchall()}
    return sorted((task for task in tasks if task.pk in held), key=lambda task: task.pk)


def finish(ended: Sequence[tuple[AgentTask, Outcome]]) -> None:
    """Write what became of tasks that `lock_held` returned in this transaction. Publishes
    AgentTaskChanged.
    """
    if not ended:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} AS task SET state = new.state, error = new.error, reserved_usd = 0, "  # noqa: S608
            "lease_until = NULL, lease_token = NULL, updated_at = now(), "
            "finished_at = CASE WHEN new.state = 'queued' THEN NULL ELSE now() END, "
            "called_at = CASE WHEN new.state = 'queued' THEN NULL ELSE task.called_at END, "
            "run_after = CASE WHEN new.state <> 'queued' THEN task.run_after "
            "  ELSE statement_timestamp() + new.again_s * interval '1 second' END, "
            "attempts = task.attempts - new.back, rate_limited = task.rate_limited + new.limited, "
            "lost = task.lost + new.lost "
            "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::float[], %s::int[], %s::int[], %s::int[]) "
            "  AS new (id, state, error, again_s, back, limited, lost) WHERE task.id = new.id",
            [
                [task.pk for task, _ in ended],
                [str(outcome.state.value) for _, outcome in ended],
                [outcome.error for _, outcome in ended],
                [outcome.again_s for _, outcome in ended],
                [int(outcome.gives_back) for _, outcome in ended],
                [int(outcome.is_rate_limited) for _, outcome in ended],
                [int(outcome.is_lost) for _, outcome in ended],
            ],
        )
    for task, outcome in ended:
        task.state = outcome.state
    events.publish_all(
        [events.AgentTaskChanged(task.pk, task.kind, o.state.value, task.lead_id) for task, o in ended]
    )


@transaction.atomic
def end(tasks: Sequence[AgentTask], outcome: Outcome) -> None:
    """End claimed tasks that made no call, all in the same way."""
    held = lock_held(tasks)
    budget.settle([(task, None) for task in held])
    finish([(task, outcome) for task in held])


def release(tasks: Sequence[AgentTask], *, again_s: float = 0.0, error: str = "") -> None:
    """Put claimed tasks back as they were, attempt included: for a budget that does not reach."""
    end(tasks, Outcome(TaskState.QUEUED, error, again_s, gives_back=True))


@transaction.atomic
def reap() -> int:
    """Take back tasks whose lease ran out: to the queue, or dead once their attempts are spent. Returns
    how many. One that was lost alone has spent an attempt; of several that went together nobody knows whose
    fault it was.

    Nobody knows whether the calls of those that had started were made, so what was reserved for them is
    booked as spent. Also cancels queued tasks whose deadline has passed.
    """
    expired = list(
        AgentTask.objects.raw(
            f"SELECT * FROM {_TABLE} "  # noqa: S608
            "WHERE state = 'running' AND lease_until < statement_timestamp() "
            "ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
            [REAP_AT_ONCE],
        )
    )
    budget.settle_unknown(expired)
    claimers = Counter(_claimer(task) for task in expired)
    finish([(task, after_lost_lease(task, in_company=claimers[_claimer(task)] > 1)) for task in expired])
    _cancel("state = 'queued' AND deadline <= statement_timestamp()", [], error="too_late")
    return len(expired)


def _claimer(task: AgentTask) -> str:
    """The half of a lease's token that names who claimed."""
    return task.lease_token.hex[:16] if task.lease_token else ""


def supersede(kept: Sequence[AgentTask]) -> int:
    """Cancel queued tasks that ask the same of the same leads on older facts. Returns how many."""
    if not kept:
        return 0
    count = 0
    for column in ("opportunity_id", "lead_id"):  # an opportunity's task names its lead, too
        of_such = [task for task in kept if (column == "opportunity_id") == bool(task.opportunity_id)]
        if of_such:
            count += _cancel(
                f"state = 'queued' AND (kind, {column}, params) IN (SELECT kind, {column}, params "  # noqa: S608
                "FROM ai_agents_agenttask WHERE id = ANY(%s)) AND NOT id = ANY(%s)",
                [[task.pk for task in of_such]] * 2,
                error="superseded",
            )
    return count


def overtaken(tasks: Sequence[AgentTask]) -> set[int]:
    """Those of the tasks, by id, after which the same was asked on other facts: their results are old."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT old.id FROM {_TABLE} AS old WHERE old.id = ANY(%s) AND EXISTS ("  # noqa: S608
            f"SELECT 1 FROM {_TABLE} AS new WHERE new.id > old.id AND new.kind = old.kind "
            "AND new.lead_id = old.lead_id AND new.opportunity_id IS NOT DISTINCT FROM old.opportunity_id "
            "AND new.params = old.params AND new.input_hash <> old.input_hash "
            "AND new.state IN ('queued', 'running', 'done'))",
            [[task.pk for task in tasks if task.lead_id]],
        )
        return {row[0] for row in cursor.fetchall()}


def cancel(waiting: models.QuerySet[AgentTask], *, error: str) -> int:
    """Cancel these queued tasks, in the caller's transaction. Returns how many."""
    return _cancel(
        "state = 'queued' AND id = ANY(%s)", [list(waiting.values_list("pk", flat=True))], error=error
    )


def _cancel(where: str, params: list, *, error: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH gone AS (SELECT id AS gone_id FROM {_TABLE} WHERE {where} "  # noqa: S608
            "ORDER BY id FOR UPDATE SKIP LOCKED) "
            f"UPDATE {_TABLE} SET state = 'cancelled', error = %s, finished_at = now(), updated_at = now() "
            "FROM gone WHERE id = gone_id RETURNING id, kind, lead_id",
            [*params, error],
        )
        rows = cursor.fetchall()
    events.publish_all(
        [events.AgentTaskChanged(pk, kind, TaskState.CANCELLED.value, lead_id) for pk, kind, lead_id in rows]
    )
    return len(rows)


def next_due() -> dict[str, float]:
    """For each pool that may run and has something queued: seconds until the first falls due (0 or less:
    now).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, extract(epoch FROM next.run_after - statement_timestamp()) "  # noqa: S608
            "FROM ai_agents_agentpool AS pool, "
            f"LATERAL (SELECT run_after FROM {_TABLE} WHERE kind = pool.kind AND state = 'queued' "
            "  ORDER BY run_after LIMIT 1) AS next "
            "WHERE NOT pool.paused AND (pool.target > 0 OR pool.is_auto)"
        )
        return {kind: float(seconds) for kind, seconds in cursor.fetchall()}


def today() -> date:
    """The database's day, UTC."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date")
        return cursor.fetchone()[0]
