"""What came of leads grades their scores: the first one of each kind, made before the outcome was known.

The first, because that is what people had to decide by; later ones know more the nearer they come to the end.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from ai_agents.scoring.evaluation import BANDS
from ai_agents.scoring.measures import Bin, Measures, measure, reliability
from crm.models import ScoreKind

HORIZONS = (30, 90, 180)  # days from the score to the outcome
GRADED_KINDS = (ScoreKind.RULES, ScoreKind.STATISTICS, ScoreKind.MODEL)
MOST_GRADED = 20_000  # the newest of a kind that a table is made of
LOOK_BACK = timedelta(days=3)

_GRADE = """
INSERT INTO crm_scoreoutcome (public_id, created_at, updated_at, lead_id, score_id, label, horizon_days, at)
SELECT gen_random_uuid(), %(at)s, %(at)s, l.id, first.id, l.outcome, horizon.days, l.outcome_at
FROM (SELECT id, outcome, outcome_at FROM crm_lead
      WHERE outcome_at > %(since)s AND outcome_at <= %(at)s AND deleted_at IS NULL AND merged_into_id IS NULL
      ORDER BY outcome_at DESC, id DESC) AS l
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (s.kind) s.id, s.created_at FROM crm_score s
    WHERE s.lead_id = l.id AND s.kind = ANY(%(kinds)s) AND s.provider <> 'scripted'
      AND s.created_at < l.outcome_at
    ORDER BY s.kind, s.created_at, s.id
) AS first
JOIN unnest(%(horizons)s::int[]) AS horizon (days)
  ON l.outcome_at <= first.created_at + horizon.days * interval '1 day'
ON CONFLICT (score_id, horizon_days) DO NOTHING
"""

_GRADED = """
SELECT coalesce(s.probability, s.value / 100.0), (o.label = 'won')::int
FROM crm_scoreoutcome o JOIN crm_score s ON s.id = o.score_id
WHERE o.horizon_days = %(days)s AND s.kind = %(kind)s ORDER BY o.id DESC LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What scores of one kind said, and what came within the horizon. `measures` is None while there are not
    both outcomes. Sample scores are left out.
    """

    kind: str
    horizon_days: int
    count: int
    by_band: list[Bin]
    measures: Measures | None

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "horizon_days": self.horizon_days,
            "graded": self.count,
            "measures": self.measures.as_json() if self.measures else None,
            "by_band": [one.as_json() for one in self.by_band],
        }


@transaction.atomic
def grade_scores(at: datetime, *, since: datetime | None = None) -> int:
    """Book the outcomes of the last days (or since a time) to the scores that they grade; what is booked
    stays. One statement. Returns how many are new.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _GRADE,
            {
                "at": at,
                "since": since or at - LOOK_BACK,
                "kinds": [kind.value for kind in GRADED_KINDS],
                "horizons": list(HORIZONS),
            },
        )
        return cursor.rowcount


def calibration(kind: str, *, horizon_days: int = 90) -> Calibration:
    """How far scores of this kind could be trusted, over the newest MOST_GRADED. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_GRADED, {"kind": kind, "days": horizon_days, "most": MOST_GRADED})
        rows = cursor.fetchall()
    chances, outcomes = [float(chance) for chance, _won in rows], [won for _chance, won in rows]
    has_both = 0 < sum(outcomes) < len(outcomes)
    return Calibration(
        kind=kind,
        horizon_days=horizon_days,
        count=len(rows),
        by_band=reliability(outcomes, chances, BANDS),
        measures=measure(outcomes, chances) if has_both else None,
    )
