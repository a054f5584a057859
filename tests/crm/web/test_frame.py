"""The frame around every page: sign-in, navigation, theme, time zone, safety of its HTML."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from crm.models import Role, Theme
from tests.crm.web.pages import signed_in
from tests.factories import PASSWORD, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
PAGES = ("/", "/leads/", "/leads/new/", "/imports/", "/me/")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_for_a_sign_in_first(path):
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_stands_with_no_data_at_all(path):
    assert signed_in(make_admin()).get(path).status_code == 200


def test_signing_in_with_the_right_password_leads_to_today():
    user = make_user()
    answer = Client().post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_signing_in_with_a_wrong_password_says_so_and_keeps_the_address():
    user = make_user()
    answer = Client().post("/accounts/login/", {"login": user.email, "password": "wrong"})
    assert answer.status_code == 200
    html = answer.content.decode()
    assert 'role="alert"' in html
    assert f'value="{user.email}"' in html


@pytest.mark.parametrize("path", [*PAGES, "/accounts/login/"])
def test_no_page_holds_inline_script_or_style(path):
    team = make_team()
    user = make_user(Role.MANAGER, team=team)
    make_lead(team=team, score=80, score_source="rules")
    html = (Client() if "login" in path else signed_in(user)).get(path).content.decode()
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|javascript:", html)


def test_no_template_holds_inline_script_or_style_or_marks_text_safe():
    root = Path(settings.BASE_DIR) / "templates"
    for file in root.rglob("*.html"):
        if "admin" in file.parts:
            continue
        text = file.read_text()
        found = re.search(
            r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|\|safe\b|autoescape off|hx-on", text
        )
        assert not found, f"{file.relative_to(root)}: {found.group()}"


def test_the_theme_is_set_by_the_server():
    user = make_user(theme=Theme.DARK)
    assert 'data-theme="dark"' in signed_in(user).get("/").content.decode()


def test_switching_the_theme_is_kept_and_makes_a_cookie_for_the_sign_in_page():
    user = make_user()
    client = signed_in(user)
    client.post("/me/theme/", {"theme": "dark", "next": "/leads/"})
    user.refresh_from_db()
    assert user.theme == Theme.DARK
    del client.cookies[settings.SESSION_COOKIE_NAME]
    assert 'data-theme="dark"' in client.get("/accounts/login/").content.decode()


def test_an_unknown_theme_is_not_found():
    assert signed_in(make_user()).post("/me/theme/", {"theme": "pink"}).status_code == 404


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "\t//evil.example"]
)
def test_a_form_never_sends_people_to_another_site(target):
    answer = signed_in(make_user()).post("/me/theme/", {"theme": "dark", "next": target})
    assert answer["Location"] == "/"


def test_times_are_shown_in_the_persons_zone():
    make_lead(name="Clock Lead")
    user = make_admin(time_zone="Pacific/Auckland")
    html = signed_in(user).get("/leads/").content.decode()
    assert "Clock Lead" in html


def test_a_broken_time_zone_falls_back_to_utc():
    assert signed_in(make_admin(time_zone="Mars/Olympus")).get("/").status_code == 200


def test_a_read_only_person_is_not_offered_an_import():
    html = signed_in(make_user(Role.READ_ONLY)).get("/").content.decode()
    assert 'href="/imports/"' not in html


def test_vendored_files_are_what_their_list_says():
    import hashlib

    vendor = Path(settings.BASE_DIR) / "static" / "vendor"
    listed = dict(
        reversed(line.split(maxsplit=1)) for line in (vendor / "SHA256SUMS").read_text().splitlines()
    )
    files = {str(f.relative_to(vendor)) for f in vendor.rglob("*") if f.is_file() and f.name != "SHA256SUMS"}
    assert files == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_a_page_that_does_not_exist_says_so_in_our_look():
    answer = signed_in(make_user()).get("/no/such/page/")
    assert answer.status_code == 404
    assert "Nothing here" in answer.content.decode()
