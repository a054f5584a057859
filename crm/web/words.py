"""Times and amounts as people read them, in the signed-in person's zone. Text only, no HTML."""

from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache

from django.utils import formats, timezone
from django.utils.dates import MONTHS, MONTHS_3, WEEKDAYS, WEEKDAYS_ABBR
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}


def money(value: Decimal | None, currency: str) -> str:
    """ "€18,400", "CHF 12.50"; "" without a value. Cents only where there are any."""
    return "" if value is None else _money(value, currency, get_language() or "")


@lru_cache(maxsize=4_096)
def _money(value: Decimal, currency: str, language: str) -> str:
    places = 0 if value == value.to_integral_value() else 2
    number = formats.number_format(value, places, use_l10n=True, force_grouping=True)
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{currency} {number}"


def usd(value: Decimal | None) -> str:
    """An amount in US dollars, with as many places as tell something: "$0.42", "$0.0007"."""
    if value is None:
        return ""
    places = 2 if value == 0 or value >= Decimal("0.01") else 4
    return f"${formats.number_format(value, places, force_grouping=True)}"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago while it is fresh, else the day and time: "6 min ago", "Tue 14:22", "2 Nov"."""
    if at is None:
        return ""
    seconds = int((now - at).total_seconds())
    if 0 <= seconds < 60:
        return _("just now")
    if 0 <= seconds < 3600:
        return ngettext("%(n)d min ago", "%(n)d min ago", seconds // 60) % {"n": seconds // 60}
    return day_and_time(at, now)


def day_and_time(at: datetime | None, now: datetime) -> str:
    """ "14:22" today, "Tue 14:22" within six days, "2 Nov" this year, "2 Nov 2025" else."""
    if at is None:
        return ""
    # Put together by hand: date_format costs ten times as much, and lists show a hundred times.
    local, today = timezone.localtime(at), timezone.localtime(now)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    if abs(local.date() - today.date()) < timedelta(days=7):
        return f"{_weekday(local.weekday(), get_language())} {local:%H:%M}"
    day = f"{local.day} {_month(local.month, get_language())}"
    return day if local.year == today.year else f"{day} {local.year}"


@cache
def _weekday(number: int, language: str | None) -> str:
    return str(WEEKDAYS_ABBR[number])


@cache
def _month(number: int, language: str | None) -> str:
    return str(MONTHS_3[number]).title()


def lateness(at: datetime, now: datetime) -> str:
    """How late something is: "4 d late", "3 h late", "20 min late"."""
    minutes = max(1, int((now - at).total_seconds()) // 60)
    days = (timezone.localtime(now).date() - timezone.localtime(at).date()).days
    if days >= 1:
        return ngettext("%(n)d d late", "%(n)d d late", days) % {"n": days}
    if minutes >= 60:
        return ngettext("%(n)d h late", "%(n)d h late", minutes // 60) % {"n": minutes // 60}
    return ngettext("%(n)d min late", "%(n)d min late", minutes) % {"n": minutes}


def due_in(at: datetime, now: datetime) -> str:
    """How long there is left: "due in 12 min", "due in 3 h", else the day and time."""
    minutes = max(1, int((at - now).total_seconds()) // 60)
    if minutes < 60:
        return ngettext("due in %(n)d min", "due in %(n)d min", minutes) % {"n": minutes}
    if minutes < 1_440:
        return ngettext("due in %(n)d h", "due in %(n)d h", minutes // 60) % {"n": minutes // 60}
    return day_and_time(at, now)


def answer_clock(due: datetime | None, now: datetime) -> str:
    """The clock of somebody who waits, for beside their name: "Answer due in 12 min", "Answer 1 h late"."""
    if due is None:
        return ""
    if due <= now:
        return _("Answer %s") % lateness(due, now)
    return _("Answer %s") % (
        due_in(due, now) if (due - now).days < 1 else _("due %s") % day_and_time(due, now)
    )


def exact(at: datetime | None) -> str:
    """The full local time, for a title: "Monday 23 November 2026, 09:12"."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    return f"{WEEKDAYS[local.weekday()]} {local.day} {MONTHS[local.month]} {local.year}, {local:%H:%M}"


def stamp(at: datetime) -> str:
    """The local time in figures, for the titles of a long list: "2026-11-23 09:12"."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}"


def capped(count: int, cap: int) -> str:
    """A count that was taken up to cap + 1: "1,284" or "10,000+"."""
    number = formats.number_format(min(count, cap), 0, force_grouping=True)
    return f"{number}+" if count > cap else number


def whole(count: int) -> str:
    """A count with its thousands apart: "1,183"."""
    return formats.number_format(count, 0, force_grouping=True)


def shortened(text: str, length: int) -> str:
    """One line of at most `length` characters, with an ellipsis where it was cut."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def initials(name: str) -> str:
    """One or two capitals: of the first word and the last."""
    parts = [word for word in name.replace("@", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in (parts[:1] + parts[1:][-1:])).upper() or "–"
