"""Circuits: a model that fails is left alone, tried now and then, and used again by itself."""

import time
from dataclasses import replace

import pytest

from ai_agents.actions import circuits, outcomes
from ai_agents.actions.circuits import Report, read_circuits, take_probe, tell_circuit
from ai_agents.models import AgentCall, AgentPool, AgentTask, ProviderHealth, PumpLease
from tests.ai_agents.engine.conftest import Engine, until

FIRST, SECOND = "first-model", "second-model"
WHERE = ("scripted", FIRST)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(outcomes, "BACKOFF_FIRST_S", 0.05)
    monkeypatch.setattr(outcomes, "A_MOMENT_S", 0.05)


def tell(marks: str = "", *, reason: str = "http_500", fatal: str = "", probes=(), others=()) -> str:
    tell_circuit(*WHERE, Report(marks, reason, fatal, probes=list(probes)), others=others)
    return read_circuits("scripted", [FIRST])[FIRST].state


def row(model: str = FIRST) -> ProviderHealth:
    return ProviderHealth.objects.get(model=model)


def is_due() -> None:
    ProviderHealth.objects.update(retry_at="2020-01-01T00:00:00Z")


def wait_s(model: str = FIRST) -> float:
    return read_circuits("scripted", [model])[model].due_s


def test_five_failures_in_a_row_open_it_and_four_do_not(db):
    assert tell("----") == "closed"
    assert tell("+----") == "closed"
    assert tell("-") == "open"
    assert row().reason == "http_500"
    assert 29 < wait_s() <= 30


def test_half_of_twenty_failures_open_it_and_half_of_eighteen_do_not(db):
    assert tell("+-" * 9) == "closed"
    assert tell("+-") == "open"


def test_nine_failures_in_twenty_leave_it_closed(db):
    assert tell("+-" * 9 + "++" * 9) == "closed"


def test_one_call_may_try_when_the_time_has_come_and_no_second_one(db):
    tell("-----")
    assert take_probe(*WHERE) is None, "not yet"
    is_due()
    assert take_probe(*WHERE)
    assert take_probe(*WHERE) is None
    is_due()
    assert take_probe(*WHERE), "nothing was heard of the first for too long"


def test_a_probe_that_answers_closes_it_and_one_that_fails_doubles_the_wait(db):
    tell("-----")
    waits = []
    for _ in range(6):
        is_due()
        probe = take_probe(*WHERE)
        assert tell("-", reason="timeout", probes=[(probe, "-")]) == "open"
        waits.append(round(wait_s()))
    assert waits == [60, 120, 240, 480, 600, 600]
    assert row().reason == "timeout"
    opened_at = row().opened_at
    is_due()
    probe = take_probe(*WHERE)
    assert tell("+", probes=[(probe, "+")]) == "closed"
    assert opened_at is not None
    assert (row().opened_at, row().recent, row().opens) == (None, "", 0)


def test_calls_that_were_in_the_air_when_it_opened_say_nothing(db):
    tell("-----")
    is_due()
    probe = take_probe(*WHERE)
    assert tell("+++") == "half_open"
    assert tell("---") == "half_open"
    assert tell("", probes=[(probe, "")]) == "open", "a probe that was rate limited says nothing either"
    assert 29 < wait_s() <= 30


def test_a_refused_key_opens_every_model_and_a_probe_that_answers_lets_all_be_tried(db):
    assert tell("-", reason="http_401", fatal="http_401", others=[SECOND]) == "open"
    assert read_circuits("scripted", [SECOND])[SECOND].state == "open"
    assert wait_s(SECOND) > 0
    is_due()
    ProviderHealth.objects.filter(model=SECOND).update(retry_at="2100-01-01T00:00:00Z")
    tell("+", probes=[(take_probe(*WHERE), "+")], others=[SECOND])
    assert wait_s(SECOND) <= 0


def test_a_model_that_is_gone_opens_its_own_circuit_only(db):
    tell("-", reason="http_404", fatal="http_404", others=[SECOND])
    assert read_circuits("scripted", [FIRST, SECOND])[SECOND].is_closed


def test_slow_answers_are_remembered_with_their_beginning(db):
    tell_circuit(*WHERE, Report("+" * 5, ms=60_000, timed=5))
    since = row().slow_since
    assert since
    tell_circuit(*WHERE, Report("+", ms=12_000, timed=1))
    assert row().slow_since == since
    for _ in range(4):
        tell_circuit(*WHERE, Report("+", ms=1_000, timed=1))
    assert row().slow_since is None


# --- through a pump ---------------------------------------------------------------------------------------


