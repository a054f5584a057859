"""OpportunityAgent: where does this order stand, what comes next, and what could go wrong?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from django.db.models import Model
from django.utils.translation import gettext_lazy as _
from pydantic import Field, StringConstraints

from ai_agents.agents.answers import Answer, FactId, parse
from ai_agents.agents.base import Asked, BaseAgent, Finished, Start, Words
from ai_agents.agents.facts import Quote
from ai_agents.agents.opportunity_facts import OpportunityFacts, opportunity_facts
from ai_agents.models import AgentTask
from crm import clock, events
from crm.actions.reviews import NewReview, NewRisk, store_review
from crm.models import Actor, Opportunity, acting_as
from crm.plaintext import Span

BY = Actor.agent("OpportunityAgent")


class RiskAnswer(Answer):
    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
    quote: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    source: FactId


class ReviewAnswer(Answer):
    """What the model must answer."""

    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
    next_step: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    band: Literal["unlikely", "open", "likely", "very_likely"]
    risks: Annotated[list[RiskAnswer], Field(max_length=5)]


@dataclass(frozen=True, slots=True)
class Review:
    """A checked answer. `dropped` counts risks whose quote was not found."""

    summary: str
    next_step: str
    band: str
    risks: tuple[tuple[str, Quote], ...]
    dropped: int


class OpportunityAgent(BaseAgent):
    """Reads an opportunity when a person asks, returns a Review: an opinion that moves nothing."""

    kind: ClassVar[str] = "opportunity"
    prompt: ClassVar[str] = "opportunity.v1"
    does: ClassVar[Words] = _("reviews an opportunity, quotes the risks")
    fresh_target: ClassVar[int] = 1
    subject: ClassVar[type[Model]] = Opportunity
    starts_on: ClassVar[Mapping[type, Start]] = {
        events.ReviewRequested: lambda event: Asked(
            event.lead_id, event.opportunity_id, priority=1, user_id=event.user_id
        ),
    }

    def read(self, tasks: Sequence[AgentTask]) -> Sequence[OpportunityFacts | None]:
        """The facts of each task, in order; None when the opportunity is gone or no agent may read it."""
        return opportunity_facts([task.opportunity_id for task in tasks], today=clock.now())

    def parse(self, text: str, facts: OpportunityFacts) -> Review:
        """The review in a model's text, its quotes verified. Raises BadAnswer."""
        answer = parse(ReviewAnswer, text)
        self.refuse_leaks(answer.summary, answer.next_step, *(risk.label for risk in answer.risks))
        risks = [
            (facts.filled_line(risk.label, 120), quote)
            for risk in answer.risks
            if (quote := facts.quoted(risk.source, risk.quote))
        ]
        return Review(
            summary=facts.filled_line(answer.summary, 400),
            next_step=facts.filled_line(answer.next_step, 200),
            band=answer.band,
            risks=tuple(risks),
            dropped=len(answer.risks) - len(risks),
        )

    @acting_as(BY)
    def store(self, finished: Sequence[Finished]) -> None:
        """Keep each review beside its opportunity. Those that are gone are left out."""
        ids = [done.task.opportunity_id for done in finished]
        there = set(Opportunity.objects.live().filter(pk__in=ids).values_list("pk", flat=True))
        for done in finished:
            if done.task.opportunity_id in there:
                store_review(_new_review(done), by=BY)


def _new_review(done: Finished) -> NewReview:
    found: Review = done.result
    return NewReview(
        opportunity_id=done.task.opportunity_id or 0,
        summary=found.summary,
        next_step=found.next_step,
        band=found.band,
        risks=[
            NewRisk(
                label,
                quote.text,
                quote.source_kind,
                quote.source_id,
                quote.field,
                Span(quote.start, quote.end),
            )
            for label, quote in found.risks
        ],
        task_id=done.task.pk,
        dropped_risks=found.dropped,
        provider=done.provider,
        model=done.model,
        prompt=done.task.prompt_version,
    )
