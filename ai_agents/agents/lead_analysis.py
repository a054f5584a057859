"""LeadAnalysisAgent: how likely is this lead to buy, and why, in the record's own words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from ai_agents.agents.answers import AssessmentAnswer, Reason, parse
from ai_agents.agents.base import Asked, Finished, LeadAgent, Start, Words
from ai_agents.agents.facts import LeadFacts, Quote
from ai_agents.agents.vocabulary import ORDERS_TO_A_MODEL
from ai_agents.errors import BadAnswer
from crm import events
from crm.actions.score_rules import NewFactor
from crm.actions.scores import NewScore, record_scores
from crm.models import Actor, ScoreKind, acting_as
from crm.plaintext import Span

BY = Actor.agent("LeadAnalysisAgent")
HOT = 75  # from here on a fit has to be founded


@dataclass(frozen=True, slots=True)
class Factor:
    """One reason whose quote was found in the record."""

    label: str
    points: int  # -40 to 40; a model's points do not add up to its fit
    quote: Quote


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
    would_change: tuple[str, ...] = ()


class LeadAnalysisAgent(LeadAgent):
    """Reads a lead, asks the model, returns an Assessment."""

    kind: ClassVar[str] = "lead_analysis"
    prompt: ClassVar[str] = "lead_analysis.v2"
    does: ClassVar[Words] = _("reads a lead, scores it, quotes why")
    fresh_target: ClassVar[int] = 3
    waiting_word: ClassVar[str] = "scoring"
    starts_on: ClassVar[Mapping[type, Start]] = {
        events.LeadFactsChanged: lambda event: Asked(event.lead_id, priority=event.priority),
        events.MessageReceived: lambda event: Asked(event.lead_id, priority=2),
    }

    def payload(self, facts: LeadFacts) -> dict[str, Any]:
        """The facts, and what is counted about them."""
        return super().payload(facts) | {"signals": signals_of(facts)}

    def parse(self, text: str, facts: LeadFacts) -> Assessment:
        """The assessment in a model's text, its quotes verified. Raises BadAnswer."""
        answer = parse(AssessmentAnswer, text)
        written = [
            answer.summary,
            *answer.risks,
            *answer.missing,
            *answer.would_change,
            *(reason.label for reason in answer.reasons),
        ]
        self.refuse_leaks(*written)
        factors = [factor for reason in answer.reasons if (factor := _verified(reason, facts))]
        if answer.fit >= HOT and not any(factor.points > 0 for factor in factors):
            raise BadAnswer(
                "unsupported", f"a fit from {HOT} on needs a reason with a quote that is in the record"
            )
        return Assessment(
            fit=answer.fit,
            summary=facts.filled_line(answer.summary, 300),
            factors=tuple(factors),
            dropped=len(answer.reasons) - len(factors),
            recommended_action=answer.recommended_action,
            timeline=answer.timeline,
            risks=(*_warning(facts), *(facts.filled_line(risk, 120) for risk in answer.risks)),
            missing=tuple(facts.filled_line(gap, 120) for gap in answer.missing),
            would_change=tuple(facts.filled_line(line, 120) for line in answer.would_change),
        )

    @acting_as(BY)
    def store(self, finished: Sequence[Finished], *, quietly: bool = False) -> None:
        """Make each assessment the current model score of its lead. Leads that are gone are left out.

        At most one per lead. Publishes LeadScored, unless `quietly` (sample data: no events, no timeline).
        """
        scores = [_new_score(done) for done in finished if done.task.lead_id]
        record_scores(scores, by=BY, quietly=quietly)


def signals_of(facts: LeadFacts) -> dict[str, int | list[str] | None]:
    """What can be counted: how often each side wrote, how many days ago the customer did, fields given."""
    theirs = [fact for fact in facts.facts if fact.at and not fact.is_ours]
    last = max((fact.at.date() for fact in theirs if fact.at), default=None)
    today = date.fromisoformat(facts.today)
    kinds = Counter((fact.kind, fact.is_ours) for fact in facts.facts)
    return {
        "inquiries": kinds["inquiry", False],
        "their_messages": kinds["message", False],
        "our_messages": kinds["message", True],
        "calls": kinds["call", True],
        "notes": kinds["note", True],
        "days_since_they_wrote": (today - last).days if last else None,
        "fields_given": sorted(fact.field for fact in facts.facts if fact.field),
    }


def _warning(facts: LeadFacts) -> tuple[str, ...]:
    """Said by us, whatever the model makes of it: somebody writes for the model instead of for people."""
    suspicious = any(ORDERS_TO_A_MODEL.search(fact.text) for fact in facts.facts if not fact.is_ours)
    return ("The text tries to give orders to the model: judge this score yourself",) if suspicious else ()


def _verified(reason: Reason, facts: LeadFacts) -> Factor | None:
    """The reason with the place of its quote, or None when the record does not say so."""
    quote = facts.quoted(reason.source, reason.quote)
    return Factor(facts.filled_line(reason.label, 120), reason.points, quote) if quote else None


def _new_score(done: Finished) -> NewScore:
    found: Assessment = done.result
    return NewScore(
        lead_id=done.task.lead_id or 0,
        kind=ScoreKind.MODEL,
        value=found.fit,
        factors=tuple(_new_factor(factor) for factor in found.factors),
        task_id=done.task.pk,
        provider=done.provider,
        model=done.model,
        version=done.task.prompt_version,
        summary=found.summary,
        recommended_action=found.recommended_action,
        timeline=found.timeline,
        risks=found.risks,
        missing=found.missing,
        would_change=found.would_change,
        dropped_factors=found.dropped,
    )


def _new_factor(factor: Factor) -> NewFactor:
    quote = factor.quote
    return NewFactor(
        label=factor.label,
        points=factor.points,
        quote=quote.text,
        source_kind=quote.source_kind,
        source_id=quote.source_id,
        field=quote.field,
        place=Span(quote.start, quote.end),
    )
