"""/api/v1/imports/: bring in a file of leads. Upload it, read what the check says, then run it."""

import json
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, StreamingHttpResponse
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from crm.actions.imports import (
    cancel_import,
    check_import,
    map_import,
    run_import,
    upload_import,
)
from crm.api.base import (
    ApiViewSet,
    Ordering,
    StrictSerializer,
    TextField,
    etag_of,
    if_match,
    required_version,
)
from crm.api.documents import PersonSerializer
from crm.api.strict_json import StrictJSONParser
from crm.imports.summary import analysis_choices, problem_lines, rows_of
from crm.models import (
    ImportAssign,
    ImportJob,
    ImportPolicy,
    ImportRow,
    ImportState,
    JobState,
    User,
    Verdict,
)

FORM_BYTES = 65_536  # what a multipart body may hold beside the file


class FileTooLarge(APIException):
    """The file is larger than GARDENOS_IMPORT_MAX_MB."""

    status_code = 413
    default_code = "body_too_large"


class MappingField(serializers.DictField):
    """Column name -> field. In a multipart body it is JSON text."""

    child = TextField(max_length=80, allow_blank=True)

    def get_value(self, dictionary: Any) -> Any:
        """As it is, also from a multipart body, whose dictionaries DRF would look for under other names."""
        return dictionary.get(self.field_name, serializers.empty)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if isinstance(data, str):
            try:
                data = json.loads(data[:FORM_BYTES])
            except (ValueError, RecursionError):
                raise ValidationError(_("Write a JSON object of column names and fields.")) from None
        return super().to_internal_value(data)


class MappingSerializer(StrictSerializer):
    """What the columns are: a field, "custom:<key>", or "" to leave one out. Names only what to change."""

    mapping = MappingField(required=False)
    outcome = TextField(max_length=120, required=False, allow_blank=True)
    source = TextField(max_length=120, required=False)  # type: ignore[assignment]
    policy = serializers.ChoiceField(ImportPolicy.choices, required=False)


class UploadSerializer(MappingSerializer):
    """A CSV file with a header row."""

    file = serializers.FileField(max_length=255, allow_empty_file=True)  # the action says what is wrong


class RunSerializer(StrictSerializer):
    """How many leads the agents shall analyse ("none", "all", or the best N by rules), and who gets the new
    ones: "none" (the pool), "rules", a user's public id, or "me".
    """

    analyse = TextField(max_length=8, required=False)
    assign = TextField(max_length=36, required=False)

    def validate_assign(self, value: str) -> str | User:
        if value in {ImportAssign.NONE, ImportAssign.RULES}:
            return value
        if value == "me":
            return self.context["request"].user
        try:
            user = User.objects.active().filter(public_id=UUID(value)).first()
        except ValueError:
            user = None
        if user is None:
            raise ValidationError(_("Give the leads to nobody, by the rules, or to a person."))
        return user


class EmptySerializer(StrictSerializer):
    """No fields."""


class ColumnSerializer(serializers.Serializer):
    """A column of the file and where it goes."""

    name = serializers.CharField()
    samples = serializers.ListField(child=serializers.CharField())
    filled = serializers.IntegerField()
    type = serializers.CharField()
    field = serializers.CharField()


class AnalysisSerializer(serializers.Serializer):
    """What analysing would cost."""

    analyse = serializers.CharField()
    leads = serializers.IntegerField()
    price_usd = serializers.CharField()


class ImportSerializer(serializers.Serializer):
    """An import. Until it runs the figures are a forecast; created + updated + skipped + failed = total."""

    id = serializers.UUIDField()
    file_name = serializers.CharField()
    state = serializers.ChoiceField(ImportState.choices)
    work = serializers.ChoiceField(JobState.choices, help_text="of what was asked last: check or run")
    error = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())
    source = serializers.CharField()  # type: ignore[assignment]
    policy = serializers.ChoiceField(ImportPolicy.choices)
    analyse = serializers.CharField()
    assign = serializers.ChoiceField(ImportAssign.choices)
    assign_to = PersonSerializer(allow_null=True)
    rows_total = serializers.IntegerField()
    rows_done = serializers.IntegerField()
    rows_created = serializers.IntegerField()
    rows_updated = serializers.IntegerField()
    rows_skipped = serializers.IntegerField()
    rows_failed = serializers.IntegerField()
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class ImportDetailSerializer(ImportSerializer):
    """With its columns and what analysing its leads would cost."""

    columns = ColumnSerializer(many=True)
    analysis = AnalysisSerializer(many=True)


class ImportRowSerializer(serializers.Serializer):
    """What will become, or has become, of one row."""

    row = serializers.IntegerField()
    line = serializers.IntegerField()
    verdict = serializers.ChoiceField(Verdict.choices)
    column = serializers.CharField()
    message = serializers.CharField()
    lead = serializers.UUIDField(allow_null=True)


class RowFilter(filters.FilterSet):
    verdict = filters.ChoiceFilter(choices=Verdict.choices)


