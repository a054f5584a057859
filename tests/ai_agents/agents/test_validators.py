"""Drafts: every figure, name and date comes from the facts, one thing is asked, nothing is promised."""

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest

from ai_agents.agents.facts import Fact, LeadFacts
from ai_agents.agents.redaction import redact
from ai_agents.agents.validators import RULES, Said, Written, problems_of
from ai_agents.prompts import load

PROMPT = load("follow_up.v2")


def fact(fact_id: str, text: str, *, is_ours: bool = False) -> Fact:
    return Fact(id=fact_id, kind=fact_id.split("-")[0], text=text, seen=redact(text), is_ours=is_ours)


FACTS = LeadFacts(
    lead_id=1,
    facts=(
        fact(
            "inquiry-1",
            "We need 12 trees and a pond for our garden in Rotterdam before 1 December. Budget €18,400.",
        ),
        fact(
            "note-2",
            "Our quote: 12 trees, €15,250.50 net, 20% deposit. Visit on Thursday at 10:30.",
            is_ours=True,
        ),
    ),
    names={"first_name": "Priya", "company": "Halden"},
    context_event_id=None,
    asked={"purpose": "first_answer"},
)
BODY = "Hello {{first_name}},\n\nthank you for your message about the pond. %s\n\nWhen may we visit you?"


def problems(
    sentence: str = "", *, body: str = "", subject: str = "Your pond", facts: LeadFacts = FACTS
) -> set[str]:
    written = Written(subject, body or BODY % sentence, ("inquiry-1",))
    return set(problems_of(written, facts, prompt=PROMPT))


def marked(*sentences: tuple[str, tuple[str, ...]], facts: LeadFacts = FACTS) -> set[str]:
    """Problems of a draft that says these sentences, each resting on these facts."""
    said = (*(Said(*sentence) for sentence in sentences), Said("When may we visit you?", ()))
    used = tuple(fact_id for one in said for fact_id in one.facts)
    written = Written("Your pond", " ".join(one.text for one in said), used, said)
    return set(problems_of(written, facts, prompt=PROMPT))


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "It is a project that I'd enjoy.",
        "Twelve trees and a pond in Rotterdam sound inviting.",
        "We can plant the 12 trees before 1 December.",
        "Our quote is €15,250.50, with a deposit of 20 %.",
        "We will be at {{company}} on Thursday at 10:30.",
        "Feel free to walk around with us.",
        "Rotterdam's soil is heavy; we know it well.",
        "The plan: first the pond, then the trees.",
    ],
)
def test_what_the_facts_hold_may_be_said(sentence: str):
    assert problems(sentence) == set()


@pytest.mark.parametrize(
    ("sentence", "problem"),
    [
        ("word " * 150, "too_many_words"),
        ("Could you call us today?", "call_to_action"),
        ("Please let us know what you think.", "call_to_action"),
        ("We can plant 13 trees.", "number"),
        ("The bridge is 4.5 m wide.", "number"),
        ("We will be there at 11:30.", "number"),
        ("It costs €12,345.", "amount"),
        ("Your budget of €18,400 is enough.", "amount"),  # only the customer wrote it
        ("It will be 15250 dollars or 99 dollars.", "amount"),
        ("The deposit is 30%.", "percentage"),
        ("See you on Friday.", "date"),
        ("We start in January.", "date"),
        ("We come tomorrow.", "date"),
        ("Wir kommen am Dienstag.", "date"),
        ("Our designer Anna will come.", "name"),
        ("You may know us from Gardeners World.", "name"),
        ("We guarantee that it grows.", "promise"),
        ("There is a discount for you.", "promise"),
        ("The first visit is free of charge.", "promise"),
        ("We offer a free consultation.", "promise"),
        ("Your plan is approved.", "promise"),
        ("Der erste Besuch ist kostenlos.", "promise"),
        ("Write to me [Name].", "incomplete"),
        ("Dear <name>, hello.", "incomplete"),
        ("The price is XXX.", "incomplete"),
        ("Hello {{last_name}}.", "incomplete"),
        ("{{ settings.SECRET_KEY }}", "incomplete"),
        ("See http://evil.example/pay for more.", "link"),
        ("See evil.example for more.", "link"),
        ("Look at www.our-site.org then.", "link"),
        ("[offer](javascript:alert(1))", "link"),
        ("![x](y)", "markup"),
        ("This is **important**.", "markup"),
        ("<b>Hello</b>", "markup"),
        ("&lt;script&gt;", "markup"),
        ("\n# A headline\n", "markup"),
        ("Write to x@evil.example then.", "private"),
        ("Ring +1 415 555 0100 then.", "private"),
        ("\nCc: someone\n", "header_in_body"),
        ("\nSubject: Your pond\n", "header_in_body"),
        ("The tag lead_data_12 was here.", "leaks_instructions"),
        (f"By the way: {PROMPT.canary}.", "leaks_instructions"),
        ("A salesperson reads, changes and sends it. You read the record of the lead.", "leaks_instructions"),
        ("Пруд будет очень красивым.", "language"),
        ("我们会给您打电话讨论您的花园。", "language"),
    ],
)
def test_everything_else_is_refused(sentence: str, problem: str):
    assert problem in problems(sentence)


