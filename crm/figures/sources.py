"""What each source and campaign brought, and what a won opportunity of it cost."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from crm.figures.scope import Asker, Period, rows_of, visible_ids
from crm.models import Lead, Opportunity
from crm.permissions import Reach, Verb, reach

CENT = Decimal("0.01")
BY_SOURCE = """
    WITH leads AS (
        SELECT source_id, count(*) AS n, count(*) FILTER (WHERE status = 'converted') AS converted
          FROM crm_lead
         WHERE created_at >= %s AND created_at < %s AND id IN ({leads}) GROUP BY source_id
    ), cards AS (
        SELECT source_id, count(*) FILTER (WHERE created_at >= %s AND created_at < %s) AS n,
               count(*) FILTER (WHERE state = 'won' AND closed_at >= %s AND closed_at < %s) AS won
          FROM crm_opportunity
         WHERE source_id IS NOT NULL AND id IN ({cards}) GROUP BY source_id
    )
    SELECT source.id, source.name, source.campaign, source.currency,
           CASE WHEN %s THEN source.monthly_cost END,
           coalesce(leads.n, 0), coalesce(leads.converted, 0), coalesce(cards.n, 0), coalesce(cards.won, 0)
      FROM crm_leadsource source
      LEFT JOIN leads ON leads.source_id = source.id
      LEFT JOIN cards ON cards.source_id = source.id
     WHERE coalesce(leads.n, 0) + coalesce(cards.n, 0) + coalesce(cards.won, 0) > 0
        OR (%s AND source.monthly_cost > 0)
     ORDER BY source.name, source.id
"""
BY_UTM = """
    SELECT coalesce(first.utm ->> 'utm_source', ''), coalesce(first.utm ->> 'utm_medium', ''),
           coalesce(first.utm ->> 'utm_campaign', ''), count(*),
           count(*) FILTER (WHERE lead.status = 'converted'), count(*) FILTER (WHERE lead.outcome = 'won')
      FROM crm_lead lead
     CROSS JOIN LATERAL (
           SELECT utm FROM crm_inquiry WHERE lead_id = lead.id ORDER BY received_at, id LIMIT 1) first
     WHERE lead.created_at >= %s AND lead.created_at < %s AND first.utm <> '{{}}'
       AND lead.id IN ({leads})
     GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 2, 3
     LIMIT 500
"""


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """Leads that came in the period and how many of them are converted by now; opportunities opened and won
    in the period. `cost` is the source's for the days of the period, in its `currency`: None when it has
    none, or when the asker sees only a part of what the money bought.
    """

    source_id: int
    name: str
    campaign: str
    currency: str
    leads: int
    converted: int
    opportunities: int
    won: int
    cost: Decimal | None

    @property
    def conversion(self) -> float | None:
        return self.converted / self.leads if self.leads else None

    @property
    def cost_per_won(self) -> Decimal | None:
        """None without a cost, or with nothing won."""
        return (self.cost / self.won).quantize(CENT) if self.cost is not None and self.won else None


def by_source(who: Asker, period: Period) -> list[SourceFigures]:
    """Every source that brought or (for who sees everything) cost something. One statement."""
    leads, lead_parameters = visible_ids(Lead, who)
    cards, card_parameters = visible_ids(Opportunity, who)
    sees_all = reach(who, Verb.SEE) == Reach.ALL
    span = [period.since, period.until]
    rows = rows_of(
        BY_SOURCE.format(leads=leads, cards=cards),
        [*span, *lead_parameters, *span, *span, *card_parameters, sees_all, sees_all],
    )
    return [
        SourceFigures(pk, name, campaign, currency, n, converted, opened, won, cost_of(cost, period))
        for pk, name, campaign, currency, cost, n, converted, opened, won in rows
    ]


def cost_of(monthly: Decimal | None, period: Period) -> Decimal | None:
    """The monthly cost for the days (UTC) of the period: a day of a month of 30 costs a thirtieth."""
    if monthly is None:
        return None
    cost, day, end = Decimal(0), period.since.date(), period.until.date()
    while day < end:
        days = monthrange(day.year, day.month)[1]
        next_month = date(day.year, day.month, days) + timedelta(days=1)
        cost += monthly * (min(next_month, end) - day).days / days
        day = next_month
    return cost.quantize(CENT)


@dataclass(frozen=True, slots=True)
class CampaignFigures:
    """Leads of the period by the campaign of their first inquiry (its utm_source, _medium, _campaign)."""

    source: str
    medium: str
    campaign: str
    leads: int
    converted: int
    won: int


def by_utm(who: Asker, period: Period) -> list[CampaignFigures]:
    """The 500 campaigns that brought most. One statement."""
    leads, parameters = visible_ids(Lead, who)
    rows = rows_of(BY_UTM.format(leads=leads), [period.since, period.until, *parameters])
    return [CampaignFigures(*row) for row in rows]
