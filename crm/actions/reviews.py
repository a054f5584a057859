"""What an agent thinks of an opportunity, kept beside it. An opinion: it moves nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from crm import events, ports
from crm.actions.base import line_of, opportunity_for_change
from crm.errors import AIUnavailable, PermissionRefused
from crm.models import Actor, ActorKind, Opportunity, OpportunityReview, OpportunityRisk
from crm.plaintext import Span, one_line


@dataclass(frozen=True, slots=True)
class NewRisk:
    """A risk in the record's own words: the source and the place of the quote in its normalised text."""

    label: str
    quote: str
    source_kind: str
    source_id: int | None
    field: str
    place: Span


@dataclass(frozen=True, slots=True)
class NewReview:
    """An opinion to be kept. `band` is one of WinBand."""

    opportunity_id: int
    summary: str
    next_step: str
    band: str
    risks: Sequence[NewRisk]
    task_id: int
    dropped_risks: int = 0
    provider: str = ""
    model: str = ""
    prompt: str = ""


@transaction.atomic
def request_review(opportunity_id: int, *, by: Actor) -> Opportunity:
    """Ask an agent to review an opportunity; the result stands beside it within seconds.

    Raises Opportunity.DoesNotExist, PermissionRefused, AIUnavailable. Publishes ReviewRequested.
    """
    card = opportunity_for_change(opportunity_id, by=by)
    if not ports.ai_status().is_on:
        raise AIUnavailable(_("AI is switched off (AI_PROVIDER=off)."))
    if by.user:
        events.publish(events.ReviewRequested(card.pk, card.lead_id, by.user.pk))
    return card


@transaction.atomic
def store_review(new: NewReview, *, by: Actor) -> OpportunityReview:
    """Keep it as the current one. Raises Opportunity.DoesNotExist, PermissionRefused for a person.

    Publishes OpportunityChanged.
    """
    if by.kind not in {ActorKind.AGENT, ActorKind.SYSTEM}:
        raise PermissionRefused(_("Only agents leave reviews."))
    card = Opportunity.objects.live().select_for_update(no_key=True).get(pk=new.opportunity_id)
    card.reviews.filter(is_current=True).update(is_current=False)
    review = OpportunityReview.objects.create(
        opportunity=card,
        summary=one_line(new.summary, 400),
        next_step=one_line(new.next_step, 200),
        band=new.band,
        dropped_risks=new.dropped_risks,
        task_id=new.task_id,
        provider=new.provider,
        model=new.model,
        prompt=new.prompt,
    )
    OpportunityRisk.objects.bulk_create(
        OpportunityRisk(
            review=review,
            position=position,
            label=one_line(risk.label, 120),
            quote=risk.quote,
            source_kind=risk.source_kind,
            source_id=risk.source_id,
            field=risk.field,
            start=risk.place.start,
            end=risk.place.end,
        )
        for position, risk in enumerate(new.risks)
    )
    # Not by `tell`: what an agent thinks does not keep an opportunity from being stalled.
    line_of([card], "opportunity.reviewed", _("reviewed it: %s") % review.summary, by=by, data={}).save()
    events.publish(events.OpportunityChanged(card.pk, fields=("review",)))
    return review
