"""What a day may cost. Money is set aside before a call, and booked or freed after it; the cap is a hard
stop.

Rows: one a day (UTC) for everything (`all`), one for each pool with its own daily budget, one for each person
with a cap, for what they ask for. Claiming, booking and freeing lock these rows in the order of their scopes.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from ai_agents.llm.base import CallRecord
from ai_agents.models import AgentPool, AgentTask, Budget, BudgetCap
from crm import events
from crm.errors import OutOfBounds

ALL = "all"
REPLAY = "replay"  # the lab's own kind of work; it has no pool
ZERO = Decimal(0)
CALLS_PER_RUN = 2  # the call and its one repair: what is set aside for a task


def refuse_finer(usd: Decimal, *, places: int, field: str) -> None:
    """Raises OutOfBounds for more places than are kept: what is stored is what was asked for, or nothing."""
    exponent = usd.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > places:
        raise OutOfBounds(_("Write at most %d places after the point.") % places, field=field)


def day_of(task: AgentTask) -> date:
    """The day on whose budget a claimed task lives: that of its claim."""
    return (task.started_at or datetime.now(UTC)).astimezone(UTC).date()


def open_day(day: date) -> None:
    """Make the day's rows, or give them the present caps."""
    with connection.cursor() as cursor:
        present = caps()
        for scope, cap in present:
            open_scope(cursor, scope, day, cap)
        cursor.execute(  # those whose own budget was taken away meanwhile
            "UPDATE ai_agents_budget SET cap = %s, stopped_at = NULL "
            "WHERE day = %s AND NOT scope = ANY(%s) AND cap <> %s",
            [present[0][1], day, [scope for scope, _ in present], present[0][1]],
        )


def open_scope(cursor: Any, scope: str, day: date, cap: Decimal) -> None:
    """Make one row of a day, or give it this cap."""
    cursor.execute(
        "INSERT INTO ai_agents_budget (scope, day, cap, reserved, spent) VALUES (%s, %s, %s, 0, 0) "
        "ON CONFLICT (scope, day) DO UPDATE SET cap = excluded.cap, stopped_at = NULL "
        "WHERE ai_agents_budget.cap <> excluded.cap",
        [scope, day, cap],
    )


def caps() -> list[tuple[str, Decimal]]:
    """(scope, USD a day) of every budget that holds now, the overall one first. Two queries."""
    set_by_people = dict(BudgetCap.objects.values_list("scope", "usd_day"))
    found = [(ALL, set_by_people.pop(ALL, Decimal(str(settings.AI_DAILY_BUDGET_USD))))]
    pools = AgentPool.objects.exclude(budget_day_usd=None).values_list("kind", "budget_day_usd")
    found += [(kind, cap) for kind, cap in pools if cap is not None]
    return found + sorted(set_by_people.items())


def scopes_of(task: AgentTask) -> list[str]:
    """The budgets that a task's calls are charged to, as far as they have a row."""
    mine = [ALL, task.kind]
    return [*mine, person_scope(task.requested_by_id)] if task.requested_by_id else mine


def person_scope(user_id: int) -> str:
    return f"user:{user_id}"


def spent_cap_of(user_id: int, day: date) -> Decimal | None:
    """The person's cap when nothing is left of it today, else None."""
    row = Budget.objects.filter(day=day, scope=person_scope(user_id)).first()
    return row.cap if row and row.cap <= row.spent + row.reserved else None


