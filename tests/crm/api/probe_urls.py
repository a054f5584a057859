"""A small API on crm.api.base, to test the base by itself."""

from typing import Any

from django.db import DataError, connection
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.base import ApiView, ApiViewSet, Ordering, StrictSerializer, TextField, TimeField
from crm.errors import TransitionRefused
from crm.models import Lead, Team


class TeamSerializer(StrictSerializer):
    name = TextField(max_length=120)
    at = TimeField(required=False)
    extra = serializers.JSONField(required=False)


class TeamsView(ApiView):
    """Makes teams."""

    def get(self, request: Request) -> Response:
        return Response({"teams": Team.objects.count()})

    def post(self, request: Request) -> Response:
        body = TeamSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        team = Team.objects.create(name=body.validated_data["name"])
        if team.name == "refused":
            raise TransitionRefused("not now", field="name")
        return Response({"id": team.public_id}, status=201, headers={"ETag": '"1"'})


class FailingView(ApiView):
    """Fails as told."""

    def post(self, request: Request) -> Response:
        Team.objects.create(name="never")
        if request.data.get("how") == "data":
            raise DataError("too long")
        if request.data.get("how") == "database":
            with connection.cursor() as cursor:
                cursor.execute("SELECT repeat('x', 10)::int")
        raise ZeroDivisionError


class LeadsView(ApiViewSet):
    """Pages of leads."""

    orderings = (
        Ordering("created_at", descending=True),
        Ordering("score", descending=True, nullable=True),
        Ordering("score", nullable=True),
    )

    def list(self, request: Request) -> Response:
        rows = self.paginate_queryset(Lead.objects.values("id", "name", "score", "created_at"))
        return self.get_paginated_response([row["name"] for row in rows or []])


urlpatterns: list[Any] = [
    path("api/v1/teams/", TeamsView.as_view()),
    path("api/v1/fail/", FailingView.as_view()),
    path("api/v1/leads/", LeadsView.as_view({"get": "list"})),
]
