"""Callers of the API, and the addresses of a probe that stands on its base."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest
from django.test import Client

from crm.actions.tokens import create_token
from crm.models import Role, User
from crm.permissions import SCOPES
from tests.factories import make_user

PROBLEM = {"type", "title", "status", "code", "detail", "errors", "request_id"}


class Caller(Client):
    """A test client that speaks JSON: `caller.post(path, {...})`; `headers=` as in Django's."""

    def send(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        return self.generic(
            method, path, b"" if body is None else _bytes(body), content_type="application/json", **extra
        )


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else orjson.dumps(body)


@pytest.fixture
def token_caller() -> Callable[..., Caller]:
    """A caller with a fresh token of the user; all scopes unless told."""

    def make(user: User, scopes: Iterable[str] = SCOPES) -> Caller:
        _token, text = create_token(user, name="Test", scopes=scopes)
        return Caller(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)

    return make


@pytest.fixture(autouse=True)
def _only_the_api(settings: Any) -> None:
    """The middleware that the API needs; the whole site's is shown by tests/gardenos."""
    settings.MIDDLEWARE = [
        "crm.api.request_ids.RequestIdMiddleware",
        "crm.api.problems.ApiProblemMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, whole; returns the document."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) >= PROBLEM
    assert (body["status"], body["code"]) == (status, code), body
    assert body["request_id"] == response["X-Request-ID"]
    return body


def fields(body: dict[str, Any]) -> list[str]:
    """Names of the fields that a problem complains about."""
    return [error["field"] for error in body["errors"]]


@pytest.fixture
def admin(db: None) -> User:
    return make_user(Role.ADMIN)


@pytest.fixture
def api(admin: User, token_caller: Callable[..., Caller]) -> Caller:
    """An admin's program with every scope."""
    return token_caller(admin)
