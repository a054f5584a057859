"""Scores: by rules at once, by a model when it answers; what the lead shows is their blend.

One current score per lead and kind: the lead's row is locked first, then the old one retires.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F, Window
from django.db.models.functions import Left, RowNumber
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions import score_rules
from crm.actions.score_rules import Evidence, NewFactor, Text
from crm.models import (
    Actor,
    ActorKind,
    ContactPoint,
    Direction,
    FactorSource,
    Inquiry,
    KeyKind,
    Lead,
    MatchKey,
    Message,
    Score,
    ScoreFactor,
    ScoreKind,
    ScoreOverride,
    ScoreSource,
    TimelineEvent,
    band_of,
)
from crm.plaintext import normalised

# The blend is the first of these that is current. A statistics score is only ever current while a model of
# it is active.
BLEND_ORDER = (ScoreKind.STATISTICS, ScoreKind.MODEL, ScoreKind.RULES)
NEWEST_TEXTS = 5  # inquiries and messages each that rules read
RAW_TEXT = 4_000  # characters of each
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

    Returns lead id -> its current score of that kind. Leads that are gone are left out; rules that come to
    the same
    result again write nothing. Publishes LeadScored for each lead whose blend or model score is new, unless
    `quietly` (imports: neither events nor timeline).
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
    for evidence in _evidence_of(list(lead_ids)):
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
    if new.kind != ScoreKind.RULES or old is None:
        return False
    told = [(factor.label, factor.points, factor.quote) for factor in old.factors.all()]
    return (old.value, old.version) == (new.value, new.version) and told == [
        (factor.label, factor.points, factor.quote) for factor in new.factors
    ]


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


# --- evidence
# ------------------------------------------------------------------------------------------------
def _evidence_of(lead_ids: Sequence[int]) -> Iterable[Evidence]:
    """What the rules look at, for many leads. Five queries."""
    leads = Lead.objects.live().filter(pk__in=lead_ids).select_related("source").in_bulk()
    points: dict[int, set[str]] = defaultdict(set)
    for lead_id, kind in ContactPoint.objects.filter(lead__in=leads).values_list("lead", "kind"):
        points[lead_id].add(kind)
    with_domain = set(
        MatchKey.objects.filter(lead__in=leads, kind=KeyKind.DOMAIN).values_list("lead", flat=True)
    )
    inquiries = _newest(Inquiry.objects.genuine().filter(lead__in=leads), "message", "received_at")
    messages = _newest(Message.objects.filter(lead__in=leads, direction=Direction.IN), "text", "occurred_at")
    for lead_id, lead in leads.items():
        asked, replied = inquiries.get(lead_id, []), messages.get(lead_id, [])
        texts = [(at, Text(FactorSource.INQUIRY, pk, normalised(text))) for pk, at, text in asked]
        texts += [(at, Text(FactorSource.MESSAGE, pk, normalised(text))) for pk, at, text in replied]
        texts.sort(key=lambda dated: dated[0], reverse=True)
        yield Evidence(
            lead=lead,
            reached_by=frozenset(points[lead_id]),
            has_company_mail=lead_id in with_domain,
            texts=[text for _at, text in texts if text.text],
            inquiries=len(asked),
            replies=len(replied),
            last_heard_at=max((at for at, _text in texts), default=lead.last_inbound_at),
        )


def _newest(rows: object, text: str, at: str) -> dict[int, list[tuple]]:
    """lead id -> its newest (id, time, text), newest first."""
    place = Window(RowNumber(), partition_by=F("lead_id"), order_by=(F(at).desc(), F("pk").desc()))
    ranked = rows.annotate(place=place).filter(place__lte=NEWEST_TEXTS).order_by("lead_id", "place")  # type: ignore[attr-defined]
    found: dict[int, list[tuple]] = defaultdict(list)
    for lead_id, *row in ranked.values_list("lead_id", "pk", at, Left(text, RAW_TEXT)):
        found[lead_id].append(tuple(row))
    return found
