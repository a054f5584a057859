"""What currencies are worth, day by day: written by hand or read from a file."""

import csv
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm.actions.intake import checked_currency
from crm.errors import InvalidValue
from crm.models import Actor, ExchangeRate
from crm.permissions import Verb, require

MOST_RATES = 100_000  # rows of one file
HEADER = ("date", "base", "quote", "rate")


@transaction.atomic
def set_exchange_rate(*, by: Actor, base: str, quote: str, on: date | str, rate: Any) -> ExchangeRate:
    """From that day on one unit of `base` is worth `rate` of `quote`, until the next day that has one.

    A rate of the same day is replaced. Raises PermissionRefused, InvalidValue (`base`, `quote`, `date`,
    `rate`).
    """
    require(by, Verb.SET_UP)
    checked = _checked(base, quote, on, rate)
    return ExchangeRate.objects.update_or_create(
        base=checked.base, quote=checked.quote, date=checked.date, defaults={"rate": checked.rate}
    )[0]


@transaction.atomic
def import_exchange_rates(lines: Iterable[str], *, by: Actor) -> int:
    """Read rates from CSV with the header date,base,quote,rate; all or nothing. Returns how many rows.

    Raises PermissionRefused, InvalidValue naming the line.
    """
    require(by, Verb.SET_UP)
    reader = csv.reader(lines, strict=True)
    rates: dict[tuple[str, str, date], ExchangeRate] = {}
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if tuple(header) != HEADER:
            raise InvalidValue(_("The first line must be: %s.") % ",".join(HEADER), field="file")
        for row in reader:
            if not row:
                continue
            if len(row) != len(HEADER) or len(rates) >= MOST_RATES:
                words = _("Write four values a line, and at most %d lines.") % MOST_RATES
                raise InvalidValue(words, field="file")
            found = _checked(row[1], row[2], row[0], row[3])
            rates[found.base, found.quote, found.date] = found
    except csv.Error as error:
        raise _at_line(reader.line_num, str(error)) from None
    except InvalidValue as error:
        raise _at_line(reader.line_num, str(error)) from None
    ExchangeRate.objects.bulk_create(
        rates.values(),
        update_conflicts=True,
        unique_fields=["base", "quote", "date"],
        update_fields=["rate", "updated_at"],
        batch_size=5_000,
    )
    return len(rates)


def _at_line(number: int, words: str) -> InvalidValue:
    return InvalidValue(_("Line %(number)d: %(words)s") % {"number": number, "words": words}, field="file")


def _checked(base: str, quote: str, on: date | str, rate: Any) -> ExchangeRate:
    found = ExchangeRate()
    for field, code in (("base", base), ("quote", quote)):
        try:
            setattr(found, field, checked_currency(code.strip()))
        except InvalidValue as error:
            raise InvalidValue(str(error), field=field) from None
    if not found.base or not found.quote or found.base == found.quote:
        raise InvalidValue(_("Name two different currencies."), field="quote")
    try:
        found.date = on if isinstance(on, date) else date.fromisoformat(on.strip())
    except ValueError:
        raise InvalidValue(_("Write the day as year-month-day, such as 2026-05-31."), field="date") from None
    try:
        found.rate = Decimal(str(rate).strip()).quantize(Decimal("1e-10"))
    except InvalidOperation:
        found.rate = Decimal(0)
    if not found.rate.is_finite() or not 0 < found.rate < Decimal(10) ** 10:
        raise InvalidValue(_("Write the rate as a number above 0, such as 1.0832."), field="rate")
    return found
