"""Pumps against the scripted model over HTTP: what fails is tried again, what is lost is found, nothing is
doubled.
"""

import time
import uuid
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import connection

from ai_agents.actions import outcomes, pools
from ai_agents.actions.requests import request_analysis
from ai_agents.actions.status import ai_status, pending
from ai_agents.agents.lead_analysis import LeadAnalysisAgent
from ai_agents.models import AgentCall, AgentTask, Budget, ModelPrice, PumpLease, TaskState
from ai_agents.pump import Pump
from ai_agents.tasks import run_pump
from crm.models import Actor, FollowUp, Heartbeat, Lead, Score, ScoreKind
from crm.tasks import heartbeat
from tests.ai_agents.engine.conftest import FAST, Engine, until


@pytest.fixture(autouse=True)
def _quick_backoff(monkeypatch):
    monkeypatch.setattr(outcomes, "BACKOFF_FIRST_S", 0.05)


def model_scores() -> int:
    return Score.objects.filter(kind=ScoreKind.MODEL, is_current=True).count()


def test_a_lead_is_scored_and_a_promising_one_gets_a_draft(engine: Engine):
    engine.target(3, 2)
    warm = engine.leads(1, text="Our budget is 9 k. Please visit us this month for a quote on the terrace.")[
        0
    ]
    cold = engine.leads(1, text="Just curious.")[0]
    for lead in (warm, cold):
        request_analysis(lead.pk, by=Actor.system())
    assert pending([warm.pk, cold.pk]) == {warm.pk: "scoring", cold.pk: "scoring"}
    engine.run()
    assert Lead.objects.get(pk=warm.pk).score_source == "model"
    assert FollowUp.objects.get().lead == warm
    assert FollowUp.objects.get().provider == "scripted"
    assert pending([warm.pk, cold.pk]) == {}
    assert set(AgentCall.objects.values_list("status", flat=True)) == {"ok"}


def test_rate_limits_burn_no_attempt_and_the_pump_slows_down_and_recovers(engine: Engine):
    engine.target(16)
    engine.queue(40)
    engine.server.fail("429", share=0.3, retry_after="0.2")
    pump = engine.run()
    assert engine.states() == {"done": 40}
    assert set(AgentTask.objects.values_list("attempts", flat=True)) == {1}
    limited = sum(AgentTask.objects.values_list("rate_limited", flat=True))
    assert limited == engine.server.seen()["by_mode"]["429"] > 5
    throttle = pump._throttles["lead_analysis"]
    assert throttle.cut_at > 0, "the limit fell"
    assert throttle.limit > 1, "and rises again"


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_calls_that_never_end_are_bounded_and_counted_as_timeouts(engine: Engine, monkeypatch, mode):
    monkeypatch.setattr(LeadAnalysisAgent, "timeout_s", 0.5)
    engine.target(8)
    engine.queue(20)
    engine.server.fail(mode, share=0.2, every_s=0.1)
    began = time.monotonic()
    engine.run()
    assert engine.states()["done"] >= 18, "the tries after a timeout bring most of them home"
    assert time.monotonic() - began < 12
    timeouts = AgentCall.objects.filter(status="timeout")
    # more, where the machine is so busy that sound answers come late as well
    assert timeouts.count() >= engine.server.seen()["by_mode"][mode] > 0
    assert max(timeouts.values_list("ms", flat=True)) < 2000


def test_unreadable_answers_are_repaired_once_or_are_no_score(engine: Engine):
    modes = [
        "malformed",
        "truncated",
        "empty",
        "extra_key",
        "percent",
        "out_of_range",
        "nan",
        "prose",
        "hostile",
    ]
    engine.target(8)
    once = {m: engine.leads(1, text=f"Marker {m}-once. We have a lawn.")[0] for m in modes}
    always = {m: engine.leads(1, text=f"Marker {m}-always. We have a lawn.")[0] for m in modes}
    fenced = engine.leads(1, text="Marker fenced-always. We have a lawn.")[0]
    engine.server.script.set(
        {
            "faults": [{"mode": m, "match": f"{m}-once", "times": 1} for m in modes]
            + [{"mode": m, "match": f"{m}-always"} for m in [*modes, "fenced"]]
        }
    )
    for lead in (*once.values(), *always.values(), fenced):
        request_analysis(lead.pk, by=Actor.system())
    engine.run()

    def end_of(lead: Lead) -> tuple[str, int]:
        task = AgentTask.objects.get(lead=lead)
        return task.state, task.calls.count()

    assert end_of(fenced) == ("done", 1), "a code fence is no fault"
    assert {m: end_of(lead) for m, lead in once.items()} == dict.fromkeys(modes, ("done", 2))
    repairs = AgentCall.objects.filter(task__lead__in=once.values(), is_repair=True, status="ok")
    assert repairs.count() == len(modes)
    assert {m: end_of(lead) for m, lead in always.items()} == dict.fromkeys(modes, ("dead", 2))
    assert not Score.objects.filter(lead__in=always.values(), kind=ScoreKind.MODEL).exists()
    errors = AgentTask.objects.filter(lead__in=always.values()).values_list("error", flat=True)
    assert {error.partition(":")[0] for error in errors} == {"invalid_output"}
    invalid = AgentCall.objects.filter(task__lead__in=always.values())
    assert set(invalid.values_list("status", flat=True)) == {"invalid"}
    assert all(call.cost_usd is not None for call in AgentCall.objects.all())


