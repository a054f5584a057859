"""The long versions: thousands of tasks. `make test ARGS="-m slow -s tests/ai_agents/engine"`."""

from decimal import Decimal

import pytest

from ai_agents.actions import queue
from ai_agents.actions.outcomes import DONE
from ai_agents.actions.status import ai_status, current_troubles
from ai_agents.claims import Claims, Order, Ready
from ai_agents.models import AgentCall, AgentPool, AgentTask, Budget, ModelPrice, PumpLease
from ai_agents.scaling import autoscale
from ai_agents.switchboard import Switchboard
from crm.models import Score, ScoreKind
from tests.ai_agents.engine.conftest import FAST, Engine
from tests.ai_agents.engine.test_queue import fill
from tests.crm.web.pages import signed_in
from tests.factories import make_admin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def queue_many(engine: Engine, n: int) -> None:
    for _ in range(n // 500):
        engine.queue(500)


def test_a_budget_of_a_cent_stops_two_pumps_before_ten_thousand(engine: Engine, settings):
    settings.AI_DAILY_BUDGET_USD = 0.01
    ModelPrice.objects.create(
        provider="scripted", model="scripted-gardener", valid_from="2020-01-01",
        usd_in=Decimal("0.27"), usd_cached=Decimal("0.27"), usd_out=Decimal("1.12"),
    )  # fmt: skip
    PumpLease.objects.get_or_create(slot=2)
    engine.target(64)
    queue_many(engine, 10_000)
    engine.server.script.latency_s = 0.2
    for _ in range(2):  # what was released for a minute comes again
        AgentTask.objects.filter(state="queued").update(run_after="2020-01-01T00:00:00Z")
        with engine.running(claim_for_s=30, linger_s=2), engine.running(claim_for_s=30, linger_s=2):
            pass
    budget = Budget.objects.get(scope="all")
    spent = sum(AgentCall.objects.values_list("cost_usd", flat=True))
    states = engine.states()
    print(f"spent ${spent} of ${budget.cap}; {states['done']} done, {states['queued']} queued")
    assert 0 < spent == budget.spent <= Decimal("0.01")
    assert budget.reserved == 0
    assert states["done"] + states["queued"] == 10_000
    assert set(AgentTask.objects.filter(state="queued").values_list("attempts", flat=True)) == {0}
    assert [trouble.code for trouble in current_troubles()] == ["budget_spent"]
    assert "budget is spent since" in ai_status().trouble
    client = signed_in(make_admin())
    for path in ("/", "/agents/"):
        assert "budget is spent since" in client.get(path).content.decode()


def test_two_pumps_double_nothing_in_one_thousand_five_hundred_and_thirty_six(engine: Engine):
    PumpLease.objects.get_or_create(slot=2)
    engine.target(64)
    queue_many(engine, 1_500)
    engine.queue(36)
    engine.server.script.latency_s = 0.2
    with engine.running(claim_for_s=300) as one, engine.running(claim_for_s=300) as two:
        pass
    seen = engine.server.seen()
    print(f"{one.done['done']} and {two.done['done']} done, {seen['requests']} calls")
    assert engine.states() == {"done": 1_536}
    assert seen["requests"] == seen["distinct"] == 1_536
    assert Score.objects.filter(kind=ScoreKind.MODEL).count() == 1_536
    assert min(one.done["done"], two.done["done"]) > 0


def test_ten_priorities_all_get_their_turn_while_the_first_keeps_coming(engine: Engine):
    """A flood of priority 0 that never ends, and one task of each other priority that waited longer."""
    engine.target(4)
    for priority in range(1, 10):
        [lead] = engine.queue(1, priority=priority)
        AgentTask.objects.filter(lead=lead).update(run_after="2020-01-01T00:00:00Z")
    engine.queue(400, priority=0)
    engine.run(claim_for_s=300)
    order = list(AgentCall.objects.order_by("pk").values_list("task__priority", flat=True))
    places = [order.index(priority) for priority in range(1, 10)]
    print(f"places of priorities 1 to 9 among {len(order)}: {places}")
    assert max(places) < 400, "none had to wait for the end of the flood"


def test_of_ten_thousand_of_three_kinds_none_starves_in_a_flood_of_the_first_priority(
    engine: Engine, monkeypatch
):
    """Claims alone, without a model: as many tasks of priority 0 come in as are done."""
    kinds = ("lead_analysis", "follow_up", "reply_triage")
    AgentPool.objects.filter(kind__in=kinds).update(target=32, is_auto=False)
    fill(10_000, kinds)
    monkeypatch.setattr(Claims, "_read", lambda _self, _kind, tasks: [(task, None) for task in tasks])
    monkeypatch.setattr(
        Claims,
        "_reserve",
        lambda _self, permit, _kind, read, price: [
            Ready(task, None, permit.model, price) for task, _ in read
        ],
    )
    claims = Claims(engine.server.provider, FAST, Switchboard(engine.server.provider))
    claims.follow({kind: Order.of(AgentPool.objects.get(kind=kind), pumps=1) for kind in kinds})
    waited_longest = {
        kind: set(AgentTask.objects.filter(kind=kind).order_by("run_after").values_list("pk", flat=True)[:90])
        for kind in kinds
    }
    turns, flood = 0, 0
    while any(waited_longest.values()) and turns < 300:
        turns += 1
        for kind in kinds:
            started = claims.start(kind, 32)
            claims.take_ahead()
            queue.end([ready.task for ready in started], DONE)
            waited_longest[kind] -= {ready.task.pk for ready in started}
            AgentTask.objects.bulk_create(
                AgentTask(kind=kind, priority=0, dedup_key=f"flood {flood + nr}")
                for nr in range(len(started))
            )
            flood += len(started)
    print(f"the 90 of each kind that waited longest, all priorities, were started within {turns} turns of 32")
    assert turns < 150


def test_the_autoscaler_finishes_a_thousand_and_comes_to_rest(engine: Engine):
    AgentPool.objects.filter(kind="lead_analysis").update(is_auto=True, min_concurrency=3, target=3)
    AgentPool.objects.exclude(kind="lead_analysis").update(target=0, is_auto=False)
    queue_many(engine, 1_000)
    engine.server.script.latency_s = 1.0
    engine.run(claim_for_s=300)
    most = engine.server.seen()["most_in_flight"]
    print(f"at most {most} in flight")
    assert engine.states() == {"done": 1_000}
    assert most > 8
    autoscale()
    assert AgentPool.objects.get(kind="lead_analysis").target == 3
