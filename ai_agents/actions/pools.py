"""How many agents of a kind may work at a time, and whether they may at all."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from ai_agents.actions import slots
from ai_agents.actions.budget import refuse_finer
from ai_agents.agents import AGENTS
from ai_agents.models import AgentPool
from crm import clock, events
from crm.actions.audit import audit
from crm.actions.base import check_version
from crm.errors import OutOfBounds
from crm.models import Actor, ActorKind
from crm.permissions import Verb, require

MOST_CONCURRENCY = 256
MOST_RPM = 100_000
PLACES = 4  # of a budget, after the point
MOST_BUDGET_USD = 100_000
PUMP_SLOTS = 1  # pumps that claim at a time; rows may be added for more machines


def keep_pools() -> None:
    """Make the pools and pump slots of a fresh install where they are missing."""
    for agent in AGENTS.values():
        ready = agent.fresh_target
        fresh = {"target": ready, "min_concurrency": ready, "is_auto": True}
        AgentPool.objects.get_or_create(kind=agent.kind, defaults=fresh)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ai_agents_pumplease (slot, token, info) "
            "SELECT slot, gen_random_uuid(), '{}' FROM generate_series(1, %s) AS slot ON CONFLICT DO NOTHING",
            [PUMP_SLOTS],
        )


@transaction.atomic
def scale_agents(kind: str, *, target: int, by: Actor) -> AgentPool:
    """Let `target` agents of a kind work at a time; 0 stops them after the calls they are in.

    Running pumps take it up within a second. The autoscaler leaves the pool alone from then on. Raises
    AgentPool.DoesNotExist, PermissionRefused, OutOfBounds. Publishes AgentPoolChanged.
    """
    pool = _locked(kind, by)
    pool.target = _whole("target", target, least=0, most=pool.max_concurrency)
    pool.is_auto = False
    return _changed(pool, "target", "is_auto", by=by)


@transaction.atomic
def set_pool(kind: str, *, by: Actor, version: int | None = None, **changes: Any) -> AgentPool:
    """Change a pool's limits: `min_concurrency`, `max_concurrency`, `rpm` (0: none), `budget_day_usd` (None:
    none of its own), `is_auto`. A target above the new most comes down to it.

    Raises AgentPool.DoesNotExist, PermissionRefused, VersionConflict, OutOfBounds; TypeError for another
    field. Publishes AgentPoolChanged when something changed.
    """
    pool = _locked(kind, by)
    check_version(pool, version)
    most = changes.get("max_concurrency", pool.max_concurrency)
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "max_concurrency":
            checked[name] = _whole(name, value, least=1, most=MOST_CONCURRENCY)
        elif name == "min_concurrency":
            checked[name] = _whole(name, value, least=0, most=most)
        elif name == "rpm":
            checked[name] = _whole(name, value, least=0, most=MOST_RPM)
        elif name == "budget_day_usd":
            checked[name] = _budget(value)
        elif name == "is_auto":
            checked[name] = bool(value)
        else:
            raise TypeError(f"a pool has no field {name} that may be set")
    if checked.get("min_concurrency", pool.min_concurrency) > most:
        raise OutOfBounds(
            _("The most may not lie below the least, which is %d.") % pool.min_concurrency,
            field="max_concurrency",
        )
    if pool.target > most:
        checked["target"] = most
    changed = [name for name, value in checked.items() if getattr(pool, name) != value]
    for name in changed:
        setattr(pool, name, checked[name])
    return _changed(pool, *changed, by=by) if changed else pool


def _whole(field: str, value: Any, *, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise OutOfBounds(_("Choose a number from %d to %d.") % (least, most), field=field)
    return value


def _budget(value: Any) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, Decimal) and value.is_finite() and 0 <= value <= MOST_BUDGET_USD:
        refuse_finer(value, places=PLACES, field="budget_day_usd")
        return value
    raise OutOfBounds(
        _("Choose an amount from 0 to %d US dollars, or none.") % MOST_BUDGET_USD, field="budget_day_usd"
    )


@transaction.atomic
def move_target(pool: AgentPool, target: int) -> None:
    """The autoscaler's own step; the caller holds the pool's lock. Publishes AgentPoolChanged."""
    pool.target = target
    _changed(pool, "target", by=Actor.system("Autoscaler"))


@transaction.atomic
def restart_agents(*, by: Actor) -> int:
    """Let every pump go: it claims no more and finishes what it has in hand; a fresh one takes its place.

    Nothing is lost: what is queued stays queued, and a call in flight keeps its lease. Returns how many pumps
    were let go. Raises PermissionRefused. Publishes AgentPoolChanged, which wakes the fresh one.
    """
    if by.kind != ActorKind.SYSTEM:
        require(by, Verb.SET_UP)
    let_go = slots.take_all_away()
    audit("agents.restarted", f"let {let_go} pumps go", by=by)
    for kind in AgentPool.objects.order_by("pk").values_list("kind", flat=True)[:1]:
        events.publish(events.AgentPoolChanged(kind))
    return let_go


@transaction.atomic
def pause_agents(kind: str, *, by: Actor, because: str = "") -> AgentPool:
    """Claim nothing more of this kind. Tasks stay queued, calls in flight are finished. Errors as
    scale_agents.
    """
    pool = _locked(kind, by)
    pool.paused_at = pool.paused_at or clock.now()
    pool.paused, pool.paused_because = True, because[:200]
    return _changed(pool, "paused", "paused_because", "paused_at", by=by)


@transaction.atomic
def resume_agents(kind: str, *, by: Actor) -> AgentPool:
    """Go on claiming. Errors as scale_agents."""
    pool = _locked(kind, by)
    pool.paused, pool.paused_because, pool.paused_at = False, "", None
    return _changed(pool, "paused", "paused_because", "paused_at", by=by)


def _locked(kind: str, by: Actor) -> AgentPool:
    if by.kind != ActorKind.SYSTEM:  # whoever holds the machine and its commands is trusted
        require(by, Verb.SET_UP)
    return AgentPool.objects.select_for_update().get(kind=kind)


def _changed(pool: AgentPool, *fields: str, by: Actor) -> AgentPool:
    pool.save_changed(*fields)
    values = {
        name: str(getattr(pool, name)) if name == "budget_day_usd" else getattr(pool, name)
        for name in fields
        if name != "paused_at"
    }
    audit("agentpool.changed", f"changed {', '.join(fields)}", by=by, target=pool, values=values)
    events.publish(events.AgentPoolChanged(pool.kind))
    return pool


@dataclass(frozen=True, slots=True)
class PoolNow:
    """A pool and what it does now. Counts of queued are cut at 10,000; done, failed and cost are today's
    (UTC).
    """

    pool: AgentPool
    queued: int
    waiting_s: float | None  # age of the oldest task that is due
    running: int
    done_today: int
    failed_today: int
    cost_today_usd: Decimal


def pools_now(kinds: Iterable[str] | None = None) -> list[PoolNow]:
    """Every pool with its numbers, for screens, the API and `manage.py agents status`. Two queries."""
    pools = AgentPool.objects.order_by("pk")
    if kinds is not None:
        pools = pools.filter(kind__in=kinds)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pool.kind,
                   (SELECT count(*) FROM (SELECT 1 FROM ai_agents_agenttask
                    WHERE kind = pool.kind AND state = 'queued' LIMIT 10000) AS first)
                   + (SELECT count(*) FROM ai_agents_agenttask
                      WHERE kind = pool.kind AND state = 'running' AND called_at IS NULL),
                   (SELECT extract(epoch FROM statement_timestamp() - min(run_after)) FROM ai_agents_agenttask
                    WHERE kind = pool.kind AND state = 'queued' AND run_after <= statement_timestamp()),
                   (SELECT count(*) FROM ai_agents_agenttask
                    WHERE kind = pool.kind AND state = 'running' AND called_at IS NOT NULL),
                   (SELECT count(*) FROM ai_agents_agenttask
                    WHERE kind = pool.kind AND state = 'done' AND finished_at >= day.start),
                   (SELECT count(*) FROM ai_agents_agenttask
                    WHERE kind = pool.kind AND state = 'dead' AND finished_at >= day.start),
                   (SELECT coalesce(sum(cost_usd), 0) FROM ai_agents_agentcall AS call
                    JOIN ai_agents_agenttask AS task ON task.id = call.task_id
                    WHERE call.created_at >= day.start AND task.kind = pool.kind)
            FROM ai_agents_agentpool AS pool,
                 (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS start) AS day
            """
        )
        numbers = {row[0]: row[1:] for row in cursor.fetchall()}
    return [
        PoolNow(pool, queued, None if waiting is None else float(waiting), running, done, failed, cost)
        for pool in pools
        for queued, waiting, running, done, failed, cost in [numbers[pool.kind]]
    ]
