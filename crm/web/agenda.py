"""Whom to answer next: the rows of Today, from queries that end after a fixed number of rows.

Lists, each cut at a cap: what is due (by date), drafts that wait for a person, who waits for an answer, who
was tried enough, on whom a task is due, and new leads. "Mine"
means the person's own leads and those that nobody has yet; "team" means everything the person may see.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Left
from django.utils import timezone
from django.utils.translation import gettext as _

from crm import clock, ports
from crm.models import (
    OPEN_STATUSES,
    UNSENT_STATES,
    FollowUp,
    FollowUpState,
    Inquiry,
    Lead,
    LeadStatus,
    NextActionKind,
    Score,
    Task,
    TaskStatus,
    TimelineEvent,
    User,
)
from crm.web import words

DUE_CAP, DRAFT_CAP, NEW_CAP = 60, 60, 40
WAITING_CAP, TRIED_CAP, TASK_CAP = 60, 20, 40
MINE, TEAM = "mine", "team"
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
    public_id: str
    name: str
    company: str
    score: int | None
    reason: str
    when: str
    when_exact: str
    is_late: bool
    mark: Mark | None


@dataclass(slots=True)
class Agenda:
    overdue: list[AgendaRow] = field(default_factory=list)
    due: list[AgendaRow] = field(default_factory=list)
    suggested: list[AgendaRow] = field(default_factory=list)

    @property
    def rows(self) -> list[AgendaRow]:
        return [*self.overdue, *self.due, *self.suggested]


def _end_of_day(now: datetime) -> datetime:
    return _start_of_day(now) + timedelta(days=1)


def _start_of_day(now: datetime) -> datetime:
    return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)


def _pools(user: User, scope: str) -> Iterator[QuerySet[Lead]]:
    """Each pool by itself, so that every query below walks one index from its start."""
    visible = Lead.objects.visible_to(user).filter(status__in=OPEN_STATUSES).order_by()
    if scope == TEAM:
        yield visible
        return
    yield visible.filter(owner=user)
    yield visible.filter(owner=None)


def candidate_ids(user: User, scope: str, *, now: datetime, tomorrow: datetime) -> QuerySet:
    """The ids of all leads on Today, in one query. `tomorrow` is the end of the person's day."""
    # PostgreSQL does not see that `owner IS NULL` makes an index sorted by what follows, unless it is told.
    by_owner = ("owner_id",) if scope == MINE else ()
    by_status = (*by_owner, "status") if scope == MINE else ()
    parts: list[QuerySet] = []
    for pool in _pools(user, scope):
        awake = pool.exclude(status=LeadStatus.NURTURING, snoozed_until__gt=now)
        due = awake.filter(next_action_at__lt=tomorrow).order_by(*by_owner, "next_action_at")
        new = pool.filter(status=LeadStatus.NEW, next_action_at=None).order_by(
            *by_status, "-created_at", "-id"
        )
        drafts = FollowUp.objects.filter(state__in=UNSENT_STATES, lead__in=awake).order_by(
            "-created_at", "-id"
        )
        parts += [
            due.values_list("pk")[:DUE_CAP],
            new.values_list("pk")[:NEW_CAP],
            drafts.values_list("lead_id")[:DRAFT_CAP],
            _waiting(awake, by_owner).values_list("pk")[:WAITING_CAP],
            _tried_enough(awake, by_owner).values_list("pk")[:TRIED_CAP],
        ]
    todo = Task.objects.filter(assignee=user, state=TaskStatus.OPEN, due_at__lt=tomorrow)
    visible = Lead.objects.visible_to(user).filter(status__in=OPEN_STATUSES).order_by()
    parts.append(todo.filter(lead__in=visible).order_by("due_at").values_list("lead_id")[:TASK_CAP])
    return parts[0].union(*parts[1:])


def _waiting(awake: QuerySet[Lead], by_owner: tuple[str, ...]) -> QuerySet[Lead]:
    """Whom nobody answered yet, the longest first."""
    return awake.filter(answer_due_at__isnull=False).order_by(*by_owner, "answer_due_at")


def _tried_enough(awake: QuerySet[Lead], by_owner: tuple[str, ...]) -> QuerySet[Lead]:
    """Tried as often as was meant: to be closed, or tried otherwise."""
    return awake.filter(Lead.has_tried_enough()).order_by(*by_owner, "status_changed_at")


# Stand-ins in a compiled statement, for the person and the times of a request.
_SOMEBODY, _SOME_NOW = -1, datetime(1970, 1, 1, tzinfo=UTC)
_SOME_TOMORROW = _SOME_NOW + timedelta(days=1)


@cache
def _nav_statement(role: str, cap: int) -> tuple[str, tuple[Any, ...]]:
    """Both counts of the sidebar for everybody of a role. Compiling it costs more than running it."""
    somebody = User(pk=_SOMEBODY, role=role)
    seen, seen_values = (
        Lead.objects.visible_to(somebody).order_by().values("pk")[: cap + 1].query.sql_with_params()
    )
    today, today_values = candidate_ids(
        somebody, MINE, now=_SOME_NOW, tomorrow=_SOME_TOMORROW
    ).query.sql_with_params()
    # both texts come from Django's compiler, values apart
    statement = f"SELECT (SELECT count(*) FROM ({seen}) seen), (SELECT count(*) FROM ({today}) today)"  # noqa: S608
    return statement, (*seen_values, *today_values)


