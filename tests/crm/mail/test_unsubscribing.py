"""Who asks for no more mail is heard, in several languages, without a model."""

from typing import Any

import pytest

from ai_agents.models import AgentTask
from crm.actions.messages import record_inbound_message
from crm.actions.replies import accept_triage
from crm.mail.unsubscribing import unsubscribing_in
from crm.models import Actor, Lead, ReplyTriage, Suppression, TimelineEvent
from crm.plaintext import normalised
from tests.factories import actor, make_lead, make_user

BELOW = "\n\nOn Mon, 2 Nov 2026 at 10:00, Jo <jo@example.com> wrote:\n> When may we visit you?"
PLAIN = [
    ("Re: Your pond", "Unsubscribe"),
    ("Re: Your pond", "STOP"),
    ("Re: Your pond", "Please unsubscribe me from this list. Thank you!"),
    ("Re: Your pond", "Hi, please unsubscribe me. Kind regards Ada Byron" + BELOW),
    ("Re: Your pond", "Unsubscribe\n-- \nAda Byron, Director"),
    ("unsubscribe", ""),
    ("Unsubscribe", BELOW),
    ("AW: Ihr Teich", "Bitte abmelden, danke."),
    ("AW: Ihr Teich", "Abbestellen"),
    ("RE: votre jardin", "Désabonner svp, merci"),
    ("RE: su jardín", "Baja, por favor"),
    ("RE: su jardín", "Quiero darme de baja"),
    ("R: giardino", "Disiscrivetemi, grazie"),
    ("Re: uw tuin", "Graag uitschrijven"),
]
MENTIONED = [
    ("Re: Your pond", "We have found somebody else. Please take me off your mailing list.", "take me off"),
    ("Re: Your pond", "I never asked for this, stop emailing me!", "stop emailing me"),
    ("Re: Your pond", "No more emails, please. We decide next year.", "No more emails"),
    (
        "Re: Your pond",
        "I don't want to receive any more newsletters.",
        "don't want to receive any more newsletters",
    ),
    ("AW: Teich", "Bitte keine weiteren E-Mails, wir haben uns entschieden.", "keine weiteren E-Mails"),
    ("AW: Teich", "Nehmen Sie mich aus dem Verteiler.", "Nehmen Sie mich aus"),
    ("RE: jardin", "Je souhaite ne plus recevoir vos messages.", "ne plus recevoir"),
    ("RE: jardín", "No deseo recibir más correos de ustedes.", "No deseo recibir"),
    ("R: giardino", "Non voglio più ricevere queste offerte.", "Non voglio più ricevere"),
    ("Re: tuin", "Wij willen geen mails meer ontvangen.", "geen mails meer"),
    ("Unsubscribe", "Is the visit on Thursday still on?", "Is the visit on Thursday still on?"),
]
NOTHING = [
    ("Re: Your pond", "Please don't unsubscribe me, I do like your letters."),
    ("Re: Your pond", "Do not take me off your list yet."),
    ("Re: Your pond", "Please stop the work on the hedge until Monday."),
    ("Re: Your pond", "We should stop by on Thursday."),
    ("Re: Your pond", "How do I remove the old pond from the garden?"),
    ("Re: Your pond", "Yes please!" + BELOW.replace("When may we visit you?", "To unsubscribe write STOP")),
    ("Re: Your pond", "See our news. To unsubscribe from our newsletter click below."),
    ("Re: Unsubscribe", "What does this mean?"),
    ("", ""),
    ("Re: Your pond", "please stop emailing me " + "and think of the pond " * 60),
]


@pytest.mark.parametrize(("subject", "text"), PLAIN)
def test_a_message_that_says_nothing_else_is_a_plain_request(subject: str, text: str):
    found = unsubscribing_in(subject, text, names=["Ada", "Byron"])
    assert found is not None
    assert found.is_plain


@pytest.mark.parametrize(("subject", "text", "quote"), MENTIONED)
def test_a_request_beside_other_words_is_found_at_its_place(subject: str, text: str, quote: str):
    found = unsubscribing_in(subject, text)
    assert found is not None
    assert found.place is not None
    assert (found.is_plain, found.place.of(normalised(text))) == (False, quote)


@pytest.mark.parametrize(("subject", "text"), NOTHING)
def test_other_messages_say_nothing_of_the_kind(subject: str, text: str):
    assert unsubscribing_in(subject, text) is None


@pytest.mark.parametrize("flood", ["stop ", "no more ", "> ", "on a ", "don't ", "a@", "- "])
def test_long_messages_are_read_in_time_and_ask_for_nothing(flood: str):
    assert unsubscribing_in(flood * 50, flood * 40_000) is None  # the suite's timeout holds it


@pytest.fixture
def lead(db, settings) -> Lead:
    settings.AI_PROVIDER, settings.SCRIPTED_LLM_URL = "scripted", "http://127.0.0.1:9/v1"
    return make_lead(name="Ada Byron", owner=make_user(), email="ada@example.com", message="A pond?")


def receive(lead: Lead, text: str, **more: Any) -> None:
    mail = {"from_address": "Ada@Example.com", "subject": "Re: Your pond"} | more
    record_inbound_message(lead.pk, by=Actor.system(), text=text, **mail)


def test_a_plain_request_bars_the_senders_address_at_once(lead):
    receive(lead, "Please unsubscribe.")
    barred = Suppression.objects.get()
    assert (barred.norm, barred.reason, barred.by) == ("ada@example.com", "unsubscribed", None)
    assert barred.note == "They wrote: “Please unsubscribe.”"
    assert TimelineEvent.objects.filter(lead=lead, kind="address.suppressed").exists()
    assert not ReplyTriage.objects.exists()
    assert not AgentTask.objects.filter(kind="reply_triage").exists()  # no model is asked what it means


def test_a_stranger_bars_nobody(lead):
    receive(lead, "Unsubscribe", from_address="mallory@example.net")
    assert not Suppression.objects.exists()
    assert ReplyTriage.objects.get().step == "suppress"


def test_a_request_beside_other_words_is_proposed_and_a_person_decides(lead):
    receive(lead, "We have found somebody else. Please take me off your list.")
    assert not Suppression.objects.exists()
    proposal = ReplyTriage.objects.get()
    assert (proposal.intent, proposal.step, proposal.provider, proposal.task) == (
        "unsubscribe",
        "suppress",
        "rule",
        None,
    )
    assert not AgentTask.objects.filter(kind="reply_triage").exists()
    accept_triage(proposal.pk, by=actor(lead.owner))
    assert Suppression.objects.get().norm == "ada@example.com"


def test_it_is_heard_with_ai_switched_off(lead, settings):
    settings.AI_PROVIDER = "off"
    receive(lead, "Abmelden")
    assert Suppression.objects.exists()


def test_any_other_message_is_the_agents(lead):
    receive(lead, "How long does it take?")
    assert AgentTask.objects.filter(kind="reply_triage").exists()
    assert not Suppression.objects.exists()