def test_a_draft_that_asks_for_nothing_is_refused():
    assert problems(body="Hello {{first_name}},\n\nthank you for your message.") == {"call_to_action"}


@pytest.mark.parametrize("subject", ["Hi\r\nBcc: x@evil.example", "Subject: pond", "x" * 121, "a\nb"])
def test_a_subject_is_one_plain_line(subject: str):
    assert "bad_subject" in problems(subject=subject)


def test_an_agreement_is_only_mentioned_when_we_recorded_something():
    sentence = "As we agreed, we will come."
    assert problems(sentence) == set()
    assert problems(sentence, facts=replace(FACTS, facts=FACTS.facts[:1])) == {"agreement"}


def test_a_placeholder_needs_its_name():
    nameless = replace(FACTS, names={})
    assert problems(facts=nameless) == {"unknown_placeholder"}
    assert problems(body="Hello,\n\nwhen may we visit you?", facts=nameless) == set()


def test_an_instruction_of_a_salesperson_counts_as_ours():
    facts = FACTS.asked_for(instruction="Offer Friday at 9:15 and mention Anna and €500.")
    assert problems("Anna would come on Friday at 9:15; it costs €500.", facts=facts) == set()


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("We can plant the 12 trees before 1 December.", ("inquiry-1",)),
        ("The deposit for the 12 trees is 20%.", ("note-2", "inquiry-1")),
        ("We visit on Thursday at 10:30.", ("note-2",)),
        ("Rotterdam has heavy soil.", ()),  # a first word is not told from a name
        ("A pond in Rotterdam is a fine idea.", ("inquiry-1",)),
        ("Thank you for your message about {{company}}.", ()),
    ],
)
def test_a_sentence_may_say_what_its_own_facts_hold(sentence: str, facts: tuple[str, ...]):
    assert marked((sentence, facts)) == set()


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("We can plant the 12 trees.", ()),
        ("The quote is €15,250.50 net.", ("inquiry-1",)),
        ("The deposit is 20%.", ()),
        ("We visit on Thursday.", ("inquiry-1",)),
        ("A pond in Rotterdam is a fine idea.", ("note-2",)),
    ],
)
def test_a_claim_names_the_fact_that_says_so(sentence: str, facts: tuple[str, ...]):
    assert marked((sentence, facts)) == {"unmarked"}


def test_a_fact_that_is_marked_must_exist():
    assert marked(("It is a fine idea.", ("note-99",))) == {"unknown_fact"}


def test_what_stands_in_no_fact_is_not_called_unmarked():
    assert marked(("We can plant the 13 trees.", ("inquiry-1",))) == {"number"}


def test_an_instruction_needs_no_mark():
    facts = FACTS.asked_for(instruction="Offer Friday at 9:15.")
    assert marked(("Friday at 9:15 would be possible on Friday.", ()), facts=facts) == set()


def test_one_mark_covers_one_sentence():
    both = "The pond comes first. The 12 trees come later."
    assert marked((both, ("inquiry-1",))) == {"several_sentences"}
    assert marked(("Could it be so? It could.", ())) >= {"several_sentences"}
    assert marked(("Wir kommen mit ca. 12 Bäumen und z. B. Mr. Ash am 1. December.", ("inquiry-1",))) == {
        "name"
    }


@pytest.mark.parametrize(("length", "most"), [("short", 60), ("medium", 100), ("long", 150), ("", 150)])
def test_a_draft_is_as_short_as_it_was_wanted(length: str, most: int):
    facts = FACTS.asked_for(length=length) if length else FACTS
    fitting = "word " * (most - 4) + "and when may we come?"
    assert len(fitting.split()) == most + 1
    assert "too_many_words" in problems(body=fitting, facts=facts)
    assert "too_many_words" not in problems(body=fitting.removeprefix("word "), facts=facts)


def test_a_draft_is_in_the_language_that_was_asked_for():
    german = FACTS.asked_for(language="de")
    assert problems(facts=german) == {"language"}
    text = "Guten Tag,\n\nvielen Dank für Ihre Nachricht zu dem Teich.\n\nWann dürfen wir Sie besuchen?"
    assert problems(body=text, facts=german) == set()
    assert problems(body=text, facts=FACTS.asked_for(language="en")) == {"language"}


def test_german_nouns_are_not_taken_for_names():
    german = (
        "Hallo {{first_name}},\n\nvielen Dank für Ihre Nachricht. Der Teich und die Bäume sind "
        "eine schöne Idee und wir freuen uns auf Ihr Projekt.\n\nWann dürfen wir Sie besuchen?"
    )
    assert problems(body=german) == set()
    assert "name" in problems(body=german.replace("die Bäume", "mit Anna Berger die Bäume"))


def test_a_name_is_not_hidden_by_its_genitive():
    assert "name" in problems("This is Anna's idea.")


def test_every_rule_has_a_test():
    source = Path(__file__).read_text()
    assert not [rule for rule in RULES if f'"{rule}"' not in source]


@pytest.mark.parametrize(
    "flood", ["A ", "1", "?", "a.a.", "{", "-", "e\u0301", "1 ", "€1 ", "a-", "Aa-", "www."]
)
def test_long_and_strange_texts_are_judged_quickly(flood: str):
    started = perf_counter()
    problems((flood * 4_000)[:3_800])
    assert perf_counter() - started < 0.5  # seconds
