"""Costs and budgets through the API: what is whose business."""

from decimal import Decimal

import pytest

from ai_agents.actions.caps import set_budget
from ai_agents.models import AgentCall, AgentTask, TaskState
from crm.models import Actor, Role
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_the_api_shows_costs_and_names_people_to_admins_only(api, token_caller):
    task = AgentTask.objects.create(
        kind="lead_analysis", state=TaskState.DONE, dedup_key="1", requested_by=make_user(name="Ann")
    )
    AgentCall.objects.create(
        task=task, attempt=1, provider="deepinfra", model="m", status="ok", tokens_in=1000, tokens_out=100,
        cost_usd=Decimal("0.002"),
    )  # fmt: skip
    assert [row["name"] for row in api.get("/api/v1/agents/costs/").json()["people"]] == ["Ann"]
    reader = token_caller(make_user(Role.READ_ONLY), ["read"])
    told = reader.get("/api/v1/agents/costs/").json()
    assert (told["people"], Decimal(told["total"]["usd"])) == ([], Decimal("0.002"))
    assert reader.get("/api/v1/agents/costs/?since=soon").status_code == 400


def test_an_admin_sets_a_budget(api):
    told = api.send("POST", "/api/v1/agents/budgets/", {"scope": "all", "usd_day": "3.5"}).json()
    assert [(row["scope"], Decimal(row["cap"])) for row in told["results"]] == [("all", Decimal("3.5"))]


def test_others_do_not_see_what_a_person_may_spend(token_caller):
    ann, bob = make_user(), make_user()
    set_budget(f"user:{ann.public_id}", usd_day=Decimal(1), by=Actor.system())
    shown = token_caller(bob, ["read"]).get("/api/v1/agents/budgets/").json()["results"]
    assert [row["scope"] for row in shown] == ["all"]
    mine = token_caller(ann, ["read"]).get("/api/v1/agents/budgets/").json()["results"]
    assert [row["scope"] for row in mine] == ["all", f"user:{ann.public_id}"]
