"""What every API view stands on. The API doors of both apps import this module and nothing beside it.

A request is identified, authenticated, counted, checked for rights and for unknown parameters; a write then
runs in one transaction, once for its Idempotency-Key. Views only check the shape and call an action.
"""

from functools import partial
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers, viewsets
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from crm.api.filters import StrictFilterBackend, filter_names, moment_of, refuse_unknown
from crm.api.idempotency import answer_once, key_of
from crm.api.paging import CURSOR, LIMIT, ORDERING, KeysetPagination, Ordering
from crm.api.preconditions import etag_of, required_version
from crm.api.problems import PreconditionRequired
from crm.api.rate_limits import Rate, count_hit
from crm.api.request_ids import current_request_id
from crm.models import Actor, ApiToken, Undo
from crm.models.hidden import hide
from crm.permissions import sees_addresses

__all__ = [
    "ApiView",
    "ApiViewSet",
    "KeysetPagination",
    "Ordering",
    "PreconditionRequired",
    "StrictSerializer",
    "TextField",
    "TimeField",
    "UndoSerializer",
    "WholeNumberField",
    "actor_of",
    "checked_body",
    "current_request_id",
    "etag_of",
    "if_match",
    "required_version",
    "undo_document",
]


def actor_of(request: Request) -> Actor:
    """Who acts: the person of the session, or the token on its owner's rights."""
    if isinstance(request.auth, ApiToken):
        return Actor.api(request.user, label=request.auth.name, scopes=frozenset(request.auth.scopes))  # type: ignore[arg-type]
    return Actor.of(request.user)  # type: ignore[arg-type]


class HasScope(BasePermission):
    """A token may do what its scopes name; a person in a browser has no scopes, only a role."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ApiToken):
            return True
        scope = view.read_scope if request.method in SAFE_METHODS else view.write_scope
        self.message = _("This token lacks the scope %(scope)s.") % {"scope": scope}
        self.code = "scope_missing"
        return scope in request.auth.scopes


class ApiViewMixin:
    """The way of a request, see the module's docstring."""

    permission_classes: ClassVar[Any] = (IsAuthenticated, HasScope)
    read_scope = "read"
    write_scope = "write"
    query_parameters: ClassVar[frozenset[str]] = frozenset()  # beyond filters and paging
    repeatable_parameters: ClassVar[frozenset[str]] = frozenset()
    rate: Rate | None = None
    request: Request

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """As DRF's own, but the handler runs in `respond`."""
        self.args, self.kwargs = args, kwargs
        self.headers = self.default_response_headers  # type: ignore[attr-defined]
        self.request = drf_request = self.initialize_request(request, *args, **kwargs)  # type: ignore[attr-defined]
        try:
            self.initial(drf_request, *args, **kwargs)
            response = self.respond(drf_request)
        except Exception as error:
            response = self.handle_exception(error)  # type: ignore[attr-defined]
        self.response = self.finalize_response(drf_request, response, *args, **kwargs)
        return self.response

    def perform_authentication(self, request: Request) -> None:
        """Every known caller is counted, whatever comes of the request; what they may not see is hidden."""
        super().perform_authentication(request)  # type: ignore[misc]
        if request.auth is not None:
            self.rate = count_hit(f"token:{request.auth.pk}")
        elif request.user.is_authenticated:
            self.rate = count_hit(f"user:{request.user.pk}")
        if self.rate:
            self.rate.refuse_if_spent()
        if request.user.is_authenticated:
            hide(not sees_addresses(request.user))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        refuse_unknown(request, self.known_parameters(), repeatable=self.repeatable_parameters)

    def known_parameters(self) -> set[str]:
        """Names that the query string may hold."""
        if getattr(self, "action", None) != "list":
            return set(self.query_parameters)
        return {LIMIT, CURSOR, ORDERING, *filter_names(self), *self.query_parameters}

    def respond(self, request: Request) -> Response:
        """Run the handler; a write in one transaction, so that a refusal leaves nothing behind."""
        method = (request.method or "").lower()
        is_known = method in self.http_method_names  # type: ignore[attr-defined]
        handler = getattr(self, method, None) if is_known else None
        if handler is None:
            self.http_method_not_allowed(request)  # type: ignore[attr-defined]
        answer = partial(handler, request, *self.args, **self.kwargs)  # type: ignore[misc, arg-type]
        if request.method in SAFE_METHODS:
            return answer()
        key = key_of(request) if request.method == "POST" else ""
        with transaction.atomic():
            return answer_once(request, key, answer) if key else answer()

    def finalize_response(
        self, request: Request, response: HttpResponse, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if self.rate:
            for name, value in self.rate.headers.items():
                response[name] = value
        response.headers.setdefault("Cache-Control", "no-store")
        return response


class ApiView(ApiViewMixin, APIView):  # type: ignore[misc]
    """One address with its methods."""


class ApiViewSet(ApiViewMixin, viewsets.GenericViewSet):  # type: ignore[misc]
    """A collection and its records: `list` pages by keyset over `orderings`, the first is the default."""

    orderings: ClassVar[tuple[Ordering, ...]] = (Ordering("created_at", descending=True),)
    filter_backends = (StrictFilterBackend,)
    lookup_field = "public_id"

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def record_id(self) -> int:
        """The key of the record in the address. Raises Http404 for what the caller may not see."""
        pk = (
            self.get_queryset()
            .filter(public_id=self.kwargs["public_id"])
            .values_list("pk", flat=True)
            .first()
        )
        if pk is None:
            raise Http404
        return pk

    def checked(self, serializer_class: type["StrictSerializer"]) -> dict[str, Any]:
        return checked_body(self.request, serializer_class)


def checked_body(request: Request, serializer_class: type["StrictSerializer"]) -> dict[str, Any]:
    """The body's values. Raises ValidationError (400) naming every field that is wrong."""
    body = serializer_class(data=request.data, context={"request": request})
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


if_match = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=True, description="The ETag of the version you read."
)


class UndoSerializer(serializers.Serializer):
    """POST to /api/v1/undo/<id>/ before `expires_at` to take the change back."""

    id = serializers.UUIDField()
    label = serializers.CharField()  # type: ignore[assignment]
    expires_at = serializers.DateTimeField()


def undo_document(record: Model) -> dict[str, Any] | None:
    """How to take back what an action just did to this record, or None when it cannot be."""
    undo: Undo | None = getattr(record, "undo_offer", None)
    if undo is None:
        return None
    return {"id": undo.public_id, "label": undo.label, "expires_at": undo.expires_at}


class StrictSerializer(serializers.Serializer):
    """Checks a body: a name it does not know is an error, not a silent loss (THREATS T4)."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = [name for name in data if name not in self.fields or self.fields[name].read_only]
            if unknown:
                reason = serializers.ErrorDetail(_("There is no such field here."), code="unknown")
                raise serializers.ValidationError({name[:100]: [reason] for name in unknown})
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Text, and only text: DRF's own also takes numbers."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TimeField(serializers.DateTimeField):
    """A time with its offset (RFC 3339); answers are in UTC."""

    def to_internal_value(self, value: Any) -> Any:
        moment = moment_of(value) if isinstance(value, str) else None
        if moment is None:
            self.fail("invalid", format="2026-03-01T09:00:00Z")
        return moment


class WholeNumberField(serializers.IntegerField):
    """A number without a point, as a JSON number: DRF's own also takes texts and truth values."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data
