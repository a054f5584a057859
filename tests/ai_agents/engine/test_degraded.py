"""What people are told when the agents cannot work: what, since when, and what becomes of the tasks."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from ai_agents.actions import circuits, outcomes, pools
from ai_agents.actions.status import ai_status, current_troubles
from ai_agents.agents.lead_analysis import LeadAnalysisAgent
from ai_agents.models import AgentCall, AgentPool, AgentTask, Budget, ModelPrice, ProviderHealth, PumpLease
from crm import clock
from crm.models import Actor, Heartbeat
from tests.ai_agents.engine.conftest import Engine
from tests.crm.web.pages import signed_in
from tests.factories import make_admin, make_lead

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
AT = NOW - timedelta(minutes=56)


@pytest.fixture
def quiet(db, settings):
    """Scripted provider, fresh pools, two o'clock; nothing is called."""
    settings.AI_PROVIDER = "scripted"
    pools.keep_pools()
    with clock.frozen(NOW):
        yield


def circuit(reason: str, model: str = "scripted-gardener", **more) -> ProviderHealth:
    values = {"state": "open", "opened_at": AT, "retry_at": NOW + timedelta(minutes=5), "reason": reason}
    return ProviderHealth.objects.create(model=model, **{"provider": "scripted"} | values | more)


def codes() -> list[tuple[str, bool]]:
    return [(trouble.code, trouble.stops) for trouble in current_troubles()]


@pytest.mark.parametrize(
    ("reason", "code", "said"),
    [
        ("http_401", "key_refused", "The provider refuses the key (HTTP 401) since 13:04."),
        ("http_402", "key_refused", "The provider refuses the key (HTTP 402) since 13:04."),
        ("http_404", "model_gone", "The provider has no model scripted-gardener (HTTP 404) since 13:04."),
        ("http_503", "provider_down", "scripted-gardener does not answer since 13:04 (503)."),
        ("timeout", "provider_down", "scripted-gardener does not answer since 13:04 (timeout)."),
    ],
)
def test_an_open_circuit_says_what_is_wrong_since_when_and_what_happens_next(quiet, reason, code, said):
    circuit(reason)
    assert codes() == [(code, True)]
    assert ai_status().trouble == (
        f"{said} Tasks wait; the next try is at 14:05, and they go on by themselves."
    )


def test_a_provider_without_trouble_has_none(quiet):
    circuit("http_500", state="closed", opened_at=None, retry_at=None)
    assert current_troubles() == []


def test_a_circuit_of_a_model_that_is_not_used_is_no_trouble(quiet):
    circuit("http_500", model="of last week")
    assert current_troubles() == []


def test_slow_answers_are_told_while_they_are_fresh(quiet):
    row = circuit("", state="closed", opened_at=None, retry_at=None, slow_since=AT, ms=14_200)
    assert ai_status().trouble == "scripted-gardener answers slowly since 13:04: 14 s a call."
    assert codes() == [("provider_slow", False)]
    ProviderHealth.objects.filter(pk=row.pk).update(updated_at=timezone.now() - timedelta(hours=1))
    assert current_troubles() == []


def calls_of(*statuses: str) -> None:
    """Calls made just now."""
    task = AgentTask.objects.create(kind="lead_analysis", dedup_key="calls", state="done")
    AgentCall.objects.bulk_create(
        AgentCall(
            task=task, attempt=1, provider="scripted", model="m", status=status,
            tokens_in=1, tokens_out=1, cost_usd=0,
        )
        for status in statuses
    )  # fmt: skip


def test_one_call_in_ten_that_fails_is_told_while_work_goes_on(quiet):
    calls_of(*["ok"] * 17, "invalid", "ok", "timeout")
    assert codes() == [("calls_fail", False)]
    assert ai_status().trouble.startswith("2 of the last 20 calls to a model failed or could not be read")


@pytest.mark.parametrize(
    "statuses",
    [
        pytest.param(["error"] * 19, id="too few to tell"),
        pytest.param(["ok"] * 19 + ["error"], id="one in twenty"),
        pytest.param(["ok"] * 10 + ["rate_limited"] * 10, id="rate limits are obeyed, not failures"),
    ],
)
def test_fewer_failed_calls_are_no_trouble(quiet, statuses):
    calls_of(*statuses)
    assert current_troubles() == []


def test_a_budget_that_is_spent_says_since_when_and_for_whom(quiet):
    day = timezone.now().date()
    Budget.objects.create(scope="all", day=day, cap=5, spent=5, stopped_at=AT)
    Budget.objects.create(scope="follow_up", day=day, cap=1, spent=1, stopped_at=AT)
    assert codes() == [("budget_spent", True), ("budget_spent", False)]
    assert [trouble.text for trouble in current_troubles()] == [
        "Today's AI budget is spent since 13:04; tasks wait until tomorrow.",
        "Today's budget of FollowUpAgent is spent since 13:04; its tasks wait until tomorrow.",
    ]


def test_a_dead_cluster_says_since_when(quiet):
    AgentTask.objects.create(kind="lead_analysis", dedup_key="a", run_after=AT)
    beat = timezone.now() - timedelta(minutes=7)
    Heartbeat.objects.create(name="cluster:ai", at=beat)
    [trouble] = current_troubles()
    assert (trouble.code, trouble.stops, trouble.since) == ("no_pump", True, beat)


