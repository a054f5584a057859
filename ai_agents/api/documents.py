"""The JSON forms of pools and tasks, and their descriptions."""

from typing import Any

from rest_framework import serializers

from ai_agents.actions.pools import PoolNow
from ai_agents.models import AgentTask, TaskState


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
