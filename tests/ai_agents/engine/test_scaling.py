"""The autoscaler, rates a minute, limits for all kinds together, and restarting without a loss."""

from dataclasses import replace
from decimal import Decimal

import pytest

from ai_agents import scaling
from ai_agents.actions import pace, pools, queue
from ai_agents.actions.pools import keep_pools
from ai_agents.actions.requests import request_analysis
from ai_agents.llm.providers import current_provider
from ai_agents.models import AgentCall, AgentPool, AgentTask
from ai_agents.scaling import Load, autoscale, wanted_target
from crm.errors import OutOfBounds, PermissionRefused, VersionConflict
from crm.models import Actor, AuditLog, Role
from tests.ai_agents.engine.conftest import Engine, until
from tests.factories import make_user

KIND = "lead_analysis"
REST = Load(target=3, least=3, most=64)


@pytest.fixture
def fresh(db, settings):
    settings.AI_PROVIDER = "scripted"
    keep_pools()


def pool(**values) -> AgentPool:
    if values:
        AgentPool.objects.filter(kind=KIND).update(**values)
    return AgentPool.objects.get(kind=KIND)


def fill(n: int) -> None:
    AgentTask.objects.bulk_create(AgentTask(kind=KIND, dedup_key=f"k{i}") for i in range(n))


@pytest.mark.parametrize(
    ("load", "target"),
    [
        (REST, 3),
        (replace(REST, target=64), 3),  # nothing to do: to the least at once
        (replace(REST, target=64, least=0), 0),
        (replace(REST, due=1000), 6),  # twofold a step
        (replace(REST, due=1000, target=0, least=0), 4),
        (replace(REST, due=1000, target=48), 36),  # 1,000 x 2 s / 60 s are 34; a quarter down at most
        (replace(REST, due=10_000, target=48), 64),  # never over the most
        (replace(REST, due=100, running=3, call_s=9, target=12), 16),  # slow calls need more of them
        (replace(REST, due=100, running=3, call_s=0.5, target=12), 9),
        (replace(REST, due=10, running=3, wait_s=60), 4),  # it waits, whatever the sum says
        (replace(REST, due=1000, calls=50, limited=1), 3),  # "too many": nothing goes up
        (replace(REST, due=1000, calls=50, failed=26), 3),
        (replace(REST, due=1000, calls=50, failed=20), 6),
        (replace(REST, due=5, running=3, target=40), 30),
    ],
)
def test_the_target_follows_what_waits_and_how_long_a_call_takes(load, target):
    assert wanted_target(load) == target


def test_a_backlog_raises_the_target_step_by_step_and_rest_takes_it_back(fresh):
    fill(800)
    assert autoscale() == {KIND: 6}
    assert autoscale() == {KIND: 12}
    assert autoscale() == {KIND: 24}
    assert AuditLog.objects.filter(action="agentpool.changed").count() == 3
    AgentTask.objects.all().update(state="done")
    assert autoscale() == {KIND: 3}
    assert autoscale() == {}


def test_rate_limits_of_the_last_minute_hold_it_back(fresh):
    fill(800)
    task = AgentTask.objects.first()
    AgentCall.objects.create(task=task, attempt=1, provider="scripted", model="m", status="rate_limited")
    assert autoscale() == {}


def test_it_leaves_paused_pools_and_those_that_a_person_set_alone(fresh):
    fill(800)
    pools.scale_agents(KIND, target=1, by=Actor.system())
    assert autoscale() == {}
    assert pool().target == 1, "below what it keeps ready, because a person said so"
    pools.set_pool(KIND, is_auto=True, by=Actor.system())
    pools.pause_agents(KIND, by=Actor.system())
    assert autoscale() == {}


def test_a_pool_at_rest_wakes_for_the_first_task(engine: Engine):
    AgentPool.objects.filter(kind=KIND).update(target=0, min_concurrency=0, is_auto=True)
    engine.queue(3)
    engine.run()
    assert engine.states() == {"done": 3}


def test_a_pump_lets_the_target_grow_while_much_waits(engine: Engine, monkeypatch):
    monkeypatch.setattr("ai_agents.rounds.STEP_S", 0.2)
    monkeypatch.setattr(scaling, "CLEAR_IN_S", 2)
    engine.server.script.latency_s = 0.2
    AgentPool.objects.filter(kind=KIND).update(target=1, min_concurrency=1, max_concurrency=12, is_auto=True)
    AgentPool.objects.exclude(kind=KIND).update(target=0, is_auto=False)
    engine.queue(80)
    engine.run()
    assert engine.states() == {"done": 80}
    assert 4 <= engine.server.seen()["most_in_flight"] <= 12
    autoscale()
    assert pool().target == 1


