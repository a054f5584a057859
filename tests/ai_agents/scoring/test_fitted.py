"""A fit: what becomes a column, how a lead's reasons add up, and that a stored fit says the same."""

import json
import random

import pytest

from ai_agents.scoring.evaluation import cross_validated, graded, strongest
from ai_agents.scoring.facts import FEATURES, Facts, custom_feature
from ai_agents.scoring.fitted import FittedFeature, FittedModel
from ai_agents.scoring.measures import measure

FEATURES_HERE = [
    *FEATURES,
    custom_feature("job", "Job", "choice"),
    custom_feature("visits", "Visits", "number"),
    custom_feature("member", "Member", "boolean"),
    custom_feature("site", "Site", "url"),
]


def leads(count: int = 600, seed: int = 1) -> tuple[list[Facts], list[int]]:
    stream = random.Random(seed)
    facts, outcomes = [], []
    for _lead in range(count):
        job = stream.choice(["Owner", "Owner", "Student", "Clerk", None])
        visits = stream.choice([None, *range(30)])
        facts.append(Facts(custom={"job": job, "visits": visits, "member": stream.random() < 0.5}))
        chance = 0.1 + 0.4 * (job == "Owner") + 0.3 * ((visits or 0) > 20)
        outcomes.append(int(stream.random() < chance))
    return facts, outcomes


def test_base_and_points_are_exactly_the_value():
    facts, outcomes = leads()
    model = FittedModel.fit(FEATURES_HERE, facts, outcomes)
    for one in facts[:200]:
        estimate = model.estimate(one)
        assert estimate.base + sum(reason.points for reason in estimate.reasons) == estimate.value
        assert estimate.value == round(100 * estimate.chance)
        assert model.chance(one) == pytest.approx(estimate.chance)


def test_reasons_have_the_words_of_the_lead_and_the_strongest_comes_first():
    model = FittedModel.fit(FEATURES_HERE, *leads())
    estimate = model.estimate(Facts(custom={"job": "Owner", "visits": 25, "member": True}))
    labels = [reason.label for reason in estimate.reasons]
    assert {"Job: Owner", "Visits: 25"} <= set(labels[:2])
    assert all(reason.points > 0 for reason in estimate.reasons[:2])
    assert "Job: not given" in [r.label for r in model.estimate(Facts(custom={"visits": 3})).reasons]


def test_a_word_that_was_never_seen_counts_as_an_average_leads():
    model = FittedModel.fit(FEATURES_HERE, *leads())
    stranger = model.estimate(Facts(custom={"job": "Astronaut", "visits": 25}))
    assert not [reason for reason in stranger.reasons if reason.key == "custom:job"]


def test_words_of_few_leads_share_one_weight():
    feature = custom_feature("job", "Job", "choice")
    fitted = FittedFeature.learn(feature, ["Owner"] * 50 + ["Clerk"] * 4 + ["Monk"] * 3)
    assert set(fitted.levels) == {"Owner"}
    assert fitted.level("Clerk") is fitted.level("Monk") is fitted.rare


def test_numbers_are_cut_into_bins_of_about_equally_many():
    feature = custom_feature("visits", "Visits", "number")
    fitted = FittedFeature.learn(feature, [float(number) for number in range(1200)])
    assert len(fitted.bounds) == 11
    assert [round(level.share, 2) for level in fitted.levels.values()] == [0.08] * 12
    assert len(fitted.neighbours) == 11


def test_what_is_the_same_for_all_gets_no_column():
    model = FittedModel.fit(FEATURES_HERE, *leads())
    assert {fitted.key for fitted in model.features} == {"custom:job", "custom:visits", "custom:member"}


def test_a_stored_fit_says_the_same():
    facts, outcomes = leads()
    model = FittedModel.fit(FEATURES_HERE, facts, outcomes)
    again = FittedModel.of_json(json.loads(json.dumps(model.as_json())), FEATURES_HERE)
    for one in facts[:100]:
        assert again.chance(one) == pytest.approx(model.chance(one), abs=1e-4)


def test_a_feature_that_is_gone_counts_as_an_average_leads():
    stored = FittedModel.fit(FEATURES_HERE, *leads()).as_json()
    without = FittedModel.of_json(stored, [f for f in FEATURES_HERE if f.key != "custom:job"])
    owner, student = (Facts(custom={"job": job, "visits": 9}) for job in ("Owner", "Student"))
    assert without.chance(owner) == without.chance(student)


def test_held_out_leads_are_judged_better_than_by_the_base_rate():
    facts, outcomes = leads(800)
    found = cross_validated(FEATURES_HERE, facts, outcomes, folds=4, seeds=[0]).measures
    assert found.auc > 0.65
    assert found.brier < found.base_brier
    assert found.ece < 0.1


def test_a_lead_is_never_judged_by_a_fit_that_saw_it():
    """With outcomes that nothing explains, honest chances know nothing; a fit that saw them would."""
    stream = random.Random(5)
    facts = [Facts(custom={"visits": stream.random()}) for _lead in range(400)]
    outcomes = [stream.randrange(2) for _lead in facts]
    features = [custom_feature("visits", "Visits", "number")]
    held_out = cross_validated(features, facts, outcomes, folds=5, seeds=[0, 1]).measures
    seen = FittedModel.fit(features, facts, outcomes)
    assert held_out.auc < 0.55 < measure(outcomes, [seen.chance(one) for one in facts]).auc


def test_a_column_that_tells_the_outcome_is_found_out():
    facts, outcomes = leads(300)
    told = [
        Facts(custom={**one.custom, "tag": "bought" if outcome else "busy"})
        for one, outcome in zip(facts, outcomes, strict=True)
    ]
    found = strongest([*FEATURES_HERE, custom_feature("tag", "Tag", "choice")], told, outcomes)
    assert found[0][0] == "Tag"
    assert found[0][1] > 0.99 > found[1][1]


def test_the_bands_of_a_grade_are_those_of_the_screen():
    found = graded([0, 1, 1, 1], [[0.49, 0.5, 0.74, 0.75]])
    assert [(one.count, one.won) for one in found.by_band] == [(1, 0), (2, 2), (1, 1)]
