"""/api/v1/leads/<id>/calls/ and /agents/calls/<id>/: what a model saw and answered, word for word."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.seen import calls_of_lead, seen, visible_calls
from ai_agents.api.costs import usd_field
from ai_agents.models import AgentCall, CallStatus
from crm.api.base import ApiView, ApiViewSet, Ordering, actor_of
from crm.models import Lead


class CallSerializer(serializers.Serializer):
    """One call to a model. `input` is what left the process, personal data masked; empty once erased."""

    id = serializers.UUIDField()
    task = serializers.UUIDField()
    kind = serializers.CharField()
    attempt = serializers.IntegerField()
    is_repair = serializers.BooleanField()
    provider = serializers.CharField()
    model = serializers.CharField()
    prompt = serializers.CharField(allow_blank=True, help_text="version of the instructions")
    status = serializers.ChoiceField(CallStatus.choices)
    error = serializers.CharField(allow_blank=True)
    tokens_in = serializers.IntegerField(allow_null=True)
    tokens_cached = serializers.IntegerField(allow_null=True)
    tokens_out = serializers.IntegerField(allow_null=True)
    cost_usd = usd_field(allow_null=True, help_text="null: not known")
    ms = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    input = serializers.CharField(allow_blank=True)
    output = serializers.CharField(allow_blank=True, help_text="as it came, up to 20,000 characters")


class CallDetailSerializer(CallSerializer):
    """One call, with the instructions."""

    instructions = serializers.CharField(allow_blank=True)


def call_document(call: AgentCall, *, with_instructions: bool = False) -> dict[str, Any]:
    """As the serializers describe it."""
    one = seen(call)
    names = (
        "attempt", "is_repair", "provider", "model", "status", "error",
        "tokens_in", "tokens_cached", "tokens_out", "cost_usd", "ms", "created_at", "output",
    )  # fmt: skip
    document = {
        "id": call.public_id,
        "task": call.task.public_id,
        "kind": call.task.kind,
        "prompt": one.prompt,
        "input": one.user,
        **{name: getattr(call, name) for name in names},
    }
    return document | {"instructions": one.system} if with_instructions else document


class LeadCallsViewSet(ApiViewSet):
    """The calls about one lead, newest first, for who may see it."""

    queryset = AgentCall.objects.none()
    serializer_class = CallSerializer
    orderings: ClassVar[Any] = (Ordering("created_at", descending=True),)

    @extend_schema(summary="What models saw of a lead", responses=CallSerializer(many=True))
    def list(self, request: Request, public_id: UUID) -> Response:
        leads = Lead.objects.visible_to(actor_of(request)).filter(public_id=public_id)
        lead_id = leads.values_list("pk", flat=True).first()
        if lead_id is None:
            raise Http404
        rows = self.paginate_queryset(calls_of_lead(lead_id))
        return self.get_paginated_response([call_document(call) for call in rows or []])


class CallView(ApiView):
    """One call."""

    @extend_schema(summary="What a model saw in one call", responses=CallDetailSerializer)
    def get(self, request: Request, public_id: UUID) -> Response:
        call = visible_calls(actor_of(request)).filter(public_id=public_id).first()
        if call is None:
            raise Http404
        return Response(call_document(call, with_instructions=True))
