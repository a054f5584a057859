"""What a closed or reopened opportunity means for the lead it came from and for the person."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crm import clock, events
from crm.models import (
    Contact,
    Lead,
    LeadStatus,
    Lifecycle,
    Opportunity,
    OpportunityState,
    Outcome,
    OutcomeFrom,
)
from crm.models.base import VersionedRecord

OUTCOME_FIELDS = ("outcome", "outcome_at", "outcome_from")


@dataclass(slots=True)
class Settled:
    """What changed: the rows, and how to take it back (JSON)."""

    rows: list[VersionedRecord] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)


def settle_outcome(card: Opportunity) -> Settled:
    """Let the lead's outcome and the contact's lifecycle follow from their opportunities.

    A lead is won when one of its opportunities is, lost when all are; while one is open its outcome is
    unknown; when the last one is deleted it stays as it is. A contact becomes a customer with the first won
    one; it goes back only to where an opportunity had brought it. Needs the locks of both
    (base.hold_parents). Publishes LeadChanged.
    """
    settled = Settled()
    if card.lead_id:
        _settle_lead(Lead.objects.get(pk=card.lead_id), settled)
    if card.primary_contact_id:
        _settle_contact(Contact.objects.get(pk=card.primary_contact_id), settled)
    return settled


def settle_lead(lead: Lead) -> None:
    """Let a locked lead's outcome follow from its opportunities, one being new. Publishes LeadChanged."""
    lead.refresh_from_db(fields=["status", "version", *OUTCOME_FIELDS])
    _settle_lead(lead, Settled())


def settle_contact(contact: Contact) -> None:
    """Let a locked contact's lifecycle follow from its opportunities."""
    _settle_contact(contact, Settled())


def _states(**of: Any) -> set[str]:
    return set(Opportunity.objects.live().filter(**of).values_list("state", flat=True))


def _settle_lead(lead: Lead, settled: Settled) -> None:
    states = _states(lead=lead)
    if not states:
        return
    outcome = Outcome.UNKNOWN
    if OpportunityState.WON in states:
        outcome = Outcome.WON
    elif OpportunityState.OPEN not in states or lead.status == LeadStatus.DISQUALIFIED:
        outcome = Outcome.LOST
    if outcome == lead.outcome:
        return
    at = lead.outcome_at and lead.outcome_at.isoformat()
    settled.before["lead_outcome"] = [lead.outcome, at, lead.outcome_from]
    _write_outcome(
        lead,
        outcome,
        clock.now() if outcome != Outcome.UNKNOWN else None,
        OutcomeFrom.ACTION if outcome != Outcome.UNKNOWN else "",
    )
    settled.rows.append(lead)


def _write_outcome(lead: Lead, outcome: str, at: datetime | None, origin: str) -> None:
    lead.outcome, lead.outcome_at, lead.outcome_from = outcome, at, origin
    lead.save_changed(*OUTCOME_FIELDS)
    events.publish(events.LeadChanged(lead.pk, fields=("outcome",)))


def _settle_contact(contact: Contact, settled: Settled) -> None:
    states, now = _states(primary_contact=contact), contact.lifecycle
    lifecycle = now
    if OpportunityState.WON in states:
        lifecycle = Lifecycle.CUSTOMER
    elif OpportunityState.OPEN in states:
        lifecycle = Lifecycle.OPPORTUNITY
    elif now == Lifecycle.OPPORTUNITY:
        lifecycle = Lifecycle.LEAD
    if lifecycle == now:
        return
    settled.before["contact_lifecycle"] = [contact.pk, now]
    contact.lifecycle = lifecycle
    contact.save_changed("lifecycle")
    settled.rows.append(contact)


def restore_outcome(before: dict[str, Any]) -> None:
    """Take back what `settle_outcome` noted in `before`."""
    if "lead_outcome" in before:
        outcome, at, origin = before["lead_outcome"]
        lead = Lead.objects.get(pk=before["lead"])
        _write_outcome(lead, outcome, datetime.fromisoformat(at) if at else None, origin)
    if "contact_lifecycle" in before:
        contact_id, lifecycle = before["contact_lifecycle"]
        contact = Contact.objects.get(pk=contact_id)
        contact.lifecycle = lifecycle
        contact.save_changed("lifecycle")
