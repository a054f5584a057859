"""/api/v1/undo/<id>/: take back what an answer offered to undo."""

from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from crm.actions.base import undo
from crm.api.base import ApiView, actor_of
from crm.models import Undo


class UndoneSerializer(serializers.Serializer):
    """What was taken back, and when."""

    id = serializers.UUIDField()
    label = serializers.CharField()  # type: ignore[assignment]
    undone_at = serializers.DateTimeField()


class UndoView(ApiView):
    """One's own last steps, for as long as they may be taken back."""

    @extend_schema(summary="Undo", request=None, responses=UndoneSerializer)
    def post(self, request: Request, public_id: UUID) -> Response:
        if not Undo.objects.filter(public_id=public_id, by=request.user).exists():  # type: ignore[misc]
            raise Http404
        row = undo(public_id, by=actor_of(request))
        return Response({"id": row.public_id, "label": row.label, "undone_at": row.undone_at})
