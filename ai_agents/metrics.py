"""Numbers about the agents for Prometheus, read from the database at scrape time: true also when every
pump is dead.

Gauges are counted over what is queued or running. Totals grow with the tables, so each process keeps its
own sums and adds only rows that are new since its last scrape; processes agree, because all count the same
rows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from django.db import connection
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

SETTLED_S = (
    5  # rows younger than this wait for the next scrape: a slower transaction may still commit older ones
)

_CALLS = """
SELECT call.provider, call.model, task.kind, call.status, call.is_repair,
       CASE WHEN call.status = 'invalid' THEN call.error ELSE '' END,
       count(*), coalesce(sum(call.tokens_in), 0), coalesce(sum(call.tokens_out), 0),
       coalesce(sum(call.cost_usd), 0), coalesce(sum(call.ms), 0)
FROM ai_agents_agentcall AS call JOIN ai_agents_agenttask AS task ON task.id = call.task_id
WHERE call.created_at > %s AND call.created_at <= %s GROUP BY 1, 2, 3, 4, 5, 6
"""
_ENDED = """
SELECT kind, state, count(*), coalesce(sum(extract(epoch FROM finished_at - created_at)), 0)
FROM ai_agents_agenttask
WHERE state IN ('done', 'dead', 'cancelled') AND finished_at > %s AND finished_at <= %s GROUP BY 1, 2
"""
_QUEUE = """
SELECT kind, priority, state, count(*),
       extract(epoch FROM statement_timestamp() - min(run_after) FILTER (
           WHERE state = 'queued' AND run_after <= statement_timestamp()))
FROM ai_agents_agenttask WHERE state IN ('queued', 'running') GROUP BY 1, 2, 3
"""
_POOLS = "SELECT kind, CASE WHEN paused THEN 0 ELSE target END FROM ai_agents_agentpool"
_BUDGET = """
SELECT cap - spent - reserved, reserved FROM ai_agents_budget
WHERE scope = 'all' AND day = (now() AT TIME ZONE 'UTC')::date
"""
_LATE = "SELECT coalesce(sum((info ->> 'late')::int), 0) FROM ai_agents_pumplease"
_BEATS = (
    "SELECT substr(name, 9), extract(epoch FROM now() - at) FROM crm_heartbeat WHERE name LIKE 'cluster:%'"
)
_DJANGOQ = "SELECT key, count(*) FROM django_q_ormq GROUP BY 1"


class AgentsCollector:
    """Collects on demand. One a process, used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counted_to = datetime(1970, 1, 1, tzinfo=UTC)
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._call_ms: Counter[tuple[str, ...]] = Counter()
        self._tokens: Counter[tuple[str, ...]] = Counter()
        self._cost: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._invalid: Counter[tuple[str, ...]] = Counter()
        self._repairs: Counter[tuple[str, ...]] = Counter()
        self._tasks: Counter[tuple[str, ...]] = Counter()
        self._task_s: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not touch the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            self._count_new()
            yield from self._totals()
        yield from self._gauges()

    def _count_new(self) -> None:
        [[until]] = _rows("SELECT now() - %s * interval '1 second'", SETTLED_S)
        for provider, model, kind, status, is_repair, reason, n, t_in, t_out, usd, ms in _rows(
            _CALLS, self._counted_to, until
        ):
            self._calls[provider, model, status] += n
            self._call_ms[provider, model] += ms / 1000
            self._tokens[model, "in"] += t_in
            self._tokens[model, "out"] += t_out
            self._cost[kind, model] += float(usd)
            if reason:
                self._invalid[(reason,)] += n
            if is_repair:
                self._repairs[(status,)] += n
        for kind, state, n, seconds in _rows(_ENDED, self._counted_to, until):
            self._tasks[kind, state] += n
            self._task_s[kind, state] += float(seconds)
        self._counted_to = until

    def _totals(self) -> Iterator[Metric]:
        yield _counter("ai_tasks", "Tasks that ended", ["kind", "outcome"], self._tasks)
        yield _counter("ai_task_seconds", "From request to end, summed", ["kind", "outcome"], self._task_s)
        yield _counter("ai_calls", "Calls to a model", ["provider", "model", "status"], self._calls)
        yield _counter("ai_call_seconds", "Time of calls, summed", ["provider", "model"], self._call_ms)
        yield _counter("ai_tokens", "Tokens", ["model", "direction"], self._tokens)
        yield _counter("ai_cost_usd", "Known cost of calls", ["kind", "model"], self._cost)
        yield _counter("ai_output_invalid", "Answers that could not be read", ["reason"], self._invalid)
        yield _counter("ai_repairs", "Repair calls", ["result"], self._repairs)
        limited = sum(n for (_, _, status), n in self._calls.items() if status == "rate_limited")
        yield _counter("ai_rate_limited", "Calls answered 429", [], {(): limited})
        [[late]] = _rows(_LATE)
        yield _counter("ai_fenced_results", "Results discarded: their lease had gone", [], {(): late})

    def _gauges(self) -> Iterator[Metric]:
        depth: dict[tuple[str, ...], float] = {}
        oldest: dict[tuple[str, ...], float] = {}
        flying: Counter[tuple[str, ...]] = Counter()
        for kind, priority, state, n, age in _rows(_QUEUE):
            depth[kind, str(priority), state] = n
            oldest[(kind,)] = max(oldest.get((kind,), 0.0), float(age or 0))
            flying[(kind,)] += n if state == "running" else 0
        pools = {(kind,): target for kind, target in _rows(_POOLS)}
        yield _gauge("ai_queue_depth", "Tasks queued or running", ["kind", "priority", "state"], depth)
        yield _gauge("ai_queue_oldest_seconds", "Age of the oldest task that is due", ["kind"], oldest)
        yield _gauge("ai_pool_target", "Calls a pool may have in flight", ["pool"], pools)
        yield _gauge("ai_inflight", "Tasks running", ["pool"], {pool: flying[pool] for pool in pools})
        for room, reserved in _rows(_BUDGET):
            yield _gauge("ai_budget_remaining_usd", "What today may still cost", [], {(): float(room)})
            yield _gauge("ai_budget_reserved_usd", "Set aside for calls in flight", [], {(): float(reserved)})
        ages = {(cluster,): float(age) for cluster, age in _rows(_BEATS)}
        queues = {(cluster,): n for cluster, n in _rows(_DJANGOQ)}
        yield _gauge("djangoq_heartbeat_age_seconds", "Since a cluster proved progress", ["cluster"], ages)
        yield _gauge("djangoq_queue_size", "Rows on the queue", ["cluster"], queues)


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall()


def _gauge(name: str, text: str, labels: list[str], values: Mapping[Any, Any]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _counter(name: str, text: str, labels: list[str], values: Mapping[Any, Any]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(AgentsCollector())


def exposition() -> bytes:
    """The numbers in Prometheus' text format. Raises DatabaseError."""
    return generate_latest(REGISTRY)
