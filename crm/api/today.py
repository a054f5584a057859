"""/api/v1/today/: whom to answer next, and why."""

from datetime import datetime
from typing import Any, cast

from django.core import signing
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from crm import clock
from crm.api.base import ApiView
from crm.api.documents import NamedSerializer
from crm.api.paging import CURSOR, DEFAULT_LIMIT, LIMIT, MAX_LIMIT, read_limit
from crm.figures.today import Entry, today_page
from crm.models import LeadStatus, NextActionKind, TaskKind, TodayReason, TodayRow, User
from crm.models.today import MINE, TEAM

REASONS = [reason.name.lower() for reason in TodayReason]
_signer = signing.Signer(salt="crm.api.today")


class TodayLeadSerializer(serializers.Serializer):
    """The lead of a row, with what tells why it stands there."""

    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    company = serializers.CharField()
    status = serializers.ChoiceField(LeadStatus.choices)
    score = serializers.IntegerField(allow_null=True)
    answer_due_at = serializers.DateTimeField(allow_null=True)
    next_action_at = serializers.DateTimeField(allow_null=True)
    next_action_kind = serializers.ChoiceField(NextActionKind.choices, allow_blank=True)


class TodayTaskSerializer(serializers.Serializer):
    """The task of a row; that of a lead stands beside its lead."""

    id = serializers.UUIDField(source="public_id")
    title = serializers.CharField()
    kind = serializers.ChoiceField(TaskKind.choices)
    due_at = serializers.DateTimeField()


class TodayOpportunitySerializer(serializers.Serializer):
    """The opportunity of a row."""

    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    stage = NamedSerializer(help_text="where nothing happens")
    amount = serializers.DecimalField(max_digits=14, decimal_places=2, allow_null=True)
    currency = serializers.CharField()
    last_event_at = serializers.DateTimeField()


class TodayEntrySerializer(serializers.Serializer):
    """One row. At least one of lead, task and opportunity is there."""

    reason = serializers.ChoiceField(REASONS, help_text="the weightiest; rows come in this order")
    since = serializers.DateTimeField(
        help_text="since when; of an answer, a plan and a task: when it is or was due"
    )
    lead = TodayLeadSerializer(allow_null=True)
    task = TodayTaskSerializer(allow_null=True)
    opportunity = TodayOpportunitySerializer(allow_null=True)


class TodaySerializer(serializers.Serializer):
    """A page, in the order of weight. It may hold fewer rows than `limit` and still have a next one."""

    next = serializers.URLField(allow_null=True)
    results = TodayEntrySerializer(many=True)


class TodayView(ApiView):
    """The same rows as the screen's, a page at a time."""

    query_parameters = frozenset({"scope", LIMIT, CURSOR})

    @extend_schema(
        summary="Whom to answer next, and why",
        parameters=[
            OpenApiParameter(
                "scope",
                {"type": "string", "enum": [MINE, TEAM], "default": MINE},
                description="one's own and the pools, or all that one may see",
            ),
            OpenApiParameter(
                LIMIT, {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
            ),
            OpenApiParameter(CURSOR, str, description="From `next` of another page."),
        ],
        responses=TodaySerializer,
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        scope = asked.get("scope", MINE)
        if scope not in {MINE, TEAM}:
            raise ValidationError({"scope": _("One of: %(names)s.") % {"names": f"{MINE}, {TEAM}"}})
        after = _read_cursor(asked[CURSOR], scope) if CURSOR in asked else None
        user = cast(User, request.user)  # IsAuthenticated
        page = today_page(user, scope, now=clock.now(), after=after, limit=read_limit(asked.get(LIMIT)))
        following = None
        if page.after is not None:
            cursor = _write_cursor(page.after, scope)
            following = replace_query_param(request.build_absolute_uri(), CURSOR, cursor)
        rows = TodayEntrySerializer([_document(entry) for entry in page.entries], many=True).data
        return Response({"next": following, "results": rows})


def _document(entry: Entry) -> dict[str, Any]:
    assert entry.reason is not None  # a page holds what stands on Today
    card = entry.opportunity
    return {
        "reason": entry.reason.name.lower(),
        "since": entry.since,
        "lead": entry.lead,
        "task": entry.task,
        "opportunity": card
        and {
            **{name: getattr(card, name) for name in ("public_id", "name", "amount", "currency")},
            "last_event_at": card.last_event_at,
            "stage": {"id": card.stage.public_id, "name": card.stage.name},
        },
    }


def _write_cursor(row: TodayRow, scope: str) -> str:
    return _signer.sign_object([scope, row.reason, row.since.isoformat(), row.kind, row.id])


def _read_cursor(text: str, scope: str) -> TodayRow:
    """Raises ValidationError for what we did not write, and for a cursor of the other scope."""
    try:
        of, reason, since, kind, row_id = _signer.unsign_object(text)
    except (signing.BadSignature, ValueError) as error:
        raise ValidationError({CURSOR: _("This cursor is not one of ours.")}) from error
    if of != scope:
        raise ValidationError({CURSOR: _("This cursor belongs to another scope.")})
    return TodayRow(reason, datetime.fromisoformat(since), kind, row_id)
