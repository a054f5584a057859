"""/api/v1/agents/: pools, their work, and how many may work at a time."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.pools import (
    PoolNow,
    pause_agents,
    pools_now,
    restart_agents,
    resume_agents,
    scale_agents,
    set_pool,
)
from ai_agents.actions.status import ai_status, current_troubles
from ai_agents.actions.watching import last_calls, queue_lines, running_now, up_since
from ai_agents.api.documents import (
    AgentMetricsSerializer,
    HealthSerializer,
    PoolSerializer,
    PoolsSerializer,
    QueuesSerializer,
    RestartedSerializer,
    pool_document,
)
from ai_agents.models import AgentPool
from crm import clock
from crm.api.base import (
    ApiView,
    StrictSerializer,
    TextField,
    WholeNumberField,
    actor_of,
    checked_body,
    etag_of,
    if_match,
    required_version,
)


class ScaleSerializer(StrictSerializer):
    """How many of the kind may work at a time; 0 stops them after the calls they are in."""

    target = WholeNumberField(min_value=0, max_value=256)


class PauseSerializer(StrictSerializer):
    """Why, for those who look at the pool."""

    because = TextField(max_length=200, required=False, allow_blank=True)


class EmptyBodySerializer(StrictSerializer):
    """No fields."""


class PoolLimitsSerializer(StrictSerializer):
    """Limits of a pool; what is left out stays."""

    min_concurrency = WholeNumberField(
        min_value=0, max_value=256, required=False, help_text="what the autoscaler keeps ready"
    )
    max_concurrency = WholeNumberField(min_value=1, max_value=256, required=False)
    is_auto = serializers.BooleanField(required=False, help_text="let the autoscaler move the target")
    rpm = WholeNumberField(min_value=0, max_value=100_000, required=False, help_text="calls a minute, 0: any")
    budget_day_usd = serializers.DecimalField(
        max_digits=12, decimal_places=4, min_value=0, max_value=100_000, required=False, allow_null=True
    )


class PoolListView(ApiView):
    """All pools of agents."""

    @extend_schema(summary="List the pools of agents", responses=PoolsSerializer)
    def get(self, request: Request) -> Response:
        return Response(
            {"next": None, "previous": None, "results": [pool_document(now) for now in pools_now()]}
        )


class PoolsHealthView(ApiView):
    """Whether the agents work, for people and for monitors."""

    @extend_schema(
        summary="Health of the agents",
        description="503 while tasks wait for something that is wrong, with the reasons; else 200.",
        responses={200: HealthSerializer, 503: HealthSerializer},
    )
    def get(self, request: Request) -> Response:
        status, troubles = ai_status(), current_troubles()
        is_degraded = any(trouble.waits for trouble in troubles)
        word = "degraded" if is_degraded else "impaired" if troubles else "ok"
        body = {
            "status": word if status.is_on else "off",
            "provider": status.provider,
            "model": status.model,
            "reasons": [
                {"code": t.code, "detail": t.text, "since": t.since, "tasks_wait": t.waits} for t in troubles
            ],
        }
        return Response(body, status=503 if is_degraded else 200)


class QueuesView(ApiView):
    """The queues by kind and priority."""

    @extend_schema(summary="Queues by priority and age", responses=QueuesSerializer)
    def get(self, request: Request) -> Response:
        lines = [
            {
                "kind": line.kind,
                "priority": line.priority,
                "queued": line.queued,
                "due": line.due,
                "running": line.running,
                "oldest_seconds": line.oldest_s,
            }
            for line in queue_lines()
        ]
        return Response({"next": None, "previous": None, "results": lines})


class RestartView(ApiView):
    """Restart the engine without losing anything."""

    write_scope = "agents"

    @extend_schema(
        summary="Restart the agents",
        description="Every pump finishes what it has in hand and claims no more; another takes its place.",
        request=EmptyBodySerializer,
        responses={202: RestartedSerializer},
    )
    def post(self, request: Request) -> Response:
        checked_body(request, EmptyBodySerializer)
        return Response({"pumps": restart_agents(by=actor_of(request))}, status=202)


def pool_or_404(kind: str) -> PoolNow:
    """The pool and its numbers. Raises NotFound for a kind that is none."""
    found = pools_now([kind])
    if not found:
        raise NotFound(_("There is no such pool."))
    return found[0]


def pool_response(now: PoolNow) -> Response:
    return Response(pool_document(now), headers={"ETag": etag_of(now.pool.version)})


class PoolView(ApiView):
    """One pool and its limits."""

    write_scope = "agents"

    @extend_schema(summary="Read a pool", operation_id="agents_pool_retrieve", responses=PoolSerializer)
    def get(self, request: Request, kind: str) -> Response:
        return pool_response(pool_or_404(kind))

    @extend_schema(
        summary="Change a pool's limits", parameters=[if_match], request=PoolLimitsSerializer,
        responses=PoolSerializer,
    )  # fmt: skip
    def patch(self, request: Request, kind: str) -> Response:
        version = required_version(request)
        changes = checked_body(request, PoolLimitsSerializer)
        pool_or_404(kind)
        set_pool(kind, by=actor_of(request), version=version, **changes)
        return pool_response(pool_or_404(kind))


class AgentMetricsView(ApiView):
    """How one kind of agent does."""

    @extend_schema(summary="Numbers of one agent", responses=AgentMetricsSerializer)
    def get(self, request: Request, kind: str) -> Response:
        now, since = pool_or_404(kind), up_since()
        calls = last_calls([kind])[kind]
        ended = now.done_today + now.failed_today
        status = "processing" if now.running else "waiting" if now.queued else "idle"
        return Response(
            {
                "kind": kind,
                "status": "paused" if now.pool.paused else status,
                "processed": ended,
                "errors": now.failed_today,
                "error_rate": now.failed_today / ended if ended else None,
                "uptime_seconds": (clock.now() - since).total_seconds() if since else None,
                "calls": calls.n,
                "failed_share": calls.failed_share,
                "invalid_share": calls.invalid_share,
                "p50_ms": calls.p50_ms,
                "p95_ms": calls.p95_ms,
                "current": running_now(kind, by=actor_of(request)),
            }
        )


class PoolChangeView(ApiView):
    """Base of the verbs on one pool. Only who may set up the system may use them."""

    write_scope = "agents"

    def answer(self, kind: str, action: Any, **values: Any) -> Response:
        """Run the action and show the pool as it is then. Raises NotFound for a kind that is none."""
        if not AgentPool.objects.filter(kind=kind).exists():
            raise NotFound(_("There is no such pool."))
        action(kind, by=actor_of(self.request), **values)
        (now,) = pools_now([kind])
        return Response(pool_document(now))


class PoolScaleView(PoolChangeView):
    """Scale a pool."""

    @extend_schema(summary="Scale a pool", request=ScaleSerializer, responses=PoolSerializer)
    def post(self, request: Request, kind: str) -> Response:
        return self.answer(kind, scale_agents, **checked_body(request, ScaleSerializer))


class PoolPauseView(PoolChangeView):
    """Pause a pool."""

    @extend_schema(summary="Pause a pool", request=PauseSerializer, responses=PoolSerializer)
    def post(self, request: Request, kind: str) -> Response:
        return self.answer(kind, pause_agents, **checked_body(request, PauseSerializer))


class PoolResumeView(PoolChangeView):
    """Let a pool go on."""

    @extend_schema(summary="Resume a pool", request=EmptyBodySerializer, responses=PoolSerializer)
    def post(self, request: Request, kind: str) -> Response:
        return self.answer(kind, resume_agents, **checked_body(request, EmptyBodySerializer))
