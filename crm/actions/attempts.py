"""Tries to reach a lead: counted by each call and mail, started anew by each answer."""

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import tell
from crm.models import Actor, Lead, NextActionKind


def count_attempt(lead: Lead) -> tuple[str, ...]:
    """One outbound try more on a locked lead, in memory; returns the fields to save.

    The try that uses up `max_attempts` proposes to let the lead rest or to disqualify it, once: a line in its
    story, LeadExhausted, and a review in place of the planned next try. It changes no status: people decide.
    """
    lead.attempts = min(lead.attempts + 1, 32_767)
    if lead.attempts != lead.max_attempts or not lead.is_open:
        return ("attempts",)
    tell(
        lead,
        "lead.exhausted",
        _("%d tries without an answer: let this lead rest, or disqualify it") % lead.attempts,
        by=Actor.system(),
        attempts=lead.attempts,
    )
    events.publish(events.LeadExhausted(lead.pk, lead.attempts))
    if lead.next_action_at is None:
        return ("attempts",)
    lead.next_action_kind = NextActionKind.REVIEW
    return ("attempts", "next_action_kind")


def exhausted(leads: QuerySet[Lead]) -> QuerySet[Lead]:
    """Those of these open leads that used up their tries, for Today: shown with that as the reason."""
    return leads.filter(Lead.has_tried_enough())
