"""The fit finds the weights that are known, and says so when there are none."""

import math
import random

import pytest

from ai_agents.scoring.logistic import NotFitted, Row, fit, sigmoid


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def test_without_a_penalty_two_groups_get_the_logits_of_their_shares():
    rows: list[Row] = [(0,)] * 40 + [(0, 1)] * 50
    outcomes = [1] * 10 + [0] * 30 + [1] * 35 + [0] * 15
    intercept, weight = fit(rows, outcomes, columns=2, penalty=0)
    assert intercept == pytest.approx(logit(0.25), abs=1e-6)
    assert weight == pytest.approx(logit(0.7) - logit(0.25), abs=1e-6)


def test_with_a_penalty_the_slope_is_zero_at_the_weights():
    stream = random.Random(7)
    rows: list[Row] = [
        (0, *(column for column in range(1, 6) if stream.random() < 0.4)) for _row in range(300)
    ]
    outcomes = [int(stream.random() < sigmoid(-1 + 0.8 * (1 in row) - 0.5 * (4 in row))) for row in rows]
    weights = fit(rows, outcomes, columns=6, penalty=2.0, neighbours=[(2, 3), (3, 4)], tie=5.0)
    slope = [0.0] * 6
    for row, outcome in zip(rows, outcomes, strict=True):
        for column in row:
            slope[column] += outcome - sigmoid(sum(weights[other] for other in row))
    for column in range(1, 6):
        slope[column] -= 2.0 * weights[column]
    for one, other in ((2, 3), (3, 4)):
        slope[one] -= 5.0 * (weights[one] - weights[other])
        slope[other] -= 5.0 * (weights[other] - weights[one])
    assert slope == pytest.approx([0.0] * 6, abs=1e-4)


def test_known_weights_are_found_again_in_many_leads():
    stream, true = random.Random(3), [-1.2, 0.9, -0.7]
    rows: list[Row] = [(0, *(column for column in (1, 2) if stream.random() < 0.5)) for _row in range(20_000)]
    outcomes = [int(stream.random() < sigmoid(sum(true[column] for column in row))) for row in rows]
    assert fit(rows, outcomes, columns=3, penalty=3.0) == pytest.approx(true, abs=0.08)


def test_a_tie_brings_neighbours_together():
    rows: list[Row] = [(0, 1)] * 20 + [(0, 2)] * 20
    outcomes = [1] * 15 + [0] * 5 + [1] * 5 + [0] * 15
    loose = fit(rows, outcomes, columns=3, penalty=1.0)
    tied = fit(rows, outcomes, columns=3, penalty=1.0, neighbours=[(1, 2)], tie=50.0)
    assert loose[1] - loose[2] > 1.5
    assert 0 < tied[1] - tied[2] < 0.3


def test_one_outcome_only_is_not_fitted():
    with pytest.raises(NotFitted):
        fit([(0,)] * 5, [1] * 5, columns=1, penalty=1.0)


def test_two_columns_that_say_the_same_are_not_fitted_without_a_penalty():
    rows: list[Row] = [(0, 1, 2)] * 10 + [(0,)] * 10
    with pytest.raises(NotFitted):
        fit(rows, [0, 1] * 10, columns=3, penalty=0)


def test_a_column_that_tells_all_is_held_back_by_the_penalty():
    rows: list[Row] = [(0, 1)] * 10 + [(0,)] * 10
    weights = fit(rows, [1] * 10 + [0] * 10, columns=2, penalty=1.0)
    assert 0 < weights[1] < 10
