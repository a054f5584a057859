"""The API's description: /api/v1/openapi.json (OpenAPI 3.1), and a page that reads it to people."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import View
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from crm.api.base import ApiView
from crm.api.problems import problem_codes
from crm.api.strict_json import dumps


class TokenScheme(OpenApiAuthenticationExtension):
    """How TokenAuthentication is described."""

    target_class = "crm.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "gos_<key>_<secret>"}


class SessionScheme(OpenApiAuthenticationExtension):
    """How SessionAuthentication is described."""

    target_class = "crm.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The signed-in browser; writes also need X-CSRFToken.",
        }


@cache
def openapi_document() -> dict[str, Any]:
    """The whole description. Built once in a process: it depends on code alone."""
    return SchemaGenerator().get_schema(request=None, public=True)


@cache
def _openapi_bytes() -> bytes:
    return dumps(openapi_document())


class OpenApiView(ApiView):
    """The description itself. It is the same for everybody and holds no data, so nobody needs to sign in."""

    authentication_classes = ()  # type: ignore[misc]
    permission_classes = (AllowAny,)  # type: ignore[misc]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(_openapi_bytes(), headers={"Cache-Control": "public, max-age=300"})


class DocsView(View):
    """The same for people: addresses, parameters, and every problem code. No script, nothing from outside."""

    def get(self, request: HttpRequest) -> HttpResponse:
        document = openapi_document()
        context = {
            "document": document,
            "operations": list(_operations(document)),
            "problems": problem_codes(),
        }
        # without the request: the page needs no session, so it must not start one
        return HttpResponse(render_to_string("crm/api_docs.html", context))


def _operations(document: dict[str, Any]) -> Any:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parameters = [p for p in operation.get("parameters", ()) if p["in"] in {"query", "header"}]
            bodies = operation.get("requestBody", {}).get("content", {})
            yield {
                "method": method.upper(),
                "path": path,
                "operation": operation,
                "parameters": parameters,
                "fields": [field for body in bodies.values() for field in _fields(document, body["schema"])],
                "answers": sorted(operation["responses"].items()),
            }


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, type and need of each field of a body."""
    name = schema.get("$ref", "").rpartition("/")[2]
    described = document["components"]["schemas"].get(name, schema)
    required = set(described.get("required", ()))
    return [
        {"name": field, "schema": inner, "is_required": field in required}
        for field, inner in described.get("properties", {}).items()
    ]
