"""The replay lab: past leads asked again on what was known then; scores stay; money is counted."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from ai_agents import prompts
from ai_agents.actions.caps import set_budget
from ai_agents.actions.prompts import promote_prompt, prompt_in_use, roll_back_prompt
from ai_agents.actions.queue import reap
from ai_agents.actions.replays import report, start_replay, stop_replay
from ai_agents.actions.requests import request_analysis
from ai_agents.agents import AGENTS, agent_for
from ai_agents.models import (
    AgentCall,
    AgentTask,
    Budget,
    ModelPrice,
    PromptUse,
    Replay,
    ReplayAnswer,
    TaskState,
)
from ai_agents.replaying import advance_replay
from ai_agents.tasks import resume_replays
from crm import clock
from crm.errors import CRMError
from crm.models import Actor, AuditLog, Lead, Note, Score, TimelineEvent
from tests.ai_agents.engine.conftest import Engine
from tests.factories import actor, make_admin, make_lead, make_user

SYSTEM = Actor.system()
PRESENT = AGENTS["lead_analysis"].prompt
NEXT = f"lead_analysis.v{int(PRESENT.rpartition('.v')[2]) + 100}"


@pytest.fixture
def past(engine: Engine) -> list[Lead]:
    """Six leads with outcomes; what each wrote is on the record."""
    leads = engine.leads(6)
    for number, lead in enumerate(leads):
        outcome = "won" if number % 2 else "lost"
        at = clock.now() + timedelta(days=1, seconds=number)
        Lead.objects.filter(pk=lead.pk).update(outcome=outcome, outcome_at=at, outcome_from="action")
    return leads


@pytest.fixture
def two_prompts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A second published version of the analysis prompt."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    for path in [*prompts.FOLDER.glob("*.md"), prompts.FOLDER / prompts.LIST]:
        shutil.copy(path, folder / path.name)
    text = (folder / f"{PRESENT}.md").read_text().replace("small company", "small firm")
    (folder / f"{NEXT}.md").write_text(text)
    prompts.publish(folder)
    monkeypatch.setattr(prompts, "FOLDER", folder)
    prompts.load.cache_clear()
    agent_for.cache_clear()
    yield NEXT
    prompts.load.cache_clear()
    agent_for.cache_clear()


def priced(usd: str = "1") -> None:
    ModelPrice.objects.create(
        provider="scripted", model="scripted-gardener", valid_from="2020-01-01", usd_in=usd, usd_cached=usd,
        usd_out=usd,
    )  # fmt: skip


def finished(replay: Replay) -> Replay:
    while advance_replay(replay.pk, seconds=20):
        pass
    replay.refresh_from_db()
    return replay


def scores() -> list[Any]:
    return list(Score.objects.order_by("pk").values_list("pk", "kind", "value", "is_current")) + list(
        Lead.objects.order_by("pk").values_list("pk", "score", "score_source", "version")
    )


def test_a_replay_compares_two_prompts_and_touches_no_score(past, two_prompts):
    before, story = scores(), TimelineEvent.objects.count()
    replay = finished(start_replay(two_prompts, by=SYSTEM))
    assert (replay.state, replay.leads) == ("done", 6)
    arms = replay.report["arms"]
    assert arms["present"]["answered"] == arms["candidate"]["answered"] == 6
    assert replay.report["pairs"] == 6
    assert 0 <= arms["candidate"]["auc"] <= 1
    assert arms["candidate"]["base_brier"] == pytest.approx(0.25)
    assert (scores(), TimelineEvent.objects.count()) == (before, story)
    calls = AgentCall.objects.filter(task__kind="replay")
    assert calls.count() == 12
    assert set(calls.values_list("task__prompt_version", flat=True)) == {PRESENT, two_prompts}


def test_the_model_sees_what_was_known_then_and_nothing_after(past, two_prompts):
    lead = past[0]
    for body, days in (("They like ponds.", 2), ("They signed the contract.", 30)):
        event = TimelineEvent.objects.create(
            lead=lead, kind="note.added", actor_kind="system", occurred_at=clock.now() + timedelta(days=days)
        )
        Note.objects.create(lead=lead, body=body, event=event)
    Lead.objects.filter(pk=lead.pk).update(outcome_at=clock.now() + timedelta(days=31))
    finished(start_replay(two_prompts, by=SYSTEM, known_days=14))
    shown = " ".join(call.input["user"] for call in AgentCall.objects.filter(task__lead=lead))
    assert "ponds" in shown
    assert "contract" not in shown


def test_calls_are_paid_from_the_budgets_and_a_spent_one_stops_the_replay(past, two_prompts):
    priced()
    set_budget("replay", usd_day=Decimal("0.008"), by=SYSTEM)
    replay = finished(start_replay(two_prompts, by=SYSTEM))
    assert replay.state == "stopped"
    assert "budget" in replay.note
    for scope in ("all", "replay"):
        row = Budget.objects.get(scope=scope)
        assert 0 < row.spent <= Decimal("0.008")
        assert row.reserved == 0
    assert set(AgentTask.objects.filter(kind="replay").values_list("state", flat=True)) <= {
        "done",
        "cancelled",
    }
    assert replay.report["arms"]["present"]["usd"] > 0


def test_a_killed_slice_is_taken_up_and_nothing_is_asked_twice_in_the_books(past, two_prompts, monkeypatch):
    replay = start_replay(two_prompts, by=SYSTEM)
    monkeypatch.setattr(
        "ai_agents.replaying._keep", lambda questions: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        advance_replay(replay.pk, seconds=20)
    monkeypatch.undo()
    assert not advance_replay(replay.pk, seconds=20)  # its lease still runs
    assert ReplayAnswer.objects.filter(state="waiting").count() == 12
    Replay.objects.update(busy_until=clock.now() - timedelta(seconds=1))
    AgentTask.objects.filter(kind="replay").update(lease_until=clock.now() - timedelta(seconds=1))
    assert reap() == 12
    assert finished(replay).report["pairs"] == 6
    assert ReplayAnswer.objects.filter(state="answered").count() == 12


def test_unreadable_answers_are_counted_and_a_dead_provider_lets_it_rest(past, engine, two_prompts):
    engine.server.fail("prose")
    replay = finished(start_replay(two_prompts, by=SYSTEM))
    assert replay.report["arms"]["candidate"]["invalid_share"] == 1
    assert replay.report["arms"]["candidate"]["auc"] is None
    engine.server.fail("500")
    resting = start_replay(two_prompts, by=SYSTEM)
    assert not advance_replay(resting.pk, seconds=20)
    resting.refresh_from_db()
    assert (resting.state, resting.busy_until) == ("running", None)
    assert AgentTask.objects.filter(kind="replay", state=TaskState.RUNNING).count() == 0
    engine.server.script.forget()
    assert finished(resting).report["arms"]["present"]["answered"] == 6


@pytest.mark.django_db
def test_what_cannot_be_compared_is_refused(settings):
    settings.AI_PROVIDER = "scripted"
    for changes in (
        {"prompt": PRESENT}, {"prompt": "lead_analysis.v999"}, {"prompt": "follow_up.v1"},
        {"model": "another", "leads": 1}, {"model": "another", "known_days": -1}, {"model": "another"},
    ):  # fmt: skip
        with pytest.raises(CRMError):
            start_replay(by=SYSTEM, **changes)
    with pytest.raises(CRMError):
        start_replay(by=actor(make_user()), model="another")
    assert not Replay.objects.exists()


def test_one_runs_at_a_time_and_can_be_stopped(past, two_prompts):
    replay = start_replay(two_prompts, by=SYSTEM)
    with pytest.raises(CRMError):
        start_replay(two_prompts, by=SYSTEM)
    stop_replay(replay.pk, by=actor(make_admin()))
    assert not advance_replay(replay.pk, seconds=1)
    assert Replay.objects.get().state == "stopped"
    assert start_replay(two_prompts, by=SYSTEM)


def test_decisions_that_change_are_named(past, two_prompts):
    replay = start_replay(two_prompts, by=SYSTEM)
    for arm, fit, action in (("present", 40, "email"), ("candidate", 80, "call")):
        ReplayAnswer.objects.filter(arm=arm).update(state="answered", fit=fit, action=action)
    found = report(replay)
    assert (found["changed_bands"], found["changed_actions"], len(found["examples"])) == (6, 6, 6)
    assert found["arms"]["present"]["brier"] == pytest.approx(0.26)  # (0.4^2 + 0.6^2) / 2


# --- which prompt is in use -------------------------------------------------------------------------------


def test_a_promotion_needs_no_deploy_and_can_be_rolled_back(engine, two_prompts):
    lead = make_lead(message="Please send a quote for a pond.")
    promote_prompt(two_prompts, by=actor(make_admin()), because="better AUC")
    assert prompt_in_use("lead_analysis") == two_prompts
    task = request_analysis(lead.pk, by=SYSTEM)
    assert task is not None
    assert task.prompt_version == two_prompts
    roll_back_prompt("lead_analysis", by=SYSTEM)
    assert prompt_in_use("lead_analysis") == PRESENT
    engine.server.script.set({"keep_bodies": 1})
    engine.target(2)
    engine.run()
    call = AgentCall.objects.get()
    assert call.input["prompt"] == two_prompts  # the version it was queued with
    assert "small firm" in str(engine.server.seen()["bodies"][-1])
    assert Score.objects.get(lead=lead, kind="model").version == two_prompts
    assert AuditLog.objects.filter(action="prompt.promoted").count() == 2


@pytest.mark.django_db
def test_promotions_that_make_no_sense_are_refused():
    for refused in (
        lambda: promote_prompt(PRESENT, by=SYSTEM),
        lambda: promote_prompt("lead_analysis.v999", by=SYSTEM),
        lambda: promote_prompt("../settings", by=SYSTEM),
        lambda: roll_back_prompt("lead_analysis", by=SYSTEM),
        lambda: roll_back_prompt("nothing", by=SYSTEM),
        lambda: promote_prompt(PRESENT, by=actor(make_user())),
    ):
        with pytest.raises(CRMError):
            refused()
    assert not PromptUse.objects.exists()


@pytest.mark.django_db
def test_a_promoted_version_whose_file_is_gone_counts_as_none():
    PromptUse.objects.create(kind="lead_analysis", prompt="lead_analysis.v999", previous=PRESENT)
    assert prompt_in_use("lead_analysis") == PRESENT


def test_the_command_runs_shows_promotes_and_rolls_back(past, two_prompts):
    out = printed("run", "--prompt", two_prompts, "--leads", "4", "--wait")
    assert "Brier" in out
    assert ": done" in printed("show")
    assert f"uses {two_prompts}" in printed("promote", two_prompts, "--because", "better")
    assert f"{two_prompts} (in use)" in printed("prompts")
    assert f"uses {PRESENT} again" in printed("rollback", "lead_analysis")
    with pytest.raises(CommandError):
        printed("show", "x")


def printed(*command: str) -> str:
    out = StringIO()
    call_command("replay_lab", *command, stdout=out)
    return out.getvalue()


def test_the_admin_shows_the_table_and_promotes(past, two_prompts, client):
    finished(start_replay(two_prompts, by=SYSTEM))
    client.force_login(make_admin())
    html = client.get(f"/admin/ai_agents/replay/{Replay.objects.get().pk}/change/").content.decode()
    assert "Brier" in html
    assert two_prompts in html
    assert (
        client.post("/admin/ai_agents/promptuse/add/", {"prompt": two_prompts, "because": "AUC"}).status_code
        == 302
    )
    assert prompt_in_use("lead_analysis") == two_prompts
    posted = {"candidate_prompt": PRESENT, "candidate_model": "", "leads": "4", "known_days": "14"}
    assert client.post("/admin/ai_agents/replay/add/", posted).status_code == 302
    assert Replay.objects.count() == 2


def test_a_sweep_takes_up_what_nobody_works_on(past, two_prompts):
    replay = start_replay(two_prompts, by=SYSTEM)
    resume_replays()
    assert apps.get_model("django_q", "OrmQ").objects.count() >= 1
    assert finished(replay).state == "done"