def test_two_pumps_share_the_work_and_double_nothing(engine: Engine):
    PumpLease.objects.get_or_create(slot=2)
    engine.target(24)
    engine.queue(150)
    engine.server.script.latency_s = 0.05
    with engine.running() as one, engine.running() as two:
        pass
    assert engine.states() == {"done": 150}
    assert engine.server.seen()["requests"] == 150
    assert model_scores() == 150
    assert one.done["done"] + two.done["done"] == 150
    assert min(one.done["done"], two.done["done"]) > 0
    assert engine.server.seen()["most_in_flight"] <= 24, "the target holds across pumps"


def test_scaling_up_down_to_nothing_and_back_loses_nothing(engine: Engine):
    by = Actor.system()
    engine.target(32)
    engine.queue(120)
    engine.server.script.latency_s = 0.2
    with engine.running():
        until(lambda: engine.server.seen()["in_flight"] > 16)
        pools.scale_agents("lead_analysis", target=4, by=by)
        until(lambda: engine.server.seen()["in_flight"] <= 4)
        pools.scale_agents("lead_analysis", target=0, by=by)
        until(lambda: engine.states()["running"] == 0)
        done = engine.states()["done"]
        time.sleep(0.5)
        assert engine.states()["done"] == done < 120, "nothing starts at a target of 0"
        pools.scale_agents("lead_analysis", target=64, by=by)
    engine.run()
    assert engine.states() == {"done": 120}
    assert engine.server.seen()["repeated"] == 0


def test_the_budget_is_a_hard_stop_for_two_pumps(engine: Engine, settings):
    settings.AI_DAILY_BUDGET_USD = 0.01
    ModelPrice.objects.create(
        provider="scripted",
        model="scripted-gardener",
        valid_from="2020-01-01",
        usd_in=1,
        usd_cached=1,
        usd_out=2,
    )
    PumpLease.objects.get_or_create(slot=2)
    engine.target(32)
    engine.queue(100)
    engine.server.script.latency_s = 0.05
    with engine.running(claim_for_s=8), engine.running(claim_for_s=8):
        pass
    budget = Budget.objects.get(scope="all")
    spent = sum(AgentCall.objects.values_list("cost_usd", flat=True))
    assert 0 < spent == budget.spent <= Decimal("0.01")
    assert budget.reserved == 0
    assert engine.states()["queued"] > 50
    assert set(AgentTask.objects.filter(state="queued").values_list("attempts", flat=True)) == {0}
    assert "budget is spent since" in ai_status().trouble


def test_a_stolen_lease_discards_the_late_result_and_books_its_cost(engine: Engine):
    ModelPrice.objects.create(
        provider="scripted",
        model="scripted-gardener",
        valid_from="2020-01-01",
        usd_in=1,
        usd_cached=1,
        usd_out=2,
    )
    engine.target(1)
    engine.queue(1)
    engine.server.script.latency_s = 0.6
    with engine.running():
        until(lambda: engine.server.seen()["in_flight"] == 1)
        AgentTask.objects.update(lease_token=uuid.uuid4())
    assert model_scores() == 0
    assert AgentCall.objects.get().cost_usd > 0
    assert PumpLease.objects.get(slot=1).info["late"] == 1
    AgentTask.objects.update(lease_until="2020-01-01T00:00:00Z")
    engine.run()
    assert model_scores() == 1
    assert AgentTask.objects.get().attempts == 2
    budget = Budget.objects.get(scope="all")
    assert budget.reserved == 0
    assert budget.spent >= sum(AgentCall.objects.values_list("cost_usd", flat=True))


def test_a_lost_lease_ends_the_call_that_is_in_the_air(engine: Engine):
    engine.target(1)
    engine.queue(1)
    engine.server.script.latency_s = 5
    with engine.running(renew_s=0.2, claim_for_s=1):
        until(lambda: engine.server.seen()["in_flight"] == 1)
        AgentTask.objects.update(lease_token=uuid.uuid4())
        until(lambda: AgentCall.objects.exists(), within_s=3)
    assert AgentCall.objects.get().error == "cancelled"


