"""Whatever is sent, the answer is a known one: never a 5xx, and a refusal leaves every table as it was."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crm.models import ApiToken, CustomField, FieldType, Lead
from tests.crm.api.conftest import Caller
from tests.factories import make_lead
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
LEADS = "/api/v1/leads/"
few = hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "\0",
            "a\0b",
            "\ud800",
            "\udfff",
            "\u202e",
            "\ufeff",
            "<script>alert(1)</script>",
            "'; DROP TABLE crm_lead; --",
            "=cmd|' /C calc'!A0",
            "a\r\nBcc: b@example.com",
            "{{7*7}}",
            "%00",
            "٣",
            "ﬃ" * 100,
            "x" * 21_000,
            "1e999999999",
            "NaN",
            "-0",
            "99999-01-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
        ]
    ),
)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.integers(10**28, 10**40),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = [
    "name",
    "company",
    "email",
    "phone",
    "country",
    "currency",
    "est_value",
    "custom",
    "message",
    "source",
    "utm",
    "external_id",
    "owner",
    "score",
    "reason",
    "until",
]
bodies = st.dictionaries(st.one_of(st.sampled_from(FIELDS), texts), values, max_size=4)


@pytest.fixture
def used_token(api: Caller) -> Caller:
    """The admin's program, after its first request: later ones note nothing about themselves."""
    assert api.get(LEADS).status_code == 200
    assert ApiToken.objects.get().last_used_at
    CustomField.objects.create(key="area", label="Area", type=FieldType.NUMBER)
    return api


def assert_known(response: Any, before: dict[str, str]) -> None:
    assert response.status_code < 500, response.content
    assert "Traceback" not in response.content.decode(errors="replace")
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json"
        assert not response.content or response.json()["request_id"]  # HEAD has no body
        assert state_of_tables() == before


def send_safely(api: Caller, method: str, path: str, raw: bytes, **headers: str) -> Any:
    """Send it and take back whatever it did."""
    with transaction.atomic():
        before = state_of_tables()
        response = api.generic(method, path, raw, content_type="application/json", headers=headers)
        assert_known(response, before)
        transaction.set_rollback(True)
    return response


def test_the_positive_control(used_token: Caller):
    lead = make_lead()
    ok = b'{"name": "Ada", "est_value": 5, "custom": {"area": 3}}'
    assert send_safely(used_token, "POST", LEADS, ok).status_code == 201
    match = {"If-Match": '"1"'}
    assert send_safely(used_token, "PATCH", f"{LEADS}{lead.public_id}/", ok, **match).status_code == 200


@few
@given(body=bodies)
def test_no_body_breaks_intake_change_or_a_verb(used_token: Caller, body: dict[str, Any]):
    lead = Lead.objects.first() or make_lead()
    raw = json.dumps(
        body
    ).encode()  # with NaN, Infinity and lone surrogates, as a careless client writes them
    one = f"{LEADS}{lead.public_id}/"
    send_safely(used_token, "POST", LEADS, raw)
    send_safely(used_token, "PATCH", one, raw, **{"If-Match": '"1"'})
    for verb in ("assign", "disqualify", "snooze"):
        send_safely(used_token, "POST", f"{one}{verb}/", raw)


@few
@given(raw=st.binary(max_size=200))
def test_no_bytes_break_the_parser(used_token: Caller, raw: bytes):
    send_safely(used_token, "POST", LEADS, raw)


@few
@given(
    names=st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "status",
                    "owner",
                    "source",
                    "score_min",
                    "score_max",
                    "created_after",
                    "created_before",
                    "q",
                    "limit",
                    "cursor",
                    "ordering",
                ]
            ),
            texts.filter(lambda text: "\ud800" not in text and "\udfff" not in text),
        ),
        max_size=3,
    ),
    value=texts,
)
def test_no_query_string_breaks_a_list(used_token: Caller, names: list[str], value: str):
    query = "&".join(f"{quote(name)}={quote(value, errors='surrogatepass')}" for name in names)
    for path in (LEADS, "/api/v1/follow-ups/"):
        send_safely(used_token, "GET", f"{path}?{query}", b"")


@few
@given(
    key=st.text(alphabet=st.characters(codec="latin-1"), max_size=300),
    match=st.text(alphabet=st.characters(codec="latin-1"), max_size=60),
)
def test_no_header_breaks_a_write(used_token: Caller, key: str, match: str):
    lead = Lead.objects.first() or make_lead()
    send_safely(used_token, "POST", LEADS, b'{"name": "Ada"}', **{"Idempotency-Key": key})
    send_safely(used_token, "PATCH", f"{LEADS}{lead.public_id}/", b'{"title": "Dr"}', **{"If-Match": match})


@pytest.mark.parametrize("method", ["TRACE", "FOO", "PUT", "DELETE", "CONNECT", "OPTIONS", "HEAD"])
def test_no_method_breaks_an_address(used_token: Caller, method: str):
    lead = make_lead()
    for path in (LEADS, f"{LEADS}{lead.public_id}/", f"{LEADS}{lead.public_id}/assign/"):
        response = send_safely(used_token, method, path, b"")
        assert response.status_code in ({200, 405} if method == "HEAD" else {405})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "a b"},
        {"Accept": "*/*;q=abc"},
        {"Accept": "application/xml"},
        {"Accept-Language": "xx-" + "y" * 5000},
        {"Content-Length": "-1"},
        {"Content-Length": "abc"},
        {"Authorization": "Bearer \udcff".encode("utf-8", "surrogateescape").decode("latin-1")},
        {"Cookie": "sessionid=" + "x" * 4000},
        {"X-Forwarded-Host": "evil.example"},
        {"X-HTTP-Method-Override": "DELETE"},
    ],
)
def test_no_odd_header_breaks_a_read(used_token: Caller, headers: dict[str, str]):
    make_lead()
    response = used_token.get(LEADS, headers=headers)
    assert response.status_code in {200, 400, 401, 406}
