"""Callers of the API, and the addresses of a probe that stands on its base."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.test import Client

from crm.actions.tokens import create_token
from crm.models import Role, User
from crm.permissions import SCOPES
from tests.factories import make_user


class Caller(Client):
    """A test client that speaks JSON: `caller.post(path, {...})`; `headers=` as in Django's."""

    def send(self, method: str, path: str, body: Any = None, **extra: Any) -> Any:
        return self.generic(
            method, path, b"" if body is None else _bytes(body), content_type="application/json", **extra
        )


def _bytes(body: Any) -> bytes:
    import orjson

    return body if isinstance(body, bytes) else orjson.dumps(body)


@pytest.fixture
def token_caller() -> Callable[..., Caller]:
    """A caller with a fresh token of the user; all scopes unless told."""

    def make(user: User, scopes: Iterable[str] = SCOPES) -> Caller:
        _token, text = create_token(user, name="Test", scopes=scopes)
        return Caller(headers={"Authorization": f"Bearer {text}"}, raise_request_exception=False)

    return make


@pytest.fixture
def admin(db: None) -> User:
    return make_user(Role.ADMIN)


@pytest.fixture
def api(admin: User, token_caller: Callable[..., Caller]) -> Caller:
    """An admin's program with every scope."""
    return token_caller(admin)
