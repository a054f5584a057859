"""What the engine needs of every agent. An agent reads, asks and returns; it writes nothing."""

import json
import secrets
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from django.utils.functional import cached_property

from ai_agents.agents.facts import LeadFacts, facts_of
from ai_agents.agents.leaks import ENVELOPE
from ai_agents.errors import BadAnswer
from ai_agents.llm.base import LLM
from ai_agents.models import AgentTask
from ai_agents.prompts import Prompt, load
from crm import clock


class Agent(Protocol):
    """`read` in a database thread, `run` in the event loop."""

    kind: ClassVar[str]
    prompt: ClassVar[str]  # also AgentTask.prompt_version
    timeout_s: ClassVar[float]  # wall clock of one call

    @property
    def temperature(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...
    def read(self, tasks: Sequence[AgentTask]) -> list[LeadFacts | None]: ...
    def messages(self, facts: LeadFacts) -> tuple[str, str]: ...
    async def run(self, facts: LeadFacts, llm: LLM) -> Any: ...


class LeadAgent:
    """The common half of agents that read one lead."""

    kind: ClassVar[str]
    prompt: ClassVar[str]

    @cached_property
    def instructions(self) -> Prompt:
        return load(self.prompt)

    @property
    def temperature(self) -> float:
        return self.instructions.temperature

    @property
    def max_tokens(self) -> int:
        return self.instructions.max_tokens

    def read(self, tasks: Sequence[AgentTask]) -> list[LeadFacts | None]:
        """The facts of each task, in order; None when the lead is gone. A fixed number of queries."""
        wanted = [
            (task.lead_id, task.params.get("purpose", ""), task.params.get("instruction", ""))
            for task in tasks
        ]
        return facts_of(wanted, today=clock.now())

    def messages(self, facts: LeadFacts) -> tuple[str, str]:
        """(system, user) as they leave the process. The envelope's tag is new each time, so that no text can
        close it.
        """
        tag = f"{ENVELOPE}_{secrets.token_hex(8)}"
        content = json.dumps(facts.payload(self.kind), ensure_ascii=False, separators=(",", ":"))
        return self.instructions.text, f"<{tag}>{content.replace('<', chr(92) + 'u003c')}</{tag}>"


def repair_note(bad: BadAnswer) -> str:
    """What is added to the user message for the one repair call: reasons only, nothing of the refused
    text.
    """
    reasons = bad.detail or bad.reason
    return f"\n\nYour answer was refused: {reasons}. Answer again with the one JSON object, corrected."
