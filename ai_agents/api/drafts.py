"""/api/v1/agents/drafts/: what became of the agents' drafts, by prompt version."""

from datetime import timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ai_agents.actions.drafts import DraftFigures, draft_figures
from ai_agents.api.costs import since_of
from crm import clock
from crm.actions.follow_ups import RejectReason
from crm.api.base import ApiView

USUAL = timedelta(days=90)


class DismissalSerializer(serializers.Serializer):
    """How many drafts were dismissed for a reason."""

    reason = serializers.ChoiceField(RejectReason.choices)
    drafts = serializers.IntegerField()


class DraftFiguresSerializer(serializers.Serializer):
    """The drafts of one prompt version, as they stand now. Samples of the scripted model are left out."""

    prompt = serializers.CharField()
    drafted = serializers.IntegerField()
    needs_writing = serializers.IntegerField(help_text="refused by the checks, so that a person had to write")
    sent = serializers.IntegerField()
    as_drafted = serializers.IntegerField(help_text="sent without a word changed")
    edit_ratio = serializers.FloatField(
        allow_null=True, help_text="mean share of words changed in sent drafts, 0 to 1"
    )
    rejected = serializers.IntegerField()
    overtaken = serializers.IntegerField(help_text="out of date or expired before anybody decided")
    reasons = DismissalSerializer(many=True)


class DraftsSerializer(serializers.Serializer):
    """A period's drafts, the newest prompt first."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    prompts = DraftFiguresSerializer(many=True)


class DraftsView(ApiView):
    """What became of drafts."""

    query_parameters: ClassVar[frozenset[str]] = frozenset({"since"})

    @extend_schema(
        summary="What became of drafts",
        parameters=[OpenApiParameter("since", str, description="RFC 3339; the last 90 days without it.")],
        responses=DraftsSerializer,
    )
    def get(self, request: Request) -> Response:
        until = clock.now()
        since = since_of(request, until, usual=USUAL)
        found = draft_figures(since, until)
        return Response({"since": since, "until": until, "prompts": [_document(one) for one in found]})


def _document(one: DraftFigures) -> dict[str, Any]:
    names = (
        "prompt",
        "drafted",
        "needs_writing",
        "sent",
        "as_drafted",
        "edit_ratio",
        "rejected",
        "overtaken",
    )
    reasons = [{"reason": reason, "drafts": n} for reason, n in one.reasons.items()]
    return {name: getattr(one, name) for name in names} | {"reasons": reasons}
