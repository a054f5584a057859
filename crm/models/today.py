"""Whom to answer next, and why: one question over leads, drafts, opportunities and tasks.

Each reason is a short query that walks its own index from the start; together they are one UNION, ordered by
the weight of the reason and then by time. A page begins behind the last row of the one before, so that it
costs the same whatever the size of the tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from django.db import models
from django.db.models import BigIntegerField, F, IntegerField, Q, QuerySet, Value
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from crm.models.leads import OPEN_STATUSES, Lead, LeadStatus
from crm.models.messages import UNSENT_STATES, FollowUp
from crm.models.pipelines import Opportunity
from crm.models.users import User
from crm.models.work import Task, TaskStatus

MINE, TEAM = "mine", "team"
PAGE = 50


class TodayReason(models.IntegerChoices):
    """Why a row stands on Today, the weightiest first."""

    FIRST_ANSWER = 1, _("First answer overdue")
    REPLY = 2, _("Waits for an answer")
    OVERDUE = 3, _("Overdue")
    TASK_OVERDUE = 4, _("Task overdue")
    DUE = 5, _("Due today")
    TASK = 6, _("Task due today")
    DRAFT = 7, _("Draft to approve")
    EXHAUSTED = 8, _("Tries used up")
    STALLED = 9, _("Stalled")
    NEW = 10, _("New")
    ASLEEP = 11, _("No next step")


@dataclass(frozen=True, slots=True, order=True)
class TodayRow:
    """A reason, since when it holds, and the one record that it is about, by key."""

    reason: int
    since: datetime
    kind: int  # 1 lead, 2 opportunity, 3 task
    id: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        return cls(row["reason"], row["since"], row["record_kind"], row["record"])


LEAD, OPPORTUNITY, TASK = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Day:
    """What Today is asked for: the moment, the person's day, and how soon a first answer is due."""

    now: datetime
    start: datetime
    end: datetime
    first_answer: timedelta


def today_rows(
    user: User, scope: str, day: Day, *, after: TodayRow | None = None, limit: int = PAGE
) -> list[TodayRow]:
    """A page of Today for this person: their own and the pool (MINE), or all that they may see (TEAM).

    One statement. A lead may stand under several reasons; the screen shows the weightiest.
    """
    parts = [
        _page(rows, reason, kind, since, after, limit)
        for reason, kind, rows, since in _questions(user, scope, day)
        if after is None or reason >= after.reason
    ]
    found = parts[0].union(*parts[1:], all=True).order_by("reason", "since", "record_kind", "record")[:limit]
    return [TodayRow.of(row) for row in found]


def _questions(user: User, scope: str, day: Day) -> Iterator[tuple[int, int, QuerySet, Any]]:
    """(reason, kind of record, its rows, what tells since when), each pool for itself."""
    for pool in _pools(Lead.objects.visible_to(user).filter(status__in=OPEN_STATUSES), user, scope):
        awake = pool.exclude(status=LeadStatus.NURTURING, snoozed_until__gt=day.now)
        waits = awake.filter(Lead.waits_for_answer())
        late = Q(last_outbound_at=None, last_inbound_at__lte=day.now - day.first_answer)
        yield TodayReason.FIRST_ANSWER, LEAD, waits.filter(late), F("last_inbound_at")
        replies = waits.filter(last_outbound_at__isnull=False)
        yield TodayReason.REPLY, LEAD, replies, F("last_inbound_at")
        due = awake.filter(next_action_at__lt=day.end)
        yield TodayReason.OVERDUE, LEAD, due.filter(next_action_at__lt=day.start), F("next_action_at")
        yield TodayReason.DUE, LEAD, due.filter(next_action_at__gte=day.start), F("next_action_at")
        yield TodayReason.EXHAUSTED, LEAD, awake.filter(Lead.has_tried_enough()), F("status_changed_at")
        nothing = awake.filter(next_action_at=None)
        yield TodayReason.NEW, LEAD, nothing.filter(status=LeadStatus.NEW), F("created_at")
        asleep = nothing.exclude(status=LeadStatus.NEW)
        yield TodayReason.ASLEEP, LEAD, asleep, F("status_changed_at")
        drafts = FollowUp.objects.filter(state__in=UNSENT_STATES, lead__in=awake.order_by())
        yield TodayReason.DRAFT, LEAD, drafts, F("created_at")
    for pool in _pools(Opportunity.objects.visible_to(user).stalled(day.now), user, scope):
        yield TodayReason.STALLED, OPPORTUNITY, pool, F("last_event_at")
    mine = Task.objects.filter(state=TaskStatus.OPEN, assignee=user, due_at__lt=day.end)
    yield TodayReason.TASK_OVERDUE, TASK, mine.filter(due_at__lt=day.start), F("due_at")
    yield TodayReason.TASK, TASK, mine.filter(due_at__gte=day.start), F("due_at")


def _pools(rows: QuerySet, user: User, scope: str) -> Iterator[QuerySet]:
    """Each pool by itself, so that each question walks one index from its start."""
    if scope == TEAM:
        yield rows
        return
    yield rows.filter(owner=user)
    yield rows.filter(owner=None)


def _page(rows: QuerySet, reason: int, kind: int, since: Any, after: TodayRow | None, limit: int) -> QuerySet:
    """The first rows of one question, or the first behind `after`."""
    column = since.name
    record = "lead_id" if rows.model is FollowUp else "pk"
    if after is not None and reason == after.reason:
        later = Q(**{f"{column}__gt": after.since})
        same = Q(**{column: after.since})
        if kind == after.kind:
            rows = rows.filter(later | same & Q(**{f"{record}__gt": after.id}))
        else:
            rows = rows.filter(later | same if kind > after.kind else later)
    return (
        rows.order_by(column, record)
        .annotate(
            reason=Value(int(reason), IntegerField()),
            since=since,
            record_kind=Value(kind, IntegerField()),
            record=Cast(F(record), BigIntegerField()),
        )
        .values("reason", "since", "record_kind", "record")[:limit]
    )
