"""The JSON forms of pools and tasks, and their descriptions."""

from typing import Any

from rest_framework import serializers

from ai_agents.actions.pools import PoolNow
from ai_agents.models import AgentTask, TaskState
from crm.models import FactorSource, OpportunityReview, WinBand


def pool_document(now: PoolNow) -> dict[str, Any]:
    """A pool and what it does now."""
    pool = now.pool
    return {
        "kind": pool.kind,
        "provider": pool.provider,
        "model": pool.model,
        "target": pool.target,
        "min_concurrency": pool.min_concurrency,
        "max_concurrency": pool.max_concurrency,
        "is_auto": pool.is_auto,
        "rpm": pool.rpm,
        "budget_day_usd": pool.budget_day_usd,
        "paused": pool.paused,
        "paused_because": pool.paused_because,
        "queued": now.queued,
        "waiting_seconds": now.waiting_s,
        "in_flight": now.running,
        "done_today": now.done_today,
        "failed_today": now.failed_today,
        "cost_today_usd": now.cost_today_usd,
        "version": pool.version,
    }


class PoolSerializer(serializers.Serializer):
    """A pool of agents of one kind, and what it does now. Done, failed and cost are today's (UTC)."""

    kind = serializers.CharField()
    provider = serializers.CharField(allow_blank=True, help_text="empty: as AI_PROVIDER says")
    model = serializers.CharField(allow_blank=True, help_text="empty: as AI_MODEL says")
    target = serializers.IntegerField(help_text="how many may work at a time")
    min_concurrency = serializers.IntegerField()
    max_concurrency = serializers.IntegerField()
    is_auto = serializers.BooleanField(help_text="the autoscaler moves the target, not below the minimum")
    rpm = serializers.IntegerField(help_text="calls a minute, 0: no limit")
    budget_day_usd = serializers.DecimalField(
        max_digits=12, decimal_places=4, allow_null=True, help_text="null: only the overall budget"
    )
    paused = serializers.BooleanField()
    paused_because = serializers.CharField(allow_blank=True)
    queued = serializers.IntegerField(help_text="counted to 10,000")
    waiting_seconds = serializers.FloatField(allow_null=True, help_text="age of the oldest task that is due")
    in_flight = serializers.IntegerField()
    done_today = serializers.IntegerField()
    failed_today = serializers.IntegerField()
    cost_today_usd = serializers.DecimalField(max_digits=12, decimal_places=6)
    version = serializers.IntegerField()


class PoolsSerializer(serializers.Serializer):
    """All pools: they are few, so there is one page."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = PoolSerializer(many=True)


def task_document(task: AgentTask | None) -> dict[str, Any] | None:
    """A task of the queue, or None when there was nothing to do."""
    if task is None:
        return None
    return {
        "id": task.public_id,
        "kind": task.kind,
        "state": task.state,
        "priority": task.priority,
        "created_at": task.created_at,
    }


class TaskSerializer(serializers.Serializer):
    """What an agent was asked to do. Follow the lead's topic of the live feed for the result."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(TaskState.choices)
    priority = serializers.IntegerField(help_text="0 first, 9 last")
    created_at = serializers.DateTimeField()


class RequestedSerializer(serializers.Serializer):
    """The task, or null when the record holds nothing to read."""

    task = TaskSerializer(allow_null=True)


class ReasonSerializer(serializers.Serializer):
    """One thing that is wrong."""

    code = serializers.CharField(
        help_text="key_refused, model_gone, provider_down, provider_slow, budget_spent, no_pump, paused, "
        "fallback"
    )
    detail = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    tasks_wait = serializers.BooleanField(help_text="whether tasks of at least one kind do not go on")


class HealthSerializer(serializers.Serializer):
    """`ok`: all go on. `impaired`: they do, but look. `degraded`: tasks wait (503). `off`: there is no AI."""

    status = serializers.ChoiceField(["ok", "impaired", "degraded", "off"])
    provider = serializers.CharField()
    model = serializers.CharField(allow_blank=True)
    reasons = ReasonSerializer(many=True)


class QueueSerializer(serializers.Serializer):
    """What waits and runs of one kind and priority."""

    kind = serializers.CharField()
    priority = serializers.IntegerField(help_text="0 first, 9 last")
    queued = serializers.IntegerField()
    due = serializers.IntegerField(help_text="of those, not waiting for a later time")
    running = serializers.IntegerField()
    oldest_seconds = serializers.FloatField(allow_null=True, help_text="age of the oldest that is due")


class QueuesSerializer(serializers.Serializer):
    """All queues: there are at most ten a kind."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = QueueSerializer(many=True)


class CurrentSerializer(serializers.Serializer):
    """A task in hand; `lead` is null for one you may not see."""

    task = serializers.UUIDField()
    lead = serializers.UUIDField(allow_null=True)
    started_at = serializers.DateTimeField()


class AgentMetricsSerializer(serializers.Serializer):
    """How one kind of agent does. Processed and errors: today (UTC). Calls: the last 200 of an hour."""

    kind = serializers.CharField()
    status = serializers.ChoiceField(["idle", "processing", "waiting", "paused"])
    processed = serializers.IntegerField(help_text="tasks that ended today, errors included")
    errors = serializers.IntegerField(help_text="tasks that failed for good today")  # type: ignore[assignment]
    error_rate = serializers.FloatField(
        allow_null=True, help_text="errors / processed; null before the first"
    )
    uptime_seconds = serializers.FloatField(allow_null=True, help_text="null: no pump is at work")
    calls = serializers.IntegerField()
    failed_share = serializers.FloatField(allow_null=True, help_text="timeouts, errors, 429s")
    invalid_share = serializers.FloatField(allow_null=True, help_text="answers that could not be read")
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    current = CurrentSerializer(many=True)


class RestartedSerializer(serializers.Serializer):
    """How many pumps were let go; each finishes what it has in hand."""

    pumps = serializers.IntegerField()


def review_document(review: OpportunityReview) -> dict[str, Any]:
    """A review with its risks. One query."""
    return {
        "id": review.public_id,
        "summary": review.summary,
        "next_step": review.next_step,
        "band": review.band,
        "risks": [
            {"risk": risk.label, "quote": risk.quote, "source_kind": risk.source_kind, "field": risk.field}
            for risk in review.risks.all()
        ],
        "dropped_risks": review.dropped_risks,
        "is_sample": review.is_sample,
        "model": review.model,
        "prompt": review.prompt,
        "created_at": review.created_at,
    }


class RiskSerializer(serializers.Serializer):
    """A risk and the words of the record that it rests on."""

    risk = serializers.CharField()
    quote = serializers.CharField()
    source_kind = serializers.ChoiceField(FactorSource.choices)
    field = serializers.CharField(allow_blank=True)


class ReviewSerializer(serializers.Serializer):
    """What an agent thinks of an opportunity: an opinion that moves nothing."""

    id = serializers.UUIDField()
    summary = serializers.CharField()
    next_step = serializers.CharField()
    band = serializers.ChoiceField(WinBand.choices, help_text="chance to win, as a model sees it")
    risks = RiskSerializer(many=True)
    dropped_risks = serializers.IntegerField(help_text="risks whose quote was not found in the record")
    is_sample = serializers.BooleanField(help_text="by the scripted model, which knows nothing")
    model = serializers.CharField()
    prompt = serializers.CharField()
    created_at = serializers.DateTimeField()