# --- limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_concurrency": 257}, "max_concurrency"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": 2}, "max_concurrency"),  # below the least, 3
        ({"min_concurrency": 65}, "min_concurrency"),
        ({"min_concurrency": -1}, "min_concurrency"),
        ({"rpm": -1}, "rpm"),
        ({"rpm": True}, "rpm"),
        ({"budget_day_usd": Decimal(-1)}, "budget_day_usd"),
        ({"budget_day_usd": "much"}, "budget_day_usd"),
    ],
)
def test_limits_out_of_bounds_are_refused_by_field(fresh, changes, field):
    with pytest.raises(OutOfBounds) as refused:
        pools.set_pool(KIND, by=Actor.system(), **changes)
    assert refused.value.field == field


def test_a_lower_most_takes_the_target_down_and_nothing_changed_writes_nothing(fresh):
    pool(target=40)
    assert pools.set_pool(KIND, by=Actor.system(), max_concurrency=10).target == 10
    version = pool().version
    pools.set_pool(KIND, by=Actor.system(), max_concurrency=10)
    assert pool().version == version
    with pytest.raises(VersionConflict):
        pools.set_pool(KIND, by=Actor.system(), rpm=5, version=version - 1)
    with pytest.raises(PermissionRefused):
        pools.set_pool(KIND, by=Actor.of(make_user(Role.MANAGER)), rpm=5)


def test_a_rate_a_minute_holds_for_all_pumps(fresh):
    fill(100)
    pool(rpm=60, target=64)
    first = queue.claim(KIND, 10, lease_s=30)
    assert len(first) == 1, "one second's worth"
    assert queue.claim(KIND, 10, lease_s=30) == []
    AgentPool.objects.filter(kind=KIND).update(paced_until="2020-01-01T00:00:00Z")
    assert len(queue.claim(KIND, 10, lease_s=30)) == 1, "time that passed unused is not made up for"
    pool(rpm=1200, paced_until=None)
    assert len(queue.claim(KIND, 64, lease_s=30)) == 20
    assert queue.claim(KIND, 64, lease_s=30) == []


def test_a_repair_call_counts_towards_the_rate(fresh):
    pool(rpm=60)
    pace.book(KIND, 5)
    assert pace.room(pool()) == -4
    pool(rpm=0)
    pace.book(KIND, 5)


def test_what_a_provider_allows_in_all_holds_across_kinds_and_pumps(fresh):
    fill(30)
    AgentTask.objects.bulk_create(AgentTask(kind="follow_up", dedup_key=f"f{i}") for i in range(30))
    AgentPool.objects.update(target=30)
    assert len(queue.claim(KIND, 30, lease_s=30, most_in_all=20)) == 20
    assert queue.claim("follow_up", 30, lease_s=30, most_in_all=20) == []
    assert len(queue.claim("follow_up", 30, lease_s=30, most_in_all=25)) == 5


def test_the_default_provider_is_asked_less_than_it_allows(settings):
    settings.AI_PROVIDER, settings.DEEPINFRA_API_KEY = "deepinfra", "k"
    assert 0 < current_provider().most_in_flight < 200


# --- restart ----------------------------------------------------------------------------------------------


def test_a_restart_loses_none_of_a_hundred(engine: Engine):
    engine.target(8)
    engine.queue(100)
    engine.server.script.latency_s = 0.1
    with engine.running(beat_s=0.1, control_s=0.1) as old:
        until(lambda: engine.states()["done"] >= 8)
        assert pools.restart_agents(by=Actor.system()) == 1
        with engine.running() as new:
            pass
    assert engine.states() == {"done": 100}
    assert old.done["done"] + new.done["done"] == 100
    assert min(old.done["done"], new.done["done"]) > 0
    assert engine.server.seen()["repeated"] == 0
    assert set(AgentTask.objects.values_list("attempts", flat=True)) == {1}


def test_only_who_sets_up_restarts(fresh):
    with pytest.raises(PermissionRefused):
        pools.restart_agents(by=Actor.of(make_user(Role.MANAGER)))
    assert pools.restart_agents(by=Actor.system()) == 0


# --- facts that change while a call is in the air ---------------------------------------------------------


def test_a_late_result_on_old_facts_is_not_shown(engine: Engine):
    engine.target(1)
    [lead] = engine.leads(1)
    old = request_analysis(lead.pk, by=Actor.system())
    engine.server.script.latency_s = 1.5
    with engine.running():
        until(lambda: engine.server.seen()["in_flight"] == 1)
        lead.company = "Changed Ltd"
        lead.save(update_fields=["company"])
        new = request_analysis(lead.pk, by=Actor.system())
        assert new != old
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, old.error) == ("cancelled", "superseded")
    assert new.state == "done"
    assert list(lead.scores.filter(kind="model").values_list("task_id", flat=True)) == [new.pk]
    assert AgentCall.objects.filter(status="ok").count() == 2, "both were paid for, and are in the books"
