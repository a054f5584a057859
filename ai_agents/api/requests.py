"""Asking an agent about one record: analyse a lead, rewrite a follow-up."""

from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.requests import request_analysis, request_draft
from ai_agents.api.documents import RequestedSerializer, task_document
from crm.api.base import ApiView, StrictSerializer, TextField, WholeNumberField, actor_of, checked_body
from crm.models import FollowUp, Lead


class AnalyseSerializer(StrictSerializer):
    """How soon: 0 first, 9 last."""

    priority = WholeNumberField(min_value=0, max_value=9, required=False)


class RewriteSerializer(StrictSerializer):
    """What should be different."""

    instruction = TextField(max_length=500, required=False, allow_blank=True)


class AnalyseView(ApiView):
    """Ask for an analysis of a lead. Facts that are queued already are not queued twice."""

    @extend_schema(summary="Analyse a lead", request=AnalyseSerializer, responses={202: RequestedSerializer})
    def post(self, request: Request, public_id: UUID) -> Response:
        by = actor_of(request)
        lead = Lead.objects.visible_to(by).filter(public_id=public_id).first()
        if lead is None:
            raise Http404
        task = request_analysis(lead.pk, by=by, **checked_body(request, AnalyseSerializer))
        return Response({"task": task_document(task)}, status=202)


class RewriteView(ApiView):
    """Ask for another draft of a follow-up. The old one stays until the new one is there."""

    @extend_schema(
        summary="Rewrite a follow-up", request=RewriteSerializer, responses={202: RequestedSerializer}
    )
    def post(self, request: Request, public_id: UUID) -> Response:
        by = actor_of(request)
        follow_up = FollowUp.objects.visible_to(by).filter(public_id=public_id).first()
        if follow_up is None:
            raise Http404
        wishes = checked_body(request, RewriteSerializer)
        task = request_draft(follow_up.lead_id, by=by, purpose=follow_up.purpose, **wishes)
        return Response({"task": task_document(task)}, status=202)
