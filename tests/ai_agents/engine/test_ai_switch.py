"""Where AI is switched off for a lead, nothing of it reaches a model."""

import pytest

from ai_agents.actions.requests import request_analysis, request_analysis_batch
from ai_agents.agents.facts import Wanted, facts_of
from ai_agents.models import AgentTask
from crm.actions.ai_switch import switch_ai
from crm.actions.base import undo
from crm.actions.leads import add_note
from crm.clock import now
from crm.errors import AIUnavailable, PermissionRefused
from crm.models import Actor, Role
from tests.factories import actor, make_lead, make_team, make_user


@pytest.fixture(autouse=True)
def provider(db: None, settings: object) -> None:
    settings.AI_PROVIDER = "scripted"  # type: ignore[attr-defined]


def test_queued_work_ends_and_none_comes_after():
    rep = make_user()
    lead = make_lead(owner=rep, message="Can you quote a pond?")
    request_analysis(lead.pk, by=actor(rep))
    switch_ai(lead.pk, by=actor(rep), is_off=True)
    assert [(task.state, task.error) for task in AgentTask.objects.all()] == [("cancelled", "ai_off")]
    add_note(lead.pk, by=actor(rep), body="Called, wants a pond.")
    assert request_analysis_batch([lead.pk], by=Actor.system()) == 0
    assert not AgentTask.objects.filter(state="queued").exists()
    with pytest.raises(AIUnavailable, match="switched off for it"):
        request_analysis(lead.pk, by=actor(rep))


def test_the_pump_reads_nothing_of_it_though_a_task_was_left():
    lead, other = make_lead(is_ai_off=True, message="secret"), make_lead(message="hello")
    hidden, read = facts_of([Wanted(lead.pk), Wanted(other.pk)], today=now())
    assert hidden is None
    assert read is not None


def test_switched_on_again_it_is_read_again():
    rep = make_user()
    lead = make_lead(owner=rep, message="Can you quote a pond?")
    offer = switch_ai(lead.pk, by=actor(rep), is_off=True).undo_offer
    undo(offer.public_id, by=actor(rep))
    assert AgentTask.objects.filter(lead=lead, state="queued").count() == 1


def test_a_reader_switches_nothing():
    team = make_team()
    lead = make_lead(team=team)
    with pytest.raises(PermissionRefused):
        switch_ai(lead.pk, by=actor(make_user(Role.READ_ONLY, team=team)), is_off=True)
    assert switch_ai(lead.pk, by=Actor.system(), is_off=True).is_ai_off