class ImportViewSet(ApiViewSet):
    """The caller's own imports; an admin's: all."""

    queryset = ImportJob.objects.none()
    serializer_class = ImportSerializer
    write_scope = "import"
    parser_classes: ClassVar[Any] = (StrictJSONParser, MultiPartParser)  # type: ignore[misc]

    def get_queryset(self) -> QuerySet[ImportJob]:
        return ImportJob.objects.visible_to(self.actor).select_related("source", "job", "assign_to")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what is too large before a byte of it is read."""
        super().initial(request, *args, **kwargs)
        length = str(request.META.get("CONTENT_LENGTH") or 0)
        most = settings.GARDENOS_IMPORT_MAX_MB * 1024 * 1024
        if length.isdigit() and int(length) > most + FORM_BYTES:
            raise FileTooLarge(_("The file is larger than %d MB.") % settings.GARDENOS_IMPORT_MAX_MB)

    @extend_schema(summary="List imports", responses=ImportSerializer(many=True))
    def list(self, request: Request) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([import_document(job) for job in rows or []])

    @extend_schema(summary="Read an import", responses=ImportDetailSerializer)
    def retrieve(self, request: Request, public_id: UUID) -> Response:
        return self.told(self.record())

    @extend_schema(
        summary="Upload a file",
        description="Columns are guessed unless `mapping` says otherwise. The check of all rows starts at"
        " once; no lead is written before `run`.",
        request={"multipart/form-data": UploadSerializer},
        responses={202: ImportDetailSerializer},
    )
    def create(self, request: Request) -> Response:
        body = self.checked(UploadSerializer)
        file = body.pop("file")
        job = upload_import(file, by=self.actor, file_name=file.name or "", **body)
        check_import(job.pk, by=self.actor)
        place = request.build_absolute_uri(f"{request.path}{job.public_id}/")
        return self.told(self.get_queryset().get(pk=job.pk), status=202, Location=place)

    @extend_schema(
        summary="Say what the columns are",
        description="The check of all rows starts again.",
        parameters=[if_match],
        request=MappingSerializer,
        responses={202: ImportDetailSerializer},
    )
    def partial_update(self, request: Request, public_id: UUID) -> Response:
        job_id, version = self.record_id(), required_version(request)
        body = self.checked(MappingSerializer)
        map_import(job_id, by=self.actor, version=version, **body)
        check_import(job_id, by=self.actor)
        return self.told(self.record(), status=202)

    @extend_schema(
        summary="Run an import",
        description="Writes what the check has shown. 409 while the check is still running.",
        request=RunSerializer,
        responses={202: ImportDetailSerializer},
    )
    def run(self, request: Request, public_id: UUID) -> Response:
        run_import(self.record_id(), by=self.actor, **self.checked(RunSerializer))
        return self.told(self.record(), status=202)

    @extend_schema(
        summary="Stop an import",
        description="Before it runs it is deleted; a running one keeps what it has written.",
        request=EmptySerializer,
        responses={202: ImportDetailSerializer, 204: OpenApiResponse(description="Deleted.")},
    )
    def cancel(self, request: Request, public_id: UUID) -> Response:
        self.checked(EmptySerializer)
        job = cancel_import(self.record_id(), by=self.actor)
        return Response(status=204) if job is None else self.told(self.record(), status=202)

    @extend_schema(
        summary="Download the rows with errors",
        responses={
            (200, "text/csv"): OpenApiResponse(str, description="Formulas are guarded by an apostrophe.")
        },
    )
    def errors(self, request: Request, public_id: UUID) -> StreamingHttpResponse:
        response = StreamingHttpResponse(problem_lines(self.record()), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="import-errors.csv"'
        return response

    def record(self) -> ImportJob:
        job = self.get_queryset().filter(public_id=self.kwargs["public_id"]).first()
        if job is None:
            raise Http404
        return job

    def told(self, job: ImportJob, *, status: int = 200, **headers: str) -> Response:
        document = import_document(job) | {
            "columns": [
                {name: column[name] for name in ("name", "samples", "filled", "type")}
                | {"field": job.mapping.get(column["name"], "")}
                for column in job.columns
            ],
            "analysis": [
                {"analyse": choice.value, "leads": choice.leads, "price_usd": str(choice.price_usd)}
                for choice in analysis_choices(job)
            ],
        }
        return Response(document, status=status, headers={"ETag": etag_of(job.version), **headers})


class ImportRowViewSet(ApiViewSet):
    """The rows of one import, in the order of the file."""

    queryset = ImportRow.objects.none()
    serializer_class = ImportRowSerializer
    filterset_class = RowFilter
    orderings: ClassVar[Any] = (Ordering("row_no"),)

    @extend_schema(summary="List the rows of an import", responses=ImportRowSerializer(many=True))
    def list(self, request: Request, public_id: UUID) -> Response:
        job = ImportJob.objects.visible_to(self.actor).filter(public_id=public_id).first()
        if job is None:
            raise Http404
        columns = ["id", "row_no", "line_no", "verdict", "field", "message"]
        if rows_of(job).model is ImportRow:
            columns.append("lead__public_id")
        rows = self.paginate_queryset(self.filter_queryset(rows_of(job).order_by()).values(*columns))
        return self.get_paginated_response([row_document(row) for row in rows or []])


def import_document(job: ImportJob) -> dict[str, Any]:
    """The JSON form of an import."""
    return {
        "id": job.public_id,
        "work": job.job.state,
        "source": job.source.name if job.source else "",
        "assign_to": job.assign_to and {"id": job.assign_to.public_id, "name": job.assign_to.name},
        **{
            name: getattr(job, name)
            for name in (
                "file_name",
                "state",
                "error",
                "warnings",
                "policy",
                "analyse",
                "assign",
                "rows_total",
                "rows_done",
                "rows_created",
                "rows_updated",
                "rows_skipped",
                "rows_failed",
                "version",
                "created_at",
                "finished_at",
            )
        },
    }


def row_document(row: dict[str, Any]) -> dict[str, Any]:
    """The JSON form of a row of the file."""
    return {
        "row": row["row_no"],
        "line": row["line_no"],
        "verdict": row["verdict"],
        "column": row["field"],
        "message": row["message"],
        "lead": row.get("lead__public_id"),
    }
