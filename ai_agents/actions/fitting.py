"""Fits of the statistical score on the CRM's own outcomes: when there is history enough, kept only if better.

A fifth of the leads, always the same ones, is held out of every fit; on them the new fit is compared with the
present one and with saying the base rate to everybody. Each fit is a row of ScoringModel, and its note says
why it is, or is not, active.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from ai_agents.actions.lead_facts import facts_of, features_now
from ai_agents.actions.statistics import active_model
from ai_agents.models import ScoringModel
from ai_agents.scoring.facts import Facts, Feature
from ai_agents.scoring.fitted import FittedModel
from ai_agents.scoring.logistic import NotFitted
from ai_agents.scoring.measures import brier, measure
from crm import events
from crm.actions.audit import audit
from crm.errors import TransitionRefused
from crm.models import Actor, ActorKind, Lead, Outcome
from crm.permissions import Verb, require
from crm.ports import StatisticsStatus

HORIZON = timedelta(days=90)  # an outcome later than this after the arrival is none of a promising lead
ENOUGH, ENOUGH_OF_EACH = 100, 10
MOST_LEADS = 50_000  # the newest
READ_AT_ONCE = 2_000
ONE_IN = 5  # is held out
KEPT_FITS = 60
SAMPLE_SOURCES = "demo-"  # leads of seed_demo teach nothing


@dataclass(frozen=True, slots=True)
class History:
    """Leads whose outcome is known, counted to ENOUGH unless `is_whole`."""

    won: int
    lost: int

    @property
    def count(self) -> int:
        return self.won + self.lost

    @property
    def lacks(self) -> str:
        """What is missing for a fit, as a sentence; "" when there is enough."""
        if self.count < ENOUGH:
            return _("Not enough history: %(n)d of %(enough)d outcomes.") % {
                "n": self.count,
                "enough": ENOUGH,
            }
        if min(self.won, self.lost) < ENOUGH_OF_EACH:
            return _("Not enough history: %(won)d won and %(lost)d lost, %(each)d of each are needed.") % {
                "won": self.won,
                "lost": self.lost,
                "each": ENOUGH_OF_EACH,
            }
        return ""


def history() -> History:
    """How much there is to learn from, counted among the newest 1,000 outcomes. One query."""
    found = list(_known().values_list("outcome", flat=True)[: 10 * ENOUGH])
    return History(found.count(Outcome.WON), found.count(Outcome.LOST))


def _known() -> Any:
    """Leads with an outcome within the horizon, the newest first."""
    known = Lead.objects.live().filter(outcome_at__lte=F("created_at") + HORIZON)
    known = known.exclude(source__code__startswith=SAMPLE_SOURCES)
    return known.order_by("-outcome_at", "-id")


@dataclass(slots=True)
class _Cases:
    """Leads with what is known of them and what came of them (1 won, 0 lost)."""

    facts: list[Facts]
    outcomes: list[int]

    @property
    def has_both(self) -> bool:
        return 0 < sum(self.outcomes) < len(self.outcomes)


def _cases() -> tuple[_Cases, _Cases]:
    """(to fit on, held out). Read in pieces, outside of any transaction."""
    rows = list(_known().values_list("pk", "public_id", "outcome")[:MOST_LEADS])
    fitted, held = _Cases([], []), _Cases([], [])
    for at in range(0, len(rows), READ_AT_ONCE):
        piece = rows[at : at + READ_AT_ONCE]
        facts = facts_of([pk for pk, _public_id, _outcome in piece])
        for pk, public_id, outcome in piece:
            if pk in facts:
                cases = held if is_held_out(public_id) else fitted
                cases.facts.append(facts[pk])
                cases.outcomes.append(int(outcome == Outcome.WON))
    return fitted, held


def is_held_out(public_id: UUID) -> bool:
    """Whether this lead is never fitted on. The same for every fit, so that comparing two is fair to both."""
    return public_id.int % ONE_IN == 0


def refit(*, by: Actor | None = None) -> str:
    """Fit on the outcomes there are; let the fit be active if it is better on held-out leads than the present
    one and than the base rate. Returns what was decided, as a sentence.

    Takes seconds; not for a transaction. Publishes ScoringModelChanged when another fit is active.
    """
    if lacks := history().lacks:
        return lacks
    if not _is_new_since(present := active_model()):
        return _("No outcome is new since the last fit.")
    cases, held = _cases()
    if not (cases.has_both and held.has_both):
        return _("Not enough history: the leads that are held out all ended the same way.")
    features = features_now()
    try:
        fitted = FittedModel.fit(features, cases.facts, cases.outcomes)
    except NotFitted as error:
        return str(error)
    row = _judged(fitted, features, cases, held, present)
    _keep(row, present, by or Actor.system("refit"))
    return row.note


def _is_new_since(present: ScoringModel | None) -> bool:
    last = ScoringModel.objects.order_by("-fitted_at").first()
    newest = _known().values_list("outcome_at", flat=True).first()
    return last is None or newest is None or last.metrics.get("newest_outcome") != newest.isoformat()


def _judged(
    fitted: FittedModel,
    features: Sequence[Feature],
    cases: _Cases,
    held: _Cases,
    present: ScoringModel | None,
) -> ScoringModel:
    """The fit as a row that is not stored yet, with its grade and what follows from it."""
    grade = measure(held.outcomes, [fitted.chance(one) for one in held.facts])
    rate = sum(cases.outcomes) / len(cases.outcomes)
    base = brier(held.outcomes, [rate] * len(held.outcomes))
    newest = _known().values_list("outcome_at", flat=True).first()
    row = ScoringModel(
        rows=len(cases.outcomes),
        weights=fitted.as_json(),
        metrics={
            **grade.as_json(),
            "base_brier": round(base, 6),
            "newest_outcome": newest.isoformat() if newest else "",
        },
    )
    before = None
    if present:
        old = FittedModel.of_json(present.weights, features)
        before = brier(held.outcomes, [old.chance(one) for one in held.facts])
        row.metrics["present_brier"] = round(before, 6)
    row.is_active, row.note = _decision(grade.brier, base, before, len(held.outcomes), present)
    return row


def _decision(
    new: float, base: float, before: float | None, held: int, present: ScoringModel | None
) -> tuple[bool, str]:
    figures = _("Brier %(new).4f on %(held)d held-out leads, base rate %(base).4f") % {
        "new": new,
        "held": held,
        "base": base,
    }
    if before is not None:
        figures += _(", present fit %.4f") % before
    if new >= base:
        return False, _("Refused, no better than the base rate: %s.") % figures
    if before is not None and new >= before:
        return False, _("Refused, no better than the present fit: %s.") % figures
    if present and present.is_pinned:
        return False, _("Not taken, a person chose the present fit: %s.") % figures
    return True, _("Active: %s.") % figures


@transaction.atomic
def _keep(row: ScoringModel, present: ScoringModel | None, by: Actor) -> None:
    """Store the row; when it is to be active, let it take the present one's place, if that is still there."""
    now = ScoringModel.objects.select_for_update().filter(is_active=True).first()
    if row.is_active and (now and now.pk) != (present and present.pk):
        row.is_active, row.note = False, _("Not taken: another fit became active meanwhile.")
    if row.is_active and now:
        _rest(now, _("Replaced by a better fit on %s.") % f"{row.fitted_at:%Y-%m-%d}")
    row.save()
    old = ScoringModel.objects.filter(is_active=False).order_by("-fitted_at")[KEPT_FITS:]
    ScoringModel.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
    if row.is_active:
        audit("scoringmodel.active", row.note, by=by, target=row)
        events.publish(events.ScoringModelChanged(row.pk))


