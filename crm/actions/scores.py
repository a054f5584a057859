"""Scores: by rules at once, by a model when it answers; what the lead shows is their blend.

One current score per lead and kind: the lead's row is locked first, then the old one retires.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions import score_rules
from crm.actions.score_evidence import evidence_of
from crm.actions.score_rules import NewFactor
from crm.models import (
    Actor,
    ActorKind,
    Lead,
    Score,
    ScoreFactor,
    ScoreKind,
    ScoreOverride,
    ScoreSource,
    TimelineEvent,
    band_of,
)

# The blend is the first of these that is current. A statistics score is only ever current while a model of
# it is active.
BLEND_ORDER = (ScoreKind.STATISTICS, ScoreKind.MODEL, ScoreKind.RULES)
RULES_ACTOR = Actor(ActorKind.RULE, None, "Score rules")


@dataclass(frozen=True, slots=True)
class NewScore:
    """A judgement to be stored. `value` is 0 to 100; `provider` "scripted" marks a sample."""

    lead_id: int
    kind: ScoreKind
    value: int
    factors: tuple[NewFactor, ...] = ()
    base: int = 0
    task_id: int | None = None
    provider: str = ""
    model: str = ""
    version: str = ""
    probability: float | None = None
    summary: str = ""
    recommended_action: str = ""
    timeline: str = ""
    risks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    dropped_factors: int = 0


def record_score(
    lead_id: int,
    *,
    kind: ScoreKind,
    value: int,
    factors: tuple[NewFactor, ...] = (),
    by: Actor,
    **more: object,
) -> Score:
    """Store one judgement; `more` are the other fields of NewScore. Returns the current score of that kind.

    Raises Lead.DoesNotExist; IntegrityError for a model score without a task or a value outside 0 to 100.
    Publishes LeadScored.
    """
    stored = record_scores([NewScore(lead_id, kind, value, factors, **more)], by=by)  # type: ignore[arg-type]
    if lead_id not in stored:
        raise Lead.DoesNotExist
    return stored[lead_id]


@transaction.atomic
def record_scores(new: Sequence[NewScore], *, by: Actor, quietly: bool = False) -> dict[int, Score]:
    """Store judgements of one kind, at most one per lead, in a fixed number of statements.

    Returns lead id -> its current score of that kind. Leads that are gone are left out; rules and statistics
    that come to the same result again write nothing. Publishes LeadScored for each lead whose blend or model
    score is new, unless `quietly` (imports: neither events nor timeline).
    """
    new = list({one.lead_id: one for one in new}.values())
    # The order of locks everywhere: rows by id.
    leads = {
        lead.pk: lead
        for lead in Lead.objects.visible_to(by)
        .filter(pk__in=[one.lead_id for one in new])
        .order_by("pk")
        .select_for_update(of=("self",), no_key=True)
    }
    current = _current_scores(leads)
    kept = {
        one.lead_id: current[one.lead_id][one.kind] for one in new if _is_unchanged(one, current[one.lead_id])
    }
    rows = {one.lead_id: _score(one) for one in new if one.lead_id in leads and one.lead_id not in kept}
    blends = {
        lead_id: blend
        for lead_id, row in rows.items()
        if (blend := _new_blend({**current[lead_id], row.kind: row}, lead_id))
    }
    retired = [current[row.lead_id].get(row.kind) for row in (*rows.values(), *blends.values())]
    Score.objects.filter(pk__in=[old.pk for old in retired if old]).update(is_current=False)
    Score.objects.bulk_create([*rows.values(), *blends.values()])
    ScoreFactor.objects.bulk_create(
        [factor for one in new if one.lead_id in rows for factor in _factors(one, rows[one.lead_id])]
    )
    previous = {lead_id: leads[lead_id].score for lead_id in rows}
    for lead_id, blend in blends.items():
        leads[lead_id].score, leads[lead_id].score_source = blend.value, blend.blended_from
    _show([leads[lead_id] for lead_id in blends])
    if not quietly:
        _tell(
            [
                leads[lead_id]
                for lead_id in rows
                if lead_id in blends or rows[lead_id].kind == ScoreKind.MODEL
            ],
            rows,
            previous,
            by,
        )
    return kept | rows


@transaction.atomic
def retire_scores(lead_ids: Collection[int], *, kind: ScoreKind) -> int:
    """End the current scores of this kind, and let these leads show what else is said of them. A fixed number
    of statements; nothing is published. Returns how many ended.

    A score that a person set stays. A lead that nothing else judged has no score then.
    """
    leads = Lead.objects.filter(pk__in=lead_ids).order_by("pk").select_for_update(of=("self",), no_key=True)
    leads_by_id = {lead.pk: lead for lead in leads}
    retired, blends, shown = [], [], []
    for lead_id, scores in _current_scores(leads_by_id).items():
        if kind not in scores:
            continue
        retired.append(scores.pop(kind).pk)
        blend = scores.get(ScoreKind.BLEND)
        if blend is None or blend.blended_from != kind:
            continue
        retired.append(scores.pop(ScoreKind.BLEND).pk)
        lead, new = leads_by_id[lead_id], _new_blend(scores, lead_id) if scores else None
        lead.score, lead.score_source = (new.value, new.blended_from) if new else (None, "")
        shown.append(lead)
        blends += [new] if new else []
    Score.objects.filter(pk__in=retired).update(is_current=False)
    Score.objects.bulk_create(blends)
    _show(shown)
    return len(retired) - len(shown)


def blend_again(lead: Lead, *, override: ScoreOverride | None = None) -> Score | None:
    """Show a person's score of a locked lead, or without one what the current judgements say. Publishes
    LeadScored.

    Returns the judgement that was shown before. A lead that nothing judged has no score then.
    """
    scores = _current_scores([lead.pk])[lead.pk]
    old = scores.pop(ScoreKind.BLEND, None)
    if old:
        Score.objects.filter(pk=old.pk).update(is_current=False)
    blend = _set_by_person(override) if override else _new_blend(scores, lead.pk) if scores else None
    if blend:
        blend.save()
    previous = lead.score
    lead.score, lead.score_source = (blend.value, blend.blended_from) if blend else (None, "")
    _show([lead])
    events.publish(events.LeadScored(lead.pk, lead.score or 0, lead.score_source, previous))
    return old


def _set_by_person(override: ScoreOverride) -> Score:
    assert override.value is not None
    return Score(
        lead_id=override.lead_id,
        kind=ScoreKind.BLEND,
        value=override.value,
        band=band_of(override.value),
        blended_from=ScoreSource.OVERRIDE,
        version=str(override.public_id),
    )


def score_by_rules(lead_id: int, *, by: Actor = RULES_ACTOR) -> Score:
    """Score one lead by the rules, now. Raises Lead.DoesNotExist. Publishes LeadScored if the blend
    changes.
    """
    scores = score_by_rules_batch([lead_id], by=by, quietly=False)
    if lead_id not in scores:
        raise Lead.DoesNotExist
    return scores[lead_id]


@transaction.atomic
def score_by_rules_batch(
    lead_ids: Iterable[int], *, by: Actor = RULES_ACTOR, quietly: bool = True
) -> dict[int, Score]:
    """Score many leads by the rules in a fixed number of statements; at most 1,000 at once keep it under a
    second.
    """
    at = clock.now()
    new = []
    for evidence in evidence_of(list(lead_ids)):
        value, factors = score_rules.judge(evidence, at=at)
        new.append(
            NewScore(
                evidence.lead.pk,
                ScoreKind.RULES,
                value,
                factors,
                base=score_rules.BASE,
                version=score_rules.VERSION,
            )
        )
    return record_scores(new, by=by, quietly=quietly)


@events.on(events.LeadFactsChanged)
def score_changed_lead(event: events.LeadFactsChanged) -> None:
    """What is known has changed: the rules look again, in the same transaction."""
    score_by_rules_batch([event.lead_id], quietly=False)


# --- storing
# -------------------------------------------------------------------------------------------------
def _current_scores(leads: Collection[int]) -> dict[int, dict[str, Score]]:
    found: dict[int, dict[str, Score]] = defaultdict(dict)
    for score in Score.objects.filter(lead__in=leads, is_current=True).prefetch_related("factors"):
        found[score.lead_id][score.kind] = score
    return found


def _is_unchanged(new: NewScore, current: Mapping[str, Score]) -> bool:
    old = current.get(new.kind)
    if new.kind == ScoreKind.MODEL or old is None:
        return False
    told = [(factor.label, factor.points, factor.quote) for factor in old.factors.all()]
    # A new fit that says the very same of a lead is no news of it: 100,000 rows a night would be.
    same_version = new.kind == ScoreKind.STATISTICS or old.version == new.version
    return (
        same_version
        and (old.value, old.base) == (new.value, new.base)
        and told == [(factor.label, factor.points, factor.quote) for factor in new.factors]
    )


def _score(new: NewScore) -> Score:
    return Score(
        lead_id=new.lead_id,
        kind=new.kind,
        value=new.value,
        band=band_of(new.value),
        base=new.base,
        task_id=new.task_id,
        provider=new.provider,
        model=new.model,
        version=new.version,
        probability=new.probability,
        summary=new.summary,
        recommended_action=new.recommended_action,
        timeline=new.timeline,
        risks=list(new.risks),
        missing=list(new.missing),
        would_change=list(new.would_change),
        dropped_factors=new.dropped_factors,
    )


def _factors(new: NewScore, score: Score) -> Iterable[ScoreFactor]:
    for position, factor in enumerate(new.factors):
        yield ScoreFactor(
            score=score,
            position=position,
            points=factor.points,
            label=factor.label,
            quote=factor.quote,
            source_kind=factor.source_kind,
            source_id=factor.source_id,
            field=factor.field,
            start=factor.place.start if factor.place else None,
            end=factor.place.end if factor.place else None,
            verified=factor.place is not None,
        )


def _show(leads: Sequence[Lead]) -> None:
    """Write the blend into the leads' rows. One statement; bulk_update takes far longer to build its own."""
    if not leads:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_lead SET score = new.score, score_source = new.source "
            "FROM unnest(%s::bigint[], %s::int[], %s::text[]) AS new (id, score, source) "
            "WHERE crm_lead.id = new.id",
            [
                [lead.pk for lead in leads],
                [lead.score for lead in leads],
                [lead.score_source for lead in leads],
            ],
        )


