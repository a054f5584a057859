"""The fields of a task as they come from a door, checked. Errors name the field."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from crm import clock
from crm.errors import InvalidValue
from crm.models import Priority, Recurrence, TaskKind

LENGTHS = {"title": 200, "notes": 5_000, "outcome": 300}
MOST = timedelta(days=3_660)  # ten years, both ways: what is further off was mistyped
EVERY_MOST = 366


def checked_fields(values: dict[str, Any]) -> dict[str, Any]:
    """The values of fields of CHECKED, as the columns take them. Raises InvalidValue naming the field."""
    for name in values:
        if name not in CHECKED:
            raise InvalidValue(_("There is no field “%s” to change.") % name[:60], field=name)
    return {name: CHECKED[name](name, value) for name, value in values.items()}


def checked_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidValue(_("Write plain text here."), field=name)
    text = value.strip() if name == "notes" else " ".join(value.split())
    if len(text) > LENGTHS[name]:
        raise InvalidValue(_("Use at most %d characters.") % LENGTHS[name], field=name)
    if name == "title" and not text:
        raise InvalidValue(_("Say what is to be done."), field=name)
    return text


def checked_time(name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidValue(_("Write a time with its zone."), field=name)
    if abs(value - clock.now()) > MOST:
        raise InvalidValue(_("Choose a time at most ten years from now."), field=name)
    return value.astimezone(UTC)


def _day(name: str, value: Any) -> date | None:
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise InvalidValue(_("Write a day."), field=name)


def _one_of(words: list[Any]) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or value not in words:
            choices = ", ".join(str(word) for word in words if word != "")
            raise InvalidValue(_("Choose one of: %s.") % choices, field=name)
        return value

    return check


def _every(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= EVERY_MOST:
        raise InvalidValue(_("Write a whole number from 1 to %d.") % EVERY_MOST, field=name)
    return value


CHECKED: dict[str, Callable[[str, Any], Any]] = {
    "title": checked_text,
    "notes": checked_text,
    "kind": _one_of(TaskKind.values),
    "due_at": checked_time,
    "remind_at": checked_time,
    "priority": _one_of(Priority.values),
    "recurrence": _one_of(Recurrence.values),
    "recurs_every": _every,
    "recurs_until": _day,
}
