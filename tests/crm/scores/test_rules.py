"""The rules, on evidence in memory: readable reasons that add up and quote the customer."""

from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.actions.score_rules import BASE, Evidence, NewFactor, Text, judge
from crm.models import Channel, FactorSource, Lead, LeadSource, PointKind
from crm.plaintext import normalised

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


def evidence(*texts: str, **more: object) -> Evidence:
    fields = {
        name: more.pop(name) for name in ("interest", "est_value", "company", "attempts") if name in more
    }
    lead = Lead(name="Ada", source=LeadSource(code="web", kind=more.pop("channel", Channel.MANUAL)), **fields)
    found = [Text(FactorSource.INQUIRY, place, normalised(text)) for place, text in enumerate(texts, 1)]
    return Evidence(lead=lead, texts=found, **more)  # type: ignore[arg-type]


def labels(*texts: str, **more: object) -> set[str]:
    return {factor.label for factor in judge(evidence(*texts, **more), at=AT)[1]}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Could you send me a quote for the terrace?", "Asked for a quote"),
        ("Bitte schicken Sie uns ein Angebot.", "Asked for a quote"),
        ("Pouvez-vous m'envoyer un devis ?", "Asked for a quote"),
        ("What would it cost?", "Asked what it costs"),
        ("Please come by next week.", "Asked for a visit or a call"),
        ("Our budget is fixed.", "Named a budget"),
        ("We have about 15,000 € for it.", "Named a budget"),
        ("We would like to start this spring.", "Wants to start soon"),
        ("The garden has 450 m² and a slope.", "Described the site"),
        ("You were recommended by our neighbours.", "Was recommended to us"),
        ("I am just looking around, no hurry.", "Is only looking around"),
        ("We can increase your traffic with SEO.", "Wants to sell to us"),
        ("Please stop writing, we found someone else.", "Is not interested any more"),
    ],
)
def test_what_a_customer_says_is_recognised(text: str, label: str):
    assert label in labels(text)


def test_a_saying_is_quoted_where_it_stands():
    text = normalised("Hi 🌿 there. Could you send me a quote for the café’s terrace? Thanks, Zoë")
    (factor,) = [f for f in judge(evidence(text), at=AT)[1] if f.label == "Asked for a quote"]
    assert factor.quote == "Could you send me a quote for the café’s terrace?"
    assert factor.place is not None
    assert factor.place.of(text) == factor.quote
    assert (factor.source_kind, factor.source_id) == ("inquiry", 1)


def test_words_inside_other_words_do_not_count():
    assert labels("A misquoted coastline, priceless.").isdisjoint(
        {"Asked for a quote", "Asked what it costs"}
    )


def test_a_lead_that_can_be_reached_both_ways_is_worth_more_than_one_that_cannot():
    both = evidence(reached_by=frozenset({PointKind.EMAIL, PointKind.PHONE}))
    assert judge(both, at=AT)[0] > judge(evidence(), at=AT)[0]


def test_fields_are_quoted_whole():
    factors = judge(evidence(interest="Roof garden", est_value=12000), at=AT)[1]
    quotes = {factor.field: factor.quote for factor in factors if factor.field}
    assert quotes == {"interest": "Roof garden", "est_value": "12000 EUR"}


@pytest.mark.parametrize(
    ("days", "label"),
    [
        (1, "Heard from in the last two days"),
        (60, "Silent for over a month"),
        (200, "Silent for over four months"),
    ],
)
def test_silence_is_told(days: int, label: str):
    assert label in labels(last_heard_at=AT - timedelta(days=days))


def test_asking_again_raises_the_score():
    assert judge(evidence(inquiries=2), at=AT)[0] > judge(evidence(inquiries=1), at=AT)[0]


def test_an_eager_lead_is_hot_and_a_seller_is_cool():
    eager = evidence(
        "Could you visit us next week and send a quote? Budget 20,000 €, 300 m², recommended by a friend.",
        channel=Channel.FORM,
        reached_by=frozenset({PointKind.EMAIL, PointKind.PHONE}),
    )
    assert judge(eager, at=AT)[0] >= 75
    assert judge(evidence("Our agency can offer you marketing, SEO and backlinks."), at=AT)[0] < 20


@given(
    st.lists(st.text(max_size=300), max_size=3),
    st.integers(0, 9),
    st.sets(st.sampled_from(list(PointKind))),
    st.booleans(),
)
def test_base_and_points_always_make_the_value(texts, times, reached_by, has_company_mail):
    seen = evidence(
        *texts,
        "quote, price, visit, budget, soon, not interested, seo",
        inquiries=times,
        replies=times,
        attempts=times,
        reached_by=frozenset(reached_by),
        has_company_mail=has_company_mail,
    )
    value, factors = judge(seen, at=AT)
    assert 0 <= value <= 100
    assert BASE + sum(factor.points for factor in factors) == value
    by_id = {text.id: text.text for text in seen.texts}
    assert all(factor.place.of(by_id[factor.source_id]) == factor.quote for factor in quoted(factors))


def quoted(factors: tuple[NewFactor, ...]) -> list[NewFactor]:
    return [factor for factor in factors if factor.place and factor.source_id]


def test_a_huge_text_is_judged_quickly():
    started = perf_counter()
    judge(evidence("a " * 2_000, "quot " * 800, "\n" * 4_000, "9" * 4_000), at=AT)
    assert perf_counter() - started < 0.5  # seconds
