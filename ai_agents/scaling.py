"""The autoscaler: moves the targets of pools that leave it to it, by what waits and how long a call takes.

Up quickly, at most twofold a step; down slowly, a quarter a step; at rest to the least, which costs nothing:
a target is a permission, not a process. While a provider says "too many" or fails, nothing goes up. A step
is taken every STEP_S by a pump at work, and each minute by the schedule.
"""

from dataclasses import dataclass
from math import ceil

from django.db import connection, transaction

from ai_agents.actions.pools import move_target
from ai_agents.models import AgentPool

STEP_S = 5.0
CLEAR_IN_S = 60  # what waits should be done within so long
WAIT_MOST_S = 20  # what is due should not wait longer
GUESS_S = 2.0  # of a call, while none was made lately
SMALL_STEP = 4
_LOCK = 0x67617264656E0002  # advisory: one step at a time


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool has to do, and how its calls of the last minute went. `due` is counted to 10,000."""

    target: int
    least: int
    most: int
    due: int = 0
    running: int = 0
    wait_s: float = 0.0  # of the oldest that is due
    call_s: float = 0.0  # mean; 0: none
    calls: int = 0
    limited: int = 0  # of those calls, answered 429
    failed: int = 0  # timeouts and errors

    @property
    def is_held_back(self) -> bool:
        """The provider has enough of us."""
        return self.limited > 0 or self.failed * 2 > self.calls


def wanted_target(load: Load) -> int:
    """The target after the next step."""
    if not load.due and not load.running:
        return load.least
    needed = ceil((load.due + load.running) * (load.call_s or GUESS_S) / CLEAR_IN_S)
    if load.wait_s > WAIT_MOST_S and load.due > load.running:
        needed = max(needed, load.target + 1)  # it waits, whatever the sum says
    wanted = min(max(needed, load.least), load.most)
    if wanted > load.target:
        return load.target if load.is_held_back else min(wanted, max(2 * load.target, SMALL_STEP))
    return max(wanted, load.target - max(1, load.target // 4))


_LOADS = """
SELECT pool.id,
       (SELECT count(*) FROM (SELECT 1 FROM ai_agents_agenttask WHERE kind = pool.kind AND state = 'queued'
            AND run_after <= statement_timestamp() LIMIT 10000) AS first),
       (SELECT count(*) FROM ai_agents_agenttask
            WHERE kind = pool.kind AND state = 'running' AND called_at IS NOT NULL),
       (SELECT extract(epoch FROM statement_timestamp() - min(run_after)) FROM ai_agents_agenttask
            WHERE kind = pool.kind AND state = 'queued' AND run_after <= statement_timestamp()),
       calls.*
FROM ai_agents_agentpool AS pool, LATERAL (
    SELECT avg(ms) / 1000, count(*), count(*) FILTER (WHERE status = 'rate_limited'),
           count(*) FILTER (WHERE status IN ('timeout', 'error'))
    FROM (SELECT call.ms, call.status FROM ai_agents_agentcall AS call
          JOIN ai_agents_agenttask AS task ON task.id = call.task_id AND task.kind = pool.kind
          WHERE call.created_at > now() - interval '1 minute' ORDER BY call.created_at DESC LIMIT 400) AS last
) AS calls
WHERE pool.is_auto AND NOT pool.paused
"""


@transaction.atomic
def autoscale() -> dict[str, int]:
    """One step for every pool that is left to it. Returns kind -> new target of those that moved.

    Does nothing while another process takes a step. Publishes AgentPoolChanged for each that moved.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return {}
        cursor.execute(_LOADS)
        numbers = {row[0]: row[1:] for row in cursor.fetchall()}
    moved: dict[str, int] = {}
    for pool in AgentPool.objects.select_for_update().filter(pk__in=numbers, is_auto=True).order_by("pk"):
        due, running, wait_s, call_s, calls, limited, failed = numbers[pool.pk]
        target = wanted_target(
            Load(
                target=pool.target,
                least=pool.min_concurrency,
                most=pool.max_concurrency,
                due=due,
                running=running,
                wait_s=float(wait_s or 0),
                call_s=float(call_s or 0),
                calls=calls,
                limited=limited,
                failed=failed,
            )
        )
        if target != pool.target:
            move_target(pool, target)
            moved[pool.kind] = target
    return moved
