"""FollowUpAgent: the first draft of an answer, for a person to approve."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from django.db.models import Sum
from django.utils.translation import gettext_lazy as _

from ai_agents.agents.answers import DraftAnswer, parse
from ai_agents.agents.base import Finished, LeadAgent, Words
from ai_agents.agents.facts import LeadFacts
from ai_agents.agents.validators import problems_of
from ai_agents.errors import BadAnswer
from ai_agents.llm.base import LLM
from ai_agents.models import AgentCall, AgentTask
from crm.actions.follow_ups import store_draft
from crm.models import Actor, Lead, Purpose, acting_as
from crm.plaintext import normalised, one_line

BY = Actor.agent("FollowUpAgent")


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
    """Reads a lead, asks the model, returns a Draft that passed every validator. Sends nothing."""

    kind: ClassVar[str] = "follow_up"
    prompt: ClassVar[str] = "follow_up.v1"
    timeout_s: ClassVar[float] = 45
    does: ClassVar[Words] = _("drafts the next message")
    waiting_word: ClassVar[str] = "drafting"

    def asked(self, task: AgentTask) -> dict[str, str]:
        """What the draft is for, and what a person wants of it."""
        return {name: task.params.get(name, "") for name in ("purpose", "instruction")}

    async def run(self, facts: LeadFacts, llm: LLM) -> Draft:
        """As every agent, but a draft that is refused twice becomes "needs writing": a person writes."""
        try:
            return await super().run(facts, llm)
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

    @acting_as(BY)
    def store(self, finished: Sequence[Finished]) -> None:
        """Keep each draft as a generated follow-up; one that needs writing has no text, and says why.

        Only a person can approve it. Leads that are gone are left out. Publishes FollowUpChanged.
        """
        leads = Lead.objects.live().filter(pk__in=[done.task.lead_id for done in finished])
        living = set(leads.values_list("pk", flat=True))
        costs = _costs(finished)
        for done in finished:
            if done.task.lead_id in living:
                _store(done, costs.get(done.task.pk, Decimal(0)))


def _store(done: Finished, cost_usd: Decimal) -> None:
    draft: Draft = done.result
    facts: LeadFacts = done.facts
    store_draft(
        facts.lead_id,
        subject=draft.subject,
        body=draft.body,
        purpose=facts.purpose or Purpose.FIRST_ANSWER,
        agent_task_id=done.task.pk,
        context_event_id=facts.context_event_id,
        provider=done.provider,
        model=done.model,
        cost_usd=cost_usd,
        facts_used=[
            {"id": fact.id, "kind": fact.kind, "source_id": fact.source_id, "field": fact.field}
            for fact_id in draft.facts_used
            if (fact := facts.by_id(fact_id))
        ],
        needs_writing=draft.needs_writing,
        by=BY,
    )


def _costs(finished: Sequence[Finished]) -> dict[int, Decimal]:
    """Task id -> what all its calls cost, in USD."""
    calls = AgentCall.objects.filter(task__in=[done.task.pk for done in finished])
    return dict(calls.values_list("task").annotate(Sum("cost_usd", default=Decimal(0))))