@transaction.atomic
def mark_stopped(kind: str, day: date, *, needed: Decimal) -> bool:
    """Note since when the budget does not reach for one more task of a kind, and tell the screens, once.

    False: what is set aside for calls in flight may still come free.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ai_agents_budget SET stopped_at = statement_timestamp() WHERE day = %s "
            "AND scope = ANY(%s) AND stopped_at IS NULL AND cap - spent - reserved < %s AND reserved = 0",
            [day, [ALL, kind], needed],
        )
        if cursor.rowcount:
            events.publish(events.AgentPoolChanged(kind))
    return Budget.objects.filter(day=day, scope__in=[ALL, kind]).exclude(stopped_at=None).exists()


def left(kind: str, day: date) -> Decimal:
    """USD that may still be set aside for this kind today."""
    rows = Budget.objects.filter(day=day, scope__in=[ALL, kind])
    return min((row.cap - row.spent - row.reserved for row in rows), default=ZERO)


def overdrawn(day: date) -> set[str]:
    """Scopes of which more was spent and set aside than they have: a call cost more than its price said."""
    spent = Budget.objects.filter(day=day, cap__lt=F("spent") + F("reserved"))
    return set(spent.values_list("scope", flat=True))


@transaction.atomic
def reserve(wanted: Sequence[tuple[AgentTask, Decimal]]) -> list[AgentTask]:
    """Set money aside for these tasks, in their order, as far as it reaches. Returns those that got theirs.

    The rest must not make a call. All tasks are of one kind and claimed on one day.
    """
    paid = [(task, usd) for task, usd in wanted if usd > 0]
    if not paid:
        return [task for task, _ in wanted]
    wanted_scopes = sorted({scope for task, _ in paid for scope in scopes_of(task)})
    rows = {row.scope: row for row in _locked(day_of(paid[0][0]), wanted_scopes)}
    granted: list[tuple[AgentTask, Decimal]] = []
    for task, usd in paid:
        mine = [rows[scope] for scope in scopes_of(task) if scope in rows]
        if ALL in rows and all(usd <= row.cap - row.spent - row.reserved for row in mine):
            for row in mine:
                row.reserved += usd
            granted.append((task, usd))
    for row in rows.values():
        row.save(update_fields=["reserved"])
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ai_agents_agenttask AS task SET reserved_usd = new.usd "
            "FROM unnest(%s::bigint[], %s::numeric[]) AS new (id, usd) WHERE task.id = new.id",
            [[task.pk for task, _ in granted], [usd for _, usd in granted]],
        )
    for task, usd in granted:
        task.reserved_usd = usd
    got = {task.pk for task, _ in granted}
    return [task for task, usd in wanted if task.pk in got or usd <= 0]


def settle(ended: Sequence[tuple[AgentTask, Decimal | None]]) -> None:
    """Free what was reserved for these tasks and book what was spent (None: nothing). In the caller's
    transaction.
    """
    _book([(task, task.reserved_usd, spent or ZERO) for task, spent in ended])


def settle_unknown(lost: Sequence[AgentTask]) -> None:
    """Settle tasks whose end nobody saw: what was reserved counts as spent where a call may have been made.
    In the caller's transaction.
    """
    settle([(task, task.reserved_usd if task.called_at else None) for task in lost])


def book_late(task: AgentTask, spent: Decimal) -> None:
    """Book a call whose lease was lost meanwhile: its reservation was spent already, so only what exceeds
    it.
    """
    _book([(task, ZERO, max(ZERO, spent - task.reserved_usd))])


def _book(entries: Sequence[tuple[AgentTask, Decimal, Decimal]]) -> None:
    """(task, freed, spent): one UPDATE a row and day."""
    sums: dict[tuple[date, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    for task, freed, spent in entries:
        if freed or spent:
            for scope in scopes_of(task):
                total = sums[(day_of(task), scope)]
                total[0] += freed
                total[1] += spent
    with connection.cursor() as cursor:
        for (day, scope), (freed, spent) in sorted(sums.items()):
            cursor.execute(
                "UPDATE ai_agents_budget SET reserved = greatest(0, reserved - %s), spent = spent + %s "
                "WHERE day = %s AND scope = %s",
                [freed, spent, day, scope],
            )


def _locked(day: date, scopes: list[str]) -> Sequence[Budget]:
    return list(Budget.objects.select_for_update().filter(day=day, scope__in=scopes).order_by("scope"))


def spent_by(calls: Sequence[CallRecord]) -> Decimal:
    """What these calls cost, an unanswered one at its worst."""
    return sum((call.booked_usd for call in calls), ZERO)
