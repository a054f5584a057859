"""Numbers about the agents for Prometheus, read from the database at scrape time: true also when every
pump is dead.

Gauges are counted over what is queued or running. Totals grow with the tables, so each process keeps its
own sums and adds only rows that are new since its last scrape; processes agree, because all count the same
rows.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from django.db import connection
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

SETTLED_S = (
    5  # rows younger than this wait for the next scrape: a slower transaction may still commit older ones
)

CALL_BOUNDS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
EDIT_BOUNDS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)  # share of words
TASK_BOUNDS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
# width_bucket() puts a value that equals a bound above it; `le` of Prometheus includes it.
_ABOVE = tuple(bound + 1e-9 for bound in EDIT_BOUNDS)
FORMAT = {  # reasons of ai_agents/agents/answers.py: the answer's form; all others are about what it says
    *("empty", "truncated", "too_long", "not_object", "not_json"),
    *("extra_key", "missing_key", "unknown_value", "out_of_range", "wrong_type"),
}

_CALLS = """
SELECT call.provider, call.model, task.kind, call.status, call.is_repair,
       CASE WHEN call.status IN ('ok', 'refused') THEN ''
            ELSE coalesce(nullif(call.error, ''), call.status) END,
       width_bucket(call.ms / 1000.0::float8, %s::float8[]),
       count(*), coalesce(sum(call.tokens_in), 0), coalesce(sum(call.tokens_out), 0),
       coalesce(sum(call.cost_usd), 0), coalesce(sum(call.ms), 0)
FROM ai_agents_agentcall AS call JOIN ai_agents_agenttask AS task ON task.id = call.task_id
WHERE call.created_at > %s AND call.created_at <= %s GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
# Answered again, although an answer to the same task was paid for already: what crashes and lost leases cost.
_DUPLICATES = """
SELECT count(*) FROM ai_agents_agentcall AS call
WHERE call.created_at > %s AND call.created_at <= %s AND call.status = 'ok' AND call.attempt > 1
    AND NOT call.is_repair AND EXISTS (SELECT 1 FROM ai_agents_agentcall AS before
        WHERE before.task_id = call.task_id AND before.attempt < call.attempt AND before.status = 'ok')
"""
_ENDED = """
SELECT kind, state,
       width_bucket(extract(epoch FROM started_at - created_at)::float8, %s::float8[]),
       width_bucket(extract(epoch FROM finished_at - created_at)::float8, %s::float8[]), count(*),
       coalesce(sum(extract(epoch FROM started_at - created_at)), 0),
       coalesce(sum(extract(epoch FROM finished_at - created_at)), 0)
FROM ai_agents_agenttask
WHERE state IN ('done', 'dead', 'cancelled') AND finished_at > %s AND finished_at <= %s GROUP BY 1, 2, 3, 4
"""
_QUEUE = """
SELECT kind, priority, CASE WHEN called_at IS NULL THEN 'queued' ELSE state END, count(*),
       extract(epoch FROM statement_timestamp() - min(run_after) FILTER (
           WHERE state = 'queued' AND run_after <= statement_timestamp()))
FROM ai_agents_agenttask WHERE state IN ('queued', 'running') GROUP BY 1, 2, 3
"""
_POOLS = "SELECT kind, CASE WHEN paused THEN 0 ELSE target END FROM ai_agents_agentpool"
_BUDGET = """
SELECT cap - spent - reserved, reserved FROM ai_agents_budget
WHERE scope = 'all' AND day = (now() AT TIME ZONE 'UTC')::date
"""
_SLOTS = (
    "SELECT coalesce(sum((info ->> 'late')::bigint), 0), coalesce(sum((info ->> 'expired')::bigint), 0) "
    "FROM ai_agents_pumplease"
)
_CIRCUITS = "SELECT provider, model, state FROM ai_agents_providerhealth"
_DRAFTED = """
SELECT CASE WHEN original_subject = '' THEN 'needs_writing' ELSE 'generated' END, count(*)
FROM crm_followup WHERE agent_task_id IS NOT NULL AND created_at > %s AND created_at <= %s GROUP BY 1
"""
# What became of them. A dismissal that is taken back counts, and so does what comes after it.
_SETTLED_DRAFTS = """
SELECT draft.state, task.prompt_version,
       CASE WHEN draft.state = 'sent' THEN width_bucket(draft.edit_ratio, %s::float8[]) END,
       count(*), coalesce(sum(draft.edit_ratio), 0)
FROM crm_followup AS draft JOIN ai_agents_agenttask AS task ON task.id = draft.agent_task_id
WHERE draft.settled_at > %s AND draft.settled_at <= %s GROUP BY 1, 2, 3
"""
_SCORE = "SELECT metrics FROM ai_agents_scoringmodel WHERE is_active"
STATES = {"closed": 0, "half_open": 1, "open": 2}
_BEATS = (
    "SELECT substr(name, 9), extract(epoch FROM now() - at) FROM crm_heartbeat WHERE name LIKE 'cluster:%'"
)
_RESTARTS = "SELECT substr(name, 10), (info ->> 'n')::bigint FROM crm_heartbeat WHERE name LIKE 'restarts:%'"
_DJANGOQ = "SELECT key, count(*) FROM django_q_ormq GROUP BY 1"


