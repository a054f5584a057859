"""/api/v1/bulk/: one act on many records. Ask for it, watch it, read what became of each record, undo it."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.actions.bulk import ACTS, UNDO, bulk_undos, cancel_bulk, own_bulk, start_bulk
from crm.actions.tags import MODELS
from crm.api.base import (
    ApiViewSet,
    Ordering,
    TextField,
    TimeField,
    UndoSerializer,
    undo_document,
)
from crm.api.exports import NothingSerializer
from crm.api.leads import AssignSerializer, TagSerializer
from crm.models import BulkRow, BulkState, FieldTarget, Job, JobState, Stage, Undo

MOST_IDS = 10_000  # in one body; filters choose up to 200,000
COUNTS = tuple(state.value for state in BulkState if state != BulkState.WAITING)


class BulkRequestSerializer(AssignSerializer, TagSerializer):
    """An act, what it needs (assign: `owner`; tag, untag: `tag`; snooze: `until`, perhaps `reason`;
    disqualify: `reason`; stage: `stage`), and the records: by `ids`, or by `filters`.
    """

    act = serializers.ChoiceField([(name, name) for name in ACTS])
    target = serializers.ChoiceField(FieldTarget.choices, default=FieldTarget.LEAD)
    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=MOST_IDS)
    filters = serializers.DictField(
        child=TextField(max_length=200, allow_blank=True), required=False, help_text="As the list takes them."
    )
    owner = TextField(
        allow_null=True, max_length=36, required=False, help_text="A user's id, `me`, or null: to the pool."
    )
    tag = TextField(max_length=60, required=False, help_text="Name of a tag.")
    stage = serializers.UUIDField(required=False, help_text="Id of an open stage.")
    until = TimeField(required=False)
    reason = TextField(max_length=200, required=False, allow_blank=True)

    def validate_stage(self, value: UUID) -> Stage:
        stage = Stage.objects.filter(public_id=value).first()
        if stage is None:
            raise ValidationError(_("There is no such stage."))
        return stage


class BulkRefusalSerializer(serializers.Serializer):
    """A record that was left as it is."""

    name = serializers.CharField()
    reason = serializers.CharField()


class BulkSerializer(serializers.Serializer):
    """A bulk act. `counts` and `refusals` (the first twenty) come once it is over; all are in its rows."""

    id = serializers.UUIDField()
    act = serializers.CharField()
    target = serializers.CharField()
    state = serializers.ChoiceField(JobState.choices)
    is_taken_back = serializers.BooleanField(
        help_text="true from the undo on; `state` is then that of the way back"
    )
    done = serializers.IntegerField()
    total = serializers.IntegerField()
    missing = serializers.IntegerField(help_text="ids that you may not see")
    counts = serializers.DictField(child=serializers.IntegerField())
    refusals = BulkRefusalSerializer(many=True)
    undo = UndoSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BulkRowSerializer(serializers.Serializer):
    """What became of one record."""

    id = serializers.UUIDField(allow_null=True, help_text="of the record; null once it is deleted for good")
    state = serializers.ChoiceField(BulkState.choices)
    message = serializers.CharField()


class RowFilter(filters.FilterSet):
    """What the rows can be narrowed by."""

    state = filters.ChoiceFilter(choices=BulkState.choices)


class BulkViewSet(ApiViewSet):
    """The caller's own bulk acts."""

    queryset = Job.objects.none()
    serializer_class = BulkSerializer

    def get_queryset(self) -> QuerySet[Job]:
        return own_bulk(self.actor)

    @extend_schema(summary="List bulk acts", responses=BulkSerializer(many=True))
    def list(self, request: Request) -> Response:
        rows = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(bulk_documents(rows or []))

    @extend_schema(
        summary="Act on many records",
        description="Each record obeys the rules of the act on one; those that refuse are counted and named,"
        " and the rest goes on. Ids that you may not see are counted as missing. The whole act can be"
        " taken back for 7 days. A token needs the scope of the act: `write`, and `leads:assign` to assign.",
        request=BulkRequestSerializer,
        responses={202: BulkSerializer},
    )
    def create(self, request: Request) -> Response:
        body = self.checked(BulkRequestSerializer)
        job = start_bulk(body.pop("act"), by=self.actor, **body)
        place = request.build_absolute_uri(f"{request.path}{job.public_id}/")
        return Response(bulk_documents([job])[0], status=202, headers={"Location": place})

    @extend_schema(summary="Read a bulk act", responses=BulkSerializer)
    def retrieve(self, request: Request, public_id: UUID) -> Response:
        return Response(bulk_documents([self.record()])[0])

    @extend_schema(summary="Stop a bulk act", request=NothingSerializer, responses={202: BulkSerializer})
    def cancel(self, request: Request, public_id: UUID) -> Response:
        self.checked(NothingSerializer)
        cancel_bulk(self.record_id(), by=self.actor)
        return Response(bulk_documents([self.record()])[0], status=202)

    def record(self) -> Job:
        job = self.get_queryset().filter(public_id=self.kwargs["public_id"]).first()
        if job is None:
            raise Http404
        return job


class BulkRowViewSet(ApiViewSet):
    """The records of one bulk act."""

    queryset = BulkRow.objects.none()
    serializer_class = BulkRowSerializer
    filterset_class = RowFilter
    orderings: ClassVar[Any] = (Ordering("record_id"),)

    @extend_schema(summary="List the records of a bulk act", responses=BulkRowSerializer(many=True))
    def list(self, request: Request, public_id: UUID) -> Response:
        job = own_bulk(self.actor).filter(public_id=public_id).first()
        if job is None:
            raise Http404
        record = MODELS[job.cursor["target"]]._default_manager.filter(pk=OuterRef("record_id"))
        rows = self.filter_queryset(BulkRow.objects.filter(job=job))
        found = rows.annotate(record=Subquery(record.values("public_id"))).values(
            "id", "record_id", "record", "state", "message"
        )
        page = self.paginate_queryset(found) or []
        return self.get_paginated_response(
            [{"id": row["record"], "state": row["state"], "message": row["message"]} for row in page]
        )


def bulk_documents(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The JSON form of bulk acts. One query."""
    offers = bulk_undos(jobs)
    return [_document(job, offers.get(job.pk)) for job in jobs]


def _document(job: Job, offer: Undo | None) -> dict[str, Any]:
    job.undo_offer = offer  # type: ignore[attr-defined]
    return {
        "id": job.public_id,
        **{name: job.cursor[name] for name in ("act", "target")},
        **{name: getattr(job, name) for name in ("state", "done", "total", "created_at", "finished_at")},
        "is_taken_back": job.cursor["phase"] == UNDO,
        "missing": job.result.get("missing", 0),
        "counts": {name: job.result[name] for name in COUNTS if name in job.result},
        "refusals": [*job.result.get("refusals", []), *job.result.get("kept_rows", [])],
        "undo": undo_document(job),
    }
