"""What the engine needs of every agent, and the half that all agents share.

An agent is one file: what it reads (`read`), what it asks (its prompt), how the answer is checked (`parse`),
what is kept of it (`store`), and what starts it (`starts_on`). While it thinks it writes nothing; `store` is
called by the engine, in the transaction that finishes the tasks, and calls actions of crm. One registration
line in `agents/__init__.py` makes a kind known to queue, pools, pumps, API and screens.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from django.db.models import Model
from django.utils.functional import Promise, cached_property

from ai_agents.agents.facts import LeadFacts, RecordFacts, Wanted, facts_of
from ai_agents.agents.leaks import ENVELOPE, leaks_in
from ai_agents.errors import BadAnswer
from ai_agents.llm.base import LLM
from ai_agents.models import AgentTask
from ai_agents.prompts import Prompt, load
from crm import clock
from crm.models import Lead, Message, Opportunity


@dataclass(frozen=True, slots=True)
class Asked:
    """Work for an agent: about which record, and what else is wanted. `params` hold no personal data."""

    lead_id: int | None = None
    opportunity_id: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 5  # 0 first, 9 last
    user_id: int | None = None  # who asked by hand: refusals reach them


@dataclass(frozen=True, slots=True)
class Finished:
    """A task whose lease was checked and that was marked done in this transaction, with what came of it."""

    task: AgentTask
    facts: Any
    result: Any
    provider: str  # "scripted" marks a sample
    model: str


Start = Callable[[Any], Asked | None]  # from an event to the work it asks for
Words = str | Promise


class Agent(Protocol):
    """`read` in a database thread, `run` in the event loop, `store` in the transaction that ends the task."""

    kind: ClassVar[str]  # also the pool's, and the file's name
    prompt: ClassVar[str]  # the version it came with; AgentTask.prompt_version says which a task gets
    timeout_s: ClassVar[float]  # wall clock of one call
    does: ClassVar[Words]  # for the agents' page, after the name
    fresh_target: ClassVar[int]  # calls in flight in a fresh install
    waiting_word: ClassVar[str]  # what a lead's page says meanwhile: "scoring", "drafting" or nothing
    subject: ClassVar[type[Model]]  # what may be named when the work is asked for by hand
    starts_on: ClassVar[Mapping[type, Start]]

    def __init__(self, version: str = "") -> None: ...
    @property
    def version(self) -> str: ...
    @property
    def temperature(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...
    def read(self, tasks: Sequence[AgentTask]) -> Sequence[RecordFacts | None]: ...
    def messages(self, facts: Any) -> tuple[str, str]: ...
    def parse(self, text: str, facts: Any) -> Any: ...
    async def run(self, facts: Any, llm: LLM) -> Any: ...
    def store(self, finished: Sequence[Finished]) -> None: ...


class BaseAgent:
    """One question, one repair, one checked answer. A kind adds `read`, `parse` and `store`."""

    kind: ClassVar[str]
    prompt: ClassVar[str]
    timeout_s: ClassVar[float] = 30
    does: ClassVar[Words] = ""
    fresh_target: ClassVar[int] = 2
    waiting_word: ClassVar[str] = ""
    subject: ClassVar[type[Model]] = Lead
    starts_on: ClassVar[Mapping[type, Start]] = MappingProxyType({})

    def __init__(self, version: str = "") -> None:
        self._version = version or self.prompt

    @property
    def version(self) -> str:
        """Of its instructions; see `agents.agent_for`."""
        return self._version

    @cached_property
    def instructions(self) -> Prompt:
        return load(self.version)

    @property
    def temperature(self) -> float:
        return self.instructions.temperature

    @property
    def max_tokens(self) -> int:
        return self.instructions.max_tokens

    def parse(self, text: str, facts: Any) -> Any:
        """The checked answer in a model's text. Raises BadAnswer with the reasons."""
        raise NotImplementedError

    async def run(self, facts: Any, llm: LLM) -> Any:
        """One call, then one repair call with the reasons. Raises BadAnswer when that fails too; provider
        errors pass through to the pump.
        """
        system, user = self.messages(facts)

        async def ask(note: str = "") -> Any:
            return await llm.ask(
                system=system,
                user=user + note,
                parse=lambda text: self.parse(text, facts),
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                timeout_s=self.timeout_s,
                is_repair=bool(note),
            )

        try:
            return await ask()
        except BadAnswer as bad:
            return await ask(repair_note(bad))

    def payload(self, facts: Any) -> dict[str, Any]:
        """What the model is given of the record, as JSON-ready data."""
        return facts.payload(self.kind)

    def messages(self, facts: RecordFacts) -> tuple[str, str]:
        """(system, user) as they leave the process. The envelope's tag is new each time, so that no text can
        close it.
        """
        tag = f"{ENVELOPE}_{secrets.token_hex(8)}"
        content = json.dumps(self.payload(facts), ensure_ascii=False, separators=(",", ":"))
        return self.instructions.text, f"<{tag}>{content.replace('<', chr(92) + 'u003c')}</{tag}>"

    def refuse_leaks(self, *written: str) -> None:
        """Raises BadAnswer when the model's own words hold what must not be shown: our instructions, links,
        markup, private details.
        """
        if found := leaks_in("\n".join(written), prompt=self.instructions):
            raise BadAnswer(next(iter(found)), "; ".join(found.values()))


class LeadAgent(BaseAgent):
    """The common half of agents that read one lead."""

    def read(self, tasks: Sequence[AgentTask]) -> Sequence[LeadFacts | None]:
        """The facts of each task, in order; None when the lead is gone. A fixed number of queries."""
        wanted = [Wanted(task.lead_id, self.asked(task)) for task in tasks]
        return facts_of(wanted, today=clock.now())

    def asked(self, task: AgentTask) -> dict[str, str]:
        """What the model is told beside the facts. An agent with `params` of its own names them here."""
        return {}


def work_on(record: Model) -> Asked:
    """The work that asking about this record by hand makes."""
    if isinstance(record, Message):
        return Asked(lead_id=record.lead_id, params={"message": record.pk})
    if isinstance(record, Opportunity):
        return Asked(lead_id=record.lead_id, opportunity_id=record.pk)
    return Asked(lead_id=record.pk)


def repair_note(bad: BadAnswer) -> str:
    """What is added to the user message for the one repair call: reasons only, nothing of the refused
    text.
    """
    reasons = bad.detail or bad.reason
    return f"\n\nYour answer was refused: {reasons}. Answer again with the one JSON object, corrected."
