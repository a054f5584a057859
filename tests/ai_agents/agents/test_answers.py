"""The parser: exactly the agreed shape, or a reason. Nothing is guessed."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_agents.agents.answers import AssessmentAnswer, DraftAnswer, first_object, parse
from ai_agents.errors import BadAnswer

GOOD: dict[str, Any] = {
    "fit": 62,
    "summary": "Wants a terrace.",
    "reasons": [{"label": "Asked for a quote", "points": 20, "quote": "a quote", "source": "inquiry-1"}],
    "recommended_action": "call",
    "timeline": "this_week",
    "risks": [],
    "missing": ["Budget"],
}


def answer(**changes: Any) -> str:
    return json.dumps(GOOD | changes)


def reason_of(text: str) -> str:
    with pytest.raises(BadAnswer) as refused:
        parse(AssessmentAnswer, text)
    return refused.value.reason


@pytest.mark.parametrize(
    "text",
    [
        answer(),
        f"```json\n{answer()}\n```",
        f"```\n{answer()}\n```",
        f"Here is the answer:\n```json\n{answer()}\n```\nAnything else?",
        f"Sure! {answer()} Hope that helps.",
        f"  \n{answer()}",
        f"As {{you}} asked: {answer()}",
    ],
)
def test_the_object_is_found_in_its_wrapping(text: str):
    assert parse(AssessmentAnswer, text).fit == 62


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   \n ", "empty"),
        ("I cannot help with that.", "not_json"),
        (answer()[: len(answer()) // 2], "not_json"),
        (answer()[:-1].replace('":', '"=', 3), "not_json"),
        ("[1, 2]", "not_object"),
        ('"85"', "not_object"),
        (answer(fit="85%"), "wrong_type"),
        (answer(fit="85"), "wrong_type"),
        (answer(fit=85.0), "wrong_type"),
        (answer(fit=True), "wrong_type"),
        (answer(fit="high"), "wrong_type"),
        (answer(fit=None), "wrong_type"),
        (answer(fit=float("nan")), "not_json"),
        (answer(fit=float("inf")), "not_json"),
        (answer(fit=101), "out_of_range"),
        (answer(fit=-1), "out_of_range"),
        (answer().replace("62", "1" + "0" * 5_000), "not_json"),
        (answer(confidence="very high"), "extra_key"),
        (answer(reasons=[GOOD["reasons"][0] | {"weight": 1}]), "extra_key"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "fit"}), "missing_key"),
        (answer(recommended_action="send_money"), "unknown_value"),
        (answer(timeline=""), "unknown_value"),
        (answer(reasons="many"), "wrong_type"),
        (answer(reasons=[GOOD["reasons"][0]] * 9), "too_long"),
        (answer(summary="x" * 301), "too_long"),
        (answer(summary=""), "empty"),
        (answer(reasons=[GOOD["reasons"][0] | {"points": 41}]), "out_of_range"),
        (answer(reasons=[GOOD["reasons"][0] | {"source": "../etc"}]), "wrong_type"),
        (answer(summary="x" * 50_000), "too_long"),
        ("a " * 25_000, "too_long"),
        ('{"fit": 1, "fit": 2}', "not_json"),
        ('{"a":' * 3_000, "not_json"),
        (answer(summary="\ud800"), "wrong_type"),
        (json.dumps({"tool_calls": [{"name": "send_email"}]}), "missing_key"),
    ],
)
def test_whatever_else_is_refused_with_its_reason(text: str, reason: str):
    assert reason_of(text) == reason


def test_a_refusal_never_repeats_what_the_model_wrote():
    secret = "ada@example.com"
    with pytest.raises(BadAnswer) as refused:
        parse(AssessmentAnswer, answer(fit=secret, **{secret: 1}))
    assert secret not in refused.value.detail + str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_an_answer_with_several_faults_names_them_all_for_the_repair():
    with pytest.raises(BadAnswer) as refused:
        parse(AssessmentAnswer, answer(fit=101, timeline="never"))
    assert "fit" in refused.value.detail
    assert "timeline" in refused.value.detail


@pytest.mark.parametrize(
    "change",
    [
        {"subject": 85},
        {"paragraphs": []},
        {"paragraphs": [[]]},
        {"paragraphs": [[{"text": "Hello,"}]]},
        {"paragraphs": [[{"text": "Hello,", "facts": ["all of them"]}]]},
        {"paragraphs": [[{"text": "Hello,", "facts": [], "bcc": "x@evil.example"}]]},
        {"cc": "x@evil.example"},
        {"body": "Hello,"},
    ],
)
def test_a_draft_has_exactly_its_keys(change: dict[str, Any]):
    good = {"subject": "Your garden", "paragraphs": [[{"text": "Shall we talk?", "facts": ["note-1"]}]]}
    assert parse(DraftAnswer, json.dumps(good)).subject == "Your garden"
    with pytest.raises(BadAnswer):
        parse(DraftAnswer, json.dumps(good | change))


@given(st.text(max_size=300))
def test_any_text_is_an_object_or_a_bad_answer(text: str):
    with contextlib.suppress(BadAnswer):
        assert isinstance(first_object(text), dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(GOOD)), json_values)
def test_a_parsed_answer_is_always_within_its_bounds(key: str, value: Any):
    try:
        found = parse(AssessmentAnswer, answer(**{key: value}))
    except BadAnswer:
        return
    assert type(found.fit) is int
    assert 0 <= found.fit <= 100
    assert len(found.reasons) <= 8


@given(st.integers(0, 100), st.text(max_size=60), st.text(max_size=60))
def test_words_around_the_object_change_nothing(fit: int, before: str, after: str):
    before = before.replace("{", "").replace("`", "")
    assert parse(AssessmentAnswer, before + answer(fit=fit) + after.replace("`", "")).fit == fit
