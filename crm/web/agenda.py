"""The rows of Today as the screen shows them: three groups, each row with reason, time and what is ready.

Which records stand there, and why, is crm.models.today and crm.figures.today, the same for every door.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm import clock, ports
from crm.figures.today import Entry, day_of, entry_of, today_page
from crm.models import (
    UNSENT_STATES,
    FollowUp,
    FollowUpState,
    Lead,
    NextActionKind,
    TodayReason,
    User,
    today_count,
)
from crm.models.today import MINE, PAGE
from crm.web import words

TODAY_CAP = 99  # what the sidebar counts up to
MOST_PAGES = 10
OVERDUE = {TodayReason.ANSWER_LATE, TodayReason.OVERDUE, TodayReason.TASK_OVERDUE}
DUE = {TodayReason.ANSWER, TodayReason.DUE, TodayReason.TASK}
CLOCK_S = 3_600  # this close to its time a clock says the minutes
_ACTION_ICONS = {
    NextActionKind.CALL: "phone",
    NextActionKind.EMAIL: "mail",
    NextActionKind.MEETING: "cal",
    NextActionKind.TODO: "check",
    NextActionKind.REVIEW: "file",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What is ready for a lead: a word, its icon, and whether a machine speaks."""

    text: str
    icon: str = ""  # empty: a dot, for work under way
    tone: str = ""


@dataclass(frozen=True, slots=True)
class AgendaRow:
    """A row. `key` names it on the page; `public_id` is that of the lead it is, "" for what is no lead."""

    key: str
    public_id: str
    name: str
    company: str
    score: int | None
    reason: str
    when: str
    when_exact: str
    is_late: bool
    has_clock: bool
    mark: Mark | None
    task_id: str = ""
    lead_id: str = ""  # a lead that the row belongs to without being it


@dataclass(slots=True)
class Agenda:
    overdue: list[AgendaRow] = field(default_factory=list)
    due: list[AgendaRow] = field(default_factory=list)
    suggested: list[AgendaRow] = field(default_factory=list)
    pages: int = 1
    has_more: bool = False

    @property
    def rows(self) -> list[AgendaRow]:
        return [*self.overdue, *self.due, *self.suggested]

    @property
    def more_pages(self) -> int:
        """How many to show next; 0 when that would be all, or too long a list to work through."""
        return self.pages + 1 if self.has_more and self.pages < MOST_PAGES else 0


_SOMEBODY = -1  # stands for the person in a compiled statement


@cache
def _seen_statement(role: str, cap: int) -> tuple[str, tuple[Any, ...]]:
    """The count of leads for everybody of a role. Compiling it costs more than running it."""
    leads = Lead.objects.visible_to(User(pk=_SOMEBODY, role=role)).order_by().values("pk")[: cap + 1]
    statement, values = leads.query.sql_with_params()
    return f"SELECT count(*) FROM ({statement}) seen", values  # noqa: S608


def count_for_nav(user: User, *, cap: int) -> tuple[int, int]:
    """How many leads the person sees, up to cap + 1, and how many rows Today has, up to TODAY_CAP + 1."""
    statement, values = _seen_statement(user.role, cap)
    with connection.cursor() as cursor:
        cursor.execute(statement, [user.pk if value == _SOMEBODY else value for value in values])
        seen = cursor.fetchone()[0]
    return seen, today_count(user, MINE, day_of(clock.now()), cap=TODAY_CAP)


def done_today(user: User) -> int:
    """How many messages this person approved today that left or are leaving."""
    return FollowUp.objects.filter(
        approved_by=user,
        approved_at__gte=day_of(clock.now()).start,
        state__in=[FollowUpState.SCHEDULED, FollowUpState.SENT],
    ).count()


def agenda(user: User, scope: str, *, pages: int = 1) -> Agenda:
    """The first pages of Today. Six queries, whatever the size of the tables."""
    now = clock.now()
    page = today_page(user, scope, now=now, limit=PAGE * pages)
    marks = _marks([entry.lead for entry in page.entries if entry.lead is not None])
    result = Agenda(pages=pages, has_more=page.after is not None)
    for entry in sorted(page.entries, key=_place):
        row = _row(entry, marks.get(entry.lead.pk) if entry.lead else None, now)
        if entry.reason in OVERDUE:
            result.overdue.append(row)
        elif entry.reason in DUE:
            result.due.append(row)
        else:
            result.suggested.append(row)
    return result


def _place(entry: Entry) -> tuple[int, int]:
    """As they come, but the hottest first of what nobody has promised a time for."""
    hot = -1 if entry.lead is None or entry.lead.score is None else entry.lead.score
    return entry.reason or 0, -hot if entry.reason in {TodayReason.DRAFT, TodayReason.NEW} else 0


def agenda_row(lead: Lead, user: User, scope: str) -> AgendaRow:
    """One row of Today, read again after something happened to it."""
    now = clock.now()
    entry = entry_of(lead, user, scope, now=now)
    return _lead_row(entry, _marks([entry.lead]).get(lead.pk), now)


