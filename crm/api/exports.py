"""/api/v1/exports/: take a list out as a file. Ask for it, wait until it is done, fetch it within a day."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import FileResponse, Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.actions.exports import FORMATS, KEPT, cancel_export, exported_file, own_exports, start_export
from crm.api.base import ApiViewSet, StrictSerializer, TextField
from crm.exports.downloading import download_of
from crm.models import FieldTarget, Job, JobState, SavedView
from crm.permissions import Verb, require


class ExportRequestSerializer(StrictSerializer):
    """What to export. `view` brings its own filters and order."""

    target = serializers.ChoiceField(FieldTarget.choices, default=FieldTarget.LEAD)
    format = serializers.ChoiceField([(name, name) for name in FORMATS], default="csv")
    filters = serializers.DictField(
        child=TextField(max_length=200, allow_blank=True), required=False, help_text="As the list takes them."
    )
    view = serializers.UUIDField(required=False, help_text="A saved view that you may see.")
    columns = serializers.ListField(
        child=TextField(max_length=80), required=False, max_length=300, help_text="Empty: all."
    )
    sort = TextField(max_length=20, required=False, allow_blank=True)


class NothingSerializer(StrictSerializer):
    """No fields."""


class ExportSerializer(serializers.Serializer):
    """An export. `file` is its address once it is done; `rows` may be fewer than `total` when records went
    out of your sight meanwhile.
    """

    id = serializers.UUIDField()
    state = serializers.ChoiceField(JobState.choices)
    done = serializers.IntegerField()
    total = serializers.IntegerField()
    rows = serializers.IntegerField(allow_null=True)
    size_bytes = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    file = serializers.URLField(allow_null=True)
    file_name = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True, help_text="when the file goes")


class ExportViewSet(ApiViewSet):
    """The caller's own exports."""

    queryset = Job.objects.none()
    serializer_class = ExportSerializer
    read_scope = write_scope = "export"

    def get_queryset(self) -> QuerySet[Job]:
        return own_exports(self.actor)

    @extend_schema(summary="List exports", responses=ExportSerializer(many=True))
    def list(self, request: Request) -> Response:
        rows = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([self.document(job) for job in rows or []])

    @extend_schema(
        summary="Export a list",
        description="Records that you may see, chosen as at the moment the work begins. Reps take out at most"
        " 500 rows, managers five exports an hour. Cells that a spreadsheet would run begin with an"
        " apostrophe, which an import takes off again.",
        request=ExportRequestSerializer,
        responses={202: ExportSerializer},
    )
    def create(self, request: Request) -> Response:
        require(self.actor, Verb.EXPORT)
        body = self.checked(ExportRequestSerializer)
        view_id = body.pop("view", None)
        if view_id:
            if "target" in request.data:
                raise ValidationError({"target": [_("A view knows what it is of; leave this out.")]})
            body["view"] = SavedView.objects.visible_to(self.actor).filter(public_id=view_id).first()
            if body["view"] is None:
                raise ValidationError({"view": [_("There is no such view, or you may not see it.")]})
        job = start_export(by=self.actor, **body)
        place = request.build_absolute_uri(f"{request.path}{job.public_id}/")
        return Response(self.document(job), status=202, headers={"Location": place})

    @extend_schema(summary="Read an export", responses=ExportSerializer)
    def retrieve(self, request: Request, public_id: UUID) -> Response:
        return Response(self.document(self.record()))

    @extend_schema(summary="Stop an export", request=NothingSerializer, responses={202: ExportSerializer})
    def cancel(self, request: Request, public_id: UUID) -> Response:
        self.checked(NothingSerializer)
        cancel_export(self.record_id(), by=self.actor)
        return Response(self.document(self.record()), status=202)

    @extend_schema(
        summary="Download the file of an export",
        responses={
            (200, "application/octet-stream"): OpenApiResponse(bytes, description="The file."),
            409: OpenApiResponse(description="Not done yet."),
            410: OpenApiResponse(description="Deleted: a day is over, or somebody was erased."),
        },
    )
    def file(self, request: Request, public_id: UUID) -> FileResponse:
        job = self.record()
        return download_of(exported_file(job, by=self.actor), job.result["name"])

    def record(self) -> Job:
        job = self.get_queryset().filter(public_id=self.kwargs["public_id"]).first()
        if job is None:
            raise Http404
        return job

    def document(self, job: Job) -> dict[str, Any]:
        """The JSON form of an export."""
        has_file = job.state == JobState.DONE and "file" in job.cursor
        place = f"/api/v1/exports/{job.public_id}/file/"
        return {
            "id": job.public_id,
            **{name: getattr(job, name) for name in ("state", "done", "total", "error")},
            "rows": job.result.get("rows"),
            "size_bytes": job.result.get("size_bytes"),
            "file": self.request.build_absolute_uri(place) if has_file else None,
            "file_name": job.result.get("name", ""),
            "created_at": job.created_at,
            "finished_at": job.finished_at,
            "deleted_at": job.finished_at + KEPT if has_file and job.finished_at else None,
        }
