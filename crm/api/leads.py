"""/api/v1/leads/: the work items."""

from typing import Any, ClassVar
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.actions.intake import receive_inquiry
from crm.actions.lead_lists import CUSTOM, has_tag, narrow_by_customs
from crm.actions.leads import assign_lead, disqualify_lead, snooze_lead, update_lead
from crm.actions.overrides import lift_override, override_score
from crm.actions.search import matching
from crm.actions.search_stages import SHORTEST
from crm.actions.tags import tag_record, untag_record
from crm.api.base import (
    ApiViewSet,
    Ordering,
    StrictSerializer,
    TextField,
    TimeField,
    UndoSerializer,
    WholeNumberField,
    actor_of,
    etag_of,
    if_match,
    required_version,
    undo_document,
)
from crm.api.documents import (
    LEAD,
    LEAD_DETAIL,
    TIMELINE_COLUMNS,
    LeadDetailSerializer,
    LeadSerializer,
    TimelineEventSerializer,
    as_readable,
    lead_document,
    timeline_document,
)
from crm.api.filters import PersonFilter, TimeFilter, WholeNumberFilter
from crm.errors import InvalidValue
from crm.models import Channel, Lead, LeadSource, LeadStatus, Tag, TimelineEvent, User


class LeadFilter(filters.FilterSet):
    """What `GET /leads/` can be narrowed by."""

    status = filters.ChoiceFilter(choices=LeadStatus.choices)
    owner = PersonFilter(field_name="owner")
    source = filters.CharFilter(field_name="source__code", max_length=60)
    score_min = WholeNumberFilter(field_name="score", lookup_expr="gte", min_value=0, max_value=100)
    score_max = WholeNumberFilter(field_name="score", lookup_expr="lte", min_value=0, max_value=100)
    created_after = TimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = TimeFilter(field_name="created_at", lookup_expr="lt")
    tag = filters.CharFilter(method="tagged", max_length=60)
    q = filters.CharFilter(method="search", min_length=SHORTEST, max_length=200)  # last: see matching()

    def tagged(self, leads: QuerySet[Lead], _name: str, text: str) -> QuerySet[Lead]:
        return leads.filter(has_tag("lead", text))

    def search(self, leads: QuerySet[Lead], _name: str, text: str) -> QuerySet[Lead]:
        return matching(leads, text)


