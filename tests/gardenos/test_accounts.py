"""Signing in: limits, and where it leads."""

import pytest
from django.core.cache import cache
from django.test import Client

from tests.factories import make_user

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()
    yield
    cache.clear()


def sign_in(email: str, password: str, **more: str) -> int:
    return Client().post(LOGIN, {"login": email, "password": password, **more}).status_code


def test_ten_wrong_passwords_close_the_account_for_a_while_and_nobody_elses():
    for email in ("ida@example.org", "bob@example.org"):
        user = make_user(email=email)
        user.set_password("a-long-password-of-ida")
        user.save()
    assert {sign_in("ida@example.org", f"wrong {n}") for n in range(10)} == {200}
    assert sign_in("ida@example.org", "a-long-password-of-ida") == 200
    assert sign_in("bob@example.org", "a-long-password-of-ida") == 302


@pytest.mark.parametrize("target", ["//[", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_to_this_site_only(target):
    user = make_user(email="ida@example.org")
    user.set_password("a-long-password-of-ida")
    user.save()
    assert Client().get(LOGIN, {"next": target}).status_code == 200
    credentials = {"login": "ida@example.org", "password": "a-long-password-of-ida", "next": target}
    answer = Client().post(LOGIN, credentials)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
