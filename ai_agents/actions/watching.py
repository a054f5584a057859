"""What programs and screens are told about the engine: queues, agents, circuits. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from ai_agents.actions.slots import GAP_S
from ai_agents.models import AgentTask, ProviderHealth, TaskState
from crm.models import Actor, Lead

CURRENT = 20  # running tasks that are named
LAST_CALLS = 200


@dataclass(frozen=True, slots=True)
class QueueLine:
    """What waits and runs of one kind and priority. `oldest_s`: age of the oldest that is due."""

    kind: str
    priority: int
    queued: int
    due: int
    running: int
    oldest_s: float | None


def queue_lines() -> list[QueueLine]:
    """Every kind and priority with something queued or running, the first to go first. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT kind, priority, count(*) FILTER (WHERE state = 'queued' OR called_at IS NULL),
                   count(*) FILTER (WHERE state = 'queued' AND run_after <= statement_timestamp()),
                   count(*) FILTER (WHERE state = 'running' AND called_at IS NOT NULL),
                   extract(epoch FROM statement_timestamp() - min(run_after) FILTER (
                       WHERE state = 'queued' AND run_after <= statement_timestamp()))::float
              FROM ai_agents_agenttask WHERE state IN ('queued', 'running')
             GROUP BY 1, 2 ORDER BY 1, 2
            """
        )
        return [QueueLine(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Calls:
    """The last calls of a kind: LAST_CALLS of the last hour at most. Shares of 1, None without calls."""

    n: int = 0
    failed_share: float | None = None
    invalid_share: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None


def last_calls(kinds: Sequence[str]) -> dict[str, Calls]:
    """How the newest calls of each kind went. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted.kind, calls.* FROM unnest(%s::text[]) AS wanted(kind), LATERAL (
                SELECT count(*), avg((status IN ('timeout', 'error', 'rate_limited'))::int)::float,
                       avg((status = 'invalid')::int)::float,
                       percentile_cont(0.5) WITHIN GROUP (ORDER BY ms),
                       percentile_cont(0.95) WITHIN GROUP (ORDER BY ms)
                  FROM (SELECT call.status, call.ms FROM ai_agents_agentcall AS call
                          JOIN ai_agents_agenttask AS task ON task.id = call.task_id
                         WHERE call.created_at > now() - interval '1 hour' AND task.kind = wanted.kind
                         ORDER BY call.created_at DESC LIMIT %s) AS last) AS calls
            """,
            [list(kinds), LAST_CALLS],
        )
        return {row[0]: Calls(*row[1:]) for row in cursor.fetchall()}


def up_since() -> datetime | None:
    """Since when pumps have served without a gap; None: none does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min((info ->> 'up_since')::timestamptz) FROM ai_agents_pumplease "
            "WHERE until > now() - %s * interval '1 second'",
            [GAP_S],
        )
        return cursor.fetchone()[0]


def running_now(kind: str, *, by: Actor) -> list[dict[str, Any]]:
    """The oldest running tasks of a kind: {"task", "lead", "started_at"}; leads that `by` may not see stay
    nameless. Two queries.
    """
    tasks = list(
        AgentTask.objects.filter(kind=kind, state=TaskState.RUNNING, called_at__isnull=False).order_by(
            "started_at", "pk"
        )[:CURRENT]
    )
    leads = Lead.objects.visible_to(by).filter(pk__in=[task.lead_id for task in tasks if task.lead_id])
    names = dict(leads.values_list("pk", "public_id"))
    return [
        {"task": task.public_id, "lead": names.get(task.lead_id), "started_at": task.started_at}
        for task in tasks
    ]


def circuits_of(provider: str) -> list[ProviderHealth]:
    """The circuits of a provider's models that were ever called."""
    return list(ProviderHealth.objects.filter(provider=provider).order_by("model"))
