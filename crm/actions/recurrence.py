"""When a recurring task comes next: on the wall clock of whoever does it, over month ends and summer time.

The rules themselves are python-dateutil's (RFC 5545). A series keeps the day of the month and the time of day
that it began with (`Task.recurs_day`, `Task.recurs_time`), so that 31 January, 28 February, 31 March follow
each other, and a night without 02:30 does not move the series to 03:30 for good.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import DAILY, MONTHLY, WEEKLY, YEARLY, rrule
from dateutil.tz import resolve_imaginary

from crm.models import Recurrence, Task, User

_FREQUENCY = {
    Recurrence.DAILY: DAILY,
    Recurrence.WEEKLY: WEEKLY,
    Recurrence.MONTHLY: MONTHLY,
    Recurrence.YEARLY: YEARLY,
}
_SHORTEST_MONTH = 28


def zone_of(user: User | None) -> ZoneInfo:
    """The person's time zone; UTC where there is no person or the name is not one."""
    try:
        return ZoneInfo(user.time_zone if user else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def anchor(task: Task) -> None:
    """Note, in memory, on which day and at what time of the assignee's clock the series stands."""
    if task.recurrence and task.due_at:
        local = task.due_at.astimezone(zone_of(task.assignee))
        task.recurs_day, task.recurs_time = local.day, local.time().replace(fold=0)
    else:
        task.recurs_day = task.recurs_time = None


def next_due(task: Task, *, at: datetime) -> datetime | None:
    """The first time of the series after both its present one and `at`; None when the series is over.

    What was missed meanwhile is not made up for: a daily task done three days late comes back tomorrow.
    """
    if not task.recurrence or task.due_at is None:
        return None
    zone = zone_of(task.assignee)
    due_on = task.due_at.astimezone(zone).date()
    time, day = task.recurs_time or task.due_at.astimezone(zone).time(), task.recurs_day or due_on.day
    start = datetime.combine(due_on, time)
    on: dict[str, object] = {}
    if task.recurrence in {Recurrence.MONTHLY, Recurrence.YEARLY} and day > _SHORTEST_MONTH:
        on = {"bymonthday": range(_SHORTEST_MONTH, day + 1), "bysetpos": -1}  # the last that this month has
        if task.recurrence == Recurrence.YEARLY:
            on["bymonth"] = due_on.month
    rule = rrule(_FREQUENCY[Recurrence(task.recurrence)], interval=task.recurs_every, dtstart=start, **on)
    found = rule.after(max(start, at.astimezone(zone).replace(tzinfo=None)))
    if found is None or (task.recurs_until and found.date() > task.recurs_until):
        return None
    return resolve_imaginary(found.replace(tzinfo=zone)).astimezone(UTC)
