"""/api/v1/agents/: pools, their work, and how many may work at a time."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.pools import pause_agents, pools_now, resume_agents, scale_agents
from ai_agents.api.documents import PoolSerializer, PoolsSerializer, pool_document
from ai_agents.models import AgentPool
from crm.api.base import ApiView, StrictSerializer, TextField, WholeNumberField, actor_of, checked_body


class ScaleSerializer(StrictSerializer):
    """How many of the kind may work at a time; 0 stops them after the calls they are in."""

    target = WholeNumberField(min_value=0, max_value=256)


class PauseSerializer(StrictSerializer):
    """Why, for those who look at the pool."""

    because = TextField(max_length=200, required=False, allow_blank=True)


class EmptyBodySerializer(StrictSerializer):
    """No fields."""


class PoolListView(ApiView):
    """All pools of agents."""

    @extend_schema(summary="List the pools of agents", responses=PoolsSerializer)
    def get(self, request: Request) -> Response:
        return Response(
            {"next": None, "previous": None, "results": [pool_document(now) for now in pools_now()]}
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