class LeadChangeSerializer(StrictSerializer):
    """Fields of a lead that its owner may change. Owner, score and status have actions of their own."""

    name = TextField(max_length=200, required=False)
    company = TextField(max_length=200, required=False, allow_blank=True)
    title = TextField(max_length=120, required=False, allow_blank=True)
    email = TextField(max_length=320, required=False, allow_blank=True)
    phone = TextField(max_length=60, required=False, allow_blank=True)
    country = TextField(max_length=2, required=False, allow_blank=True)
    interest = TextField(max_length=300, required=False, allow_blank=True)
    est_value = serializers.DecimalField(
        max_digits=14, decimal_places=2, min_value=0, required=False, allow_null=True
    )
    currency = TextField(max_length=3, required=False)
    mailing_address = TextField(max_length=500, required=False, allow_blank=True)
    physical_address = TextField(max_length=500, required=False, allow_blank=True)
    custom = serializers.DictField(required=False, help_text="Merged key by key; null removes a key.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise ValidationError(_("Name at least one field."))
        return attrs


class InquirySerializer(LeadChangeSerializer):
    """What came in. A name, an e-mail address or a phone number is needed."""

    message = TextField(max_length=20_000, required=False, allow_blank=True)
    external_id = TextField(max_length=200, required=False, allow_blank=True)
    source = serializers.SlugRelatedField(  # type: ignore[assignment]
        slug_field="code", queryset=LeadSource.objects.all(), required=False, help_text="Code of the source."
    )
    utm = serializers.DictField(child=TextField(max_length=200), required=False)


class LeadCreatedSerializer(LeadSerializer):
    """The lead, and whether this request made it."""

    created = serializers.BooleanField(help_text="false: an open lead of the same person got the inquiry")
    inquiry = serializers.UUIDField()


class InquiryAcceptedSerializer(serializers.Serializer):
    """The inquiry belongs to a lead that you may not see."""

    created = serializers.BooleanField()
    inquiry = serializers.UUIDField()


class LeadChangedSerializer(LeadSerializer):
    """The lead as it is now, and how to take the change back."""

    undo = UndoSerializer(allow_null=True)


class AssignSerializer(StrictSerializer):
    """Who gets the lead: a user's public id, `me`, or null for the team's pool."""

    owner = TextField(allow_null=True, max_length=36)

    def validate_owner(self, value: str | None) -> User | None:
        if value is None:
            return None
        if value == "me":
            return self.context["request"].user
        try:
            owner = User.objects.active().filter(public_id=UUID(value)).first()
        except ValueError:
            owner = None
        if owner is None:
            raise ValidationError(_("There is no such user."))
        return owner


class DisqualifySerializer(StrictSerializer):
    """Why the lead is taken out of the work."""

    reason = TextField(max_length=200)


class SnoozeSerializer(StrictSerializer):
    """Until when the lead sleeps."""

    until = TimeField()
    reason = TextField(max_length=200, required=False, allow_blank=True)


class OverrideSerializer(StrictSerializer):
    """The score that the lead shall show, why, and until when; without an end, until it is lifted."""

    value = WholeNumberField(min_value=0, max_value=100)
    reason = TextField(max_length=300)
    until = TimeField(required=False, allow_null=True)


class LiftOverrideSerializer(StrictSerializer):
    """Why the score is judged again."""

    reason = TextField(max_length=300)


class TagSerializer(StrictSerializer):
    """A tag, by its name in any case. An admin makes tags; the API sticks them on."""

    tag = TextField(max_length=60)

    def validate_tag(self, value: str) -> Tag:
        tag = Tag.objects.filter(name__iexact=value).first()
        if tag is None:
            raise ValidationError(_("There is no such tag."))
        return tag


CHANGED = {200: LeadChangedSerializer}
LEAD_ORDERS = ("created_at", "score")  # each has an index that ends in the id


class LeadViewSet(ApiViewSet):
    """Leads that the caller may see; every other id is 404."""

    queryset = Lead.objects.none()  # names the model for the schema; rows come from get_queryset
    serializer_class = LeadSerializer
    filterset_class = LeadFilter
    orderings: ClassVar[Any] = (
        Ordering("created_at", descending=True),
        Ordering("created_at"),
        Ordering("score", descending=True, nullable=True),
        Ordering("score", nullable=True),
    )

    def get_queryset(self) -> QuerySet[Lead]:
        return Lead.objects.visible_to(self.actor)

    def known_parameters(self) -> set[str]:
        """Own fields, too, of the list; whether there is such a field is seen when it is filtered."""
        return super().known_parameters() | set(self._customs())

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By own fields first, because search counts what passes the rest."""
        customs = self._customs()
        try:
            queryset = narrow_by_customs(queryset, customs)
        except InvalidValue as refused:
            field = refused.field.removeprefix("filters.").replace("custom.", CUSTOM)
            name = next((name for name in customs if name.startswith(field)), field)
            raise ValidationError({name: str(refused)}) from None
        return super().filter_queryset(queryset)

    def _customs(self) -> dict[str, str]:
        if self.action != "list":
            return {}
        asked = self.request.query_params
        return {name: str(asked[name]) for name in asked if name.startswith(CUSTOM)}

    @extend_schema(
        summary="List leads",
        description="Own fields narrow the list as well: `custom:KEY=value`, and `custom:KEY_min=` and"
        " `custom:KEY_max=` for numbers and dates.",
        responses=LeadSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        leads = self.filter_queryset(self.get_queryset())
        rows = self.paginate_queryset(leads.values("id", *LEAD_ORDERS, document=LEAD)) or []
        return self.get_paginated_response([orjson.Fragment(row["document"]) for row in rows])

    @extend_schema(summary="Read a lead", responses=LeadDetailSerializer)
    def retrieve(self, request: Request, public_id: UUID) -> Response:
        document = self.current_document()
        return Response(document, headers={"ETag": etag_of(document["version"])})

    @extend_schema(
        summary="Hand in an inquiry",
        description="Attaches to the open lead of the same person, if there is one; else makes a lead.",
        request=InquirySerializer,
        responses={
            201: LeadCreatedSerializer,
            200: OpenApiResponse(LeadCreatedSerializer, description="Attached to an open lead."),
            202: OpenApiResponse(InquiryAcceptedSerializer, description="Attached to a lead out of sight."),
        },
    )
    def create(self, request: Request) -> Response:
        payload = self.checked(InquirySerializer)
        source, utm = payload.pop("source", None), payload.pop("utm", None)
        result = receive_inquiry(channel=Channel.API, payload=payload, by=self.actor, source=source, utm=utm)
        outcome = {"created": result.created, "inquiry": result.inquiry.public_id}
        if not self.get_queryset().filter(pk=result.lead.pk).exists():
            return Response(outcome, status=202)
        document = as_readable(lead_document(result.lead.pk), self.actor) | outcome
        place = request.build_absolute_uri(f"{request.path}{document['id']}/")
        return Response(
            document,
            status=201 if result.created else 200,
            headers={"Location": place, "ETag": etag_of(document["version"])},
        )

    @extend_schema(
        summary="Change a lead", parameters=[if_match], request=LeadChangeSerializer, responses=CHANGED
    )
    def partial_update(self, request: Request, public_id: UUID) -> Response:
        lead_id, version = self.record_id(), required_version(request)
        changes = self.checked(LeadChangeSerializer)
        return self.changed(update_lead(lead_id, by=self.actor, version=version, **changes))

    @extend_schema(summary="Assign a lead", request=AssignSerializer, responses=CHANGED)
    def assign(self, request: Request, public_id: UUID) -> Response:
        lead_id = self.record_id()
        return self.changed(assign_lead(lead_id, by=self.actor, **self.checked(AssignSerializer)))

    @extend_schema(summary="Disqualify a lead", request=DisqualifySerializer, responses=CHANGED)
    def disqualify(self, request: Request, public_id: UUID) -> Response:
        lead_id = self.record_id()
        return self.changed(disqualify_lead(lead_id, by=self.actor, **self.checked(DisqualifySerializer)))

    @extend_schema(summary="Let a lead sleep", request=SnoozeSerializer, responses=CHANGED)
    def snooze(self, request: Request, public_id: UUID) -> Response:
        lead_id = self.record_id()
        return self.changed(snooze_lead(lead_id, by=self.actor, **self.checked(SnoozeSerializer)))

    @extend_schema(summary="Set a lead's score by hand", request=OverrideSerializer, responses=CHANGED)
    def override(self, request: Request, public_id: UUID) -> Response:
        lead_id = self.record_id()
        return self.changed(override_score(lead_id, by=self.actor, **self.checked(OverrideSerializer)))

    @extend_schema(
        summary="Let a lead's score be judged again", request=LiftOverrideSerializer, responses=CHANGED
    )
    def lift_override(self, request: Request, public_id: UUID) -> Response:
        lead_id = self.record_id()
        return self.changed(lift_override(lead_id, by=self.actor, **self.checked(LiftOverrideSerializer)))

    @extend_schema(summary="Tag a lead", request=TagSerializer, responses=CHANGED)
    def tag(self, request: Request, public_id: UUID) -> Response:
        lead_id = self.record_id()
        return self.changed(tag_record("lead", lead_id, by=self.actor, **self.checked(TagSerializer)))

    @extend_schema(summary="Take a tag off a lead", request=TagSerializer, responses=CHANGED)
    def untag(self, request: Request, public_id: UUID) -> Response:
        lead_id = self.record_id()
        return self.changed(untag_record("lead", lead_id, by=self.actor, **self.checked(TagSerializer)))

    def changed(self, lead: Any) -> Response:
        """The lead as it is now, read without the filter: the caller may just have given it away."""
        document = as_readable(lead_document(lead.pk), self.actor) | {"undo": undo_document(lead)}
        return Response(document, headers={"ETag": etag_of(document["version"])})

    def current_document(self) -> dict[str, Any]:
        leads = self.get_queryset().filter(public_id=self.kwargs["public_id"])
        text = leads.values_list(LEAD_DETAIL, flat=True).first()
        if text is None:
            raise Http404
        return as_readable(orjson.loads(text), self.actor)


class TimelineViewSet(ApiViewSet):
    """What happened with one lead, newest first."""

    queryset = TimelineEvent.objects.none()
    serializer_class = TimelineEventSerializer
    orderings: ClassVar[Any] = (Ordering("occurred_at", descending=True),)

    @extend_schema(summary="Read a lead's story", responses=TimelineEventSerializer(many=True))
    def list(self, request: Request, public_id: UUID) -> Response:
        lead_id = (
            Lead.objects.visible_to(actor_of(request))
            .filter(public_id=public_id)
            .values_list("pk", flat=True)
            .first()
        )
        if lead_id is None:
            raise Http404
        rows = self.paginate_queryset(TimelineEvent.objects.filter(lead=lead_id).values(*TIMELINE_COLUMNS))
        return self.get_paginated_response([timeline_document(row) for row in rows or []])