def _new_blend(scores: Mapping[str, Score], lead_id: int) -> Score | None:
    """The blend of these current scores, or None when the present one says the same, or a person set it."""
    chosen = next(scores[kind] for kind in BLEND_ORDER if kind in scores)
    old = scores.get(ScoreKind.BLEND)
    if old and old.blended_from == ScoreSource.OVERRIDE:
        return None  # until it is lifted
    same = old and (old.value, old.blended_from, old.provider) == (chosen.value, chosen.kind, chosen.provider)
    if same:
        return None
    return Score(
        lead_id=lead_id,
        kind=ScoreKind.BLEND,
        value=chosen.value,
        band=chosen.band,
        blended_from=chosen.kind,
        provider=chosen.provider,
        model=chosen.model,
        version=chosen.version,
        probability=chosen.probability,
    )


def _tell(
    leads: Sequence[Lead], rows: Mapping[int, Score], previous: Mapping[int, int | None], by: Actor
) -> None:
    """Write the lines that people read and publish LeadScored."""
    TimelineEvent.objects.bulk_create(
        TimelineEvent(
            lead=lead,
            kind="lead.scored",
            actor_kind=by.kind,
            actor=by.user,
            actor_label=by.label[:120],
            summary=_sentence(previous[lead.pk], lead, rows[lead.pk]),
            data={
                "score": lead.score,
                "previous": previous[lead.pk],
                "source": lead.score_source,
                "provider": rows[lead.pk].provider,
            },
        )
        for lead in leads
    )
    events.publish_all(
        [events.LeadScored(lead.pk, lead.score or 0, lead.score_source, previous[lead.pk]) for lead in leads]
    )


def _sentence(before: int | None, lead: Lead, judged: Score) -> str:
    now = lead.score
    if lead.score_source == ScoreSource.OVERRIDE:
        return _("Judged %(new)s; %(score)s, set by a person, stays") % {"new": judged.value, "score": now}
    if before is None:
        return _("Scored %(score)s") % {"score": now}
    if before == now:
        return _("Score confirmed at %(score)s") % {"score": now}
    text = (
        _("Score raised from %(old)s to %(new)s")
        if before < (now or 0)
        else _("Score lowered from %(old)s to %(new)s")
    )
    return text % {"old": before, "new": now}
