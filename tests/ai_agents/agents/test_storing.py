"""What agents found becomes rows: scores with verified quotes, drafts that wait for a person."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from ai_agents.agents import AGENTS, FollowUpAgent, LeadAnalysisAgent
from ai_agents.agents.base import Finished
from ai_agents.agents.facts import LeadFacts
from ai_agents.agents.follow_up import Draft
from ai_agents.models import AgentCall, AgentTask
from crm import clock
from crm.models import FollowUp, Lead, Score, TimelineEvent
from crm.plaintext import normalised
from tests.ai_agents.agents.asking import ASSESSMENT, DRAFT, paragraphs
from tests.factories import make_admin, make_lead

pytestmark = pytest.mark.django_db


def make_task(lead: Lead, kind: str) -> AgentTask:
    return AgentTask.objects.create(
        kind=kind, lead=lead, dedup_key=uuid4().hex, prompt_version=AGENTS[kind].prompt
    )


def finished(lead: Lead, result: Any, *, kind: str = "lead_analysis", provider: str = "scripted") -> Finished:
    facts = LeadFacts.of(lead, today=clock.now(), purpose="no_reply")
    return Finished(make_task(lead, kind), facts, result(facts), provider, "scripted-1")


def assessment(quote: str = "a pond", **changes: Any) -> Any:
    def read(facts: LeadFacts) -> Any:
        reason = {"label": "Wants a pond", "points": 12, "quote": quote, "source": facts.facts[-1].id}
        text = json.dumps(ASSESSMENT | {"reasons": [reason]} | changes)
        return LeadAnalysisAgent().parse(text, facts)

    return read


def test_an_assessment_becomes_the_current_model_score_with_its_quotes():
    lead = make_lead(name="Priya", message="🌿 Priya here, I would like a pond.")
    LeadAnalysisAgent().store([finished(lead, assessment(risks=["Budget unknown"]))])
    score = Score.objects.get(lead=lead, kind="model", is_current=True)
    factor = score.factors.get()
    assert (score.value, score.provider, score.version) == (71, "scripted", "lead_analysis.v2")
    assert (score.recommended_action, score.timeline, score.risks) == (
        "call",
        "this_week",
        ["Budget unknown"],
    )
    assert factor.verified
    assert normalised(lead.inquiries.get().message)[factor.start : factor.end] == factor.quote == "a pond"
    event = TimelineEvent.objects.get(lead=lead, kind="lead.scored")
    assert (event.actor_label, event.summary) == ("LeadAnalysisAgent", "Scored 71")


def test_what_would_change_it_and_what_to_do_next_stand_on_the_leads_page():
    lead = make_lead(message="I would like a pond.")
    LeadAnalysisAgent().store([finished(lead, assessment(would_change=["A budget would raise it"]))])
    assert Score.objects.get(lead=lead, kind="model").would_change == ["A budget would raise it"]
    client = Client()
    client.force_login(make_admin())
    page = client.get(f"/leads/{lead.public_id}/score/").content.decode()
    assert "A budget would raise it" in page
    assert "Call, this week" in page


def test_a_reason_that_nobody_said_is_dropped_and_counted():
    lead = make_lead(message="I would like a pond.")
    LeadAnalysisAgent().store([finished(lead, assessment(quote="a castle"))])
    score = Score.objects.get(lead=lead, kind="model")
    assert (score.factors.count(), score.dropped_factors) == (0, 1)


def test_a_batch_is_stored_in_a_fixed_number_of_queries(django_assert_max_num_queries):
    done = [finished(make_lead(message="I would like a pond."), assessment()) for _ in range(16)]
    with django_assert_max_num_queries(30):  # 12 for the scores, the rest by listeners and the live feed
        LeadAnalysisAgent().store(done)
    assert Score.objects.filter(kind="model", is_current=True).count() == 16


def test_a_lead_that_went_away_keeps_no_score_and_no_draft():
    lead = make_lead(message="I would like a pond.")
    scored, drafted = (
        finished(lead, assessment()),
        finished(lead, lambda _: Draft("A", "B?"), kind="follow_up"),
    )
    Lead.objects.filter(pk=lead.pk).update(deleted_at=clock.now())
    LeadAnalysisAgent().store([scored])
    FollowUpAgent().store([drafted])
    assert not Score.objects.filter(lead=lead).exists()
    assert not FollowUp.objects.filter(lead=lead).exists()


def test_a_draft_waits_for_a_person_and_knows_its_origin():
    lead = make_lead(name="Priya", email="priya@example.com", message="I would like a pond.")

    def read(facts: LeadFacts) -> Draft:
        said = paragraphs("Hello {{first_name}},\n\nthank you for your message.", facts.facts[-1].id)
        answer = DRAFT | {"paragraphs": [*said, *paragraphs("When may we visit you?")]}
        return FollowUpAgent().parse(json.dumps(answer), facts)

    done = finished(lead, read, kind="follow_up")
    for cost in ("0.0002", "0.0003"):
        AgentCall.objects.create(
            task=done.task,
            attempt=1,
            provider="scripted",
            model="m",
            status="ok",
            tokens_in=1,
            tokens_out=1,
            cost_usd=cost,
        )
    FollowUpAgent().store([done])
    follow_up = FollowUp.objects.get(lead=lead)
    assert (follow_up.state, follow_up.to_address, follow_up.purpose) == (
        "generated",
        "priya@example.com",
        "no_reply",
    )
    assert follow_up.body.startswith("Hello Priya,")
    assert (follow_up.is_sample, follow_up.agent_task, str(follow_up.cost_usd)) == (
        True,
        done.task,
        "0.000500",
    )
    inquiry = lead.inquiries.get()
    assert follow_up.facts_used == [
        {"id": f"inquiry-{inquiry.pk}", "kind": "inquiry", "source_id": inquiry.pk, "field": ""}
    ]
    marked = [follow_up.body[mark["start"] : mark["end"]] for mark in follow_up.marks]
    assert marked == ["Hello Priya,", "thank you for your message."]
    assert follow_up.marks[1]["facts"] == [f"inquiry-{inquiry.pk}"]
    assert follow_up.approved_by is None


def test_a_draft_that_failed_twice_says_that_a_person_must_write():
    lead = make_lead(email="priya@example.com", message="I would like a pond.")
    FollowUpAgent().store([finished(lead, lambda _: Draft(needs_writing="no price"), kind="follow_up")])
    follow_up = FollowUp.objects.get(lead=lead)
    assert follow_up.needs_writing == "no price"
    assert follow_up.original_subject == ""
