"""When things were over there, as aware times; the past is written down as the past."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from crm import clock, events
from crm.errors import InvalidValue

EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)  # what is older was never filled in


def moment(value: Any, *, zone: ZoneInfo, field: str) -> datetime | None:
    """As `coming`, of what has happened. Raises InvalidValue naming the field also for the future."""
    found = coming(value, zone=zone, field=field)
    if found and found > clock.now():
        raise InvalidValue(_("%s lies in the future.") % str(value)[:60], field=field)
    return found


def coming(value: Any, *, zone: ZoneInfo, field: str) -> datetime | None:
    """The aware time (UTC) that a column's value means, which may lie ahead; None for none.

    A time without a zone, and the first moment of a day without a time, are those of `zone`. Texts are read
    as ISO 8601. Raises InvalidValue naming the field for anything else.
    """
    if value is None or value == "":
        return None
    found = _parsed(value, zone)
    if found is None or found < EARLIEST:
        words = _("“%s” is no time, such as 2026-03-01T09:00:00Z or 2026-03-01.")
        raise InvalidValue(words % str(value)[:60], field=field)
    return found


def _parsed(value: Any, zone: ZoneInfo) -> datetime | None:
    if isinstance(value, str):
        try:
            text = value.strip()
            value = parse_datetime(text) if len(text) > 10 else date.fromisoformat(text)
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
        except OverflowError:
            return None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=zone).astimezone(UTC)
    return None


def ended(end: datetime | None, begun: datetime | None, *, zone: ZoneInfo, field: str) -> datetime | None:
    """When something ended that began then. An end on the same day before it (a day without its time) is the
    beginning itself. Raises InvalidValue naming the field for an end on a day before.
    """
    if end is None or begun is None or end >= begun:
        return end
    if end.astimezone(zone).date() == begun.astimezone(zone).date():
        return begun
    raise InvalidValue(_("It ended before it began."), field=field)


@contextmanager
def as_of(at: datetime | None) -> Iterator[None]:
    """Inside, it is then: histories, stories and closing times are dated so. None: it is now. Who reacts to
    what happened does so afterwards, as of now.

    The clock is the process's, so only a command that runs alone may turn it back.
    """
    if at is None:
        yield
        return
    with events.held(), clock.frozen(at):
        yield


def date_back(record: models.Model, *, created: datetime | None, changed: datetime | None = None) -> None:
    """Let the stored record be of then, as figures and lists count it. Not a change of the record."""
    times = {"created_at": created, "updated_at": changed}
    given = {name: at for name, at in times.items() if at is not None}
    if given:
        type(record)._default_manager.filter(pk=record.pk).update(**given)
