"""One form of every text: nothing invisible, nothing that moves a quote's place."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.plaintext import LONGEST_QUOTE, Span, find_quote, normalised, one_line


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\x00b\x07c", "abc"),
        ("ig\u200bno\u200dre\ufeff", "ignore"),  # zero width
        ("\u202etxt.exe\u202c \u2066x\u2069", "txt.exe x"),  # bidi
        ("hi\U000e0069\U000e0067\U000e006e", "hi"),  # the tag block
        ("a\ufe0fb\U000e0101c", "abc"),  # variation selectors
        ("x\u3164y\u2800z", "xyz"),  # fillers that show as blank
        ("caf\u0065\u0301", "café"),  # NFC
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("a \t\u00a0\u3000 b", "a b"),
        ("a\n\n\n\n \n\nb", "a\n\nb"),
        ("lone \ud800 surrogate", "lone surrogate"),
        (None, ""),
    ],
)
def test_a_text_is_cleaned(raw: str, clean: str):
    assert normalised(raw) == clean


def test_no_control_and_no_format_character_survives():
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {unicodedata.category(char) for start in range(0, len(everything), 100_000)
            for char in normalised(everything[start : start + 100_000])}  # fmt: skip
    assert left.isdisjoint({"Cf", "Co", "Cs"})
    assert not [
        char
        for char in normalised("".join(map(chr, range(160))))
        if unicodedata.category(char) == "Cc" and char != "\n"
    ]


@given(st.text(st.characters(codec=None), max_size=200), st.integers(1, 50))
def test_cleaning_twice_changes_nothing_and_the_limit_holds(text: str, limit: int):
    clean = normalised(text, limit)
    assert normalised(clean) == clean
    assert len(clean) <= limit
    assert normalised(text).startswith(clean)
    assert "\n" not in one_line(text)


def test_ten_thousand_line_ends_and_200_kb_cost_little():
    assert normalised("\n" * 10_000) == ""
    assert len(normalised("a " * 100_000, 2_000)) <= 2_000


def test_a_quote_is_found_at_code_points_behind_emoji():
    text = normalised("👩‍🌾🌳 Grüße! Wir möchten einen Teich 🐟 bauen.")
    place = find_quote(text, "einen Teich 🐟")
    assert place is not None
    assert place.of(text) == "einen Teich 🐟"


def test_a_quote_in_decomposed_letters_is_found_in_composed_text():
    place = find_quote(normalised("Im Cafe\u0301 nebenan"), "Cafe\u0301")
    assert place == Span(3, 7)


def test_a_quote_must_not_cut_a_mark_from_its_letter():
    text = normalised("xx q\u0307\u0323ab")  # no composed form exists
    assert find_quote(text, "xx q") is None
    assert find_quote(text, "xx q\u0323\u0307") is not None


def test_typographic_marks_and_line_ends_do_not_hide_a_quote():
    text = normalised("She said: “it’s\nurgent” – really")
    place = find_quote(text, '"it\'s urgent" - really')
    assert place is not None
    assert place.of(text) == "“it’s\nurgent” – really"


@pytest.mark.parametrize("quote", ["", "a", "ab", "never said", "SAID", "x" * (LONGEST_QUOTE + 1)])
def test_what_was_not_said_or_says_nothing_is_not_found(quote: str):
    assert find_quote("She said it was about " + "x" * 400, quote) is None


@given(st.text(max_size=120), st.integers(0, 100), st.integers(3, 60))
def test_a_found_quote_stands_at_its_place(text: str, start: int, length: int):
    clean = normalised(text)
    quote = normalised(clean[start : start + length])
    place = find_quote(clean, quote)
    if place:
        assert find_quote(place.of(clean), quote) == Span(0, len(quote))
