"""The part of the agents' page that tells how scores are learned, and how far they were true."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from ai_agents.actions.fitting import statistics_status
from ai_agents.actions.grading import Calibration, calibration
from ai_agents.actions.statistics import active_model
from ai_agents.scoring.measures import Bin
from crm.models import ScoreKind


@dataclass(frozen=True, slots=True)
class BandRow:
    """One band of one kind of score, as text. `interval` is that of `won`, 95 %."""

    kind: str
    band: str
    leads: str
    said: str
    won: str
    interval: str


@dataclass(frozen=True, slots=True)
class ScoringCard:
    sentence: str
    is_active: bool
    note: str
    rows: list[BandRow]


def scoring_card() -> ScoringCard:
    """In at most five queries."""
    status, model = statistics_status(), active_model()
    grades = [calibration(kind) for kind in (ScoreKind.STATISTICS, ScoreKind.MODEL, ScoreKind.RULES)]
    rows = [_row(grade, one) for grade in grades for one in reversed(grade.by_band)]
    return ScoringCard(status.sentence, status.is_active, model.note if model else "", rows)


def _row(grade: Calibration, one: Bin) -> BandRow:
    low, high = one.interval
    bands = {0.0: _("Cool"), 0.495: _("Warm"), 0.745: _("Hot")}
    return BandRow(
        kind=str(ScoreKind(grade.kind).label),
        band=bands[one.low],
        leads=f"{one.count:,}",
        said=f"{one.said:.0%}",
        won=f"{one.share:.0%}",
        interval=_("%(low)s to %(high)s") % {"low": f"{low:.0%}", "high": f"{high:.0%}"},
    )
