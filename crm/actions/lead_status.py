"""Every change of a lead's status, in one place: the move and the line of its history that goes with it.

The history (LeadStatusChange) has no gaps: each line begins in the status in which the last one ended. An
undo is a line as well; it gives the lead its `status_changed_at` of before, so the stay that was broken off
by mistake goes on, and the line that ends it counts the whole of it. `crm/imports` writes the same lines as
sets.
"""

from datetime import datetime

from crm import clock
from crm.models import Actor, Lead, LeadStatus, LeadStatusChange, NextActionKind

STATUS_FIELDS = ("status", "status_changed_at")  # what the caller has to save after a change
WAKING_FIELDS = (*STATUS_FIELDS, "snoozed_until", "next_action_at", "next_action_kind")


def first_status(lead: Lead, *, by: Actor) -> LeadStatusChange:
    """Begin the history of a lead that was just stored."""
    return LeadStatusChange.objects.create(
        lead=lead, to_status=lead.status, at=lead.status_changed_at, actor_kind=by.kind, by=by.user
    )


def change_status(lead: Lead, status: LeadStatus, *, by: Actor) -> LeadStatusChange:
    """Move a locked lead in memory and write the history; the caller saves STATUS_FIELDS.

    Raises TransitionRefused.
    """
    arrow = status_arrow(lead, status, by=by)
    arrow.save()
    return arrow


def status_arrow(lead: Lead, status: LeadStatus, *, by: Actor) -> LeadStatusChange:
    """Move a locked lead in memory. Returns the line of its history, for who stores many at once.

    Raises TransitionRefused.
    """
    old, since = lead.status, lead.status_changed_at
    lead.move_to(status)
    return _line(lead, old, since, by=by)


def wake_up(lead: Lead, *, by: Actor) -> LeadStatusChange:
    """nurturing -> working in memory, with the plan brought forward to now. Returns the unsaved history.

    The caller saves WAKING_FIELDS. A sleeper's plan lies at the end of its sleep; who wakes earlier has to be
    looked at now.
    """
    arrow = status_arrow(lead, LeadStatus.WORKING, by=by)
    lead.snoozed_until = None
    if lead.next_action_at is None or lead.next_action_at > lead.status_changed_at:
        lead.next_action_at = lead.status_changed_at
    lead.next_action_kind = lead.next_action_kind or NextActionKind.REVIEW
    return arrow


def put_back(lead: Lead, status: str, *, by: Actor, since: datetime | None) -> None:
    """An undo: the status of before, since when it had it, whatever the arrows say. The caller saves
    STATUS_FIELDS.
    """
    arrow = arrow_back(lead, status, by=by, since=since)
    if arrow:
        arrow.save()


def arrow_back(lead: Lead, status: str, *, by: Actor, since: datetime | None) -> LeadStatusChange | None:
    """The same with the line of its history unsaved; None when it has that status already."""
    if lead.status == status:
        return None
    old, began, now = lead.status, lead.status_changed_at, clock.now()
    lead.status, lead.status_changed_at = status, since or now
    return _line(lead, old, began, by=by, at=now)


def _line(
    lead: Lead, old: str, since: datetime, *, by: Actor, at: datetime | None = None
) -> LeadStatusChange:
    at = at or lead.status_changed_at
    return LeadStatusChange(
        lead=lead,
        from_status=old,
        to_status=lead.status,
        at=at,
        actor_kind=by.kind,
        by=by.user,
        seconds_in_from=max(0, int((at - since).total_seconds())),
    )
