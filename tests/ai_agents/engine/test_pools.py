"""Steering the pools, and what screens are told."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ai_agents.actions import pools
from ai_agents.actions.requests import request_analysis
from ai_agents.agents import AGENTS
from ai_agents.models import AgentPool, AgentTask, ModelPrice
from crm import clock, ports
from crm.errors import OutOfBounds, PermissionRefused
from crm.models import Actor, Role
from tests.factories import make_admin, make_lead, make_user


@pytest.fixture(autouse=True)
def _fresh(db, settings):
    settings.AI_PROVIDER = "scripted"
    pools.keep_pools()


def test_a_fresh_install_has_a_few_agents_of_each_kind_shown_running():
    targets = dict(AgentPool.objects.values_list("kind", "target"))
    assert targets == {kind: agent.fresh_target for kind, agent in AGENTS.items()}
    assert (targets["lead_analysis"], targets["follow_up"]) == (3, 2)
    assert ports.ai_status().running == sum(targets.values())


@clock.frozen(datetime(2026, 3, 2, 9, 30, tzinfo=UTC))
def test_an_admin_scales_pauses_and_resumes():
    by = Actor.of(make_admin())
    assert pools.scale_agents("lead_analysis", target=64, by=by).target == 64
    assert pools.pause_agents("lead_analysis", by=by, because="Holiday.").paused
    assert ports.ai_status().trouble == "LeadAnalysisAgent is paused since 09:30. Holiday."
    pools.pause_agents("follow_up", by=by)
    said = ports.ai_status().trouble
    assert said == "LeadAnalysisAgent and FollowUpAgent are paused since 09:30. Holiday."
    pools.resume_agents("follow_up", by=by)
    assert not pools.resume_agents("lead_analysis", by=by).paused
    assert ports.ai_status().trouble == ""


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
def test_others_may_not(role):
    with pytest.raises(PermissionRefused):
        pools.scale_agents("lead_analysis", target=1, by=Actor.of(make_user(role)))


@pytest.mark.parametrize("target", [-1, 65, 10**9, True, 2.5, "4", None])
def test_a_target_out_of_bounds_is_refused(target):
    with pytest.raises(OutOfBounds):
        pools.scale_agents("lead_analysis", target=target, by=Actor.system())


def test_the_numbers_of_a_pool():
    request_analysis(make_lead(message="A pond, please.").pk, by=Actor.system())
    now = {n.pool.kind: n for n in pools.pools_now()}["lead_analysis"]
    assert (now.queued, now.running, now.done_today, now.failed_today, now.cost_today_usd) == (1, 0, 0, 0, 0)
    assert now.waiting_s is not None


def test_waiting_work_without_a_pump_is_trouble():
    request_analysis(make_lead(message="A pond, please.").pk, by=Actor.system())
    AgentTask.objects.update(run_after="2020-01-01T00:00:00Z")
    assert "nothing works on them" in ports.ai_status().trouble
    assert ports.ai_status().queued == 1


def test_the_status_costs_two_queries_at_most(django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        status = ports.ai_status()
    assert status.is_on
    assert status.is_sample
    assert status.budget_usd == 5


def test_the_price_of_an_analysis(settings):
    assert ports.price_of_analysis(1000) == 0, "samples are free"
    settings.AI_PROVIDER, settings.DEEPINFRA_API_KEY = "deepinfra", "k"
    assert Decimal("0.1") < ports.price_of_analysis(1000) < Decimal("2")
    before = ports.price_of_analysis(1000)
    ModelPrice.objects.create(
        provider="deepinfra", model=settings.AI_MODEL, valid_from=clock.now().date(),
        usd_in=50, usd_cached=50, usd_out=90,
    )  # fmt: skip
    assert ports.price_of_analysis(1000) > 10 * before


def test_with_ai_off_the_ports_say_so(settings):
    settings.AI_PROVIDER = "off"
    assert not ports.ai_status().is_on
    assert ports.price_of_analysis(10) == 0


def test_the_command_shows_and_steers():
    out = StringIO()
    call_command("agents", "scale", "lead_analysis", "7", stdout=out)
    assert "target 7" in out.getvalue()
    call_command("agents", "pause", "follow_up", stdout=StringIO())
    out = StringIO()
    call_command("agents", "status", "--json", stdout=out)
    rows = {row["kind"]: row for row in json.loads(out.getvalue())["pools"]}
    assert rows["lead_analysis"]["target"] == 7
    assert rows["follow_up"]["state"] == "paused"
    call_command("agents", "resume", "follow_up", stdout=StringIO())
    assert not AgentPool.objects.get(kind="follow_up").paused


@pytest.mark.parametrize("args", [("scale", "lead_analysis", "999"), ("pause", "poets")])
def test_the_command_refuses_with_exit_code_two(args):
    with pytest.raises(CommandError) as refused:
        call_command("agents", *args)
    assert refused.value.returncode == 2


@pytest.mark.parametrize("typed", ["NaN", "sNaN", "Infinity", "-1"])
def test_a_budget_that_is_no_amount_is_refused_in_a_sentence(typed: str):
    with pytest.raises(CommandError, match="Choose an amount from 0 to 100000 US dollars"):
        call_command("agents", "limits", "follow_up", "--budget", typed)


def test_a_draft_can_be_asked_for_by_command(settings):
    settings.AI_PROVIDER, settings.SCRIPTED_LLM_URL = "scripted", "http://127.0.0.1:9/v1"
    lead, out = make_lead(message="We want a pond."), StringIO()
    call_command("agents", "draft", str(lead.public_id), "--tone", "formal", "--length", "short", stdout=out)
    task = AgentTask.objects.get(kind="follow_up")
    assert task.params == {
        "purpose": "first_answer", "tone": "formal", "length": "short", "instruction": ""
    }  # fmt: skip
    assert str(task.public_id) in out.getvalue()


@pytest.mark.parametrize("lead", ["nobody", "00000000-0000-4000-8000-000000000000"])
def test_a_draft_for_a_lead_that_is_not_there_is_refused(lead: str):
    with pytest.raises(CommandError, match="no lead") as refused:
        call_command("agents", "draft", lead)
    assert refused.value.returncode == 2
