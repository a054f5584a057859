"""An opportunity is reviewed when a person asks: an opinion with quotes, which moves nothing."""

import json
from typing import Any

import pytest
from django.test import Client

from ai_agents.agents import OpportunityAgent
from ai_agents.agents.base import Finished
from ai_agents.agents.opportunity_facts import OpportunityFacts
from ai_agents.errors import BadAnswer
from ai_agents.models import AgentTask
from crm.actions.calls import log_call
from crm.actions.notes import write_note
from crm.actions.pipelines import first_stage
from crm.actions.reviews import request_review
from crm.errors import AIUnavailable, PermissionRefused
from crm.models import Contact, Opportunity, OpportunityReview, Role
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
ANSWER = {
    "summary": "{{first_name}} waits for the board.",
    "next_step": "Call and ask for the date of the board meeting.",
    "band": "open",
    "risks": [{"label": "The board decides", "quote": "the board decides in May", "source": "note-0"}],
}


@pytest.fixture
def card(settings: Any) -> Opportunity:
    settings.AI_PROVIDER = "scripted"
    team = make_team()
    rep = make_user(team=team)
    lead = make_lead(name="Priya Raman", email="priya@example.com", message="A pond?", owner=rep, team=team)
    contact = Contact.objects.create(full_name="Priya Raman", owner=rep)
    card = Opportunity.objects.create(
        name="Pond of Priya Raman", stage=first_stage(), owner=rep, team=team, lead=lead,
        primary_contact=contact, amount=9_000,
    )  # fmt: skip
    write_note(card, by=actor(rep), body="Priya says the board decides in May. Her mail: priya@example.com")
    log_call(card, by=actor(rep), direction="out", disposition="answered", body="She also asks another firm.")
    return card


def asked(card: Opportunity) -> AgentTask:
    request_review(card.pk, by=actor(card.owner))
    return AgentTask.objects.get(kind="opportunity", opportunity=card, state="queued")


def facts_of(card: Opportunity) -> OpportunityFacts:
    [facts] = OpportunityAgent().read([asked(card)])
    assert facts is not None
    return facts


def answer(card: Opportunity, **changes: Any) -> str:
    said = json.loads(json.dumps(ANSWER | changes))
    for risk in said["risks"]:
        risk["source"] = f"note-{card.notes.get().pk}"
    return json.dumps(said)


def test_it_reads_fields_notes_calls_and_the_leads_texts_without_what_is_private(card: Opportunity):
    facts = facts_of(card)
    _system, user = OpportunityAgent().messages(facts)
    for known in ("9000", "board decides in May", "another firm", "A pond?", first_stage().name):
        assert known in user
    for private in ("Priya", "Raman", "priya@"):
        assert private not in user


def test_it_is_read_in_a_fixed_number_of_queries(card: Opportunity, django_assert_num_queries: Any):
    task = asked(card)
    for tasks in ([task], [task] * 20):
        with django_assert_num_queries(8):
            OpportunityAgent().read(tasks)


def test_a_good_answer_becomes_the_current_review_with_quoted_risks(card: Opportunity):
    facts, task = facts_of(card), AgentTask.objects.get()
    card.refresh_from_db()
    before = (card.stage_id, card.last_event_at, card.version)
    for band in ("likely", "open"):
        found = OpportunityAgent().parse(answer(card, band=band), facts)
        OpportunityAgent().store([Finished(task, facts, found, "scripted", "m")])
    review = OpportunityReview.objects.get(is_current=True)
    assert (review.band, review.summary) == ("open", "Priya waits for the board.")
    assert [(risk.label, risk.quote) for risk in review.risks.all()] == [
        ("The board decides", "the board decides in May")
    ]
    assert OpportunityReview.objects.count() == 2
    card.refresh_from_db()
    assert (card.stage_id, card.last_event_at, card.version) == before


def test_a_risk_that_nobody_wrote_is_dropped_and_counted(card: Opportunity):
    risks = [{"label": "x", "quote": "they are bankrupt", "source": "note-0"}]
    found = OpportunityAgent().parse(answer(card, risks=risks), facts_of(card))
    assert (found.risks, found.dropped) == ((), 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"band": "80%"}, "unknown_value"),
        ({"summary": "See www.evil.example"}, "link"),
        ({"next_step": "orchard-pewter-6492"}, "leaks_instructions"),
        ({"stage": "won"}, "extra_key"),
    ],
)
def test_what_does_not_fit_is_refused(card: Opportunity, changes: Any, reason: str):
    with pytest.raises(BadAnswer) as refused:
        OpportunityAgent().parse(answer(card, **changes), facts_of(card))
    assert refused.value.reason == reason


def test_asked_twice_it_is_queued_once(card: Opportunity):
    asked(card)
    asked(card)
    assert AgentTask.objects.filter(kind="opportunity").count() == 1


def test_newer_facts_supersede_what_is_queued(card: Opportunity):
    first = asked(card)
    write_note(card, by=actor(card.owner), body="They said no.")
    request_review(card.pk, by=actor(card.owner))
    first.refresh_from_db()
    assert (first.state, first.error) == ("cancelled", "superseded")


def test_where_ai_is_off_for_its_lead_or_its_contact_nobody_reads_it(card: Opportunity):
    task = asked(card)
    other = make_lead(contact=card.primary_contact, is_ai_off=True)
    assert OpportunityAgent().read([task]) == [None]
    other.delete()
    type(card.lead).objects.filter(pk=card.lead_id).update(is_ai_off=True)
    assert OpportunityAgent().read([task]) == [None]
    with pytest.raises(AIUnavailable):
        request_review(card.pk, by=actor(card.owner))


def test_only_who_may_change_it_may_ask_and_only_with_ai(card: Opportunity, settings: Any):
    reader = make_user(Role.READ_ONLY, team=card.team)
    with pytest.raises(PermissionRefused):
        request_review(card.pk, by=actor(reader))
    settings.AI_PROVIDER = "off"
    with pytest.raises(AIUnavailable):
        request_review(card.pk, by=actor(card.owner))


def test_the_api_asks_and_shows_and_the_admin_does_too(card: Opportunity):
    client = Client()
    client.force_login(make_admin())
    address = f"/api/v1/opportunities/{card.public_id}/review/"
    assert client.get(address).status_code == 404
    body = client.post(address, "{}", content_type="application/json").json()
    assert (body["task"]["kind"], body["task"]["state"]) == ("opportunity", "queued")
    [facts] = OpportunityAgent().read([task := AgentTask.objects.get()])
    found = OpportunityAgent().parse(answer(card), facts)
    OpportunityAgent().store([Finished(task, facts, found, "scripted", "m")])
    shown = client.get(address).json()
    assert (shown["band"], shown["is_sample"], shown["risks"][0]["quote"]) == (
        "open", True, "the board decides in May",
    )  # fmt: skip
    page = client.get(f"/admin/crm/opportunity/{card.pk}/change/").content.decode()
    assert "the board decides in May" in page
    data = {"action": "review", "_selected_action": [str(card.pk)]}
    write_note(card, by=actor(card.owner), body="They said yes.")
    client.post("/admin/crm/opportunity/", data)
    assert AgentTask.objects.filter(kind="opportunity", state="queued").count() == 1
