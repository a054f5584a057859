"""Asking an agent about one record: any kind of agent, analyse a lead, draft or rewrite a follow-up, review
an opportunity.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.requests import request_analysis, request_draft, request_rewrite, request_run
from ai_agents.actions.wishes import LONGEST_INSTRUCTION
from ai_agents.agents import AGENTS
from ai_agents.agents.base import work_on
from ai_agents.api.documents import RequestedSerializer, ReviewSerializer, review_document, task_document
from crm.api.base import ApiView, StrictSerializer, TextField, WholeNumberField, actor_of, checked_body
from crm.models import (
    Actor,
    Direction,
    FollowUp,
    Language,
    Lead,
    Length,
    Message,
    Opportunity,
    Purpose,
    Tone,
)


class AnalyseSerializer(StrictSerializer):
    """How soon: 0 first, 9 last."""

    priority = WholeNumberField(min_value=0, max_value=9, required=False)


class WishesSerializer(StrictSerializer):
    """How a draft is wanted. What is left out is chosen: the purpose by what happened on the lead, the
    language by how the customer writes.
    """

    purpose = serializers.ChoiceField(Purpose.choices, required=False, allow_blank=True)
    tone = serializers.ChoiceField(Tone.choices, required=False, allow_blank=True)
    length = serializers.ChoiceField(Length.choices, required=False, allow_blank=True)
    language = serializers.ChoiceField(Language.choices, required=False, allow_blank=True)
    instruction = TextField(max_length=LONGEST_INSTRUCTION, required=False, allow_blank=True)


class RewriteSerializer(WishesSerializer):
    """What should be different. What is left out stays as the draft was asked for."""


class AgentRunSerializer(AnalyseSerializer):
    """The record that the kind reads: a lead, a message or an opportunity."""

    record = serializers.UUIDField()


class AgentRunView(ApiView):
    """Ask an agent of any kind about one record of the sort that it reads."""

    @extend_schema(summary="Run an agent", request=AgentRunSerializer, responses={202: RequestedSerializer})
    def post(self, request: Request, kind: str) -> Response:
        agent = AGENTS.get(kind)
        if agent is None:
            raise Http404
        body = checked_body(request, AgentRunSerializer)
        by = actor_of(request)
        record = _readable(agent.subject, by).filter(public_id=body["record"]).first()
        if record is None:
            raise ValidationError({"record": [_("There is no such record, or you may not see it.")]})
        asked = replace(work_on(record), priority=body.get("priority", 5))
        return Response({"task": task_document(request_run(kind, asked, by=by))}, status=202)


def _readable(subject: type[Model], by: Actor) -> QuerySet[Any]:
    if subject is Message:
        return Message.objects.filter(lead__in=Lead.objects.visible_to(by), direction=Direction.IN)
    return subject.objects.visible_to(by)  # type: ignore[attr-defined]


class ReviewView(ApiView):
    """What an agent thinks of an opportunity."""

    @extend_schema(summary="Read the review of an opportunity", responses=ReviewSerializer)
    def get(self, request: Request, public_id: UUID) -> Response:
        review = self._card(request, public_id).reviews.filter(is_current=True).first()
        if review is None:
            raise NotFound(_("Nobody has asked for a review of this opportunity yet."))
        return Response(review_document(review))

    @extend_schema(
        summary="Review an opportunity", request=AnalyseSerializer, responses={202: RequestedSerializer}
    )
    def post(self, request: Request, public_id: UUID) -> Response:
        card = self._card(request, public_id)
        asked = replace(work_on(card), priority=checked_body(request, AnalyseSerializer).get("priority", 5))
        return Response(
            {"task": task_document(request_run("opportunity", asked, by=actor_of(request)))}, status=202
        )

    def _card(self, request: Request, public_id: UUID) -> Opportunity:
        card = Opportunity.objects.visible_to(actor_of(request)).filter(public_id=public_id).first()
        if card is None:
            raise Http404
        return card


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


class DraftView(ApiView):
    """Ask for the draft of a message to a lead. It waits for a person's approval under `/follow-ups/`."""

    @extend_schema(
        summary="Draft a follow-up", request=WishesSerializer, responses={202: RequestedSerializer}
    )
    def post(self, request: Request, public_id: UUID) -> Response:
        by = actor_of(request)
        lead = Lead.objects.visible_to(by).filter(public_id=public_id).first()
        if lead is None:
            raise Http404
        task = request_draft(lead.pk, by=by, **checked_body(request, WishesSerializer))
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
        task = request_rewrite(follow_up, by=by, **checked_body(request, RewriteSerializer))
        return Response({"task": task_document(task)}, status=202)
