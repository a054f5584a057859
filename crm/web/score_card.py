"""Why a lead has its score, as the Today preview and the lead page show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from django.utils.translation import gettext as _

from crm import clock
from crm.actions.overrides import override_of
from crm.actions.scores import BLEND_ORDER
from crm.models import FactorSource, Lead, Score, ScoreKind, ScoreOverride
from crm.web import words


@dataclass(frozen=True, slots=True)
class Reason:
    """One factor. `points` is None when a model judged: its reasons do not add up to the number."""

    label: str
    points: int | None
    share: int  # 0 to 100, length of the bar
    is_negative: bool
    quote: str
    source: str


@dataclass(frozen=True, slots=True)
class ScoreCard:
    value: int | None
    title: str  # the band in a word
    summary: str
    origin: str  # "Rules", "Estimate", "Sample"
    is_machine: bool
    note: str
    base: int | None
    reasons: list[Reason]
    risks: list[str]
    missing: list[str]
    would_change: list[str] = field(default_factory=list)
    advice: str = ""  # what to do and how soon, as a model sees it
    override: "OverrideNote | None" = None
    base_label: str = ""


@dataclass(frozen=True, slots=True)
class OverrideNote:
    """A person's score: whose, why, until when, and what the machine says instead."""

    by: str
    reason: str
    until: str  # "" while it stays until it is lifted
    instead: str


def score_card(lead: Lead) -> ScoreCard:
    """Two queries, four when a person set the score. The reasons are those of the score that the blend was
    taken from; of the machine's, when a person set it.
    """
    if lead.score is None:
        return ScoreCard(None, _("Not scored yet"), "", "", False, "", None, [], [], [])
    scores = {score.kind: score for score in Score.objects.filter(lead=lead, is_current=True)}
    if override := override_of(lead):
        return _overridden(lead, override, scores)
    return _judged(lead, scores.get(lead.score_source) or scores.get(ScoreKind.BLEND))


def _overridden(lead: Lead, override: ScoreOverride, scores: Mapping[str, Score]) -> ScoreCard:
    machine = next((scores[kind] for kind in BLEND_ORDER if kind in scores), None)
    instead = ""
    if machine:
        instead = _("%(origin)s: %(value)d") % {"origin": _origin(machine), "value": machine.value}
    note = OverrideNote(
        by=str(override.user),
        reason=override.reason,
        until=words.day_and_time(override.until, clock.now()),
        instead=instead,
    )
    return replace(
        _judged(lead, machine), origin=_("Set by a person"), is_machine=False, note="", override=note
    )


def _judged(lead: Lead, shown: Score | None) -> ScoreCard:
    if shown is None:
        return ScoreCard(lead.score, _title(lead.band), "", "", False, "", None, [], [], [])
    factors = list(shown.factors.all())
    adds_up = shown.kind != ScoreKind.MODEL and shown.base + sum(f.points for f in factors) == shown.value
    most = max((abs(f.points) for f in factors), default=0) or 1
    reasons = [
        Reason(
            label=factor.label,
            points=factor.points if adds_up else None,
            share=round(100 * abs(factor.points) / most),
            is_negative=factor.points < 0,
            quote=factor.quote,
            source=str(FactorSource(factor.source_kind).label) if factor.source_kind else "",
        )
        for factor in factors
    ]
    return ScoreCard(
        value=lead.score,
        title=_title(lead.band),
        summary=shown.summary,
        origin=_origin(shown),
        is_machine=shown.kind == ScoreKind.MODEL,
        note=_note(shown),
        base=shown.base if adds_up else None,
        base_label=_base_label(shown),
        reasons=reasons,
        risks=[str(risk) for risk in shown.risks][:5],
        missing=[str(missing) for missing in shown.missing][:5],
        would_change=[str(line) for line in shown.would_change][:4],
        advice=_advice(shown),
    )


def _advice(score: Score) -> str:
    """E.g. "Call, today"; empty for words that are not of our list."""
    actions = {
        "call": _("Call"),
        "email": _("Write an e-mail"),
        "meeting": _("Propose a meeting"),
        "nurture": _("Let it rest"),
        "disqualify": _("Disqualify"),
    }
    times = {
        "today": _("today"),
        "this_week": _("this week"),
        "this_month": _("this month"),
        "later": _("later"),
    }
    action, time = actions.get(score.recommended_action), times.get(score.timeline)
    return f"{action}, {time}" if action and time else ""


def _title(band: str) -> str:
    return {"hot": _("Hot"), "warm": _("Warm"), "cool": _("Cool")}[band]


def _origin(score: Score) -> str:
    if score.is_sample:
        return _("Sample")
    words = {ScoreKind.RULES.value: _("Rules"), ScoreKind.STATISTICS.value: _("Statistics")}
    return words.get(score.kind, _("Estimate"))


def _note(score: Score) -> str:
    if score.kind == ScoreKind.MODEL:
        model = score.model.rsplit("/", 1)[-1]
        return _("LeadAnalysisAgent · %(model)s") % {"model": model} if model else "LeadAnalysisAgent"
    if score.kind == ScoreKind.STATISTICS:
        return _("Learned from your own outcomes (%s)") % score.version
    return _("Counted by rules, no model asked") if score.kind == ScoreKind.RULES else ""


def _base_label(score: Score) -> str:
    if score.kind == ScoreKind.STATISTICS:
        return _("An average lead stands at")
    return _("Every lead starts at")
