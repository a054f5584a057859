"""Counts of leads and opportunities from summaries: exact, and as cheap at a million rows as at ten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum

from crm.figures.money import Total, add_up
from crm.figures.scope import Asker
from crm.models import DashboardCount


@dataclass(frozen=True, slots=True)
class Counted:
    """A number of rows by the names in `group`, and the amounts by currency."""

    group: dict[str, Any]
    n: int
    amounts: dict[str, Decimal]

    def total(self, currency: str, *, on: date) -> Total:
        """The amounts in one currency at that day's rates. At most one query."""
        parts = [(of, on, amount, Decimal(0), 0) for of, amount in self.amounts.items() if amount]
        return add_up(parts, currency=currency)


def counts(who: Asker, subject: str, *by: str, **narrow: Any) -> list[Counted]:
    """What the asker may see of "lead" or "opportunity", counted by these columns of DashboardCount (status,
    owner_id, team_id, source_id, stage_id) and narrowed by its filters. One statement.
    """
    rows: QuerySet[Any] = DashboardCount.objects.visible_to(who).filter(subject=subject, **narrow)
    summed = rows.order_by().values(*by, "currency").annotate(n_=Sum("n"), amount_=Sum("amount"))
    return _gathered(summed.values_list(*by, "currency", "n_", "amount_"), by)


def _gathered(rows: QuerySet[Any], by: Sequence[str]) -> list[Counted]:
    found: dict[tuple[Any, ...], Counted] = {}
    for *group, currency, n, amount in rows:
        key = tuple(group)
        seen = found.get(key) or Counted(dict(zip(by, group, strict=True)), 0, {})
        found[key] = Counted(
            seen.group, seen.n + n, seen.amounts | ({currency: amount} if n or amount else {})
        )
    return [counted for counted in found.values() if counted.n]
