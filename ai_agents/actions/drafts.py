"""Store what FollowUpAgent wrote, in the transaction that finished its task. Only a person can approve it."""

from collections.abc import Sequence
from decimal import Decimal

from django.db.models import Sum

from ai_agents.actions.finished import Finished
from ai_agents.agents.facts import LeadFacts
from ai_agents.agents.follow_up import Draft
from ai_agents.models import AgentCall
from crm.actions.follow_ups import store_draft
from crm.models import Actor, Lead, Purpose, acting_as

BY = Actor.agent("FollowUpAgent")


@acting_as(BY)
def record_drafts(finished: Sequence[Finished]) -> None:
    """Keep each draft as a generated follow-up; one that needs writing has no text, and says why.

    Leads that are gone are left out. Publishes FollowUpChanged.
    """
    living = set(
        Lead.objects.live()
        .filter(pk__in=[done.task.lead_id for done in finished])
        .values_list("pk", flat=True)
    )
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