def _rest(model: ScoringModel, note: str) -> None:
    model.is_active, model.is_pinned, model.note = False, False, note[:200]
    model.save(update_fields=["is_active", "is_pinned", "note"])


@transaction.atomic
def use_model(public_id: UUID, *, by: Actor) -> ScoringModel:
    """Let an earlier fit be active again; no refit takes its place until `release_model`.

    Raises PermissionRefused, ScoringModel.DoesNotExist, TransitionRefused for one that has no weights.
    Publishes ScoringModelChanged.
    """
    _require_set_up(by)
    present = ScoringModel.objects.select_for_update().filter(is_active=True).first()
    chosen = ScoringModel.objects.select_for_update().get(public_id=public_id)
    if not chosen.weights:
        raise TransitionRefused(_("This fit has no weights."))
    if present and present.pk != chosen.pk:
        _rest(present, _("%(name)s went back to the fit of %(date)s.") % _who_and(by, chosen))
    chosen.note = (_("%(name)s chose this fit of %(date)s; no refit replaces it.") % _who_and(by, chosen))[
        :200
    ]
    chosen.is_active = chosen.is_pinned = True
    chosen.scored_to, chosen.scored_at = 0, None
    chosen.save(update_fields=["is_active", "is_pinned", "note", "scored_to", "scored_at"])
    audit("scoringmodel.chosen", chosen.note, by=by, target=chosen)
    events.publish(events.ScoringModelChanged(chosen.pk))
    return chosen


@transaction.atomic
def release_model(*, by: Actor) -> ScoringModel:
    """Let the next refit replace the active fit again, if it is better.

    Raises PermissionRefused, TransitionRefused when none is active.
    """
    _require_set_up(by)
    model = _active_or_refused()
    model.is_pinned = False
    model.note = (_("%(name)s let refits replace it again.") % _who_and(by, model))[:200]
    model.save(update_fields=["is_pinned", "note"])
    audit("scoringmodel.released", model.note, by=by, target=model)
    return model


@transaction.atomic
def stop_statistics(*, by: Actor) -> ScoringModel:
    """Let no fit be active: leads show again what a model or the rules say, until a refit with new outcomes
    does better than the base rate.

    Raises PermissionRefused, TransitionRefused when none is active. Publishes ScoringModelChanged.
    """
    _require_set_up(by)
    model = _active_or_refused()
    _rest(model, _("%(name)s took this fit out of use.") % _who_and(by, model))
    audit("scoringmodel.stopped", model.note, by=by, target=model)
    events.publish(events.ScoringModelChanged(None))
    return model


def _require_set_up(by: Actor) -> None:
    if by.kind != ActorKind.SYSTEM:  # whoever holds the machine and its commands is trusted
        require(by, Verb.SET_UP)


def _active_or_refused() -> ScoringModel:
    model = ScoringModel.objects.select_for_update().filter(is_active=True).first()
    if model is None:
        raise TransitionRefused(_("No fit is active."))
    return model


def _who_and(by: Actor, model: ScoringModel) -> dict[str, str]:
    return {"name": by.user.name if by.user else by.label, "date": f"{model.fitted_at:%Y-%m-%d}"}


def statistics_status() -> StatisticsStatus:
    """What statistics say at present: which fit is asked, or what is missing. At most two queries."""
    model = active_model()
    if model is None:
        lacks = history().lacks
        return StatisticsStatus(False, lacks or _("There is history enough; the next refit decides."))
    sentence = _("Learned from %(n)s outcomes, fitted on %(date)s.") % {
        "n": f"{model.rows:,}",
        "date": f"{model.fitted_at:%Y-%m-%d}",
    }
    return StatisticsStatus(True, sentence)
