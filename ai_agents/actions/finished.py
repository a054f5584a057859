"""What a pump hands over when an agent is done."""

from dataclasses import dataclass
from typing import Any

from ai_agents.models import AgentTask


@dataclass(frozen=True, slots=True)
class Finished:
    """A task whose lease was checked and that was marked done in this transaction, with what came of it."""

    task: AgentTask
    facts: Any
    result: Any
    provider: str  # "scripted" marks a sample
    model: str