@pytest.fixture
def two_models(engine: Engine, monkeypatch) -> Engine:
    """An engine whose provider has a model to fall back on."""
    engine.server.script.set({"models": [FIRST, SECOND]})
    one = engine.server.provider
    monkeypatch.setattr(type(engine.server), "provider", replace(one, models=(FIRST, SECOND)))
    return engine


def calls(model: str) -> int:
    return AgentCall.objects.filter(model=model).count()


def test_a_provider_that_is_down_is_called_once_a_window_and_recovers_by_itself(engine: Engine, monkeypatch):
    monkeypatch.setattr(circuits, "FIRST_S", 0.4)
    engine.target(4)
    engine.queue(30)
    engine.server.fail("500", times=11)  # two waves, and then three probes
    engine.run()
    assert engine.states() == {"done": 30}
    seen = engine.server.seen()
    assert seen["by_mode"]["500"] == 11
    failed = list(
        AgentCall.objects.filter(status="error").order_by("pk").values_list("created_at", flat=True)
    )
    gaps = [(b - a).total_seconds() for a, b in zip(failed[-3:-1], failed[-2:], strict=True)]
    assert all(gap >= 0.4 for gap in gaps), "one try a window"
    assert max(AgentTask.objects.values_list("attempts", flat=True)) <= 2, "an outage costs no attempts"
    assert ProviderHealth.objects.get().state == "closed"


def test_most_calls_failing_opens_the_circuit_and_kills_no_task_that_waits(engine: Engine, monkeypatch):
    monkeypatch.setattr(circuits, "FIRST_S", 0.1)
    monkeypatch.setattr(circuits, "MOST_S", 0.2)
    engine.target(8)
    engine.queue(20)
    engine.server.fail("500", share=0.7)
    engine.run(claim_for_s=40)
    states = engine.states()
    assert states["done"] + states["dead"] == 20
    assert states["done"] >= 14
    assert engine.server.seen()["requests"] == AgentCall.objects.count()


def test_while_the_first_model_fails_the_next_one_answers_and_the_first_is_tried(
    two_models: Engine, monkeypatch
):
    monkeypatch.setattr(circuits, "FIRST_S", 0.8)
    two_models.target(4)
    two_models.queue(40)
    two_models.server.script.latency_s = 0.1
    two_models.server.fail("500", match=FIRST, times=6)
    two_models.run()
    assert two_models.states() == {"done": 40}
    assert calls(SECOND) > 0
    assert AgentCall.objects.filter(model=FIRST, status="ok").exists(), "the first is used again"
    assert row(FIRST).state == "closed"


@pytest.mark.parametrize("status", ["401", "402"])
def test_a_refused_key_makes_tasks_wait_and_a_mended_one_lets_them_go_on(engine: Engine, monkeypatch, status):
    monkeypatch.setattr(circuits, "FIRST_S", 1.0)
    engine.target(2)
    engine.queue(6)
    engine.server.fail(status, times=3)
    with engine.running():
        until(lambda: ProviderHealth.objects.filter(state="open").exists())
        assert engine.states()["dead"] == 0
    assert engine.states() == {"done": 6}
    assert not AgentPool.objects.filter(paused=True).exists()
    assert set(AgentTask.objects.values_list("attempts", flat=True)) == {1}


def test_a_model_that_is_gone_is_replaced_by_the_next(two_models: Engine):
    two_models.target(2)
    two_models.queue(6)
    two_models.server.fail("404", match=FIRST)
    two_models.run()
    assert two_models.states() == {"done": 6}
    assert calls(FIRST) <= 2
    assert set(AgentTask.objects.values_list("attempts", flat=True)) == {1}
    assert row(FIRST).reason == "http_404"


def test_two_pumps_share_one_circuit_and_one_probe(engine: Engine, monkeypatch):
    monkeypatch.setattr(circuits, "FIRST_S", 1.2)
    monkeypatch.setattr(circuits, "MOST_S", 1.2)
    PumpLease.objects.get_or_create(slot=2)
    engine.target(8)
    engine.queue(12)
    engine.server.fail("500")
    with engine.running(claim_for_s=5), engine.running(claim_for_s=5):
        until(lambda: ProviderHealth.objects.filter(opens__gte=1).exists())
        time.sleep(0.6)  # the other has looked
        before = engine.server.seen()["requests"]
        began = time.monotonic()
        until(lambda: ProviderHealth.objects.filter(opens__gte=3).exists())
        windows = (time.monotonic() - began) / 1.2
        assert engine.server.seen()["requests"] - before <= windows + 2
    assert engine.states()["queued"] == 12
