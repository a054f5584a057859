"""When a person works: {"mon": ["09:00", "17:00"], ...} on their own clock. {}: always; no such day: free.

A day that ends before it begins goes on past midnight.
"""

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def validate_working_hours(value: Any) -> None:
    """Raises ValidationError of the field `working_hours` that names the day."""
    if not isinstance(value, dict):
        raise _wrong(_("Write the days with their hours, such as {“mon”: [“09:00”, “17:00”]}."))
    for day, hours in value.items():
        if day not in DAYS:
            raise _wrong(_("There is no day “%s”; use mon, tue, wed, thu, fri, sat, sun.") % day[:20])
        if _read(hours) is None:
            raise _wrong(_("Write the hours of %s as two times, such as [“09:00”, “17:00”].") % day)


def _wrong(words: str) -> ValidationError:
    return ValidationError({"working_hours": words})


def is_working(hours: dict[str, Any], zone: ZoneInfo, at: datetime) -> bool:
    """Whether `at` lies within these hours on the clock of `zone`."""
    if not hours:
        return True
    local = at.astimezone(zone)
    now = local.time()
    today = _read(hours.get(DAYS[local.weekday()]))
    if today is not None and (today[0] <= now < today[1] or (today[1] <= today[0] <= now)):
        return True
    last_night = _read(hours.get(DAYS[local.weekday() - 1]))
    return last_night is not None and last_night[1] <= last_night[0] and now < last_night[1]


def _read(hours: Any) -> tuple[time, time] | None:
    if not (isinstance(hours, list) and len(hours) == 2 and all(isinstance(text, str) for text in hours)):
        return None
    try:
        return time.fromisoformat(hours[0]), time.fromisoformat(hours[1])
    except ValueError:
        return None
