"""LeadAnalysisAgent: how likely is this lead to buy, and why, in the record's own words."""

from dataclasses import dataclass
from typing import ClassVar

from ai_agents.agents.answers import AssessmentAnswer, Reason, parse
from ai_agents.agents.base import LeadAgent, repair_note
from ai_agents.agents.facts import LeadFacts
from ai_agents.agents.leaks import leaks_in
from ai_agents.agents.vocabulary import ORDERS_TO_A_MODEL
from ai_agents.errors import BadAnswer
from ai_agents.llm.base import LLM
from crm.plaintext import one_line

HOT = 75  # from here on a fit has to be founded


@dataclass(frozen=True, slots=True)
class Factor:
    """One reason whose quote was found in the record: code points of the source's normalised text."""

    label: str
    points: int  # -40 to 40; a model's points do not add up to its fit
    quote: str
    source_kind: str
    source_id: int | None
    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """A checked answer. `fit` is 0 to 100; `dropped` counts reasons whose quote was not found."""

    fit: int
    summary: str
    factors: tuple[Factor, ...]
    dropped: int
    recommended_action: str
    timeline: str
    risks: tuple[str, ...]
    missing: tuple[str, ...]


class LeadAnalysisAgent(LeadAgent):
    """Reads a lead, asks the model, returns an Assessment. Writes nothing."""

    kind: ClassVar[str] = "lead_analysis"
    prompt: ClassVar[str] = "lead_analysis.v1"
    timeout_s: ClassVar[float] = 30

    async def run(self, facts: LeadFacts, llm: LLM) -> Assessment:
        """Raises BadAnswer when the repair call fails too; provider errors pass through to the pump."""
        system, user = self.messages(facts)

        async def ask(note: str = "") -> Assessment:
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

    def parse(self, text: str, facts: LeadFacts) -> Assessment:
        """The assessment in a model's text, its quotes verified. Raises BadAnswer."""
        answer = parse(AssessmentAnswer, text)
        written = [
            answer.summary,
            *answer.risks,
            *answer.missing,
            *(reason.label for reason in answer.reasons),
        ]
        if found := leaks_in("\n".join(written), prompt=self.instructions):
            raise BadAnswer(next(iter(found)), "; ".join(found.values()))
        factors = [factor for reason in answer.reasons if (factor := _verified(reason, facts))]
        if answer.fit >= HOT and not any(factor.points > 0 for factor in factors):
            raise BadAnswer(
                "unsupported", f"a fit from {HOT} on needs a reason with a quote that is in the record"
            )
        return Assessment(
            fit=answer.fit,
            summary=_filled(answer.summary, facts, 300),
            factors=tuple(factors),
            dropped=len(answer.reasons) - len(factors),
            recommended_action=answer.recommended_action,
            timeline=answer.timeline,
            risks=(*_warning(facts), *(_filled(risk, facts, 120) for risk in answer.risks)),
            missing=tuple(_filled(gap, facts, 120) for gap in answer.missing),
        )


def _warning(facts: LeadFacts) -> tuple[str, ...]:
    """Said by us, whatever the model makes of it: somebody writes for the model instead of for people."""
    suspicious = any(ORDERS_TO_A_MODEL.search(fact.text) for fact in facts.facts if not fact.is_ours)
    return ("The text tries to give orders to the model: judge this score yourself",) if suspicious else ()


def _verified(reason: Reason, facts: LeadFacts) -> Factor | None:
    """The reason with the place of its quote, or None when the record does not say so."""
    fact = facts.by_id(reason.source)
    place = fact.locate(reason.quote) if fact else None
    if not fact or not place:
        return None
    return Factor(
        label=_filled(reason.label, facts, 120),
        points=reason.points,
        quote=place.of(fact.text),
        source_kind=fact.kind,
        source_id=fact.source_id,
        field=fact.field,
        start=place.start,
        end=place.end,
    )


def _filled(text: str, facts: LeadFacts, limit: int) -> str:
    """Clean text of one line, with the names put where the model saw placeholders."""
    return one_line(facts.fill(text), limit)
