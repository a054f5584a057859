# ruff: noqa: S608 - every text is of this module, values go apart
"""Whom to answer next, and why: one question over leads, drafts, opportunities and tasks.

Each reason is a short walk over an index of its own, in that index's order: one over what the person owns,
one over each pool or team they see (its number is LANE). The walks end after a page; together they are one
UNION in the order of the reasons' weight. A page begins behind the last row of the one before. So the cost
depends on the page and the number of teams, not on the tables. Written as SQL, because Django's compiler
would take longer than the database; no text but this module's goes into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from crm.models.leads import AWAKE_STATUSES, OPEN_STATUSES
from crm.models.messages import UNSENT_STATES
from crm.models.users import Role, User

MINE, TEAM = "mine", "team"
PAGE = 50


class TodayReason(models.IntegerChoices):
    """Why a row stands on Today, the weightiest first."""

    ANSWER_LATE = 1, _("Answer overdue")
    ANSWER = 2, _("Waits for an answer")
    OVERDUE = 3, _("Overdue")
    TASK_OVERDUE = 4, _("Task overdue")
    DUE = 5, _("Due today")
    TASK = 6, _("Task due today")
    DRAFT = 7, _("Draft to approve")
    EXHAUSTED = 8, _("Tries used up")
    STALLED = 9, _("Stalled")
    NEW = 10, _("New")
    ASLEEP = 11, _("No next step")


LEAD, OPPORTUNITY, TASK = 1, 2, 3


@dataclass(frozen=True, slots=True, order=True)
class TodayRow:
    """A reason, since when it holds (for an answer: when it is due), and the record it is about, by key."""

    reason: int
    since: datetime
    kind: int  # LEAD, OPPORTUNITY or TASK
    id: int


@dataclass(frozen=True, slots=True)
class Day:
    """What Today is asked for: the moment, and the person's day around it."""

    now: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class _Question:
    """One reason: its rows, what tells since when, and which come first."""

    reason: TodayReason
    table: str
    where: str
    since: str
    kind: int = LEAD
    id: str = "id"
    newest_first: bool = False


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


# The conditions name those of the indexes, word by word: else PostgreSQL does not use them.
_AWAKE = f"status IN ({_quoted(AWAKE_STATUSES)}) AND deleted_at IS NULL AND merged_into_id IS NULL"
_PLANNED = (
    f"status IN ({_quoted(OPEN_STATUSES)}) AND deleted_at IS NULL AND merged_into_id IS NULL"
    " AND (status <> 'nurturing' OR snoozed_until <= %(now)s) AND next_action_at IS NOT NULL"
)
_UNPLANNED = f"{_AWAKE} AND next_action_at IS NULL AND answer_due_at IS NULL"
_UNSENT = (
    f"state IN ({_quoted(UNSENT_STATES)})"
    f" AND EXISTS (SELECT 1 FROM crm_lead WHERE id = crm_followup.lead_id AND {_AWAKE})"
)
_LEADS = (
    _Question(TodayReason.ANSWER_LATE, "crm_lead", f"{_AWAKE} AND answer_due_at <= %(now)s", "answer_due_at"),
    _Question(TodayReason.ANSWER, "crm_lead", f"{_AWAKE} AND answer_due_at > %(now)s", "answer_due_at"),
    _Question(
        TodayReason.OVERDUE, "crm_lead", f"{_PLANNED} AND next_action_at < %(start)s", "next_action_at"
    ),
    _Question(
        TodayReason.DUE,
        "crm_lead",
        f"{_PLANNED} AND next_action_at >= %(start)s AND next_action_at < %(end)s",
        "next_action_at",
    ),
    _Question(TodayReason.DRAFT, "crm_followup", _UNSENT, "created_at", id="lead_id"),
    _Question(
        TodayReason.EXHAUSTED, "crm_lead", f"{_AWAKE} AND attempts >= max_attempts", "status_changed_at"
    ),
    _Question(
        TodayReason.NEW,
        "crm_lead",
        f"{_UNPLANNED} AND status = 'new'",
        "status_changed_at",
        newest_first=True,
    ),
    _Question(TodayReason.ASLEEP, "crm_lead", f"{_UNPLANNED} AND status = 'working'", "status_changed_at"),
)
_CARDS = _Question(
    TodayReason.STALLED,
    "crm_opportunity",
    "state = 'open' AND deleted_at IS NULL AND stage_id = stage.id AND last_event_at < stage.stalled_before",
    "last_event_at",
    OPPORTUNITY,
)
_TASKS = (
    _Question(TodayReason.TASK_OVERDUE, "crm_task", "state = 'open' AND due_at < %(start)s", "due_at", TASK),
    _Question(
        TodayReason.TASK,
        "crm_task",
        "state = 'open' AND due_at >= %(start)s AND due_at < %(end)s",
        "due_at",
        TASK,
    ),
)
_LANE = "(CASE WHEN owner_id IS NULL THEN coalesce(team_id, 0) ELSE -1 - coalesce(team_id, 0) END)"
_STAGES = """(SELECT id, %(now)s - make_interval(days => rot_days) AS stalled_before
                FROM crm_stage WHERE rot_days IS NOT NULL) AS stage"""