def _marks(leads: Iterable[Lead]) -> dict[int, Mark]:
    """What is ready or under way for each of the leads. Two queries."""
    leads = list(leads)
    ids = [lead.pk for lead in leads]
    marks: dict[int, Mark] = {}
    for lead in leads:
        if lead.next_action_kind:
            kind = NextActionKind(lead.next_action_kind)
            marks[lead.pk] = Mark(str(kind.label), _ACTION_ICONS[kind])
    drafts = FollowUp.objects.filter(lead__in=ids, state__in=UNSENT_STATES).order_by("created_at")
    for lead_id, state, needs_writing in drafts.values_list("lead_id", "state", "needs_writing"):
        if state == FollowUpState.SCHEDULED:
            marks[lead_id] = Mark(_("Sending…"), "", "ok")
        elif needs_writing:
            marks[lead_id] = Mark(_("Write it"), "pen", "warn")
        else:
            marks[lead_id] = Mark(_("Draft ready"), "spark", "ai")
    under_way = {"scoring": Mark(_("Scoring…"), "", "ai"), "drafting": Mark(_("Writing…"), "", "ai")}
    for lead_id, work in ports.pending(ids).items():
        if work in under_way:
            marks[lead_id] = under_way[work]
    return marks


def _row(entry: Entry, mark: Mark | None, now: datetime) -> AgendaRow:
    if entry.lead is not None:
        return _lead_row(entry, mark, now)
    about = entry.opportunity or (entry.task and (entry.task.opportunity or entry.task.contact))
    lead = getattr(about, "lead", None)
    when, is_late = _when(entry, now)
    if entry.opportunity is not None:
        card = entry.opportunity
        days = (now - card.last_event_at).days
        name, company = card.name, card.account.name if card.account else ""
        reason = ngettext(
            "Nothing happened in “%(stage)s” for %(n)d day",
            "Nothing happened in “%(stage)s” for %(n)d days",
            days,
        ) % {"stage": card.stage.name, "n": days}
        mark = Mark(words.money(card.amount, card.currency), "chart") if card.amount else None
        key, task_id = f"opportunity-{card.public_id}", ""
    else:
        task = entry.task
        assert task is not None
        name, company, reason = task.title, str(about or ""), words.shortened(task.notes, 120)
        kind = NextActionKind(task.kind)
        mark = Mark(str(kind.label), _ACTION_ICONS[kind])
        key, task_id = f"task-{task.public_id}", str(task.public_id)
    return AgendaRow(
        key=key,
        public_id="",
        name=name,
        company=company,
        score=None,
        reason=reason,
        when=when,
        when_exact=words.exact(entry.since),
        is_late=is_late,
        has_clock=False,
        mark=mark,
        task_id=task_id,
        lead_id=str(lead.public_id) if lead is not None else "",
    )


def _lead_row(entry: Entry, mark: Mark | None, now: datetime) -> AgendaRow:
    lead = entry.lead
    when, is_late = _when(entry, now)
    has_clock = entry.reason in {TodayReason.ANSWER_LATE, TodayReason.ANSWER}
    return AgendaRow(
        key=f"row-{lead.public_id}",
        public_id=str(lead.public_id),
        name=lead.name,
        company=lead.company,
        score=lead.score,
        reason=_reason(entry, now),
        when=when,
        when_exact=words.exact(entry.since),
        is_late=is_late,
        has_clock=has_clock and abs((entry.since - now).total_seconds()) < CLOCK_S,
        mark=mark,
    )


def _when(entry: Entry, now: datetime) -> tuple[str, bool]:
    """The time beside a row, and whether it has passed."""
    if entry.reason in OVERDUE:
        return words.lateness(entry.since, now), True
    if entry.reason == TodayReason.ANSWER:
        return words.due_in(entry.since, now), False
    if entry.reason in DUE:
        return words.day_and_time(entry.since, now), False
    return words.ago(entry.since, now), False


def _reason(entry: Entry, now: datetime) -> str:
    """Why this lead, why now, in one line."""
    lead = entry.lead
    asked, wrote_at = words.shortened(lead.asked or "", 120), lead.last_inbound_at
    if lead.answer_due_at is not None and wrote_at < day_of(now).start:
        day = words.day_and_time(wrote_at, now)
        if asked:
            return _("Nothing sent since %(day)s: “%(words)s”") % {"day": day, "words": asked}
        return _("Wrote on %(day)s; nothing sent since") % {"day": day}
    if lead.todo:
        return _("To do: %s") % words.shortened(lead.todo, 120)
    if lead.attempts >= lead.max_attempts:
        return _("%d tries without an answer: try another way, or close it") % lead.attempts
    if entry.reason == TodayReason.ASLEEP:
        return _("In work without a next step")
    return lead.judged or (f"“{asked}”" if asked else "") or lead.interest or lead.happened or ""
