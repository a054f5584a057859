"""Every refusal under /api/ is one RFC 9457 problem document, whoever refused.

`type, title, status, code, detail, errors[], request_id`: `code` is for programs and stable, `title` and
`detail` are for people, `errors` names fields. A conflict of versions also carries `current`.
"""

import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions
from rest_framework.response import Response

from crm.api.request_ids import current_request_id
from crm.api.strict_json import BodyTooLarge, dumps
from crm.errors import RETRY_AFTER_S, CRMError, VersionConflict, is_outage

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
API_PREFIX = "/api/"
TYPE_PREFIX = "/api/v1/docs/#problem-"
NON_FIELD = "non_field_errors"


class PreconditionRequired(exceptions.APIException):
    """The request must say, in If-Match, which version it changes (RFC 6585 section 3)."""

    status_code = 428
    default_code = "precondition_required"
    default_detail = gettext_lazy("Send If-Match with the ETag of the version you read.")


class ServiceUnavailable(exceptions.APIException):
    """The database does not answer, or only for reading."""

    status_code = 503
    default_code = "unavailable"
    default_detail = gettext_lazy(
        "The database is not available for a moment. Try again soon, with the same Idempotency-Key."
    )


def problem(
    status: int,
    code: str,
    detail: str = "",
    *,
    title: str = "",
    errors: list[dict[str, str]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The document itself."""
    return {
        "type": f"{TYPE_PREFIX}{code}",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "errors": errors or [],
        "request_id": current_request_id(),
        **more,
    }


def problem_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None (an unknown error) is raised on, logged by Django and answered 500."""
    if isinstance(exc, CRMError):
        return _respond(_of_domain(exc, context))
    known = _as_api_exception(exc)
    if known is None:
        return None
    headers = {}
    if challenge := getattr(known, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(known, ServiceUnavailable):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    elif (wait := getattr(known, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    return _respond(_of_api_exception(known), headers)


def _as_api_exception(exc: Exception) -> exceptions.APIException | None:
    """What DRF, Django and the database raise, as one family."""
    match exc:
        case exceptions.APIException():
            return exc
        case Http404() | ObjectDoesNotExist():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case DjangoValidationError():
            return exceptions.ValidationError(_django_messages(exc))
        case RequestDataTooBig():
            return BodyTooLarge()
        case SuspiciousOperation():
            return exceptions.ParseError(_("The request cannot be read."))
        case DataError():
            return exceptions.ValidationError(_("A value cannot be stored: too long, or out of range."))
        case IntegrityError():
            # A constraint stopped what a check should have refused with a better text: worth a log entry.
            logger.error("constraint refused an API write", exc_info=exc)
            return _Conflict()
        case _ if is_outage(exc):
            logger.error("database error during an API request: %s", type(exc).__name__)
            return ServiceUnavailable()
    return None


class _Conflict(exceptions.APIException):
    status_code = 409
    default_code = "conflict"
    default_detail = gettext_lazy("This contradicts what is stored.")


def _django_messages(exc: DjangoValidationError) -> Any:
    return exc.message_dict if hasattr(exc, "error_dict") else exc.messages


def _of_domain(exc: CRMError, context: dict[str, Any]) -> dict[str, Any]:
    """A refusal of the domain. The view turns a stale row into `current`, in the form its GET would have."""
    more: dict[str, Any] = {}
    view = context.get("view")
    if isinstance(exc, VersionConflict) and view is not None and hasattr(view, "current_document"):
        more["current"] = view.current_document()
    errors = [{"field": exc.field, "code": exc.code, "message": str(exc)}] if exc.field else []
    return problem(exc.status, exc.code, str(exc), title=str(exc.title), errors=errors, **more)


def _of_api_exception(exc: exceptions.APIException) -> dict[str, Any]:
    if isinstance(exc, exceptions.ValidationError):
        return problem(
            400, "invalid", _("The request has errors."), errors=list(field_errors(exc.get_full_details()))
        )
    detail = exc.detail
    code = getattr(detail, "code", None) or exc.default_code
    return problem(exc.status_code, code, str(detail))


def field_errors(details: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Flatten DRF's nested details to `{field, code, message}`; a field reads `rows[3].email`."""
    if _is_leaf(details):
        yield {"field": path, "code": details["code"] or "invalid", "message": str(details["message"])}
    elif isinstance(details, dict):
        for name, inner in details.items():
            name = "" if name == NON_FIELD else str(name)
            yield from field_errors(inner, f"{path}.{name}" if path and name else path or name)
    else:
        for index, inner in enumerate(details):
            yield from field_errors(inner, path if _is_leaf(inner) else f"{path}[{index}]")


def _is_leaf(details: Any) -> bool:
    """One error as DRF's get_full_details() gives it, and not an object with fields of these names."""
    return (
        isinstance(details, dict)
        and set(details) == {"message", "code"}
        and isinstance(details["message"], str)
    )


def _respond(document: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    response = Response(document, status=document["status"], headers=headers, content_type=CONTENT_TYPE)
    return response


def problem_codes() -> list[tuple[str, int, str]]:
    """(code, status, title) of every problem, for the page that `type` points to."""
    found: dict[str, tuple[int, str]] = {"invalid": (400, _("The request has errors."))}
    todo: list[Any] = [CRMError, exceptions.APIException]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if issubclass(kind, CRMError):
            found.setdefault(kind.code, (kind.status, str(kind.title)))
        elif "default_detail" in vars(kind) or "default_code" in vars(kind):
            title = str(getattr(kind, "default_detail", "")) or HTTPStatus(kind.status_code).phrase
            found.setdefault(kind.default_code, (kind.status_code, title))
    return sorted((code, *rest) for code, rest in found.items())


class ApiProblemMiddleware:
    """Turns what was refused outside DRF (no such route, bad host, a crash) into a problem document too."""

    CODES = {
        400: "bad_request",
        403: "permission_denied",
        404: "not_found",
        413: "body_too_large",
        503: ServiceUnavailable.default_code,
    }

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path_info.startswith(API_PREFIX):
            return response
        if response.status_code in {301, 302} and request.method not in {"GET", "HEAD"}:
            # CommonMiddleware adds a missing slash by a redirect that turns a POST into a GET.
            return self._problem(404, "not_found", _("The address of this resource ends in a slash."))
        is_bare_error = response.status_code >= 400 and "json" not in response.get("Content-Type", "")
        if not is_bare_error:
            return response
        code = self.CODES.get(response.status_code, "error")
        detail = ""
        if response.status_code == ServiceUnavailable.status_code:
            detail = str(ServiceUnavailable.default_detail)
        elif response.status_code >= 500:
            detail = _("Something went wrong on our side; the log has it under this request id.")
        return self._problem(response.status_code, code, detail, like=response)

    @staticmethod
    def _problem(status: int, code: str, detail: str, like: HttpResponse | None = None) -> HttpResponse:
        answer = HttpResponse(dumps(problem(status, code, detail)), status=status, content_type=CONTENT_TYPE)
        for name in ("Allow", "Retry-After", "WWW-Authenticate"):
            if like is not None and name in like:
                answer[name] = like[name]
        return answer
