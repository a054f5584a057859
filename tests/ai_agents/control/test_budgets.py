"""Caps of a day: for all, a kind, a person. What is over them is not called, and says why."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ai_agents.actions import budget, queue
from ai_agents.actions.caps import budgets_now, set_budget
from ai_agents.actions.pools import set_pool
from ai_agents.actions.prices import set_price
from ai_agents.actions.requests import request_analysis
from ai_agents.models import AgentCall, AgentPool, AgentTask, Budget, BudgetCap, ModelPrice
from crm import clock
from crm.errors import AIUnavailable, CRMError
from crm.models import Actor, AuditLog, Role, User
from tests.ai_agents.engine.conftest import Engine
from tests.factories import actor, make_admin, make_lead, make_user

CENT = Decimal("0.01")


def task(by: User | None = None, kind: str = "lead_analysis") -> AgentTask:
    return AgentTask.objects.create(
        kind=kind, dedup_key=str(AgentTask.objects.count()), requested_by=by, started_at=clock.now()
    )


def cap(who: User, usd: str) -> None:
    set_budget(f"user:{who.public_id}", usd_day=Decimal(usd), by=Actor.system())


@pytest.mark.django_db
def test_a_persons_tasks_stop_at_their_cap_and_others_go_on():
    ann, bob = make_user(), make_user()
    budget.open_day(queue.today())
    cap(ann, "0.02")
    wanted = [(task(ann), CENT), (task(bob), CENT), (task(ann), CENT), (task(ann), CENT), (task(), CENT)]
    granted = {one.pk for one in budget.reserve(wanted)}
    assert granted == {wanted[i][0].pk for i in (0, 1, 2, 4)}
    row = Budget.objects.get(scope=f"user:{ann.pk}")
    assert row.reserved == Decimal("0.02")
    budget.settle([(wanted[0][0], Decimal("0.004"))])
    row.refresh_from_db()
    assert (row.reserved, row.spent) == (Decimal("0.01"), Decimal("0.004"))
    assert Budget.objects.get(scope="all").spent == Decimal("0.004")


@pytest.mark.django_db
def test_who_has_spent_their_budget_is_told_at_once(settings):
    settings.AI_PROVIDER = "scripted"
    ann = make_admin()
    lead = make_lead(message="Please send a quote.")
    cap(ann, "0")
    with pytest.raises(AIUnavailable, match=r"budget of \$0.00 for today is spent"):
        request_analysis(lead.pk, by=actor(ann))
    assert request_analysis(lead.pk, by=Actor.system())


@pytest.mark.django_db
def test_a_cap_holds_today_at_once_and_can_be_taken_away(settings):
    settings.AI_DAILY_BUDGET_USD = 5
    budget.open_day(queue.today())
    for scope in ("all", "lead_analysis", "replay"):
        set_budget(scope, usd_day=Decimal("1.25"), by=Actor.system())
        assert Budget.objects.get(scope=scope).cap == Decimal("1.25")
    assert AgentPool.objects.get(kind="lead_analysis").budget_day_usd == Decimal("1.25")
    assert BudgetCap.objects.count() == 2
    for scope in ("all", "lead_analysis", "replay"):
        set_budget(scope, usd_day=None, by=Actor.system())
    assert [(now.scope, now.cap) for now in budgets_now()] == [("all", Decimal("5.0"))]
    assert {row.cap for row in Budget.objects.all()} == {Decimal(5)}


@pytest.mark.django_db
def test_only_who_sets_up_may_set_a_budget_and_each_change_is_audited():
    for role in (Role.MANAGER, Role.REP, Role.READ_ONLY):
        with pytest.raises(CRMError):
            set_budget("all", usd_day=Decimal(1), by=actor(make_user(role)))
    set_budget("all", usd_day=Decimal(1), by=actor(make_admin()))
    assert AuditLog.objects.get(action="budget.changed").data == {"usd_day": "1"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("scope", "usd", "field"),
    [("nobody", 1, "scope"), ("user:x", 1, "scope"), ("all", -1, "usd_day"), ("all", 10**6, "usd_day")],
)
def test_a_budget_that_makes_no_sense_is_refused_by_name(scope, usd, field):
    with pytest.raises(CRMError) as refused:
        set_budget(scope, usd_day=Decimal(usd), by=Actor.system())
    assert refused.value.field == field
    assert not BudgetCap.objects.exists()


@pytest.mark.django_db
def test_page_admin_and_command_set_it(client):
    client.force_login(make_admin())
    client.post("/agents/costs/budget/", {"scope": "all", "usd_day": "2.25"})
    assert BudgetCap.objects.get().usd_day == Decimal("2.25")
    wrong = client.post("/agents/costs/budget/", {"scope": "all", "usd_day": "much"})
    assert (wrong.status_code, "as in 2.50" in wrong.content.decode()) == (422, True)
    client.post("/admin/ai_agents/budgetcap/add/", {"scope": "replay", "usd_day": "1"})
    assert BudgetCap.objects.get(scope="replay").usd_day == 1
    pool = AgentPool.objects.get(kind="follow_up")
    names = ("target", "min_concurrency", "max_concurrency", "rpm")
    fields = {name: getattr(pool, name) for name in names} | {"budget_day_usd": "0.75"}
    fields["seen_version"] = pool.version
    assert client.post(f"/admin/ai_agents/agentpool/{pool.pk}/change/", fields).status_code == 302
    assert AgentPool.objects.get(kind="follow_up").budget_day_usd == Decimal("0.75")
    out = StringIO()
    call_command("agents", "budget", "all", "4", stdout=out)
    assert "of $4.00" in out.getvalue()


def test_a_running_pump_stops_a_person_at_their_cap(engine: Engine, settings):
    ann = make_admin()
    price = {"usd_in": 1, "usd_cached": 1, "usd_out": 1}
    ModelPrice.objects.create(
        provider="scripted", model="scripted-gardener", valid_from="2020-01-01", **price
    )
    set_budget("all", usd_day=Decimal(5), by=Actor.system())
    cap(ann, "0.012")
    for lead in engine.leads(8):
        request_analysis(lead.pk, by=actor(ann))
    engine.target(4)
    engine.run(linger_s=0.5)
    row = Budget.objects.get(scope=f"user:{ann.pk}")
    assert 0 < row.spent <= row.cap
    assert row.reserved == 0
    assert engine.states() == {"done": AgentCall.objects.count(), "queued": 8 - AgentCall.objects.count()}
    assert set(AgentTask.objects.filter(state="queued").values_list("error", flat=True)) == {"over_budget"}


@pytest.mark.django_db
def test_what_is_finer_than_what_is_kept_is_refused_by_name_and_not_rounded():
    fine, by, since = Decimal("1e-30"), Actor.system(), date(2026, 1, 1)
    price = {"valid_from": since, "usd_in": Decimal("0.27"), "usd_out": Decimal(1), "by": by}
    acts: dict[str, Callable[[], Any]] = {
        "usd_day": lambda: set_budget("all", usd_day=fine, by=by),
        "budget_day_usd": lambda: set_pool("follow_up", budget_day_usd=Decimal("0.123456789"), by=by),
        "usd_cached": lambda: set_price("deepinfra", "a/b", usd_cached=Decimal("1e-20"), **price),
    }
    for field, act in acts.items():
        with pytest.raises(CRMError, match="places after the point") as refused:
            act()
        assert refused.value.field == field
    with pytest.raises(CRMError, match="at most 4 places"):
        set_budget("follow_up", usd_day=Decimal("0.12345"), by=by)
    assert not BudgetCap.objects.exists()
    assert not ModelPrice.objects.filter(model="a/b").exists()
    with pytest.raises(CommandError, match="places after the point"):
        call_command("agents", "limits", "follow_up", "--budget", "0.123456789")
    set_budget("all", usd_day=Decimal("0.123456000"), by=by)
    set_pool("follow_up", budget_day_usd=Decimal("0.1234"), by=by)
    set_price("deepinfra", "a/b", usd_cached=Decimal("0.0001"), **price)
    assert BudgetCap.objects.get().usd_day == Decimal("0.123456")
    assert AgentPool.objects.get(kind="follow_up").budget_day_usd == Decimal("0.1234")
    assert ModelPrice.objects.get(model="a/b").usd_cached == Decimal("0.0001")
