"""Store what LeadAnalysisAgent found, in the transaction that finished its task."""

from collections.abc import Sequence

from ai_agents.actions.finished import Finished
from ai_agents.agents.lead_analysis import Assessment, Factor
from crm.actions.score_rules import NewFactor
from crm.actions.scores import NewScore, record_scores
from crm.models import Actor, ScoreKind, acting_as
from crm.plaintext import Span

BY = Actor.agent("LeadAnalysisAgent")


@acting_as(BY)
def record_assessments(finished: Sequence[Finished], *, quietly: bool = False) -> None:
    """Make each assessment the current model score of its lead. Leads that are gone are left out.

    At most one per lead. Publishes LeadScored, unless `quietly` (sample data: no events, no timeline).
    """
    record_scores([_score(done) for done in finished if done.task.lead_id], by=BY, quietly=quietly)


def _score(done: Finished) -> NewScore:
    found: Assessment = done.result
    return NewScore(
        lead_id=done.task.lead_id or 0,
        kind=ScoreKind.MODEL,
        value=found.fit,
        factors=tuple(_factor(factor) for factor in found.factors),
        task_id=done.task.pk,
        provider=done.provider,
        model=done.model,
        version=done.task.prompt_version,
        summary=found.summary,
        recommended_action=found.recommended_action,
        timeline=found.timeline,
        risks=found.risks,
        missing=found.missing,
        dropped_factors=found.dropped,
    )


def _factor(factor: Factor) -> NewFactor:
    return NewFactor(
        label=factor.label,
        points=factor.points,
        quote=factor.quote,
        source_kind=factor.source_kind,
        source_id=factor.source_id,
        field=factor.field,
        place=Span(factor.start, factor.end),
    )
