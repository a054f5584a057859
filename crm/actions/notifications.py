"""Telling people: one line each, once, until they have read it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from crm import clock, events
from crm.models import Actor, Lead, Notification, Opportunity, Task, User


@dataclass(frozen=True, slots=True)
class Line:
    """What to tell whom. A person is told once for each `dedup_key` (at most 120 characters)."""

    user: User
    kind: str
    text: str
    dedup_key: str
    lead: Lead | None = None
    opportunity: Opportunity | None = None
    task: Task | None = None


@transaction.atomic
def notify(lines: Iterable[Line]) -> int:
    """Tell each person once, however often it is asked for. Returns how many lines are new.

    Publishes NotificationAdded for each. Two statements, whatever the number.
    """
    wanted = [
        Notification(
            user=line.user,
            kind=line.kind,
            text=line.text[:300],
            dedup_key=line.dedup_key[:120],
            lead=line.lead,
            opportunity=line.opportunity,
            task=line.task,
        )
        for line in lines
        if line.user.is_active
    ]
    Notification.objects.bulk_create(wanted, ignore_conflicts=True)
    ids = [row.public_id for row in wanted]
    new = Notification.objects.filter(public_id__in=ids).values_list("pk", "user_id")
    told = [events.NotificationAdded(pk, user_id) for pk, user_id in new]
    events.publish_all(told)
    return len(told)


@transaction.atomic
def mark_read(*, by: Actor, public_ids: Sequence[UUID] | None = None, at: datetime | None = None) -> int:
    """Mark one's own lines as read: these, or all. Other people's are left alone. Returns how many."""
    if by.user is None:
        return 0
    rows = Notification.objects.of(by.user).unread()
    if public_ids is not None:
        rows = rows.filter(public_id__in=public_ids)
    return rows.update(read_at=at or clock.now())
