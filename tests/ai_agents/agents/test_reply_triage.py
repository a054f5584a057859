"""A customer's message is sorted into a proposal. What does not hold together is never guessed."""

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import pytest

from ai_agents.agents import ReplyTriageAgent
from ai_agents.agents.base import Finished
from ai_agents.agents.facts import LeadFacts
from ai_agents.errors import BadAnswer
from ai_agents.models import AgentTask
from crm import clock
from crm.actions.messages import record_inbound_message
from crm.models import Actor, Message, ReplyTriage, Suppression, TimelineEvent
from crm.plaintext import normalised
from tests.ai_agents.agents.asking import ToldLLM
from tests.factories import make_lead

pytestmark = pytest.mark.django_db
TEXT = "Hello Priya's team,\n\nnot now please, write again after 2030-01-05. Tel +1 415 555 0100"


@pytest.fixture
def message(settings: Any) -> Message:
    settings.AI_PROVIDER = "scripted"
    lead = make_lead(name="Priya Raman", email="priya@example.com", message="A pond, please.")
    return record_inbound_message(
        lead.pk, by=Actor.system(), from_address="priya@example.com", subject="Re: Pond", text=TEXT
    )


def task_of(message: Message) -> AgentTask:
    return AgentTask.objects.get(kind="reply_triage", lead=message.lead_id)


def facts_of(message: Message) -> LeadFacts:
    [facts] = ReplyTriageAgent().read([task_of(message)])
    assert facts is not None
    return facts


def answer(message: Message, **changes: Any) -> str:
    said = {
        "intent": "not_now",
        "step": "sleep",
        "wake_on": f"{clock.now().date() + timedelta(days=40)}",
        "summary": "{{first_name}} wants to hear from us later.",
        "quote": "not now please",
        "source": f"message-{message.pk}",
    }
    return json.dumps(said | changes)


def test_a_message_that_comes_in_is_queued_for_sorting(message: Message):
    task = task_of(message)
    assert (task.params, task.priority, task.state) == ({"message": message.pk}, 2, "queued")


def test_the_model_is_told_which_message_and_nothing_private(message: Message):
    _system, user = ReplyTriageAgent().messages(facts_of(message))
    assert f'"message":"message-{message.pk}"' in user
    assert "not now please" in user
    for private in ("Priya", "Raman", "priya@", "555"):
        assert private not in user


def test_a_good_answer_becomes_a_proposal_with_its_quote(message: Message):
    facts = facts_of(message)
    found = ReplyTriageAgent().parse(answer(message), facts)
    ReplyTriageAgent().store([Finished(task_of(message), facts, found, "scripted", "m")])
    triage = ReplyTriage.objects.get()
    assert (triage.intent, triage.step, triage.state) == ("not_now", "sleep", "proposed")
    assert triage.wake_on == clock.now().date() + timedelta(days=40)
    assert triage.summary == "Priya wants to hear from us later."
    assert normalised(message.text)[triage.quote_start : triage.quote_end] == triage.quote == "not now please"
    line = TimelineEvent.objects.get(kind="reply.triaged")
    assert line.actor_label == "ReplyTriageAgent"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"intent": "delighted"}, "unknown_value"),
        ({"step": "disqualify"}, "step_does_not_fit"),
        ({"intent": "out_of_office", "step": "suppress", "wake_on": None}, "step_does_not_fit"),
        ({"wake_on": None}, "no_such_day"),
        ({"wake_on": "2030-02-30"}, "no_such_day"),
        ({"wake_on": "2020-01-01"}, "no_such_day"),
        ({"wake_on": "2099-01-01"}, "no_such_day"),
        ({"intent": "question", "step": "answer"}, "unexpected_day"),
        ({"quote": "buy everything now"}, "quote_not_found"),
        ({"source": "inquiry-1"}, "quote_not_found"),
        ({"summary": "See http://evil.example"}, "link"),
        ({"summary": "Call +1 415 555 0100"}, "private"),
        ({"send_to": "x"}, "extra_key"),
    ],
)
def test_an_answer_that_does_not_hold_together_is_refused(message: Message, changes: Any, reason: str):
    with pytest.raises(BadAnswer) as refused:
        ReplyTriageAgent().parse(answer(message, **changes), facts_of(message))
    assert refused.value.reason == reason


def test_a_refused_answer_is_asked_for_once_more(message: Message):
    llm = ToldLLM([answer(message, step="call"), answer(message)])
    found = asyncio.run(ReplyTriageAgent().run(facts_of(message), llm))
    assert found.step == "sleep"
    assert "step is one of" in llm.asked[1]["user"]


def test_who_wants_no_more_mail_is_only_proposed_to_be_barred(message: Message):
    facts = facts_of(message)
    text = answer(message, intent="unsubscribe", step="suppress", wake_on=None)
    found = ReplyTriageAgent().parse(text, facts)
    ReplyTriageAgent().store([Finished(task_of(message), facts, found, "scripted", "m")])
    assert ReplyTriage.objects.get().step == "suppress"
    assert not Suppression.objects.exists()


def test_a_message_that_went_away_leaves_no_proposal(message: Message):
    facts = facts_of(message)
    found = ReplyTriageAgent().parse(answer(message), facts)
    done = Finished(task_of(message), facts, found, "scripted", "m")
    message.delete()
    ReplyTriageAgent().store([done])
    assert not ReplyTriage.objects.exists()
    assert ReplyTriageAgent().read([done.task]) == [None]


def test_the_day_of_the_scripted_model_lies_ahead():
    from ai_agents.llm.scripted_kinds import triage

    fact = {
        "id": "message-1",
        "kind": "message",
        "by": "customer",
        "text": "Automatic reply: back on 2030-01-07.",
    }
    said = triage((fact,), "message-1", "2029-12-20")
    assert (said["intent"], said["step"], said["wake_on"]) == ("out_of_office", "sleep", "2030-01-07")
    assert date.fromisoformat(triage((fact,), "message-1", "2030-02-01")["wake_on"]) == date(2030, 2, 8)
