"""Signing in: limits, and where it leads."""

import re

import pytest
from django.core.cache import cache
from django.test import Client

from tests.factories import make_admin, make_user

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


def test_a_wrong_password_is_answered_with_what_to_do():
    answer = Client().post(LOGIN, {"login": "ida@example.org", "password": "wrong"})
    assert "E-mail address or password is wrong. Try again" in answer.content.decode()


@pytest.mark.parametrize("target", ["//[", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_to_this_site_only(target):
    user = make_user(email="ida@example.org")
    user.set_password("a-long-password-of-ida")
    user.save()
    assert Client().get(LOGIN, {"next": target}).status_code == 200
    credentials = {"login": "ida@example.org", "password": "a-long-password-of-ida", "next": target}
    answer = Client().post(LOGIN, credentials)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


@pytest.mark.parametrize(
    ("email", "subject"),
    [
        ("ida@example.org", "Set a new password for GardenOS"),
        ("nobody@example.org", "No GardenOS account with this address"),
    ],
)
def test_a_forgotten_password_is_answered_in_our_own_words(mailoutbox, email, subject):
    make_user(email="ida@example.org")
    answer = Client().post("/accounts/password/reset/", {"email": email})
    assert answer.headers["Location"] == "/accounts/password/reset/done/"
    (mail,) = mailoutbox
    assert mail.subject == subject
    assert "sign up" not in mail.body
    links = re.findall(r"http://\S+", mail.body)
    assert len(links) == (1 if email == "ida@example.org" else 0)
    assert all(Client().get(link, follow=True).status_code == 200 for link in links)


def test_reset_mails_to_one_address_are_limited(mailoutbox):
    make_user(email="ida@example.org")
    for _again in range(8):
        Client().post("/accounts/password/reset/", {"email": "ida@example.org"})
    assert len(mailoutbox) == 5


def test_a_reset_link_ends_after_an_hour(mailoutbox, settings):
    make_user(email="ida@example.org")
    Client().post("/accounts/password/reset/", {"email": "ida@example.org"})
    (link,) = re.findall(r"http://\S+", mailoutbox[0].body)
    assert settings.PASSWORD_RESET_TIMEOUT == 3600
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert "This link no longer works" in Client().get(link, follow=True).content.decode()
    settings.PASSWORD_RESET_TIMEOUT = 3600
    assert "Set a new password" in Client().get(link, follow=True).content.decode()


def test_a_changed_password_ends_every_other_session():
    user = make_user(email="ida@example.org")
    user.set_password("a-long-password-of-ida")
    user.save()
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.post(LOGIN, {"login": "ida@example.org", "password": "a-long-password-of-ida"})
        assert client.get("/").status_code == 200
    form = {"oldpassword": "a-long-password-of-ida", "password1": "short", "password2": "short"}
    assert "at least 12" in here.post("/accounts/password/change/", form).content.decode()
    form |= {"password1": "another wheelbarrow", "password2": "another wheelbarrow"}
    here.post("/accounts/password/change/", form)
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


@pytest.mark.parametrize("path", ["signup/", "email/", "confirm-email/", "confirm-email/abc/"])
def test_nobody_signs_up_or_changes_an_address_past_the_actions(path: str):
    client = Client()
    client.force_login(make_admin())
    assert client.get(f"/accounts/{path}").status_code == 404
    assert client.post(f"/accounts/{path}", {"email": "x@example.com", "action_add": ""}).status_code == 404
