"""The description of the API is true: valid, complete, and what is answered has the form it tells."""

import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from crm.actions.base import tell
from crm.models import Actor, Score, ScoreFactor, ScoreSource, User
from tests.crm.api.conftest import Caller
from tests.factories import make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
UNDESCRIBED = {"/api/v1/openapi.json", "/api/v1/docs/"}  # the description itself


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description, made anew; raises when making it warns."""
    GENERATOR_STATS.reset()
    schema = SchemaGenerator().get_schema(request=None, public=True)
    assert not GENERATOR_STATS, GENERATOR_STATS.emit_summary()
    return schema


def test_it_is_served_to_anybody_and_is_openapi_3_1(document: dict[str, Any]):
    response = Client().get("/api/v1/openapi.json")
    assert response.status_code == 200
    assert response.json()["openapi"].startswith("3.1")
    assert response.json()["paths"].keys() == document["paths"].keys()
    validate_schema(document)


def api_paths() -> set[str]:
    def walk(patterns: list[Any], prefix: str) -> Any:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern):
                yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)

    return {path for path in walk(get_resolver().url_patterns, "") if path.startswith("/api/")}


def test_every_address_is_described(document: dict[str, Any]):
    assert set(document["paths"]) == api_paths() - UNDESCRIBED


def test_every_operation_says_what_it_does_and_that_it_needs_a_caller(document: dict[str, Any]):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path} has no summary"
            assert operation["security"] == [{"token": []}, {"session": []}], f"{method} {path}"


def check(document: dict[str, Any], path: str, method: str, response: Any) -> None:
    """The body of this answer has the form that the description gives for it."""
    answer = document["paths"][path][method]["responses"][str(response.status_code)]
    schema = answer["content"]["application/json"]["schema"]
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(
        whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(response.json())
    named = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2])
    if named:
        assert set(response.json()) == set(named["properties"])


def test_answers_have_the_form_that_is_described(api: Caller, admin: User, document: dict[str, Any]):
    lead = make_lead(
        email="ada@example.com",
        owner=make_user(),
        team=make_team(),
        est_value="10.00",
        score=80,
        score_source=ScoreSource.RULES,
    )
    score = Score.objects.create(lead=lead, kind="rules", value=80, band="hot")
    ScoreFactor.objects.create(score=score, points=5, label="Fits")
    follow_up = make_follow_up(lead)
    tell(lead, "note.added", "hello", by=Actor.of(admin))
    tell(lead, "note.added", "from the system", by=Actor.system())
    leads, one = "/api/v1/leads/", f"/api/v1/leads/{lead.public_id}/"
    drafts, draft = "/api/v1/follow-ups/", f"/api/v1/follow-ups/{follow_up.public_id}/"
    make_lead()
    check(document, leads, "get", api.get(leads))
    check(document, leads, "post", api.send("POST", leads, {"name": "Bo", "email": "bo@example.com"}))
    check(document, leads, "post", api.send("POST", leads, {"name": "Bo", "email": "bo@example.com"}))
    by_id = leads + "{public_id}/"
    check(document, by_id, "get", api.get(one))
    changed = api.send("PATCH", one, {"title": "Dr"}, headers={"If-Match": '"1"'})
    check(document, by_id, "patch", changed)
    check(document, by_id + "timeline/", "get", api.get(one + "timeline/"))
    check(document, by_id + "disqualify/", "post", api.send("POST", one + "disqualify/", {"reason": "no"}))
    undo = api.get(one) and changed.json()["undo"]
    assert set(undo) == {"id", "label", "expires_at"}
    check(document, drafts, "get", api.get(drafts))
    check(document, drafts + "{public_id}/", "get", api.get(draft))


class Assets(HTMLParser):
    """Collects what a page loads, and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style", "iframe"}
        found = dict(attrs)
        assert "style" not in found
        if tag in {"link", "img"}:
            self.loaded.append(found.get("href") or found.get("src") or "")


def test_the_page_for_people_lists_all_and_loads_nothing_from_outside(document: dict[str, Any]):
    page = Client().get("/api/v1/docs/").content.decode()
    assets = Assets()
    assets.feed(page)
    assert assets.loaded
    assert all(address.startswith("/static/") for address in assets.loaded)
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    for code in (
        "invalid",
        "version_conflict",
        "precondition_required",
        "idempotency_key_reused",
        "throttled",
    ):
        assert f'id="problem-{code}"' in page