def count_for_nav(user: User, *, cap: int) -> tuple[int, int]:
    """How many leads the person sees, up to cap + 1, and how many of them stand on Today. One query."""
    now = clock.now()
    statement, values = _nav_statement(user.role, cap)
    meant: dict[Any, Any] = {_SOMEBODY: user.pk, _SOME_NOW: now, _SOME_TOMORROW: _end_of_day(now)}
    with connection.cursor() as cursor:
        cursor.execute(statement, [meant.get(value, value) for value in values])
        return cursor.fetchone()


def done_today(user: User) -> int:
    """How many messages this person approved today that left or are leaving."""
    return FollowUp.objects.filter(
        approved_by=user,
        approved_at__gte=_start_of_day(clock.now()),
        state__in=[FollowUpState.SCHEDULED, FollowUpState.SENT],
    ).count()


def agenda(user: User, scope: str) -> Agenda:
    """All of Today. Four queries, whatever the size of the tables."""
    now = clock.now()
    today, tomorrow = _start_of_day(now), _end_of_day(now)
    ids = candidate_ids(user, scope, now=now, tomorrow=tomorrow)
    leads = list(_with_reasons(Lead.objects.filter(pk__in=ids)))
    result = Agenda()
    groups: dict[int, list[AgendaRow]] = {0: result.overdue, 1: result.due, 2: result.suggested}

    def place(lead: Lead) -> int:
        if lead.next_action_at is None or lead.next_action_at >= tomorrow:
            return 2
        return 0 if lead.next_action_at < today else 1

    def order(lead: Lead) -> tuple:
        group = place(lead)
        hotness = -1 if lead.score is None else lead.score
        if group == 2:
            return (group, -hotness, -lead.created_at.timestamp())
        return (group, lead.next_action_at, -hotness)

    marks = _marks(leads)
    for lead in sorted(leads, key=order):
        groups[place(lead)].append(_row(lead, marks.get(lead.pk), now))
    return result


def agenda_row(lead: Lead) -> AgendaRow:
    """One row of Today, read again after something happened to it."""
    fresh = _with_reasons(Lead.objects.filter(pk=lead.pk)).get()
    return _row(fresh, _marks([fresh]).get(fresh.pk), clock.now())


def _with_reasons(leads: QuerySet[Lead]) -> QuerySet[Lead]:
    """With the newest words of each lead: what they asked, what the score says, what happened last."""
    asked = Inquiry.objects.filter(lead=OuterRef("pk")).order_by("-received_at")
    judged = Score.objects.filter(lead=OuterRef("pk"), is_current=True).exclude(summary="")
    happened = TimelineEvent.objects.filter(lead=OuterRef("pk")).order_by("-occurred_at", "-id")
    todo = (
        Task.objects.open()
        .filter(lead=OuterRef("pk"), due_at__lt=_end_of_day(clock.now()))
        .order_by("due_at")
    )
    return leads.annotate(
        asked=Subquery(asked.annotate(words=Left(F("message"), 200)).values("words")[:1]),
        judged=Subquery(judged.values("summary")[:1]),
        happened=Subquery(happened.values("summary")[:1]),
        todo=Subquery(todo.values("title")[:1]),
    )


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


def _row(lead: Lead, mark: Mark | None, now: datetime) -> AgendaRow:
    due = lead.next_action_at
    is_due = due is not None and due < _end_of_day(now)
    is_late = due is not None and due < _start_of_day(now)
    if due is not None and is_late:
        when = words.lateness(due, now)
    elif is_due:
        when = words.day_and_time(due, now)
    else:
        when = words.ago(lead.last_inbound_at or lead.created_at, now)
    return AgendaRow(
        public_id=str(lead.public_id),
        name=lead.name,
        company=lead.company,
        score=lead.score,
        reason=_reason(lead, now),
        when=when,
        when_exact=words.exact(due if is_due else lead.created_at),
        is_late=is_late,
        mark=mark,
    )


def _reason(lead: Lead, now: datetime) -> str:
    """Why this lead, why now, in one line."""
    asked = words.shortened(lead.asked or "", 120)  # type: ignore[attr-defined]
    wrote_at = lead.last_inbound_at
    is_answered = wrote_at is None or (
        lead.last_outbound_at is not None and lead.last_outbound_at >= wrote_at
    )
    if wrote_at and not is_answered and wrote_at < _start_of_day(now):
        day = words.day_and_time(wrote_at, now)
        if asked:
            return _("Nothing sent since %(day)s: “%(words)s”") % {"day": day, "words": asked}
        return _("Wrote on %(day)s; nothing sent since") % {"day": day}
    if lead.todo:  # type: ignore[attr-defined]
        return _("To do: %s") % words.shortened(lead.todo, 120)  # type: ignore[attr-defined]
    if lead.attempts >= lead.max_attempts:
        return _("%d tries without an answer: try another way, or close it") % lead.attempts
    return lead.judged or (f"“{asked}”" if asked else "") or lead.interest or lead.happened or ""  # type: ignore[attr-defined]
