"""/api/v1/follow-ups/: what is to be said to leads, and the approval without which nothing is sent."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.actions.follow_ups import (
    RejectReason,
    approve_follow_up,
    edit_follow_up,
    reject_follow_up,
    write_follow_up,
)
from crm.api.base import (
    ApiViewSet,
    StrictSerializer,
    TextField,
    UndoSerializer,
    actor_of,
    etag_of,
    if_match,
    required_version,
    undo_document,
)
from crm.api.documents import FOLLOW_UP_COLUMNS, FollowUpSerializer, follow_up_document
from crm.api.filters import PersonFilter
from crm.models import UNSENT_STATES, FollowUp, FollowUpState, Lead, Purpose


class FollowUpFilter(filters.FilterSet):
    """What `GET /follow-ups/` can be narrowed by. `state=unsent`: everything that may still leave."""

    state = filters.ChoiceFilter(
        choices=[("unsent", _("Not sent yet")), *FollowUpState.choices], method="in_state"
    )
    lead = filters.UUIDFilter(field_name="lead__public_id")
    owner = PersonFilter(field_name="lead__owner")

    def in_state(self, follow_ups: QuerySet[FollowUp], _name: str, state: str) -> QuerySet[FollowUp]:
        return follow_ups.filter(state__in=UNSENT_STATES if state == "unsent" else [state])


class FollowUpChangeSerializer(StrictSerializer):
    """The text. Changing it drops an approval."""

    subject = TextField(max_length=200, required=False)
    body = TextField(max_length=20_000, required=False, trim_whitespace=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise ValidationError(_("Name at least one field."))
        return attrs


class WriteSerializer(StrictSerializer):
    """A message that a person writes."""

    lead = serializers.UUIDField()
    subject = TextField(max_length=200)
    body = TextField(max_length=20_000, trim_whitespace=False)
    purpose = serializers.ChoiceField(Purpose.choices, required=False)


class RejectSerializer(StrictSerializer):
    """Why the draft is dismissed."""

    reason = serializers.ChoiceField(RejectReason.choices)
    note = TextField(max_length=300, required=False, allow_blank=True)


class EmptySerializer(StrictSerializer):
    """No fields."""


class FollowUpChangedSerializer(FollowUpSerializer):
    """The follow-up as it is now, and how to take the change back."""

    undo = UndoSerializer(allow_null=True)


CHANGED = {200: FollowUpChangedSerializer}


class FollowUpViewSet(ApiViewSet):
    """Follow-ups of the leads that the caller may see."""

    queryset = FollowUp.objects.none()
    serializer_class = FollowUpSerializer
    filterset_class = FollowUpFilter
    write_scope = "send"

    def get_queryset(self) -> QuerySet[FollowUp]:
        return FollowUp.objects.visible_to(self.actor)

    @extend_schema(summary="List follow-ups", responses=FollowUpSerializer(many=True))
    def list(self, request: Request) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()).values(*FOLLOW_UP_COLUMNS))
        return self.get_paginated_response([follow_up_document(row) for row in rows or []])

    @extend_schema(summary="Read a follow-up", responses=FollowUpSerializer)
    def retrieve(self, request: Request, public_id: UUID) -> Response:
        document = self.current_document()
        return Response(document, headers={"ETag": etag_of(document["version"])})

    @extend_schema(
        summary="Write a follow-up", request=WriteSerializer, responses={201: FollowUpChangedSerializer}
    )
    def create(self, request: Request) -> Response:
        body = self.checked(WriteSerializer)
        lead = Lead.objects.visible_to(actor_of(request)).filter(public_id=body.pop("lead")).first()
        if lead is None:
            raise ValidationError({"lead": _("There is no such lead.")})
        return self.changed(write_follow_up(lead.pk, by=self.actor, **body), status=201)

    @extend_schema(
        summary="Edit a follow-up",
        parameters=[if_match],
        request=FollowUpChangeSerializer,
        responses=CHANGED,
    )
    def partial_update(self, request: Request, public_id: UUID) -> Response:
        follow_up_id, version = self.record_id(), required_version(request)
        changes = self.checked(FollowUpChangeSerializer)
        return self.changed(edit_follow_up(follow_up_id, by=self.actor, version=version, **changes))

    @extend_schema(
        summary="Approve a follow-up",
        description="Approves exactly the version that If-Match names; it is sent 8 seconds later.",
        parameters=[if_match],
        request=EmptySerializer,
        responses=CHANGED,
    )
    def approve(self, request: Request, public_id: UUID) -> Response:
        follow_up_id, version = self.record_id(), required_version(request)
        self.checked(EmptySerializer)
        return self.changed(approve_follow_up(follow_up_id, by=self.actor, version=version))

    @extend_schema(summary="Dismiss a follow-up", request=RejectSerializer, responses=CHANGED)
    def reject(self, request: Request, public_id: UUID) -> Response:
        follow_up_id = self.record_id()
        return self.changed(reject_follow_up(follow_up_id, by=self.actor, **self.checked(RejectSerializer)))

    def changed(self, follow_up: FollowUp, *, status: int = 200) -> Response:
        row = FollowUp.objects.filter(pk=follow_up.pk).values(*FOLLOW_UP_COLUMNS).get()
        undo = undo_document(follow_up)
        headers = {"ETag": etag_of(row["version"])}
        return Response(follow_up_document(row) | {"undo": undo}, status=status, headers=headers)

    def current_document(self) -> dict[str, Any]:
        rows = self.get_queryset().filter(public_id=self.kwargs["public_id"])
        row = rows.values(*FOLLOW_UP_COLUMNS).first()
        if row is None:
            raise Http404
        return follow_up_document(row)
