"""A model for tests that says what it is told, and remembers what it was asked."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ai_agents.errors import BadAnswer

T = TypeVar("T")


@dataclass
class ToldLLM:
    """Implements LLM: each answer once, in order; an exception in the list is raised."""

    answers: Iterable[Any]
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def ask(self, *, parse: Callable[[str], T], **request: Any) -> T:
        self.asked.append(request)
        answer = list(self.answers)[len(self.asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else json.dumps(answer)
        if not text.strip():
            raise BadAnswer("empty")
        return parse(text)


ASSESSMENT: dict[str, Any] = {
    "fit": 71,
    "summary": "Wants a pond.",
    "reasons": [],
    "recommended_action": "call",
    "timeline": "this_week",
    "risks": [],
    "missing": [],
}


def paragraphs(body: str, *facts: str) -> list[list[dict[str, Any]]]:
    """A body as FollowUpAgent answers it; each sentence is said to rest on these facts."""
    return [
        [{"text": said, "facts": list(facts)} for said in re.split(r"(?<=[.!?]) ", text) if said.strip()]
        for text in body.split("\n\n")
    ]


DRAFT: dict[str, Any] = {
    "subject": "Your pond",
    "paragraphs": paragraphs("Hello {{first_name}},\n\nthank you for your message. When may we visit you?"),
}
