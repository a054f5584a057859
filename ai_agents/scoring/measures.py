"""How good probabilities are, against what came: AUC, Brier score, expected calibration error.

`outcomes` are 0 or 1, `chances` the probabilities that were given, in the same order.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Bin:
    """Leads whose chance lay between two bounds: how many, what was said on average, what came."""

    low: float
    high: float
    count: int
    said: float  # average chance
    won: int

    @property
    def share(self) -> float:
        return self.won / self.count if self.count else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.won, self.count)

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval
        return asdict(self) | {"share": self.share, "share_low": low, "share_high": high}


@dataclass(frozen=True, slots=True)
class Measures:
    """`auc`: how often a won lead ranks above another one; 0.5 is chance. `brier`: mean squared error, beside
    the one of saying the base rate to everybody. `ece`: how far what was said is from what came, on average.
    """

    count: int
    base_rate: float
    auc: float
    brier: float
    base_brier: float
    ece: float

    def as_json(self) -> dict[str, float]:
        return {name: round(value, 6) for name, value in asdict(self).items()}


def measure(outcomes: Sequence[int], chances: Sequence[float]) -> Measures:
    """All of them. Both outcomes must occur (ValueError)."""
    rate = sum(outcomes) / len(outcomes)
    return Measures(
        count=len(outcomes),
        base_rate=rate,
        auc=auc(outcomes, chances),
        brier=brier(outcomes, chances),
        base_brier=brier(outcomes, [rate] * len(outcomes)),
        ece=ece(outcomes, chances),
    )


def auc(outcomes: Sequence[int], chances: Sequence[float]) -> float:
    """Area under the ROC curve by ranks, ties counted half. Raises ValueError when one outcome is missing."""
    won = sum(outcomes)
    if not 0 < won < len(outcomes):
        raise ValueError("AUC needs leads that were won and leads that were not.")
    order = sorted(range(len(chances)), key=chances.__getitem__)
    ranks, at = 0.0, 0
    while at < len(order):
        end = at
        while end < len(order) and chances[order[end]] == chances[order[at]]:
            end += 1
        ranks += (at + 1 + end) / 2 * sum(outcomes[place] for place in order[at:end])
        at = end
    return (ranks - won * (won + 1) / 2) / (won * (len(outcomes) - won))


def brier(outcomes: Sequence[int], chances: Sequence[float]) -> float:
    pairs = zip(outcomes, chances, strict=True)
    return sum((chance - outcome) ** 2 for outcome, chance in pairs) / len(outcomes)


def ece(outcomes: Sequence[int], chances: Sequence[float], *, bins: int = 10) -> float:
    """Expected calibration error over bins of equally many leads."""
    found = reliability(outcomes, chances, quantiles(chances, bins)[1:-1])
    return sum(abs(one.share - one.said) * one.count for one in found) / len(outcomes)


def reliability(
    outcomes: Sequence[int], chances: Sequence[float], inner_bounds: Sequence[float]
) -> list[Bin]:
    """What was said beside what came, for each interval between the bounds that holds leads."""
    sums = [[0, 0.0, 0] for _bin in range(len(inner_bounds) + 1)]
    for outcome, chance in zip(outcomes, chances, strict=True):
        one = sums[bisect_right(inner_bounds, chance)]
        one[0] += 1
        one[1] += chance
        one[2] += outcome
    bounds = [0.0, *inner_bounds, 1.0]
    return [
        Bin(bounds[place], bounds[place + 1], int(count), said / count, int(won))
        for place, (count, said, won) in enumerate(sums)
        if count
    ]


def quantiles(values: Sequence[float], parts: int) -> list[float]:
    """The parts + 1 values that cut the sorted ones into equal parts, between neighbours where need be."""
    ordered = sorted(values)
    found = []
    for part in range(parts + 1):
        place = part / parts * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
    return found


def wilson(won: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927): honest for few leads and near 0 and 1."""
    if not count:
        return 0.0, 1.0
    share, spread = won / count, Z95 * Z95 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)
