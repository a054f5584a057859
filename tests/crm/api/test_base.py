"""What every address of the API promises: problems, strict bodies, rates, tokens."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from crm.actions.housekeeping import delete_expired
from crm.actions.tokens import create_token, revoke_token
from crm.models import Actor, ApiToken, RateHit, Role, Team, User
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import PASSWORD, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.crm.api.probe_urls")]


def test_a_good_request_is_answered(api: Caller):
    assert api.get("/api/v1/teams/").json() == {"teams": 0}
    assert api.send("POST", "/api/v1/teams/", {"name": "North"}).status_code == 201
    assert Team.objects.get().name == "North"


def test_every_refusal_is_a_problem_document(api: Caller):
    assert_problem(api.get("/api/v1/nothing/"), 404, "not_found")
    assert_problem(api.get("/api/other"), 404, "not_found")
    assert_problem(api.delete("/api/v1/teams/"), 405, "method_not_allowed")
    assert_problem(api.options("/api/v1/teams/"), 405, "method_not_allowed")
    assert_problem(api.post("/api/v1/teams/", "<a/>", content_type="text/xml"), 415, "unsupported_media_type")
    assert_problem(api.get("/api/v1/teams/", headers={"Accept": "text/html"}), 406, "not_acceptable")
    assert_problem(api.get("/api/v1/teams/", headers={"Host": "evil.example"}), 400, "bad_request")
    assert_problem(api.get("/api/v1/teams/?format=api"), 400, "invalid")


def test_a_post_without_the_closing_slash_is_not_turned_into_a_get(api: Caller):
    body = assert_problem(api.send("POST", "/api/v1/teams", {"name": "North"}), 404, "not_found")
    assert "slash" in body["detail"]


def test_an_unexpected_error_is_a_500_problem_without_its_text(api: Caller, caplog: Any):
    body = assert_problem(api.send("POST", "/api/v1/fail/", {}), 500, "error")
    assert "ZeroDivision" not in str(body)
    assert "ZeroDivisionError" in caplog.text
    assert Team.objects.count() == 0


@pytest.mark.parametrize("how", ["data", "database"])
def test_what_the_database_cannot_hold_is_the_callers_error(api: Caller, how: str):
    assert_problem(api.send("POST", "/api/v1/fail/", {"how": how}), 400, "invalid")
    assert Team.objects.count() == 0


def test_a_refusal_of_the_domain_keeps_its_code_and_names_its_field(api: Caller):
    body = assert_problem(api.send("POST", "/api/v1/teams/", {"name": "refused"}), 409, "transition_refused")
    assert body["errors"] == [{"field": "name", "code": "transition_refused", "message": "not now"}]
    assert Team.objects.count() == 0


def test_unknown_names_are_refused_in_body_and_query(api: Caller):
    body = assert_problem(api.send("POST", "/api/v1/teams/", {"name": "N", "owner": 1}), 400, "invalid")
    assert body["errors"] == [
        {"field": "owner", "code": "unknown", "message": "There is no such field here."}
    ]
    body = assert_problem(api.get("/api/v1/teams/?color=red"), 400, "invalid")
    assert fields(body) == ["color"]
    assert_problem(api.get("/api/v1/leads/?limit=5&limit=6"), 400, "invalid")


@pytest.mark.parametrize(
    ("raw", "status", "code", "named"),
    [
        (b"{", 400, "parse_error", []),
        (b'{"name": "N"', 400, "parse_error", []),
        (b"", 400, "invalid", ["name"]),
        (b"[]", 400, "invalid", [""]),
        (b"7", 400, "invalid", [""]),
        (b'{"name": NaN}', 400, "parse_error", []),
        (b'{"name": -Infinity}', 400, "parse_error", []),
        (b'{"extra": 1e999, "name": "N"}', 400, "parse_error", []),
        (b'{"extra": ' + b"9" * 31 + b', "name": "N"}', 400, "parse_error", []),
        (b'{"extra": ' + b"9" * 5000 + b', "name": "N"}', 400, "parse_error", []),
        (b'{"name": "N", "name": "M"}', 400, "invalid", ["name"]),
        (b'{"name": "a\\u0000b"}', 400, "invalid", ["name"]),
        (b'{"name": "N", "extra": {"a": ["\\ud800"]}}', 400, "invalid", ["extra.a[0]"]),
        (b'{"name": "N", "extra": {"a\\u0000": 1}}', 400, "invalid", ["extra.a\\0"]),
        (b'{"name": "N", "extra": ' + b"[" * 33 + b"]" * 33 + b"}", 400, "parse_error", []),
        (b'{"name": "N", "extra": ' + b"[" * 20000 + b"]" * 20000 + b"}", 400, "parse_error", []),
        ('{"name": "N"}'.encode("utf-16"), 400, "parse_error", []),
        (b'{"name": "\xff"}', 400, "parse_error", []),
        (b'\xef\xbb\xbf{"name": "N"}', 400, "parse_error", []),
        (b'{"name": 5}', 400, "invalid", ["name"]),
        (b'{"name": ["N"]}', 400, "invalid", ["name"]),
        (b'{"name": null}', 400, "invalid", ["name"]),
        (b'{"name": "' + b"x" * 121 + b'"}', 400, "invalid", ["name"]),
        (b'{"name": "N", "at": "2026-03-01T09:00:00"}', 400, "invalid", ["at"]),
        (b'{"name": "N", "at": "99999-01-01T00:00:00Z"}', 400, "invalid", ["at"]),
    ],
)
def test_a_bad_body_is_refused_by_name(api: Caller, raw: bytes, status: int, code: str, named: list[str]):
    assert fields(assert_problem(api.send("POST", "/api/v1/teams/", raw), status, code)) == named
    assert Team.objects.count() == 0


def test_a_body_in_another_encoding_or_too_long_is_refused(api: Caller, settings: Any):
    good = b'{"name": "N"}'
    for content_type in ("application/json; charset=utf-16", "application/json; charset=latin-1"):
        assert_problem(
            api.post("/api/v1/teams/", good, content_type=content_type), 415, "unsupported_media_type"
        )
    gzip = {"Content-Encoding": "gzip"}
    assert_problem(api.send("POST", "/api/v1/teams/", good, headers=gzip), 415, "unsupported_media_type")
    too_long = b'{"name": "N", "extra": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    assert_problem(api.send("POST", "/api/v1/teams/", too_long), 413, "body_too_large")
    content_type = "application/json; charset=UTF-8"
    assert api.post("/api/v1/teams/", good, content_type=content_type).status_code == 201


def test_a_request_id_is_kept_if_it_is_harmless(api: Caller):
    kept = api.get("/api/v1/teams/", headers={"X-Request-ID": "my-trace.12345"})
    assert kept["X-Request-ID"] == "my-trace.12345"
    replaced = api.get("/api/v1/teams/", headers={"X-Request-ID": "x\x1b[31m forged log line"})
    assert len(replaced["X-Request-ID"]) == 32


# --- tokens and sessions ----------------------------------------------------------------------------------


def test_no_token_and_a_bad_token_are_401_with_the_scheme_to_use(admin: User):
    _token, text = create_token(admin, name="T", scopes=["read"])
    wrong_secret = text[:-1] + ("a" if text[-1] != "a" else "b")
    for header in ("", "Bearer", "Bearer x", f"Bearer {wrong_secret}", f"Basic {text}", f"Bearer {text} x"):
        response = Client().get("/api/v1/teams/", headers={"Authorization": header} if header else {})
        assert_problem(response, 401, "authentication_failed" if header else "not_authenticated")
        assert response["WWW-Authenticate"].startswith("Bearer")
    assert Client().get("/api/v1/teams/", headers={"Authorization": f"bearer {text}"}).status_code == 200


def test_a_revoked_expired_or_orphaned_token_opens_nothing(admin: User):
    token, text = create_token(admin, name="T", scopes=["read"])
    get = lambda: Client().get("/api/v1/teams/", headers={"Authorization": f"Bearer {text}"}).status_code
    assert get() == 200
    revoke_token(token.pk, by=Actor.of(admin))
    assert get() == 401
    ApiToken.objects.update(revoked_at=None, expires_at=timezone.now() - timedelta(seconds=1))
    assert get() == 401
    ApiToken.objects.update(expires_at=None)
    assert get() == 200
    User.objects.update(is_active=False)
    assert get() == 401


def test_the_database_holds_nothing_that_opens_the_door(admin: User):
    token, text = create_token(admin, name="T", scopes=["read"])
    stored = " ".join(str(value) for value in ApiToken.objects.values_list().get(pk=token.pk))
    assert text.split("_", 2)[2] not in stored  # the secret itself may hold "_"


def test_a_read_token_cannot_write(admin: User, token_caller: Callable[..., Caller]):
    reader = token_caller(admin, ["read"])
    assert reader.get("/api/v1/teams/").status_code == 200
    assert_problem(reader.send("POST", "/api/v1/teams/", {"name": "N"}), 403, "scope_missing")
    writer = token_caller(admin, ["write"])
    assert_problem(writer.get("/api/v1/teams/"), 403, "scope_missing")


def test_last_use_is_noted_but_not_on_every_request(api: Caller, django_assert_num_queries: Any):
    api.get("/api/v1/teams/")
    used = ApiToken.objects.get().last_used_at
    assert used is not None
    with django_assert_num_queries(3):  # token and user, rate, count
        api.get("/api/v1/teams/")
    assert ApiToken.objects.get().last_used_at == used


def test_a_browser_session_needs_the_csrf_token_to_write(settings: Any):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    user = make_user(Role.ADMIN)
    browser = Caller(enforce_csrf_checks=True)
    assert browser.login(email=user.email, password=PASSWORD)
    assert browser.get("/api/v1/teams/").status_code == 200
    assert_problem(browser.send("POST", "/api/v1/teams/", {"name": "N"}), 403, "csrf_failed")
    browser.cookies["csrftoken"] = "a" * 32
    response = browser.send("POST", "/api/v1/teams/", {"name": "N"}, headers={"X-CSRFToken": "a" * 32})
    assert response.status_code == 201


# --- rates ------------------------------------------------------------------------------------------------


def test_a_caller_who_asks_too_often_is_told_when_to_come_back(
    admin: User, token_caller: Callable[..., Caller], settings: Any
):
    settings.API_RATE_PER_MINUTE = 3
    caller, other = token_caller(admin), token_caller(admin)
    left = [caller.get("/api/v1/teams/")["RateLimit-Remaining"] for _request in range(3)]
    assert left == ["2", "1", "0"]
    response = caller.get("/api/v1/teams/")
    assert_problem(response, 429, "throttled")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert response["RateLimit-Limit"] == "3"
    assert response["RateLimit-Reset"] == response["Retry-After"]
    assert other.get("/api/v1/teams/").status_code == 200


def test_expired_windows_are_swept_out(db: None):
    RateHit.objects.create(bucket="old", window=1, hits=9, expires_at=timezone.now() - timedelta(minutes=1))
    delete_expired(timezone.now())
    assert not RateHit.objects.filter(bucket="old").exists()
