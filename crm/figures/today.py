"""Today with what its rows are about: each record once, under its weightiest reason, for every door."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Left
from django.utils import timezone

from crm.models import (
    AWAKE_STATUSES,
    UNSENT_STATES,
    Day,
    FollowUp,
    Inquiry,
    Lead,
    LeadStatus,
    Opportunity,
    Score,
    Task,
    TimelineEvent,
    TodayReason,
    TodayRow,
    User,
    today_rows,
)
from crm.models.hidden import WordsField
from crm.models.today import LEAD, MINE, OPPORTUNITY, PAGE, TASK


@dataclass(frozen=True, slots=True)
class Entry:
    """One row with its record. A task about a lead stands as that lead. `since` is when the reason began; for
    an answer, a plan and a task it is when they are due.
    """

    reason: TodayReason | None  # None: it is on Today no more
    since: datetime
    lead: Any = None  # a Lead of `with_words`
    task: Task | None = None
    opportunity: Opportunity | None = None


@dataclass(frozen=True, slots=True)
class TodayPage:
    """The entries, and behind which row the next page begins; None at the end."""

    entries: list[Entry]
    after: TodayRow | None


def day_of(now: datetime) -> Day:
    """The day around a moment, in the active time zone."""
    start = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return Day(now, start, start + timedelta(days=1))


def today_page(
    user: User, scope: str, *, now: datetime, after: TodayRow | None = None, limit: int = PAGE
) -> TodayPage:
    """A page of Today. Four statements, whatever there is. A page may hold fewer entries than `limit`: rows
    of records that stand under a weightier reason, on whichever page, are left out.
    """
    day = day_of(now)
    rows = today_rows(user, scope, day, after=after, limit=limit + 1)
    shown = rows[:limit]
    ids = {kind: [row.id for row in shown if row.kind == kind] for kind in (LEAD, OPPORTUNITY, TASK)}
    tasks = Task.objects.select_related("opportunity__lead", "contact").in_bulk(ids[TASK])
    cards = Opportunity.objects.visible_to(user).select_related("stage", "account", "lead")
    opportunities = cards.in_bulk(ids[OPPORTUNITY])
    about = {task.lead_id for task in tasks.values() if task.lead_id}
    leads = with_words(Lead.objects.visible_to(user), user, day).in_bulk([*ids[LEAD], *about])
    entries = []
    for row in shown:
        reason = TodayReason(row.reason)
        if row.kind == OPPORTUNITY:
            if row.id in opportunities:
                entries.append(Entry(reason, row.since, opportunity=opportunities[row.id]))
            continue
        task = tasks.get(row.id) if row.kind == TASK else None
        lead = leads.get((task.lead_id or 0) if task else row.id)
        if lead is None:
            if task is not None:
                entries.append(Entry(reason, row.since, task=task))
        elif weightiest(lead, user, scope, day) == (reason, row.since) and task_fits(lead, task):
            entries.append(Entry(reason, row.since, lead=lead, task=task))
    return TodayPage(entries, shown[-1] if len(rows) > limit else None)


def task_fits(lead: Any, task: Task | None) -> bool:
    """Of two tasks of the same moment the first stands for the lead."""
    return task is None or lead.todo_id == task.pk


def entry_of(lead: Lead, user: User, scope: str, *, now: datetime) -> Entry:
    """One lead's entry, read anew, whether it still stands on Today or not. One statement."""
    day = day_of(now)
    fresh = with_words(Lead.objects.filter(pk=lead.pk), user, day).get()
    reason, since = weightiest(fresh, user, scope, day) or (None, fresh.last_inbound_at or fresh.created_at)
    return Entry(reason, since, lead=fresh)


def with_words(leads: QuerySet[Lead], user: User, day: Day) -> QuerySet[Any]:
    """With the newest words of each lead (what they asked, what the score says, what happened last), the
    person's first task that is due, and since when a draft waits.
    """
    asked = Inquiry.objects.filter(lead=OuterRef("pk")).order_by("-received_at")
    judged = Score.objects.filter(lead=OuterRef("pk"), is_current=True).exclude(summary="")
    happened = TimelineEvent.objects.filter(lead=OuterRef("pk")).order_by("-occurred_at", "-id")
    todo = Task.objects.open().filter(lead=OuterRef("pk"), assignee=user, due_at__lt=day.end)
    first = todo.order_by("due_at", "pk")
    drafts = FollowUp.objects.filter(lead=OuterRef("pk"), state__in=UNSENT_STATES).order_by("created_at")
    return leads.annotate(
        asked=Subquery(
            asked.annotate(words=Left(F("message"), 200, output_field=WordsField())).values("words")[:1]
        ),
        judged=Subquery(judged.values("summary")[:1]),
        happened=Subquery(happened.values("summary")[:1]),
        todo=Subquery(first.values("title")[:1]),
        todo_id=Subquery(first.values("pk")[:1]),
        todo_at=Subquery(first.values("due_at")[:1]),
        drafted_at=Subquery(drafts.values("created_at")[:1]),
    )


def weightiest(lead: Any, user: User, scope: str, day: Day) -> tuple[TodayReason, datetime] | None:
    """The first reason for which a lead of `with_words` stands on this person's Today, and since when: the
    rules of crm.models.today for one row in memory.
    """
    found: list[tuple[TodayReason, datetime]] = []
    if scope != MINE or lead.owner_id in {None, user.pk}:
        found += _own_reasons(lead, day)
    if lead.todo_at is not None:
        is_late = lead.todo_at < day.start
        found.append((TodayReason.TASK_OVERDUE if is_late else TodayReason.TASK, lead.todo_at))
    return min(found, default=None)


def _own_reasons(lead: Any, day: Day) -> list[tuple[TodayReason, datetime]]:
    found: list[tuple[TodayReason, datetime]] = []
    is_awake, plan = lead.status in AWAKE_STATUSES, lead.next_action_at
    is_up = is_awake or (lead.status == LeadStatus.NURTURING and lead.snoozed_until <= day.now)
    if is_awake and lead.answer_due_at is not None:
        is_late = lead.answer_due_at <= day.now
        found.append((TodayReason.ANSWER_LATE if is_late else TodayReason.ANSWER, lead.answer_due_at))
    if is_up and plan is not None and plan < day.end:
        found.append((TodayReason.OVERDUE if plan < day.start else TodayReason.DUE, plan))
    if is_awake and lead.drafted_at is not None:
        found.append((TodayReason.DRAFT, lead.drafted_at))
    if is_awake and lead.attempts >= lead.max_attempts:
        found.append((TodayReason.EXHAUSTED, lead.status_changed_at))
    if is_awake and plan is None and lead.answer_due_at is None:
        is_new = lead.status == LeadStatus.NEW
        found.append((TodayReason.NEW if is_new else TodayReason.ASLEEP, lead.status_changed_at))
    return found
