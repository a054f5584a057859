"""What the agents cost: for each kind, lead, person and won deal, and what other models would have cost."""

import json
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ai_agents.actions.calls import price_of
from ai_agents.actions.costs import costs, what_if
from ai_agents.actions.prices import keep_prices, set_price
from ai_agents.llm.prices import SHIPPED
from ai_agents.models import AgentCall, AgentTask, ModelPrice, TaskState
from crm import clock
from crm.errors import CRMError
from crm.models import Actor, AuditLog, Lead, Opportunity, Stage, User
from tests.crm.valid_rows import a
from tests.factories import actor, make_admin, make_lead, make_user

pytestmark = pytest.mark.django_db


def call(kind: str, lead: Lead | None, usd: str | None, by: User | None = None, **more: Any) -> AgentCall:
    task = AgentTask.objects.create(
        kind=kind, lead=lead, state=TaskState.DONE, dedup_key=str(AgentTask.objects.count()), requested_by=by
    )
    values = {"status": "ok", "tokens_in": 1000, "tokens_out": 100, "cost_usd": usd and Decimal(usd)} | more
    return AgentCall.objects.create(task=task, attempt=1, provider="deepinfra", model="m", **values)


def a_month() -> Any:
    return costs(clock.now() - timedelta(days=30), clock.now() + timedelta(minutes=1))


def test_costs_are_told_by_kind_lead_person_and_won_deal():
    ann, one, two = make_user(name="Ann"), make_lead(), make_lead()
    call("lead_analysis", one, "0.002", by=ann)
    call("lead_analysis", one, "0.002")
    call("lead_analysis", two, "0.002", status="invalid")
    call("follow_up", one, "0.004")
    call("follow_up", one, None, status="timeout", tokens_in=None, tokens_out=None)
    stage = a(Stage, kind="won", probability=100)
    a(Opportunity, stage=stage, state="won", closed_at=timezone.now())
    found = a_month()
    kinds = {kind.kind: kind for kind in found.kinds}
    assert kinds["lead_analysis"].usd == Decimal("0.006")
    assert (kinds["lead_analysis"].tasks, kinds["lead_analysis"].leads) == (3, 2)
    assert kinds["lead_analysis"].usd_per_lead == Decimal("0.003")
    assert kinds["lead_analysis"].invalid_share == pytest.approx(1 / 3)
    assert (kinds["follow_up"].calls, kinds["follow_up"].unknown) == (2, 1)
    assert found.total.usd == Decimal("0.010")
    assert found.total.usd_per_lead == Decimal("0.005")
    assert (found.won, found.usd_per_won_deal) == (1, Decimal("0.010"))
    assert [(row["name"], row["usd"]) for row in found.people] == [("Ann", Decimal("0.002"))]


def test_a_period_without_calls_costs_nothing_and_divides_by_nothing():
    found = a_month()
    assert (found.total.calls, found.total.usd, found.kinds) == (0, 0, ())
    assert found.total.usd_per_lead is found.usd_per_won_deal is None


def test_the_same_tokens_are_priced_with_other_models():
    call("lead_analysis", make_lead(), "0.002")
    (kind,) = a_month().kinds
    table = {one.model: one for one in what_if(kind)}
    assert table["gpt-4"].usd == Decimal("0.036")  # 1,000 x 30 + 100 x 60 per million
    assert table["deepseek-v4-flash"].usd == Decimal("0.000420")  # the newest price, 0.30 and 1.20
    assert table["deepseek-v4-flash"].saves(table["gpt-4"]) == pytest.approx(0.98833, abs=1e-4)


def test_a_command_prints_costs_for_people_and_programs():
    call("lead_analysis", make_lead(), "0.002")
    assert "lead_analysis  $0.002000" in printed("agents", "costs", "--compare")
    told = json.loads(printed("agents", "costs", "--json", "--since", f"{clock.now():%Y-%m-%d}"))
    assert told["total"]["usd"] == 0.002
    with pytest.raises(CommandError, match="2026-11-30"):
        call_command("agents", "costs", "--since", "yesterday")


def printed(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def test_the_page_shows_them_in_a_fixed_number_of_queries(client, django_assert_max_num_queries):
    client.force_login(make_admin())
    for number in range(12):
        call("lead_analysis", make_lead(), "0.002", by=make_user(name=f"Person {number}"))
    with django_assert_max_num_queries(18):
        html = client.get("/agents/costs/").content.decode()
    assert "LeadAnalysisAgent" in html
    assert "Person 11" in html
    assert "$0.0020" in html


# --- prices -----------------------------------------------------------------------------------------------


def test_the_price_of_a_day_is_the_one_that_held_then():
    ModelPrice.objects.all().delete()
    for day, usd in ((date(2026, 8, 15), "0.28"), (date(2026, 8, 16), "1.32"), (date(2026, 11, 30), "1.20")):
        assert price_of("openai_compatible", "deepseek-v4-flash", day).usd_out == Decimal(usd)
    keep_prices()
    assert ModelPrice.objects.count() == len(SHIPPED)
    for day, usd in ((date(2026, 8, 15), "0.28"), (date(2026, 8, 16), "1.32"), (date(2026, 11, 30), "1.20")):
        assert price_of("openai_compatible", "deepseek-v4-flash", day).usd_out == Decimal(usd)


def test_a_price_that_a_person_wrote_is_not_overruled_by_a_release():
    ModelPrice.objects.all().delete()
    set_price(
        "deepinfra", "deepseek-ai/DeepSeek-V3.2", valid_from=date(2025, 1, 1), usd_in=Decimal(1),
        usd_out=Decimal(2), note="our contract", by=actor(make_admin()),
    )  # fmt: skip
    keep_prices()
    assert price_of("deepinfra", "deepseek-ai/DeepSeek-V3.2", date(2026, 11, 30)).usd_out == 2
    assert AuditLog.objects.filter(action="modelprice.set").count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"usd_in": Decimal(-1)}, "usd_in"),
        ({"usd_out": Decimal("NaN")}, "usd_out"),
        ({"model": " "}, "model"),
    ],
)
def test_a_price_that_makes_no_sense_is_refused_by_name(changes, field):
    wanted = {"model": "m", "usd_in": Decimal(1), "usd_out": Decimal(1)} | changes
    with pytest.raises(CRMError) as refused:
        set_price("deepinfra", valid_from=date(2026, 1, 1), by=Actor.system(), **wanted)
    assert refused.value.field == field


def test_only_who_sets_up_may_set_a_price_and_the_admin_adds_one(client):
    with pytest.raises(CRMError):
        set_price(
            "deepinfra", "m", valid_from=date(2026, 1, 1), usd_in=Decimal(1), usd_out=Decimal(1),
            by=actor(make_user()),
        )  # fmt: skip
    client.force_login(make_admin())
    posted = {
        "provider": "deepinfra", "model": "new/model", "valid_from": "2026-12-01",
        "usd_in": "0.5", "usd_cached": "0.5", "usd_out": "1", "note": "the model page",
    }  # fmt: skip
    assert client.post("/admin/ai_agents/modelprice/add/", posted).status_code == 302
    assert ModelPrice.objects.get(model="new/model").note == "the model page"