def test_a_first_model_that_is_not_offered_any_more_is_told(quiet, settings):
    settings.AI_PROVIDER, settings.OPENAI_BASE_URL = "openai_compatible", "http://127.0.0.1:9/v1"
    settings.OPENAI_API_KEY, settings.AI_MODEL, settings.AI_FALLBACK_MODELS = "k", "wanted", ["second"]
    PumpLease.objects.update(info={"model": "second", "provider": "openai_compatible"})
    assert ai_status().trouble == "The provider does not offer wanted; second answers in its place."
    assert codes() == [("fallback", False)]


def test_a_next_model_that_answers_keeps_the_agents_working(quiet, settings):
    settings.AI_PROVIDER, settings.OPENAI_BASE_URL = "openai_compatible", "http://127.0.0.1:9/v1"
    settings.OPENAI_API_KEY, settings.AI_MODEL, settings.AI_FALLBACK_MODELS = "k", "wanted", ["second"]
    circuit("http_404", "wanted", provider="openai_compatible")
    assert codes() == [("model_gone", False)]
    assert ai_status().trouble.endswith("(HTTP 404) since 13:04. second answers in its place.")


def test_every_page_carries_the_banner_and_works(quiet):
    circuit("http_401")
    lead = make_lead(message="A pond, please.")
    client = signed_in(make_admin())
    for path in ("/", "/leads/", f"/leads/{lead.public_id}/", "/agents/", "/imports/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "refuses the key (HTTP 401) since 13:04" in answer.content.decode()
    client.post(f"/leads/{lead.public_id}/notes/", {"body": "They called."})
    assert client.post(f"/leads/{lead.public_id}/analyse/").status_code == 302
    assert AgentTask.objects.filter(state="queued", kind="lead_analysis").exists(), "tasks wait"


# --- from the fault to the banner and back, over HTTP -----------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(outcomes, "BACKOFF_FIRST_S", 0.05)
    monkeypatch.setattr(outcomes, "A_MOMENT_S", 0.05)


@pytest.mark.parametrize(
    ("mode", "code"),
    [("401", "key_refused"), ("404", "model_gone"), ("503", "provider_down"), ("reset", "provider_down"),
     ("not_json_body", "provider_down"), ("cut", "provider_down"), ("hang", "provider_down")],
)  # fmt: skip
def test_a_fault_shows_tasks_wait_and_all_goes_on_when_it_is_over(
    engine: Engine, monkeypatch, quick, mode, code
):
    monkeypatch.setattr(LeadAnalysisAgent, "timeout_s", 0.4)
    engine.target(6)
    engine.queue(8)
    engine.server.fail(mode)
    engine.run(claim_for_s=1.5)
    assert [trouble.code for trouble in current_troubles()] == [code]
    assert engine.states() == {"queued": 8}
    engine.server.script.set({"faults": []})
    ProviderHealth.objects.update(retry_at="2020-01-01T00:00:00Z")  # as if its 30 s were over
    monkeypatch.setattr(LeadAnalysisAgent, "timeout_s", 30)
    engine.run()
    assert engine.states() == {"done": 8}
    assert current_troubles() == []


def test_slow_answers_are_used_and_told(engine: Engine, monkeypatch):
    monkeypatch.setattr(circuits, "SLOW_MS", 200)
    engine.target(4)
    engine.queue(4)
    engine.server.fail("slow", delay_s=0.5)
    engine.run()
    assert engine.states() == {"done": 4}
    assert [trouble.code for trouble in current_troubles()] == ["provider_slow"]


def test_a_provider_that_charges_more_than_its_price_stops_at_the_budget(engine: Engine, settings):
    settings.AI_DAILY_BUDGET_USD = 0.02
    ModelPrice.objects.create(
        provider="scripted", model="scripted-gardener", valid_from="2020-01-01",
        usd_in=1, usd_cached=1, usd_out=2,
    )  # fmt: skip
    engine.target(1)
    engine.queue(10)
    engine.server.fail("dear", cost_usd=0.015)
    engine.run(claim_for_s=3)
    assert AgentCall.objects.count() == 1, "the first cost more than was set aside; there is no second"
    assert Budget.objects.get(scope="all").spent == Decimal("0.015")
    assert [trouble.code for trouble in current_troubles()] == ["budget_spent"]
    assert engine.states()["queued"] == 9


def test_a_pool_with_a_budget_of_its_own_stops_alone(engine: Engine):
    ModelPrice.objects.create(
        provider="scripted", model="scripted-gardener", valid_from="2020-01-01",
        usd_in=1, usd_cached=1, usd_out=2,
    )  # fmt: skip
    AgentPool.objects.filter(kind="lead_analysis").update(budget_day_usd=Decimal("0.01"))
    engine.target(4)
    engine.queue(20)
    engine.run(claim_for_s=3)
    own = Budget.objects.get(scope="lead_analysis")
    assert 0 < own.spent <= own.cap == Decimal("0.01")
    assert own.reserved == 0
    assert engine.states()["queued"] > 0
    assert [(t.code, t.stops) for t in current_troubles()] == [("budget_spent", False)]
    pools.scale_agents("lead_analysis", target=2, by=Actor.system())
    AgentPool.objects.filter(kind="lead_analysis").update(budget_day_usd=None)
    AgentTask.objects.filter(state="queued").update(run_after="2020-01-01T00:00:00Z")
    engine.run()
    assert engine.states() == {"done": 20}
    assert current_troubles() == []


def test_the_circuits_of_another_provider_do_not_matter(engine: Engine):
    ProviderHealth.objects.create(
        provider="openai_compatible", model="scripted-gardener", state="open", reason="http_401",
        opened_at=AT, retry_at="2100-01-01T00:00:00Z",
    )  # fmt: skip
    engine.target(2)
    engine.queue(2)
    engine.run()
    assert engine.states() == {"done": 2}
