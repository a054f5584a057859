"""What a pump has in hand: bounded everywhere, free of cost when lost, and put back when it cannot start."""

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from ai_agents.actions import circuits, leases, queue
from ai_agents.actions.outcomes import DONE
from ai_agents.actions.watching import queue_lines
from ai_agents.claims import Claims, Order
from ai_agents.llm.providers import SCRIPTED_MODEL
from ai_agents.models import AgentPool, AgentTask, Budget, ModelPrice
from ai_agents.switchboard import Switchboard
from tests.ai_agents.engine.conftest import FAST, Engine

KIND = "lead_analysis"


def pump_of(engine: Engine) -> Claims:
    """One pump's claims, with what the pools ask for now."""
    provider = engine.server.provider
    claims = Claims(provider, FAST, Switchboard(provider))
    claims.follow({KIND: Order.of(AgentPool.objects.get(kind=KIND), pumps=1)})
    return claims


@pytest.fixture
def priced(engine: Engine) -> Engine:
    """Calls cost something, and eight tasks are queued for a pool of four."""
    ModelPrice.objects.create(
        provider="scripted", model=SCRIPTED_MODEL, valid_from="2020-01-01",
        usd_in=1, usd_cached=1, usd_out=2,
    )  # fmt: skip
    engine.target(4)
    engine.queue(8)
    return engine


def counted() -> tuple[int, int]:
    """(in hand or queued, calling) as the screens count."""
    return sum(line.queued for line in queue_lines()), sum(line.running for line in queue_lines())


def test_beside_the_calls_half_of_the_target_is_in_hand(priced: Engine):
    claims = pump_of(priced)
    assert len(claims.start(KIND, 4)) == 4
    claims.take_ahead()
    assert len(claims.tasks_in_hand) == 2
    assert counted() == (4, 4), "what is in hand does not call yet"
    claims.take_ahead()
    assert len(claims.tasks_in_hand) == 2


def test_what_is_in_hand_starts_without_another_claim(priced: Engine, django_assert_max_num_queries):
    claims = pump_of(priced)
    started = claims.start(KIND, 4)
    claims.take_ahead()
    queue.end([started[0].task], DONE)
    first, second = claims.tasks_in_hand
    with django_assert_max_num_queries(7):
        [ready] = claims.start(KIND, 1)
    assert ready.task == first
    assert claims.tasks_in_hand == [second]


def test_the_target_bounds_what_two_pumps_start_together(priced: Engine):
    one, other = pump_of(priced), pump_of(priced)
    assert len(one.start(KIND, 3)) == 3
    assert len(other.start(KIND, 3)) == 1
    assert len(other.tasks_in_hand) == 2, "two more were claimed, and have to wait"
    assert one.start(KIND, 3) == []
    assert other.start(KIND, 3) == []
    assert counted() == (4, 4)


def test_a_provider_s_bound_holds_for_what_calls(priced: Engine):
    claims = pump_of(priced)
    claims.provider = replace(claims.provider, most_in_flight=2)
    assert len(claims.start(KIND, 4)) == 2
    assert claims.start(KIND, 4) == []


def test_what_is_in_hand_goes_back_without_an_attempt_or_a_cent(priced: Engine):
    claims = pump_of(priced)
    claims.start(KIND, 4)
    reserved = Budget.objects.get(scope="all").reserved
    claims.take_ahead()
    task, _other = claims.tasks_in_hand
    assert Budget.objects.get(scope="all").reserved > reserved
    claims.put_all_back()
    task.refresh_from_db()
    assert (task.state, task.attempts, task.lease_token) == ("queued", 0, None)
    assert Budget.objects.get(scope="all").reserved == reserved
    assert claims.tasks_in_hand == []


def test_a_pool_that_is_paused_lets_go_of_what_is_in_hand(priced: Engine):
    claims = pump_of(priced)
    claims.start(KIND, 4)
    claims.take_ahead()
    AgentPool.objects.filter(kind=KIND).update(paused=True)
    claims.follow({KIND: Order.of(AgentPool.objects.get(kind=KIND), pumps=1)})
    assert claims.tasks_in_hand == []
    assert AgentTask.objects.filter(state="queued").count() == 4


def test_a_pool_with_a_rate_has_nothing_in_hand(priced: Engine):
    AgentPool.objects.filter(kind=KIND).update(rpm=600)
    claims = pump_of(priced)
    assert len(claims.start(KIND, 4)) == 4
    claims.take_ahead()
    assert claims.tasks_in_hand == []


def test_what_waits_for_a_model_whose_circuit_opened_goes_back(priced: Engine):
    claims = pump_of(priced)
    started = claims.start(KIND, 4)
    claims.take_ahead()
    queue.end([started[0].task], DONE)
    report = circuits.Report(marks=circuits.FAILED * 20, reason="http_500")
    circuits.tell_circuit("scripted", SCRIPTED_MODEL, report, others=[])
    claims.switchboard.look()
    assert claims.switchboard.down == {SCRIPTED_MODEL}
    assert claims.start(KIND, 1) == []
    assert claims.tasks_in_hand == []


@pytest.mark.parametrize("how", ["ended", "expired"])
def test_a_crash_charges_what_called_and_not_what_was_in_hand(priced: Engine, monkeypatch, how):
    monkeypatch.setenv("Q_CLUSTER_NAME", "ai")
    monkeypatch.setenv("QCLUSTER_INSTANCE", "pod-1")
    claims = pump_of(priced)
    started = claims.start(KIND, 4)
    called = sum((ready.task.reserved_usd for ready in started), Decimal(0))
    claims.take_ahead()
    if how == "ended":
        assert leases.give_back("pod-1") == 6
    else:
        AgentTask.objects.filter(state="running").update(lease_until="2020-01-01T00:00:00Z")
        assert queue.reap() == 6
    budget = Budget.objects.get(scope="all")
    assert (budget.spent, budget.reserved) == (called, 0)
    assert called > 0


def test_a_task_that_somebody_else_took_meanwhile_is_not_started(priced: Engine):
    claims = pump_of(priced)
    started = claims.start(KIND, 4)
    claims.take_ahead()
    queue.end([started[0].task], DONE)
    AgentTask.objects.filter(pk=claims.tasks_in_hand[0].pk).update(lease_token=uuid.uuid4())
    assert claims.start(KIND, 1) == []