class AgentsCollector:
    """Collects on demand. One a process, used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counted_to = datetime(1970, 1, 1, tzinfo=UTC)
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._call_s = Histogram(CALL_BOUNDS_S)
        self._wait_s, self._duration_s = Histogram(TASK_BOUNDS_S), Histogram(TASK_BOUNDS_S)
        self._retries: Counter[tuple[str, ...]] = Counter()
        self._guardrails: Counter[tuple[str, ...]] = Counter()
        self._duplicates = 0
        self._tokens: Counter[tuple[str, ...]] = Counter()
        self._cost: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._invalid: Counter[tuple[str, ...]] = Counter()
        self._repairs: Counter[tuple[str, ...]] = Counter()
        self._tasks: Counter[tuple[str, ...]] = Counter()
        self._drafts: Counter[tuple[str, ...]] = Counter()
        self._edits = Histogram(EDIT_BOUNDS)

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
        span = (self._counted_to, until)
        for provider, model, kind, status, is_repair, reason, bucket, n, t_in, t_out, usd, ms in _rows(
            _CALLS, list(CALL_BOUNDS_S), *span
        ):
            self._calls[provider, model, status] += n
            self._call_s.add((provider, model), bucket, n, ms / 1000)
            self._tokens[model, "in"] += t_in
            self._tokens[model, "out"] += t_out
            self._cost[kind, model] += float(usd)
            if status == "invalid":
                self._invalid[(reason,)] += n
                if reason not in FORMAT:
                    self._guardrails[(reason,)] += n
            elif reason:
                self._retries[(reason,)] += n
            if is_repair:
                self._repairs[(status,)] += n
        [[duplicates]] = _rows(_DUPLICATES, *span)
        self._duplicates += duplicates
        bounds = list(TASK_BOUNDS_S)
        for kind, state, waited, took, n, wait_s, task_s in _rows(_ENDED, bounds, bounds, *span):
            self._tasks[kind, state] += n
            if waited is not None:
                self._wait_s.add((kind,), waited, n, float(wait_s))
            self._duration_s.add((kind,), took, n, float(task_s))
        self._count_drafts(span)
        self._counted_to = until

    def _count_drafts(self, span: tuple[datetime, datetime]) -> None:
        for state, n in _rows(_DRAFTED, *span):
            self._drafts[(state,)] += n
        for state, prompt, bucket, n, ratios in _rows(_SETTLED_DRAFTS, list(_ABOVE), *span):
            self._drafts[(state,)] += n
            if bucket is not None:
                self._edits.add((prompt,), bucket, n, ratios)

    def _totals(self) -> Iterator[Metric]:
        yield _counter("ai_drafts", "Agents' drafts made, and what became of them", ["state"], self._drafts)
        share = "Share of the words of a sent draft that its approver changed"
        yield self._edits.metric("ai_draft_edit_ratio", share, ["prompt"])
        yield _counter("ai_tasks", "Tasks that ended", ["kind", "outcome"], self._tasks)
        yield self._wait_s.metric("ai_task_wait_seconds", "From request to the last start", ["kind"])
        yield self._duration_s.metric("ai_task_duration_seconds", "From request to end", ["kind"])
        yield _counter("ai_calls", "Calls to a model", ["provider", "model", "status"], self._calls)
        yield self._call_s.metric("ai_call_seconds", "Time of a call", ["provider", "model"])
        yield _counter("ai_retries", "Calls without an answer; the task waits", ["reason"], self._retries)
        yield _counter("ai_guardrail_hits", "Answers refused for what they say", ["rule"], self._guardrails)
        duplicates = {(): self._duplicates}
        yield _counter("ai_duplicate_calls", "Answers paid for twice, after a crash", [], duplicates)
        yield _counter("ai_tokens", "Tokens", ["model", "direction"], self._tokens)
        yield _counter("ai_cost_usd", "Known cost of calls", ["kind", "model"], self._cost)
        yield _counter("ai_output_invalid", "Answers that could not be read", ["reason"], self._invalid)
        yield _counter("ai_repairs", "Repair calls", ["result"], self._repairs)
        limited = sum(n for (_, _, status), n in self._calls.items() if status == "rate_limited")
        yield _counter("ai_rate_limited", "Calls answered 429", [], {(): limited})
        [[late, expired]] = _rows(_SLOTS)
        yield _counter("ai_lease_expired", "Leases taken back", [], {(): int(expired)})
        yield _counter("ai_fenced_results", "Results discarded: their lease had gone", [], {(): int(late)})

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
        circuits = {(provider, model): STATES[state] for provider, model, state in _rows(_CIRCUITS)}
        text = "0 closed, 1 one call tries, 2 open"
        yield _gauge("ai_breaker_state", text, ["provider", "model"], circuits)
        for [measured] in _rows(_SCORE):
            yield from _scores(json.loads(measured) if isinstance(measured, str) else measured)
        ages = {(cluster,): float(age) for cluster, age in _rows(_BEATS)}
        pump = {(): ages[("ai",)]} if ("ai",) in ages else {}
        yield _gauge("ai_pump_heartbeat_age_seconds", "Since the agents' cluster proved progress", [], pump)
        queues = {(cluster,): n for cluster, n in _rows(_DJANGOQ)}
        yield _gauge("djangoq_heartbeat_age_seconds", "Since a cluster proved progress", ["cluster"], ages)
        yield _gauge("djangoq_queue_size", "Rows on the queue", ["cluster"], queues)
        restarts = {(cluster,): n for cluster, n in _rows(_RESTARTS)}
        yield _counter("djangoq_reincarnations", "Clusters started anew", ["cluster"], restarts)


def _scores(measured: Mapping[str, Any]) -> Iterator[Metric]:
    """How the active statistical model did on held-out leads."""
    for name in ("brier", "auc", "ece", "base_rate"):
        if isinstance(measured.get(name), int | float):
            yield _gauge(
                f"ai_score_{name}", "Of the active model, on held-out leads", [], {(): measured[name]}
            )


class Histogram:
    """Counts by bucket, for each set of labels. Buckets are numbered as width_bucket() does: 0 is below the
    first bound.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts: defaultdict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
        self._sums: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def add(self, labels: tuple[str, ...], bucket: int, n: int, total: float) -> None:
        self._counts[labels][bucket] += n
        self._sums[labels] += total

    def metric(self, name: str, text: str, labels: list[str]) -> Metric:
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, counts in self._counts.items():
            running, buckets = 0, []
            for nr, bound in enumerate([*map(str, self._bounds), "+Inf"]):
                running += counts[nr]
                buckets.append((bound, float(running)))
            family.add_metric(values, buckets, self._sums[values])
        return family


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
