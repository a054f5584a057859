"""The agents' addresses: pools and their scale, and asking about one record."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from ai_agents.models import AgentPool, AgentTask, ProviderHealth, TaskState
from crm.models import Role, User
from tests.crm.api.conftest import Caller, assert_problem, fields
from tests.factories import make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/agents/"


@pytest.fixture
def ai_on(settings: Any) -> None:
    settings.AI_PROVIDER = "scripted"
    settings.SCRIPTED_LLM_URL = "http://127.0.0.1:9/v1"  # nothing is called in these tests


def pool(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.content
    return response.json()


def test_everybody_who_signs_in_sees_the_pools_and_their_work(token_caller: Callable[..., Caller]):
    AgentTask.objects.create(kind="lead_analysis", dedup_key="a")
    AgentTask.objects.create(kind="lead_analysis", dedup_key="b", state=TaskState.DEAD)
    reader = token_caller(make_user(Role.READ_ONLY), ["read"])
    body = pool(reader.get(URL))
    assert (body["next"], body["previous"]) == (None, None)
    shown = {found["kind"]: found for found in body["results"]}
    assert (shown["lead_analysis"]["target"], shown["follow_up"]["target"]) == (3, 2)
    assert (shown["lead_analysis"]["queued"], shown["lead_analysis"]["in_flight"]) == (1, 0)
    assert shown["follow_up"]["cost_today_usd"] == "0"


def test_an_admin_scales_pauses_and_resumes(api: Caller):
    assert pool(api.send("POST", f"{URL}lead_analysis/scale/", {"target": 64}))["target"] == 64
    paused = pool(api.send("POST", f"{URL}lead_analysis/pause/", {"because": "too dear"}))
    assert (paused["paused"], paused["paused_because"]) == (True, "too dear")
    assert pool(api.send("POST", f"{URL}lead_analysis/resume/"))["paused"] is False
    stored = AgentPool.objects.get(kind="lead_analysis")
    assert (stored.target, stored.paused) == (64, False)


@pytest.mark.parametrize("target", ["3", 3.5, True, None, [], {}, -1, 257, 10**18])
def test_a_target_is_a_whole_number_within_limits(api: Caller, target: Any):
    response = api.send("POST", f"{URL}lead_analysis/scale/", {"target": target})
    assert fields(assert_problem(response, 400, "invalid")) == ["target"]
    assert AgentPool.objects.get(kind="lead_analysis").target == 3


def test_a_target_beyond_the_pools_own_limit_is_out_of_bounds(api: Caller):
    response = api.send("POST", f"{URL}lead_analysis/scale/", {"target": 65})
    assert fields(assert_problem(response, 400, "out_of_bounds")) == ["target"]


def test_a_pool_that_is_none_is_404(api: Caller):
    for verb in ("scale", "pause", "resume"):
        body = {"target": 1} if verb == "scale" else {}
        assert_problem(api.send("POST", f"{URL}nothing/{verb}/", body), 404, "not_found")


def test_only_who_sets_up_scales_and_a_token_needs_its_scope(
    admin: User, token_caller: Callable[..., Caller]
):
    for verb in ("scale", "pause", "resume"):
        body = {"target": 5} if verb == "scale" else {}
        for role in (Role.MANAGER, Role.REP, Role.READ_ONLY):
            caller = token_caller(make_user(role))
            response = caller.send("POST", f"{URL}follow_up/{verb}/", body)
            assert_problem(response, 403, "permission_refused")
        writer = token_caller(admin, ["read", "write"])
        assert_problem(writer.send("POST", f"{URL}follow_up/{verb}/", body), 403, "scope_missing")
    assert AgentPool.objects.get(kind="follow_up").target == 2


def test_an_analysis_is_queued_once_for_the_same_facts(api: Caller, ai_on: None):
    lead = make_lead(message="We need a garden.")
    first = api.send("POST", f"/api/v1/leads/{lead.public_id}/analyse/", {"priority": 3})
    assert first.status_code == 202, first.content
    again = api.send("POST", f"/api/v1/leads/{lead.public_id}/analyse/", {"priority": 3})
    assert first.json()["task"]["id"] == again.json()["task"]["id"]
    task = AgentTask.objects.get(kind="lead_analysis")
    assert (task.lead, task.priority, str(task.public_id)) == (lead, 3, first.json()["task"]["id"])


def test_a_rewrite_is_queued_with_what_should_be_different(api: Caller, ai_on: None):
    follow_up = make_follow_up(make_lead(email="a@example.com", message="Hello"))
    url = f"/api/v1/follow-ups/{follow_up.public_id}/rewrite/"
    response = api.send("POST", url, {"instruction": "Shorter, please."})
    assert response.status_code == 202, response.content
    task = AgentTask.objects.get(kind="follow_up")
    assert task.params["instruction"] == "Shorter, please."
    assert fields(assert_problem(api.send("POST", url, {"instruction": "x" * 501}), 400, "invalid")) == [
        "instruction"
    ]


def test_a_draft_is_queued_as_it_is_wanted(api: Caller, ai_on: None):
    lead = make_lead(email="a@example.com", message="Hello")
    url = f"/api/v1/leads/{lead.public_id}/draft/"
    wishes = {"purpose": "renewal", "tone": "neutral", "length": "long", "language": "nl", "instruction": "!"}
    assert api.send("POST", url, wishes).status_code == 202
    assert AgentTask.objects.get(kind="follow_up").params == wishes


@pytest.mark.parametrize(
    "wrong", [{"purpose": "sell"}, {"tone": 3}, {"length": "epic"}, {"language": "xx"}, {"wish": "more"}]
)
def test_a_wish_is_one_of_the_list(api: Caller, ai_on: None, wrong: dict[str, Any]):
    lead = make_lead(message="Hello")
    response = api.send("POST", f"/api/v1/leads/{lead.public_id}/draft/", wrong)
    assert fields(assert_problem(response, 400, "invalid")) == [*wrong]
    assert not AgentTask.objects.exists()


def test_a_rewrite_by_a_program_keeps_what_it_does_not_name(api: Caller, ai_on: None):
    follow_up = make_follow_up(
        make_lead(message="Hello"), purpose="after_call", tone="formal", length="short"
    )
    response = api.send("POST", f"/api/v1/follow-ups/{follow_up.public_id}/rewrite/", {"tone": ""})
    assert response.status_code == 202, response.content
    params = AgentTask.objects.get(kind="follow_up").params
    assert params == {"purpose": "after_call", "length": "short", "instruction": ""}


def test_a_follow_up_tells_how_it_was_asked_for_and_what_its_sentences_rest_on(api: Caller):
    follow_up = make_follow_up(
        make_lead(),
        tone="warm",
        original_body="Hello,\n\nthe pond is planned. Bye.",
        marks=[{"start": 8, "end": 28, "facts": ["note-4"]}],
        facts_used=[{"id": "note-4", "kind": "note", "source_id": 4, "field": ""}],
    )
    found = api.get(f"/api/v1/follow-ups/{follow_up.public_id}/").json()
    assert (found["tone"], found["length"], found["language"]) == ("warm", "", "")
    fact = {"id": "note-4", "source_kind": "note", "field": ""}
    assert found["sentences"] == [{"text": "the pond is planned.", "facts": [fact]}]


def test_with_ai_switched_off_the_answer_says_so(api: Caller):
    lead = make_lead()
    response = api.send("POST", f"/api/v1/leads/{lead.public_id}/analyse/")
    assert_problem(response, 409, "ai_unavailable")
    assert AgentTask.objects.count() == 0


def test_nobody_asks_about_a_lead_they_may_not_see_or_change(
    token_caller: Callable[..., Caller], ai_on: None
):
    team = make_team()
    rep = token_caller(make_user(team=team))
    foreign, pooled = make_lead(owner=make_user()), make_lead(team=team)
    for lead, status in ((foreign, 404), (pooled, 403)):
        follow_up = make_follow_up(lead)
        for url in (
            f"/api/v1/leads/{lead.public_id}/analyse/",
            f"/api/v1/leads/{lead.public_id}/draft/",
            f"/api/v1/follow-ups/{follow_up.public_id}/rewrite/",
        ):
            assert rep.send("POST", url).status_code == status
    assert AgentTask.objects.count() == 0


def test_the_list_of_pools_costs_four_statements(api: Caller, django_assert_num_queries: Any):
    api.get(URL)
    with django_assert_num_queries(4):  # token, rate, pools, their numbers
        api.get(URL)


def test_health_is_200_while_tasks_go_on_and_503_with_reasons_while_they_wait(api: Caller, ai_on: None):
    well = api.get(f"{URL}health/")
    assert (well.status_code, well.json()["status"], well.json()["reasons"]) == (200, "ok", [])
    ProviderHealth.objects.create(
        provider="scripted", model="scripted-gardener", state="open", reason="http_401",
        opened_at="2026-03-02T13:04:00Z", retry_at="2100-01-01T00:00:00Z",
    )  # fmt: skip
    ill = api.get(f"{URL}health/")
    assert (ill.status_code, ill.json()["status"]) == (503, "degraded")
    [reason] = ill.json()["reasons"]
    assert (reason["code"], reason["since"], reason["tasks_wait"]) == (
        "key_refused",
        "2026-03-02T13:04:00Z",
        True,
    )
    assert "HTTP 401" in reason["detail"]
    ProviderHealth.objects.update(state="closed", slow_since="2026-03-02T13:04:00Z", ms=12_000)
    slow = api.get(f"{URL}health/")
    assert (slow.status_code, slow.json()["status"]) == (200, "impaired")


def test_health_of_switched_off_ai_is_off_and_well(api: Caller):
    body = api.get(f"{URL}health/")
    assert (body.status_code, body.json()["status"]) == (200, "off")


def test_queues_are_told_by_kind_and_priority_with_their_age(api: Caller):
    AgentTask.objects.create(
        kind="lead_analysis", dedup_key="a", priority=2, run_after="2020-01-01T00:00:00Z"
    )
    AgentTask.objects.create(
        kind="lead_analysis", dedup_key="b", priority=2, run_after="2100-01-01T00:00:00Z"
    )
    AgentTask.objects.create(kind="follow_up", dedup_key="c", priority=9)
    first, second = api.get(f"{URL}queues/").json()["results"]
    assert (first["kind"], first["priority"]) == ("follow_up", 9)
    assert (second["priority"], second["queued"], second["due"], second["running"]) == (2, 2, 1, 0)
    assert second["oldest_seconds"] > 10**8


def test_numbers_of_an_agent_name_what_it_works_on(api: Caller, token_caller: Callable[..., Caller]):
    lead = make_lead()
    running = AgentTask.objects.create(
        kind="lead_analysis", lead=lead, dedup_key="a", state=TaskState.RUNNING, started_at=timezone.now(),
        called_at=timezone.now(), lease_until=timezone.now(), lease_token=uuid4(),
    )  # fmt: skip
    for state in (TaskState.DONE, TaskState.DONE, TaskState.DONE, TaskState.DEAD):
        AgentTask.objects.create(
            kind="lead_analysis", dedup_key=str(uuid4()), state=state, finished_at=timezone.now()
        )
    body = api.get(f"{URL}lead_analysis/metrics/").json()
    assert (body["status"], body["processed"], body["errors"], body["error_rate"]) == (
        "processing",
        4,
        1,
        0.25,
    )
    assert body["uptime_seconds"] is None
    [current] = body["current"]
    assert (current["task"], current["lead"]) == (str(running.public_id), str(lead.public_id))
    other = token_caller(make_user(Role.READ_ONLY), ["read"])
    assert other.get(f"{URL}lead_analysis/metrics/").json()["current"][0]["lead"] is None


def test_limits_are_changed_by_who_read_them_and_named_when_wrong(api: Caller):
    url = f"{URL}lead_analysis/"
    etag = api.get(url)["ETag"]
    assert_problem(api.send("PATCH", url, {"rpm": 60}), 428, "precondition_required")
    changed = api.send("PATCH", url, {"rpm": 60, "budget_day_usd": "2.50"}, HTTP_IF_MATCH=etag)
    assert (pool(changed)["rpm"], pool(changed)["budget_day_usd"]) == (60, "2.5000")
    assert_problem(api.send("PATCH", url, {"rpm": 61}, HTTP_IF_MATCH=etag), 412, "version_conflict")
    etag = api.get(url)["ETag"]
    response = api.send("PATCH", url, {"max_concurrency": 2}, HTTP_IF_MATCH=etag)
    assert fields(assert_problem(response, 400, "out_of_bounds")) == ["max_concurrency"]


def test_a_restart_is_asked_for_by_who_sets_up(api: Caller):
    answer = api.send("POST", f"{URL}restart/")
    assert (answer.status_code, answer.json()) == (202, {"pumps": 0})
