"""FollowUpAgent: the first draft of an answer, for a person to approve."""

from dataclasses import dataclass
from typing import ClassVar

from ai_agents.agents.answers import DraftAnswer, parse
from ai_agents.agents.base import LeadAgent, repair_note
from ai_agents.agents.facts import LeadFacts
from ai_agents.agents.validators import problems_of
from ai_agents.errors import BadAnswer
from ai_agents.llm.base import LLM
from crm.plaintext import normalised, one_line


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked draft with its names filled in. When `needs_writing` says why, there is no text: a person
    writes.
    """

    subject: str = ""
    body: str = ""
    facts_used: tuple[str, ...] = ()
    needs_writing: str = ""


class FollowUpAgent(LeadAgent):
    """Reads a lead, asks the model, returns a Draft that passed every validator. Writes and sends nothing."""

    kind: ClassVar[str] = "follow_up"
    prompt: ClassVar[str] = "follow_up.v1"
    timeout_s: ClassVar[float] = 45

    async def run(self, facts: LeadFacts, llm: LLM) -> Draft:
        """One call, one repair call with the reasons, then "needs writing". Provider errors pass through."""
        system, user = self.messages(facts)

        async def ask(note: str = "") -> Draft:
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
            try:
                return await ask(repair_note(bad))
            except BadAnswer as again:
                return Draft(needs_writing=one_line(again.detail or again.reason, 300))

    def parse(self, text: str, facts: LeadFacts) -> Draft:
        """The draft in a model's text. Raises BadAnswer with every rule it breaks."""
        answer = parse(DraftAnswer, text)
        cleaned = answer.model_copy(
            update={"body": normalised(answer.body), "subject": answer.subject.strip()}
        )
        if problems := problems_of(cleaned, facts, prompt=self.instructions):
            raise BadAnswer(next(iter(problems)), "; ".join(problems.values()))
        return Draft(
            subject=one_line(facts.fill(cleaned.subject), 200),
            body=facts.fill(cleaned.body),
            facts_used=tuple(dict.fromkeys(cleaned.facts_used)),
        )
