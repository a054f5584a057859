"""Logistic regression with an L2 penalty, fitted by iteratively reweighted least squares. Plain Python.

A row is the sorted tuple of the columns that are 1 in it; column 0 is the intercept, in every row, and not
penalised. Rows that are alike are counted once, so the cost grows with the different rows:
rows x columns-per-row squared for the normal equations, columns cubed / 6 for solving them, each step.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul

Row = tuple[int, ...]
MOST_STEPS = 40
CLOSE_ENOUGH = 1e-6  # largest change of a weight
_MOST_LOGIT = 35.0


class NotFitted(ValueError):
    """These rows have no finite best weights."""


def sigmoid(logit: float) -> float:
    """The probability of a logit; never exactly 0 or 1."""
    logit = max(-_MOST_LOGIT, min(_MOST_LOGIT, logit))
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def fit(
    rows: Sequence[Row],
    outcomes: Sequence[int],
    *,
    columns: int,
    penalty: float,
    neighbours: Sequence[tuple[int, int]] = (),
    tie: float = 0.0,
) -> list[float]:
    """The weights, intercept first, that minimise the log loss + penalty / 2 x the sum of their squares
    + tie / 2 x the sum of the squared differences of neighbours (bins of one number, next to each other).

    `outcomes` are 0 or 1, both must occur. Raises NotFitted when they do not, and when the penalty is 0 and a
    column tells them apart.
    """
    won = sum(outcomes)
    if not 0 < won < len(outcomes):
        raise NotFitted("There must be leads that were won and leads that were not.")
    counted, held = _counted(rows, outcomes), _Held(penalty, neighbours, tie)
    weights = [0.0] * columns
    weights[0] = math.log(won / (len(outcomes) - won))
    loss = _loss(counted, weights, held)
    for _step in range(MOST_STEPS):
        step = _newton_step(counted, weights, held)
        size, before = 1.0, loss
        while True:  # a full step nearly always helps; half of it when not
            tried = [weight + size * change for weight, change in zip(weights, step, strict=True)]
            loss = _loss(counted, tried, held)
            if loss <= before + 1e-9 or size < 1e-4:
                break
            size /= 2
        weights = tried
        if max(map(abs, step)) * size < CLOSE_ENOUGH:
            return weights
    raise NotFitted("The weights did not settle: some column tells all won leads from the others.")


@dataclass(frozen=True, slots=True)
class _Held:
    """What holds the weights back."""

    penalty: float
    neighbours: Sequence[tuple[int, int]]
    tie: float

    def loss(self, weights: Sequence[float]) -> float:
        apart = sum((weights[one] - weights[other]) ** 2 for one, other in self.neighbours)
        return self.penalty / 2 * sum(weight * weight for weight in weights[1:]) + self.tie / 2 * apart

    def add_to(self, curvature: list[list[float]], slope: list[float], weights: Sequence[float]) -> None:
        for column in range(1, len(weights)):
            curvature[column][column] += self.penalty
            slope[column] -= self.penalty * weights[column]
        for one, other in self.neighbours:
            for column, beside in ((one, other), (other, one)):
                curvature[column][column] += self.tie
                slope[column] -= self.tie * (weights[column] - weights[beside])
            curvature[max(one, other)][min(one, other)] -= self.tie


_Counted = list[tuple[Row, int, int]]


def _counted(rows: Iterable[Row], outcomes: Iterable[int]) -> _Counted:
    """(row, how often, of these won), each different row once."""
    all_, won = Counter[Row](), Counter[Row]()
    for row, outcome in zip(rows, outcomes, strict=True):
        all_[row] += 1
        won[row] += outcome
    return [(row, number, won[row]) for row, number in all_.items()]


def _loss(counted: _Counted, weights: Sequence[float], held: _Held) -> float:
    total = held.loss(weights)
    for row, number, won in counted:
        logit = sum([weights[column] for column in row])
        # log(1 + e^logit) - share won x logit, without overflow
        total += number * (max(logit, 0.0) + math.log1p(math.exp(-abs(logit)))) - won * logit
    return total


def _newton_step(counted: _Counted, weights: Sequence[float], held: _Held) -> list[float]:
    size = len(weights)
    curvature = [[0.0] * (line + 1) for line in range(size)]  # the lower half
    slope = [0.0] * size
    for row, number, won in counted:
        probability = sigmoid(sum([weights[column] for column in row]))
        pull = won - number * probability
        weight = number * probability * (1 - probability)
        for place, column in enumerate(row, start=1):
            slope[column] += pull
            line = curvature[column]
            for other in row[:place]:
                line[other] += weight
    held.add_to(curvature, slope, weights)
    return _solve(curvature, slope)


def _dot(left: Iterable[float], right: Iterable[float]) -> float:
    return sum(map(mul, left, right))


def _solve(lower: list[list[float]], right: list[float]) -> list[float]:
    """x of A x = right by Cholesky, A symmetric and given by its lower half."""
    done: list[list[float]] = []
    for line in lower:
        new: list[float] = []
        for column, known in enumerate(done):
            new.append((line[column] - _dot(new, known[:-1])) / known[-1])
        rest = line[-1] - _dot(new, new)
        if rest <= 1e-12:
            raise NotFitted("Two columns say the same; fit with a penalty.")
        new.append(math.sqrt(rest))
        done.append(new)
    half: list[float] = []
    for line, value in zip(done, right, strict=True):
        half.append((value - _dot(line[:-1], half)) / line[-1])
    for place in range(len(half) - 1, -1, -1):
        half[place] /= done[place][-1]
        for other in range(place):
            half[other] -= done[place][other] * half[place]
    return half