_TEAMS = "SELECT team_id FROM crm_teammember WHERE user_id = %(user)s"
_ALL_TEAMS = "SELECT id FROM crm_team UNION ALL SELECT 0"


def today_rows(
    user: User, scope: str, day: Day, *, after: TodayRow | None = None, limit: int = PAGE
) -> list[TodayRow]:
    """A page of Today for this person: their own and the pool (MINE), or all that they may see (TEAM).

    One statement. A lead may stand under several reasons; screens show the weightiest.
    """
    if not user.is_active:
        return []
    statement = _statement(user.role, scope, after.reason if after else None)
    with connection.cursor() as cursor:
        cursor.execute(statement, _values(user, day, limit, after))
        return [TodayRow(*row) for row in cursor.fetchall()]


def today_count(user: User, scope: str, day: Day, *, cap: int) -> int:
    """How many records stand on Today, up to `cap` + 1; a task about a lead is that lead. One statement."""
    if not user.is_active:
        return 0
    statement = _statement(user.role, scope, None)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT count(*) FROM (
                SELECT DISTINCT CASE WHEN task.lead_id IS NULL THEN rows.kind ELSE {LEAD} END,
                                coalesce(task.lead_id, rows.id)
                  FROM ({statement}) AS rows
                  LEFT JOIN crm_task AS task ON task.id = rows.id AND rows.kind = {TASK}
            ) AS counted
            """,
            _values(user, day, cap + 1, None),
        )
        return cursor.fetchone()[0]


def _values(user: User, day: Day, limit: int, after: TodayRow | None) -> dict[str, Any]:
    values: dict[str, Any] = {"user": user.pk, "limit": limit}
    values |= {"now": day.now, "start": day.start, "end": day.end}
    if after is not None:
        values |= {"after": after.since, "after_id": after.id}
    return values


@cache
def _statement(role: str, scope: str, after: int | None) -> str:
    """The whole question of everybody of a role, from a reason on."""
    sees_all = role == Role.ADMIN
    sees_teams = scope == TEAM and role in {Role.ADMIN, Role.MANAGER, Role.READ_ONLY}
    parts = [
        part
        for question in (*_LEADS, _CARDS, *_TASKS)
        if after is None or question.reason >= after
        for part in _walks(question, after=question.reason == after, owns=not (sees_all and sees_teams))
    ]
    teams = _ALL_TEAMS if sees_all else _TEAMS
    lanes = "unnest(ARRAY[no, -1 - no])" if sees_teams else "no"
    way = f"(CASE reason WHEN {int(TodayReason.NEW)} THEN -1 ELSE 1 END)"
    return f"""
        WITH lane AS MATERIALIZED (SELECT {lanes} AS no FROM ({teams}) AS team(no))
        SELECT reason, since, kind, id FROM ({" UNION ".join(parts)}) AS walks
         ORDER BY reason, {way} * extract(epoch FROM since), {way} * id LIMIT %(limit)s
    """


def _walks(question: _Question, *, after: bool, owns: bool) -> list[str]:
    """The rows of one reason: those of the person, then those of each lane."""
    if question.kind == TASK:
        return [f"({_walk(question, 'assignee_id = %(user)s', after=after)})"]
    beside = f"{_STAGES}, " if question.kind == OPPORTUNITY else ""
    mine = _walk(question, "owner_id = %(user)s", after=after)
    theirs = _walk(question, f"{_LANE} = lane.no", after=after)
    walks = [f"SELECT walk.* FROM lane, {beside}LATERAL ({theirs}) AS walk"]
    if owns:
        walks.append(f"SELECT walk.* FROM {beside}LATERAL ({mine}) AS walk")
    return [f"({walk})" for walk in walks]


def _walk(question: _Question, whose: str, *, after: bool) -> str:
    """The first rows of one index, or the first behind the row before."""
    way = " DESC" if question.newest_first else ""
    since, key = question.since, question.id
    behind = f" AND ({since}, {key}) {'<' if way else '>'} (%(after)s, %(after_id)s)" if after else ""
    return (
        f"SELECT {int(question.reason)} AS reason, {since} AS since, {question.kind} AS kind, {key} AS id"
        f" FROM {question.table} WHERE {whose} AND {question.where}{behind}"
        f" ORDER BY {since}{way}, {key}{way} LIMIT %(limit)s"
    )
