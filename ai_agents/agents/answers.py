"""From a model's text to a checked answer. A model's JSON is as untrusted as a browser's.

Nothing is guessed, rounded or filled in: what is not exactly as agreed raises BadAnswer with the reason, and
the agent asks once more.
"""

import json
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from ai_agents.errors import BadAnswer

LONGEST_ANSWER = 16_000  # characters; a right answer has under 4,000
_FENCE = re.compile(r"```[a-zA-Z]{0,10}[ \t]*\r?\n(.*?)(?:\r?\n)?```", re.DOTALL)
_OPENING = re.compile(r'\{\s*["}]')  # not the brace of "as {you} asked"

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
FactId = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,10}-[a-z0-9_]{1,60}$")]


class Answer(BaseModel):
    """Strict types (no "85" for 85, no 85.0, no true), no key too many."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Reason(Answer):
    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
    points: Annotated[int, Field(ge=-40, le=40)]
    quote: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    source: FactId


class AssessmentAnswer(Answer):
    """What LeadAnalysisAgent must answer."""

    fit: Annotated[int, Field(ge=0, le=100)]
    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
    reasons: Annotated[list[Reason], Field(max_length=8)]
    recommended_action: Literal["call", "email", "meeting", "nurture", "disqualify"]
    timeline: Literal["today", "this_week", "this_month", "later"]
    risks: Annotated[list[Line], Field(max_length=5)]
    missing: Annotated[list[Line], Field(max_length=5)]
    would_change: Annotated[list[Line], Field(max_length=4, default_factory=list)]  # since lead_analysis.v2


Subject = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=150)]


class Sentence(Answer):
    """One sentence of a draft, and the facts that it rests on."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
    facts: Annotated[list[FactId], Field(max_length=8)]


Paragraph = Annotated[list[Sentence], Field(min_length=1, max_length=20)]


class DraftAnswer(Answer):
    """What FollowUpAgent must answer since follow_up.v2."""

    subject: Subject
    paragraphs: Annotated[list[Paragraph], Field(min_length=1, max_length=15)]


class FirstDraftAnswer(Answer):
    """What follow_up.v1 asks for: marks for the whole, none for its sentences."""

    subject: Subject
    body: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000)]
    facts_used: Annotated[list[FactId], Field(max_length=20)]


Shape = TypeVar("Shape", bound=Answer)


def parse(shape: type[Shape], text: str) -> Shape:
    """The answer in `text`. Raises BadAnswer: empty, too_long, not_json, not_object, missing_key, extra_key,
    wrong_type, out_of_range, unknown_value."""
    try:
        return shape.model_validate(first_object(text))
    except ValidationError as error:
        raise _bad_answer(error) from None  # the chain would carry the model's text into logs


def first_object(text: str) -> dict[str, Any]:
    """The first JSON object in the text, with or without a code fence or words around it. Raises
    BadAnswer.
    """
    if not text or not text.strip():
        raise BadAnswer("empty", "the answer is empty")
    if len(text) > LONGEST_ANSWER:
        raise BadAnswer("too_long", f"the answer has over {LONGEST_ANSWER:,} characters")
    fenced = _FENCE.search(text)
    text = fenced[1] if fenced else text
    opening = _OPENING.search(text)
    if not opening:
        is_other_json = text.lstrip().startswith(("[", '"'))
        reason = "not_object" if is_other_json else "not_json"
        raise BadAnswer(reason, "the answer holds no JSON object")
    try:
        found, _end = _DECODER.raw_decode(text, opening.start())
    except json.JSONDecodeError:
        raise BadAnswer("not_json", "the JSON object is not complete or not correct") from None
    except RecursionError:
        raise BadAnswer("not_json", "the JSON is nested too deeply") from None
    except ValueError as error:  # ours below, or a number of over 4,300 digits
        raise BadAnswer("not_json", str(error)[:200]) from None
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("a key occurs twice in one object")
    return dict(pairs)


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_each_key_once)
_REASON_OF_ERROR = {
    "missing": "missing_key",
    "extra_forbidden": "extra_key",
    "literal_error": "unknown_value",
    "too_long": "too_long",
    "string_too_long": "too_long",
    "string_too_short": "empty",
}


def _bad_answer(error: ValidationError) -> BadAnswer:
    """The first error's code and, for the model, where all of them are. Never the values: they may be
    private.
    """
    details = error.errors(include_input=False, include_url=False, include_context=False)
    return BadAnswer(_code(details[0]), "; ".join(_sentence(detail) for detail in details[:6]))


def _code(detail: ErrorDetails) -> str:
    kind = detail["type"]
    return _REASON_OF_ERROR.get(kind) or ("out_of_range" if "_than" in kind else "wrong_type")


def _sentence(detail: ErrorDetails) -> str:
    # An unknown key is the model's own text: its name is not repeated.
    extra = detail["type"] == "extra_forbidden"
    place = ".".join(str(part) for part in (detail["loc"][:-1] if extra else detail["loc"]))
    said = "there is a key that was not asked for" if extra else detail["msg"][:120]
    return f"{place}: {said}" if place else said
