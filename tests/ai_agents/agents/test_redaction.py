"""What must not leave: found in every way people write it, replaced, and found again by its place."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_agents.agents.redaction import redact
from crm.plaintext import Span, normalised


@pytest.mark.parametrize(
    "private",
    [
        "ada.lovelace+x@example.co.uk",
        "ada (at) example (dot) com",
        "ada [at] example.com",
        "ada at example dot com",
        "mailto:ada@example.com",
        "+1 415 555 0100",
        "+44 (0)20 7946 0958",
        "0049-30-1234567",
        "030/123 45 67",
        "(415) 555-0100",
        "415-555-0100",
        "4155550100",
        "612 345 678",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "5500 0000 0000 0004",
        "٤١١١١١١١١١١١١١١١",  # the same card in Arabic digits
        "078-05-1120",
        "078 05 1120",
        "QQ 12 34 56 C",
        "AB123456C",
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "passport number X1234567",
        "Social security: 987654321",
        "DNI 12345678Z",
        "born 12 March 1985",
        "date of birth: 1985-03-12",
        "geboren am 12.03.1985",
        "né le 12 mars 1985",
        "12/03/1985",
        "1985-03-12",
        "221B Baker Street",
        "1600 Pennsylvania Ave",
        "Gartenstraße 12a",
        "Lange Straße 7",
        "Keizersgracht 123",
        "12 rue de la Paix",
        "Calle de Alcalá 42",
        "Via Garibaldi, 3",
        "SW1A 1AA",
        "http://evil.example/?d=1",
        "www.example.com/me",
        "javascript:alert(1)",
    ],
)
def test_private_details_are_replaced(private: str):
    digits_and_words = [part for part in private.replace("(", " ").split() if len(part) > 3]
    shown = redact(normalised(f"Reach me: {private}. Thanks")).text
    assert private not in shown
    assert shown.startswith("Reach me:")
    assert "Thanks" in shown
    assert not [part for part in digits_and_words if part in shown and any(char.isdigit() for char in part)]


@pytest.mark.parametrize(
    "kept",
    [
        "a budget of €12,500",
        "between 8000-12000 for all",
        "about 1 200 000 for the park",
        "450 m² and 12x30 m",
        "12500000 EUR",
        "on 12 May 2026 at 10:30",
        "from 2026-05-12 on",
        "by 12.05.2026",
        "120 plants, 3 terraces, 15%",
        "I will call you at work",
        "we moved in 2019 with 4 children",
    ],
)
def test_what_an_agent_needs_stays(kept: str):
    assert redact(kept).text == kept


def test_own_names_become_placeholders_wherever_they_stand():
    names = [
        ("Priya", "{{first_name}}"),
        ("PRIYA", "{{first_name}}"),
        ("Raman", "[name]"),
        ("Halden Freight", "{{company}}"),
    ]
    shown = redact("I am Priya Raman of halden freight. PRIYA", names=names).text
    assert shown == "I am {{first_name}} [name] of {{company}}. {{first_name}}"


def test_a_name_inside_a_word_is_not_the_name():
    assert (
        redact("Annapurna and Anna's", names=[("Anna", "{{first_name}}")]).text
        == "Annapurna and {{first_name}}'s"
    )


def test_overlapping_findings_leave_nothing_between():
    shown = redact("write ada@example.com", names=[("example", "[company]")]).text
    assert shown == "write [email]"


def test_a_place_in_the_shown_text_leads_back_to_the_original():
    text = "🌳 mail ada@example.com, then a quote for Priya please"
    seen = redact(text, names=[("Priya", "{{first_name}}")])
    start = seen.text.index("a quote")
    assert seen.origin(Span(start, start + len("a quote for {{first_name}}"))).of(text) == "a quote for Priya"
    inside = seen.text.index("email]")
    assert seen.origin(Span(inside, inside + 2)).of(text) == "ada@example.com"


@given(
    st.text(max_size=200),
    st.lists(st.sampled_from(["ada@example.com", " +1 415 555 0100 ", " Priya "]), max_size=4),
)
def test_every_place_leads_back_into_the_original(text: str, private: list[str]):
    original = normalised(text[:100] + " ".join(private) + text[100:])
    seen = redact(original, names=[("Priya", "{{first_name}}")])
    assert "ada@example.com" not in seen.text
    for start in range(0, len(seen.text), 7):
        for end in (start + 1, len(seen.text)):
            place = seen.origin(Span(start, end))
            assert 0 <= place.start < place.end <= len(original)
    for here, there in zip(*untouched(seen.text, original, seen.cuts), strict=True):
        assert here == there


def untouched(shown: str, original: str, cuts: tuple) -> tuple[list[str], list[str]]:
    """The pieces between the cuts, on both sides."""
    here = [0, *(place for cut, _ in cuts for place in (cut.start, cut.end)), len(shown)]
    there = [0, *(place for _, cut in cuts for place in (cut.start, cut.end)), len(original)]
    return (
        [shown[a:b] for a, b in zip(here[::2], here[1::2], strict=True)],
        [original[a:b] for a, b in zip(there[::2], there[1::2], strict=True)],
    )


@given(st.from_regex(r"[2-6]\d{3}([ \-.]?)\d{4}\1\d{4}\1\d{4}", fullmatch=True))
def test_no_card_number_leaves_in_any_spelling(card: str):
    assert card not in redact(f"card {card} ok").text


@given(st.from_regex(r"\+[1-9]\d([ \-]\d{2,4}){3}", fullmatch=True))
def test_no_international_phone_number_leaves(phone: str):
    assert phone not in redact(f"call {phone} ok").text


@pytest.mark.parametrize(
    "flood",
    [
        "a " * 1_000,
        "1" * 2_000,
        "1 " * 1_000,
        "a@" * 1_000,
        "Aa " * 700,
        "1a, " * 500,
        "née 1 " * 300,
        "( at )" * 300,
        "0.0/0-" * 300,
    ],
)
def test_no_text_makes_redaction_slow(flood: str):
    started = perf_counter()
    redact(flood, names=[("Aa", "x")])
    assert perf_counter() - started < 0.5  # seconds
