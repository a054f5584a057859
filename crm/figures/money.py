"""Sums in one currency, at the rates of their day. What has no rate is named, never guessed."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, Self

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncDate

from crm.models import ExchangeRate, Opportunity

CENT = Decimal("0.01")
PRECISION = 50  # digits while sums are converted: 14 of an amount times 20 of a rate, and the inverse


class Rates:
    """The rates between some currencies and one target, day by day.

    A rate holds from its date until the next one of its pair. Where a pair is not written down the inverse
    pair serves, as one divided by its rate; two pairs are never chained. Nothing else is made up.
    """

    def __init__(self, target: str, rows: Iterable[tuple[str, str, date, Decimal]]) -> None:
        self.target = target
        self._days: dict[tuple[str, str], list[date]] = defaultdict(list)
        self._rates: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
        for base, quote, day, rate in sorted(rows):
            self._days[base, quote].append(day)
            self._rates[base, quote].append(rate)

    @classmethod
    def load(cls, target: str, currencies: Iterable[str], *, until: date) -> Self:
        """One query; none when everything is in the target currency already."""
        others = sorted(set(currencies) - {target})
        if not others:
            return cls(target, ())
        pairs = Q(base__in=others, quote=target) | Q(base=target, quote__in=others)
        rows = ExchangeRate.objects.filter(pairs, date__lte=until)
        return cls(target, rows.values_list("base", "quote", "date", "rate"))

    def rate(self, currency: str, on: date) -> Decimal | None:
        """How much of the target one unit is worth on that day; None when nothing was known then."""
        if currency == self.target:
            return Decimal(1)
        direct = self._at((currency, self.target), on)
        if direct is not None:
            return direct
        inverse = self._at((self.target, currency), on)
        with localcontext(prec=PRECISION):
            return None if inverse is None else 1 / inverse

    def _at(self, pair: tuple[str, str], on: date) -> Decimal | None:
        place = bisect_right(self._days.get(pair, []), on)
        return self._rates[pair][place - 1] if place else None


@dataclass(frozen=True, slots=True)
class Total:
    """`amount` and `weighted` (by probability) in `currency`, of `n` opportunities. Those in a currency of
    `left_out` had no rate on their day; they are in neither sum, and there are `left_out_n` of them.
    """

    currency: str
    amount: Decimal = Decimal("0.00")
    weighted: Decimal = Decimal("0.00")
    n: int = 0
    left_out: tuple[str, ...] = ()
    left_out_n: int = 0


Part = tuple[str, date, Decimal, Decimal, int]  # currency, day, amount, weighted, number


def add_up(parts: Iterable[Part], *, currency: str, rates: Rates | None = None) -> Total:
    """The parts, each at the rate of its day, rounded to cents once, at the end. At most one query."""
    parts = list(parts)
    if rates is None:
        until = max((part[1] for part in parts), default=date.min)
        rates = Rates.load(currency, {part[0] for part in parts}, until=until)
    amount = weighted = Decimal(0)
    n = left_out_n = 0
    left_out: set[str] = set()
    with localcontext(prec=PRECISION):
        for of, day, part_amount, part_weighted, number in parts:
            rate = rates.rate(of, day)
            if rate is None:
                left_out.add(of)
                left_out_n += number
                continue
            amount += part_amount * rate
            weighted += part_weighted * rate
            n += number
        amount = amount.quantize(CENT, ROUND_HALF_UP)  # as PostgreSQL rounds
        weighted = weighted.quantize(CENT, ROUND_HALF_UP)
    return Total(currency, amount, weighted, n, tuple(sorted(left_out)), left_out_n)


def with_weight(cards: QuerySet[Opportunity]) -> QuerySet[Any]:
    """With `worth` (no amount counts as 0) and `weight` (worth times probability in percent, over 100)."""
    percent = Coalesce("probability_override", "stage__probability")
    return cards.annotate(worth=Coalesce("amount", Decimal(0)), weight=F("worth") * percent / Decimal(100))


def total(cards: QuerySet[Opportunity], *, currency: str, on: date) -> Total:
    """All of these at the rates of one day: today for what is open, the last day for an old report.

    Two statements.
    """
    groups = with_weight(cards).order_by().values("currency")
    rows = groups.annotate(amount=Sum("worth"), weighted=Sum("weight"), n=Count("pk"))
    parts = [(row["currency"], on, row["amount"], row["weighted"], row["n"]) for row in rows]
    return add_up(parts, currency=currency)


def total_closed(cards: QuerySet[Opportunity], *, currency: str) -> Total:
    """Closed ones, each at the rate of the day (UTC) on which it was closed. Two statements."""
    closed = with_weight(cards).exclude(closed_at=None).annotate(day=TruncDate("closed_at"))
    groups = closed.order_by().values("currency", "day")
    rows = groups.annotate(amount=Sum("worth"), weighted=Sum("weight"), n=Count("pk"))
    parts = [(row["currency"], row["day"], row["amount"], row["weighted"], row["n"]) for row in rows]
    return add_up(parts, currency=currency)
