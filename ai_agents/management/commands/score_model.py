"""Look at the fits of the statistical score, and choose."""

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from ai_agents.actions.fitting import refit, release_model, statistics_status, stop_statistics, use_model
from ai_agents.actions.grading import GRADED_KINDS, HORIZONS, Calibration, calibration, grade_scores
from ai_agents.actions.statistics import score_next_batch
from ai_agents.models import ScoringModel
from crm import clock
from crm.errors import CRMError
from crm.models import Actor

WRONG_USE = 2
SHOWN = 10


class Command(BaseCommand):
    help = "Show the fits of the statistical score and how far scores could be trusted; fit anew, go back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        status = verbs.add_parser("status", help="which fit is active and why, and what came of scored leads")
        status.add_argument("--horizon", type=int, choices=HORIZONS, default=90, metavar="DAYS")
        status.add_argument("--json", action="store_true", dest="as_json", help="for programs")
        verbs.add_parser("refit", help="fit on the outcomes there are, as happens every night, and score")
        verbs.add_parser("rescore", help="score what open leads the active fit has not scored yet")
        use = verbs.add_parser("use", help="go back to an earlier fit; no refit replaces it until `release`")
        use.add_argument("fit", metavar="ID")
        verbs.add_parser("release", help="let refits replace the active fit again")
        verbs.add_parser("stop", help="let no fit be active: models and rules score as before")

    def handle(self, *, verb: str, **options: Any) -> None:
        if verb == "status":
            self._status(options["horizon"], options["as_json"])
            return
        by = Actor.system("manage.py score_model")
        try:
            if verb == "refit":
                grade_scores(clock.now())
                self.stdout.write(refit(by=by))
            elif verb == "use":
                self.stdout.write(use_model(_known(options["fit"]), by=by).note)
            elif verb == "release":
                self.stdout.write(release_model(by=by).note)
            elif verb == "stop":
                self.stdout.write(stop_statistics(by=by).note)
        except CRMError as refused:
            raise CommandError(str(refused), returncode=WRONG_USE) from None
        while score_next_batch():
            pass

    def _status(self, horizon: int, as_json: bool) -> None:
        status = statistics_status()
        fits = list(ScoringModel.objects.order_by("-fitted_at")[:SHOWN])
        grades = [calibration(kind, horizon_days=horizon) for kind in GRADED_KINDS]
        if as_json:
            answer = {
                "is_active": status.is_active,
                "sentence": status.sentence,
                "fits": [_row(fit) for fit in fits],
                "calibration": [grade.as_json() for grade in grades],
            }
            self.stdout.write(json.dumps(answer, indent=2))
            return
        self.stdout.write(status.sentence)
        for fit in fits:
            mark = "pinned" if fit.is_pinned else "active" if fit.is_active else ""
            self.stdout.write(f"{fit.public_id}  {fit.fitted_at:%Y-%m-%d %H:%M}  {mark:6}  {fit.note}")
        for grade in grades:
            self._print(grade)

    def _print(self, grade: Calibration) -> None:
        self.stdout.write(f"\n{grade.kind}: {grade.count:,} scores graded within {grade.horizon_days} days")
        if m := grade.measures:
            self.stdout.write(
                f"AUC {m.auc:.3f}  Brier {m.brier:.3f} (base rate {m.base_brier:.3f})  ECE {m.ece:.3f}"
            )
        for one in grade.by_band:
            low, high = one.interval
            self.stdout.write(
                f"{one.low:5.2f} to {one.high:4.2f}{one.count:8,}  said {one.said:6.1%}  won {one.share:6.1%}"
                f"  ({low:.1%} to {high:.1%})"
            )


def _known(text: str) -> UUID:
    try:
        return ScoringModel.objects.get(public_id=UUID(text)).public_id
    except (ValueError, ScoringModel.DoesNotExist):
        raise CommandError(f"There is no fit {text!r}; see `status`.", returncode=WRONG_USE) from None


def _row(fit: ScoringModel) -> dict[str, Any]:
    return {
        "id": str(fit.public_id),
        "fitted_at": fit.fitted_at.isoformat(),
        "outcomes": fit.rows,
        "is_active": fit.is_active,
        "is_pinned": fit.is_pinned,
        "note": fit.note,
        "metrics": fit.metrics,
    }
