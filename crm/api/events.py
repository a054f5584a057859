"""/api/v1/events/: the live feed for whoever cannot hold a socket open. The same frames, the same cursor."""

from typing import ClassVar, cast

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from crm import feed
from crm.api.base import ApiView, actor_of
from crm.models import User


class FeedEventSerializer(serializers.Serializer):
    """One thing that happened: what kind, and the public ids it is about."""

    seq = serializers.CharField(help_text="the cursor after this event")
    type = serializers.CharField(help_text="for example lead.scored")
    topic = serializers.CharField()
    ids = serializers.DictField(child=serializers.CharField())


class FeedSerializer(serializers.Serializer):
    """What followed a cursor."""

    results = FeedEventSerializer(many=True)
    seq = serializers.CharField(help_text="send it as `since` the next time")
    more = serializers.BooleanField(help_text="there is more: ask again at once")
    resync = serializers.BooleanField(help_text="events are missing in between: read everything anew")


class EventsView(ApiView):
    """Ask every 15 seconds. Events are kept for 24 hours."""

    query_parameters = frozenset({"topic", "since"})
    repeatable_parameters: ClassVar[frozenset[str]] = frozenset({"topic"})

    @extend_schema(
        summary="What happened since",
        parameters=[
            OpenApiParameter(
                "topic",
                {"type": "array", "items": {"type": "string"}, "maxItems": feed.MOST_TOPICS},
                required=True,
                explode=True,
                description="today, agents, lead:<id>, import:<id> or job:<id>; may be repeated",
            ),
            OpenApiParameter(
                "since", str, description="`seq` of the last answer; without it only a cursor is given"
            ),
        ],
        responses=FeedSerializer,
    )
    def get(self, request: Request) -> Response:
        user = cast(User, request.user)  # IsAuthenticated
        topics = feed.checked_topics(request.query_params.getlist("topic"))
        since = request.query_params.get("since")
        if not feed.may_follow(actor_of(request), topics):
            raise Http404
        if since is None:
            return self._answer(feed.Page([], feed.current()))
        page = feed.read(feed.Cursor.parse(since), topics=topics)
        heard_by = feed.audience(page.events, [user])
        events = [event for event in page.events if user.pk in heard_by[event.at]]
        return self._answer(page, events)

    def _answer(self, page: feed.Page, events: list[feed.Event] | None = None) -> Response:
        return Response(
            {
                "results": [event.frame(page.cursor.epoch) for event in events or []],
                "seq": str(page.cursor),
                "more": page.is_full,
                "resync": page.is_gap,
            }
        )
