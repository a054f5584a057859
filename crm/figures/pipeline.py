"""How opportunities go through a pipeline, and what is to come of those that are open."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncMonth

from crm.figures.money import Part, Rates, Total, add_up, with_weight
from crm.figures.scope import Asker, Period, rows_of, visible_ids
from crm.models import Forecast, Opportunity, OpportunityState, Pipeline

FUNNEL = """
    WITH entered AS (
        SELECT change.to_stage_id AS stage_id, change.opportunity_id, min(change.at) AS at
          FROM crm_stagechange change
         WHERE change.at >= %s AND change.at < %s AND change.opportunity_id IN ({visible})
         GROUP BY change.to_stage_id, change.opportunity_id
    ), went AS (
        SELECT entered.stage_id, entered.opportunity_id,
               bool_or(later.position > here.position AND later.kind <> 'lost') AS on_,
               bool_or(later.kind = 'won') AS won, bool_or(later.kind = 'lost') AS lost
          FROM entered
          JOIN crm_stage here ON here.id = entered.stage_id
          LEFT JOIN crm_stagechange change ON change.opportunity_id = entered.opportunity_id
                AND change.at > entered.at AND change.at < %s
          LEFT JOIN crm_stage later ON later.id = change.to_stage_id AND later.pipeline_id = here.pipeline_id
         GROUP BY entered.stage_id, entered.opportunity_id
    ), spent AS (
        SELECT from_stage_id AS stage_id,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds_in_from) AS median_s
          FROM crm_stagechange
         WHERE from_stage_id IS NOT NULL AND at >= %s AND at < %s AND opportunity_id IN ({visible})
         GROUP BY from_stage_id
    )
    SELECT stage.id, stage.name, stage.kind, count(went.opportunity_id), count(*) FILTER (WHERE went.on_),
           count(*) FILTER (WHERE went.won), count(*) FILTER (WHERE went.lost), max(spent.median_s)
      FROM crm_stage stage
      LEFT JOIN went ON went.stage_id = stage.id
      LEFT JOIN spent ON spent.stage_id = stage.id
     WHERE stage.pipeline_id = %s
     GROUP BY stage.id ORDER BY stage.position
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of the funnel. Of `entered` opportunities (each counted once, though it came twice) `went_on`
    later reached a stage further on, `won` and `lost` were closed, all before the period's end. `median_s`:
    seconds that stays ending in the period lasted, None if none ended.
    """

    stage_id: int
    name: str
    kind: str
    entered: int
    went_on: int
    won: int
    lost: int
    median_s: float | None

    @property
    def conversion(self) -> float | None:
        """The share that went on, None when nothing entered."""
        return self.went_on / self.entered if self.entered else None


def funnel(pipeline: Pipeline, who: Asker, period: Period) -> list[Step]:
    """The pipeline's stages in their order. One statement."""
    visible, parameters = visible_ids(Opportunity, who)
    rows = rows_of(
        FUNNEL.format(visible=visible),
        [
            period.since,
            period.until,
            *parameters,
            period.until,
            period.since,
            period.until,
            *parameters,
            pipeline.pk,
        ],
    )
    return [Step(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is open in one forecast category. `win_rate`: of those of this category that were closed in the
    history, the share that was won, None without history; `of` is how many those were.
    """

    category: str
    total: Total
    win_rate: float | None
    of: int
    by_month: dict[date | None, Total]


def forecast(who: Asker, *, currency: str, at: datetime, history: Period) -> list[Expected]:
    """Open opportunities by forecast category and expected month, at the rates of `at`, against how the same
    categories ended in the history. Three statements.
    """
    visible = Opportunity.objects.visible_to(who)
    opened = with_weight(visible.filter(state=OpportunityState.OPEN))
    groups = opened.annotate(month=TruncMonth("expected_close")).order_by()
    rows = groups.values("forecast", "month", "currency").annotate(
        amount=Sum("worth"), weighted=Sum("weight"), n=Count("pk")
    )
    parts: dict[str, dict[date | None, list[Part]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        part = (row["currency"], at.date(), row["amount"], row["weighted"], row["n"])
        parts[row["forecast"]][row["month"]].append(part)
    closed = visible.filter(closed_at__gte=history.since, closed_at__lt=history.until).order_by()
    past = {
        row["forecast"]: (row["won"], row["n"])
        for row in closed.values("forecast").annotate(
            n=Count("pk"), won=Count("pk", filter=Q(state=OpportunityState.WON))
        )
    }
    currencies = {part[0] for months in parts.values() for some in months.values() for part in some}
    rates = Rates.load(currency, currencies, until=at.date())
    expected = []
    for category in Forecast.values:
        months, (won, n) = parts[category], past.get(category, (0, 0))
        expected.append(
            Expected(
                category,
                add_up([p for some in months.values() for p in some], currency=currency, rates=rates),
                won / n if n else None,
                n,
                {
                    month: add_up(months[month], currency=currency, rates=rates)
                    for month in sorted(months, key=lambda month: (month is None, month or date.min))
                },
            )
        )
    return expected


def won_by_month(who: Asker, *, currency: str, period: Period) -> dict[date, Total]:
    """What was won, by month (UTC), each at the rate of the day on which it was won. Two statements."""
    won = Opportunity.objects.visible_to(who).filter(
        state=OpportunityState.WON, closed_at__gte=period.since, closed_at__lt=period.until
    )
    rows = (
        won.annotate(day=F("closed_at__date"))
        .order_by()
        .values("day", "currency")
        .annotate(amount=Sum("amount"), n=Count("pk"))
    )
    parts: dict[date, list[Part]] = defaultdict(list)
    for row in rows:
        amount = row["amount"] or Decimal(0)
        parts[row["day"].replace(day=1)].append((row["currency"], row["day"], amount, amount, row["n"]))
    currencies = {part[0] for some in parts.values() for part in some}
    rates = Rates.load(currency, currencies, until=period.until.date())
    return {month: add_up(parts[month], currency=currency, rates=rates) for month in sorted(parts)}
