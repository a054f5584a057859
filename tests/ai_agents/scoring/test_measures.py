"""Measures against values worked out by hand or by scikit-learn 1.9.1, which is not needed here."""

import pytest

from ai_agents.scoring.folds import stratified_folds
from ai_agents.scoring.measures import auc, brier, ece, measure, quantiles, reliability, wilson


def test_auc_counts_pairs_and_half_of_the_ties():
    assert auc([0, 1], [0.2, 0.9]) == 1
    assert auc([1, 0], [0.2, 0.9]) == 0
    assert auc([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) == 0.5
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75


def test_auc_of_one_outcome_is_refused():
    with pytest.raises(ValueError):
        auc([1, 1], [0.1, 0.2])


def test_brier_is_the_mean_squared_error_and_the_base_rate_its_yardstick():
    assert brier([1, 0], [0.7, 0.2]) == pytest.approx((0.09 + 0.04) / 2)
    found = measure([1, 0, 0, 0], [0.4, 0.2, 0.1, 0.3])
    assert (found.base_rate, found.base_brier) == (0.25, pytest.approx(0.1875))


def test_ece_is_the_distance_between_said_and_came():
    outcomes, chances = [0, 0, 1, 1] * 5, [0.1, 0.1, 0.9, 0.9] * 5
    assert ece(outcomes, chances, bins=2) == pytest.approx(0.1)
    assert ece([0, 1] * 10, [0.5] * 20) == 0


def test_quantiles_lie_between_neighbours():
    assert quantiles([4, 1, 3, 2], 4) == [1, 1.75, 2.5, 3.25, 4]


def test_reliability_leaves_out_empty_bins_and_keeps_the_sums():
    bins = reliability([0, 1, 1], [0.1, 0.2, 0.9], [0.5, 0.8])
    assert [(one.low, one.high, one.count, one.won) for one in bins] == [(0, 0.5, 2, 1), (0.8, 1, 1, 1)]
    assert bins[0].said == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("won", "count", "interval"),
    [(5, 10, (0.2366, 0.7634)), (0, 10, (0, 0.2775)), (10, 10, (0.7225, 1)), (0, 0, (0, 1))],
)
def test_the_interval_of_wilson(won: int, count: int, interval: tuple[float, float]):
    assert wilson(won, count) == pytest.approx(interval, abs=5e-5)


def test_the_folds_are_those_of_scikit_learn():
    outcomes = [int(sign) for sign in "0110100110010110100101100110"]
    expected = [1, 1, 3, 1, 3, 0, 0, 0, 0, 3, 1, 2, 1, 3, 2, 0, 1, 3, 3, 0, 0, 2, 2, 2, 2, 1, 3, 2]
    assert stratified_folds(outcomes, folds=4, seed=3) == expected  # StratifiedKFold(4, True, 3)