def test_a_database_that_drops_every_connection_costs_no_task(engine: Engine):
    engine.target(16)
    engine.queue(60)
    engine.server.script.latency_s = 0.2
    with engine.running():
        until(lambda: engine.states()["done"] > 5)
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            cursor.execute("SET ROLE gardenos_app")
    AgentTask.objects.filter(state="running").update(lease_until="2020-01-01T00:00:00Z")
    engine.run()
    assert engine.states() == {"done": 60}
    assert model_scores() == 60


def test_a_primary_that_has_stepped_down_costs_no_result(engine: Engine, monkeypatch):
    engine.queue(1)
    store, refusals = LeadAnalysisAgent.store, iter([True])

    def refused_once(self, finished):
        if next(refusals, False):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
        store(self, finished)

    monkeypatch.setattr(LeadAnalysisAgent, "store", refused_once)
    engine.run()
    assert engine.states() == {"done": 1}
    assert model_scores() == AgentCall.objects.count() == 1  # no call is booked twice


def test_a_result_that_cannot_be_stored_dies_alone(engine: Engine, monkeypatch):
    leads = engine.queue(6)
    store = LeadAnalysisAgent.store

    def refuse_one(self, finished):
        if any(done.task.lead_id == leads[2] for done in finished):
            raise ValueError("as the test wants it")
        store(self, finished)

    monkeypatch.setattr(LeadAnalysisAgent, "store", refuse_one)
    engine.run()
    assert engine.states() == {"done": 5, "dead": 1}
    dead = AgentTask.objects.get(state=TaskState.DEAD)
    assert (dead.lead_id, dead.error) == (leads[2], "not_stored:ValueError")
    assert model_scores() == 5
    assert AgentCall.objects.count() == 6


def test_facts_that_break_the_reader_stop_only_their_task(engine: Engine, monkeypatch):
    leads = engine.queue(5)
    read = LeadAnalysisAgent.read

    def break_on_one(self, tasks):
        if any(task.lead_id == leads[0] for task in tasks):
            raise RuntimeError("as the test wants it")
        return read(self, tasks)

    monkeypatch.setattr(LeadAnalysisAgent, "read", break_on_one)
    engine.run()
    assert engine.states() == {"done": 4, "dead": 1}
    assert AgentTask.objects.get(state="dead").error == "facts_unreadable:RuntimeError"


def test_a_lead_that_is_gone_needs_no_call(engine: Engine):
    [lead] = engine.queue(1)
    Lead.objects.filter(pk=lead).update(deleted_at="2020-01-01T00:00:00Z")
    engine.run()
    assert engine.states() == {"cancelled": 1}
    assert engine.server.seen()["requests"] == 0


def test_no_priority_starves(engine: Engine):
    engine.target(1)
    [patient] = engine.queue(1, priority=9)
    engine.queue(40, priority=0)
    AgentTask.objects.filter(lead=patient).update(run_after="2020-01-01T00:00:00Z")
    engine.run()
    order = list(AgentCall.objects.order_by("pk").values_list("task__lead_id", flat=True))
    assert 0 < order.index(patient) < 30


def test_a_second_pump_finds_the_slot_taken_and_a_pump_proves_progress(engine: Engine):
    pump = engine.pump()
    assert run_pump(provider=engine.server.provider) == "another pump is at work"
    pump.run()
    assert Heartbeat.objects.filter(name="cluster:ai").exists()
    assert run_pump(provider=engine.server.provider) == "nothing to do"


def test_a_pump_without_ai_does_nothing(db, settings):
    settings.AI_PROVIDER = "off"
    assert run_pump() == "AI is off"
    assert not ai_status().is_on


def test_a_slice_that_ends_with_work_left_calls_its_successor(engine: Engine):
    calls: Counter[str] = Counter()
    engine.target(2)
    engine.queue(30)
    engine.server.script.latency_s = 0.2
    worker = Pump(
        engine.server.provider,
        replace(FAST, claim_for_s=0.5),
        on_slot_free=lambda: calls.update(["kicked"]),
    )
    assert worker.take_slot()
    worker.run()
    assert calls == {"kicked": 1}
    assert engine.states()["running"] == 0, "what it had in hand is finished"
    assert engine.states()["queued"] > 10


def test_a_heartbeat_calls_a_pump_for_tasks_whose_kick_was_lost(engine: Engine):
    rows = apps.get_model("django_q", "OrmQ").objects
    engine.queue(1)
    for silent_s, expected in ((10, 0), (60, 1)):  # a pump that ended just now found what it could
        rows.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE ai_agents_pumplease SET until = now() - %s * interval '1 second', kicked_at = NULL",
                [silent_s],
            )
        heartbeat("ai")
        assert rows.filter(payload__contains='"ai_agents.tasks.pump"').count() == expected
