"""Real leads by the product's own road: import with `--outcome`, facts, fit, stored scores."""

import io
import os
from pathlib import Path

import pytest
from django.core.management import call_command

from ai_agents.actions.lead_facts import facts_of, features_now
from ai_agents.actions.statistics import score_by_statistics
from ai_agents.models import ScoringModel
from ai_agents.scoring.fitted import FittedModel
from ai_agents.scoring.folds import stratified_folds
from ai_agents.scoring.measures import measure
from crm.models import ImportRow, Lead, Outcome, Score, ScoreFactor
from tests.ai_agents.scoring.test_commands import UNFAIR

REAL_LEADS = Path(os.environ.get("GARDENOS_TEST_DATA") or "/nonexistent") / "leads-with-outcomes.csv"
BATCH = 500


def bring_in(path: Path, *, outcome: str, leave_out: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """(leads, their outcomes), in the order of the file."""
    mapping = [f"{column}=" for column in leave_out]
    call_command(
        "import_leads", str(path), outcome=outcome, map=mapping, source="Real", analyse="none",
        stdout=io.StringIO(), stderr=io.StringIO(),
    )  # fmt: skip
    lead_ids = list(ImportRow.objects.order_by("row_no").values_list("lead_id", flat=True))
    won = set(Lead.objects.filter(outcome=Outcome.WON).values_list("pk", flat=True))
    return lead_ids, [int(lead_id in won) for lead_id in lead_ids]


def stored_chances(lead_ids: list[int], outcomes: list[int], *, seed: int) -> list[float]:
    """Each fold's leads are scored by a fit on the others, and read back from the table of scores."""
    facts, features = facts_of(lead_ids), features_now()
    fold_of = stratified_folds(outcomes, folds=5, seed=seed)
    for fold in range(5):
        known = [place for place, other in enumerate(fold_of) if other != fold]
        fitted = FittedModel.fit(
            features, [facts[lead_ids[place]] for place in known], [outcomes[place] for place in known]
        )
        model = ScoringModel.objects.create(rows=len(known), weights=fitted.as_json())
        mine = [lead_ids[place] for place, other in enumerate(fold_of) if other == fold]
        for at in range(0, len(mine), BATCH):
            score_by_statistics(mine[at : at + BATCH], model=model, quietly=True)
    stored = Score.objects.filter(kind="statistics", is_current=True).values_list("lead_id", "probability")
    chance_of = dict(stored)
    return [chance_of[lead_id] or 0.0 for lead_id in lead_ids]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.django_db
@pytest.mark.skipif(not REAL_LEADS.exists(), reason="needs GARDENOS_TEST_DATA")
def test_stored_scores_of_real_leads_are_as_good_as_the_reference():
    lead_ids, outcomes = bring_in(REAL_LEADS, outcome="Converted", leave_out=UNFAIR)
    runs = []
    for seed in range(5):
        runs.append(measure(outcomes, stored_chances(lead_ids, outcomes, seed=seed)))
        # Forget them: a score that comes to the same result again keeps its older probability.
        ScoreFactor.objects.filter(score__kind="statistics").delete()
        Score.objects.filter(kind="statistics").delete()
    auc, brier, ece = (sum(getattr(run, name) for run in runs) / 5 for name in ("auc", "brier", "ece"))
    print(f"AUC {auc:.4f}  Brier {brier:.4f}  ECE {ece:.4f}")
    assert auc >= 0.871
    assert brier <= 0.138
    assert ece <= 0.020
    bare = [lead_ids[0], lead_ids[-1]]
    for score in score_by_statistics(bare, model=ScoringModel.objects.order_by("-pk")[0]).values():
        assert score.base + sum(factor.points for factor in score.factors.all()) == score.value
