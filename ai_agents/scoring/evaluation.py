"""How well the statistical score does on leads that it was not fitted on."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from ai_agents.scoring.facts import Facts, Feature
from ai_agents.scoring.fitted import FittedFeature, FittedModel
from ai_agents.scoring.folds import stratified_folds
from ai_agents.scoring.measures import Bin, Measures, auc, measure, quantiles, reliability

BANDS = (0.495, 0.745)  # cool, warm, hot: the score is rounded to points of 100
TELLS_TOO_MUCH = 0.9  # AUC of one feature alone


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`chances` are those of the first seed, each given by a fit that had not seen the lead."""

    measures: Measures  # mean over the seeds
    chances: list[float]
    by_tenth: list[Bin]
    by_band: list[Bin]


def cross_validated(
    features: Sequence[Feature],
    facts: Sequence[Facts],
    outcomes: Sequence[int],
    *,
    folds: int,
    seeds: Sequence[int],
) -> Evaluation:
    """Fit on all folds but one, judge that one, in turn. Raises NotFitted when one outcome is missing."""
    runs = [_held_out(features, facts, outcomes, folds=folds, seed=seed) for seed in seeds]
    return graded(outcomes, runs)


def graded(outcomes: Sequence[int], runs: Sequence[list[float]]) -> Evaluation:
    """The mean measures of several lists of chances, and the tables of the first."""
    measured = [astuple(measure(outcomes, chances)) for chances in runs]
    means = [sum(values) / len(runs) for values in zip(*measured, strict=True)]
    named = dict(zip((one.name for one in fields(Measures)), means, strict=True))
    first = runs[0]
    return Evaluation(
        Measures(**named | {"count": len(outcomes)}),  # type: ignore[arg-type]
        first,
        reliability(outcomes, first, quantiles(first, 10)[1:-1]),
        reliability(outcomes, first, BANDS),
    )


def _held_out(
    features: Sequence[Feature],
    facts: Sequence[Facts],
    outcomes: Sequence[int],
    *,
    folds: int,
    seed: int,
) -> list[float]:
    fold_of = stratified_folds(outcomes, folds=folds, seed=seed)
    chances = [0.0] * len(outcomes)
    for fold in range(folds):
        known = [place for place, other in enumerate(fold_of) if other != fold]
        fitted = FittedModel.fit(features, [facts[one] for one in known], [outcomes[one] for one in known])
        for place, other in enumerate(fold_of):
            if other == fold:
                chances[place] = fitted.chance(facts[place])
    return chances


def strongest(
    features: Sequence[Feature], facts: Sequence[Facts], outcomes: Sequence[int]
) -> list[tuple[str, float]]:
    """(label, AUC of this feature alone), the strongest first: what tells nearly everything was often
    filled in when the outcome was known already.
    """
    rate, found = sum(outcomes) / len(outcomes), []
    for feature in features:
        values = [feature.read(one) for one in facts]
        fitted = FittedFeature.learn(feature, values)
        if len(fitted.all_levels) < 2:
            continue
        sums = {id(level): [rate, 1.0] for level in fitted.all_levels}
        levels = [fitted.level(value) for value in values]
        for level, outcome in zip(levels, outcomes, strict=True):
            sums[id(level)][0] += outcome
            sums[id(level)][1] += 1
        shares = [sums[id(level)][0] / sums[id(level)][1] for level in levels]
        found.append((fitted.label, auc(outcomes, shares)))
    return sorted(found, key=lambda one: -one[1])
