"""Why a lead has its score, as the Today preview and the lead page show it."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from crm.models import FactorSource, Lead, Score, ScoreKind


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


def score_card(lead: Lead) -> ScoreCard:
    """Two queries. The reasons are those of the score that the blend was taken from."""
    if lead.score is None:
        return ScoreCard(None, _("Not scored yet"), "", "", False, "", None, [], [], [])
    scores = {score.kind: score for score in Score.objects.filter(lead=lead, is_current=True)}
    shown = scores.get(lead.score_source) or scores.get(ScoreKind.BLEND)
    if shown is None:
        return ScoreCard(lead.score, _title(lead.band), "", "", False, "", None, [], [], [])
    factors = list(shown.factors.all())
    adds_up = shown.kind == ScoreKind.RULES and shown.base + sum(f.points for f in factors) == shown.value
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
        reasons=reasons,
        risks=[str(risk) for risk in shown.risks][:5],
        missing=[str(missing) for missing in shown.missing][:5],
    )


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
    return _("Counted by rules, no model asked") if score.kind == ScoreKind.RULES else ""
