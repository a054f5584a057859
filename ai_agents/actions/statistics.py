"""Scores by statistics: of a lead when its facts change, of all open ones when another fit becomes active."""

from collections.abc import Collection
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from ai_agents.actions.lead_facts import facts_of, features_now
from ai_agents.models import ScoringModel
from ai_agents.scoring.facts import Facts
from ai_agents.scoring.fitted import FittedModel
from crm import clock
from crm.actions.score_rules import NewFactor
from crm.actions.scores import NewScore, record_scores, retire_scores
from crm.models import Actor, ActorKind, FactorSource, Lead, Score, ScoreKind

BATCH = 500  # leads a transaction
RETIRED_KEPT = timedelta(days=30)
BY = Actor(ActorKind.RULE, None, "Statistics")


def active_model() -> ScoringModel | None:
    """The fit that scores are made by now. One query."""
    return ScoringModel.objects.filter(is_active=True).first()


def score_by_statistics(
    lead_ids: Collection[int], *, model: ScoringModel | None = None, quietly: bool = False
) -> dict[int, Score]:
    """Store what the active fit (or `model`) says of these leads, in a fixed number of statements.

    Returns lead id -> its score; nothing while there is no fit. Publishes LeadScored, unless `quietly`.
    """
    model = model or active_model()
    if model is None or not lead_ids:
        return {}
    fitted = FittedModel.of_json(model.weights, features_now())
    new = [_new_score(lead_id, facts, model, fitted) for lead_id, facts in facts_of(lead_ids).items()]
    return record_scores(new, by=BY, quietly=quietly)


def _new_score(lead_id: int, facts: Facts, model: ScoringModel, fitted: FittedModel) -> NewScore:
    estimate = fitted.estimate(facts)
    return NewScore(
        lead_id=lead_id,
        kind=ScoreKind.STATISTICS,
        value=estimate.value,
        base=estimate.base,
        factors=tuple(
            NewFactor(
                reason.label,
                reason.points,
                source_kind=FactorSource.FIELD if reason.key else "",
                field=reason.key[:60],
            )
            for reason in estimate.reasons
        ),
        version=str(model),
        probability=estimate.chance,
    )


@transaction.atomic
def score_next_batch() -> bool:
    """Score the next open leads by the active fit, or without one end scores of an earlier one. Returns
    whether there is more to do. Quietly: a refit is no news of any lead.

    Where it stands is kept in the fit's row, so that a killed worker costs one batch; several may run.
    """
    model = ScoringModel.objects.select_for_update().filter(is_active=True).first()
    if model is None:
        return _retire_next_batch()
    if model.scored_at is not None:
        return False
    leads = Lead.objects.open().filter(pk__gt=model.scored_to).order_by("pk")
    lead_ids = list(leads.values_list("pk", flat=True)[:BATCH])
    if lead_ids:
        score_by_statistics(lead_ids, model=model, quietly=True)
        _prune(lead_ids)
        model.scored_to = lead_ids[-1]
    else:
        model.scored_at = clock.now()
    model.save(update_fields=["scored_to", "scored_at"])
    return bool(lead_ids)


def _prune(lead_ids: Collection[int]) -> None:
    """Delete what earlier fits said of these leads, lest every refit add a row per lead for good. What an
    outcome has graded stays, and a lead's first score, which one may grade yet.
    """
    of_the_kind = Score.objects.filter(kind=ScoreKind.STATISTICS)
    retired = of_the_kind.filter(lead__in=lead_ids, is_current=False)
    retired.filter(
        Exists(of_the_kind.filter(lead=OuterRef("lead"), pk__lt=OuterRef("pk"))),
        created_at__lt=clock.now() - RETIRED_KEPT,
        outcomes=None,
    ).delete()


def _retire_next_batch() -> bool:
    left = Score.objects.filter(kind=ScoreKind.STATISTICS, is_current=True).order_by("lead_id")
    lead_ids = list(left.values_list("lead_id", flat=True)[:BATCH])
    if lead_ids:
        retire_scores(lead_ids, kind=ScoreKind.STATISTICS)
    return bool(lead_ids)
