"""Stored scores by statistics: what leads show, that reasons add up, how they are graded."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from ai_agents.actions.fitting import refit, stop_statistics
from ai_agents.actions.grading import calibration, grade_scores
from ai_agents.actions.lead_facts import facts_of
from ai_agents.actions.statistics import score_by_statistics, score_next_batch
from ai_agents.models import ScoringModel
from crm import clock, events
from crm.actions.scores import score_by_rules, score_by_rules_batch
from crm.models import Actor, Inquiry, Lead, Message, Score, ScoreOutcome, TimelineEvent
from tests.ai_agents.scoring.conftest import MakeHistory
from tests.factories import make_lead

pytestmark = pytest.mark.django_db
OPEN = {"outcome": "unknown", "outcome_at": None, "outcome_from": ""}


@pytest.fixture
def model(make_history: MakeHistory) -> ScoringModel:
    make_history(200)
    refit()
    return ScoringModel.objects.get()


def owner(**fields: object) -> Lead:
    return make_lead(email="ada@example.com", message="How much?", custom={"job": "Owner"}, **fields)


def test_a_lead_shows_the_statistics_while_a_fit_is_active(model: ScoringModel):
    lead = owner()
    score_by_rules(lead.pk)
    score = score_by_statistics([lead.pk])[lead.pk]
    lead.refresh_from_db()
    assert (lead.score, lead.score_source) == (score.value, "statistics")
    assert score.value > 60
    assert score.probability == pytest.approx(score.value / 100, abs=0.005)
    assert score.version == str(model)


def test_base_and_stored_points_are_the_value_shown(model: ScoringModel):
    leads = [owner(), make_lead(custom={"job": "Student"}), make_lead()]
    for score in score_by_statistics([lead.pk for lead in leads]).values():
        assert score.base + sum(factor.points for factor in score.factors.all()) == score.value
    labels = list(Score.objects.get(lead=leads[0], kind="statistics").factors.values_list("label", "field"))
    assert ("Job: Owner", "custom:job") in labels


def test_without_an_active_fit_nothing_is_stored(make_history: MakeHistory):
    lead = owner()
    with transaction.atomic():
        events.publish(events.LeadFactsChanged(lead.pk))
    assert set(Score.objects.values_list("kind", flat=True)) == {"rules", "blend"}
    assert score_by_statistics([lead.pk]) == {}


def test_changed_facts_are_scored_in_the_same_transaction(model: ScoringModel):
    lead = owner()
    with transaction.atomic():
        events.publish(events.LeadFactsChanged(lead.pk))
        lead.refresh_from_db()
        assert lead.score_source == "statistics"
    first = lead.score
    lead.custom = {"job": "Student"}
    lead.save_changed("custom")
    with transaction.atomic():
        events.publish(events.LeadFactsChanged(lead.pk))
    lead.refresh_from_db()
    assert first is not None
    assert lead.score is not None
    assert lead.score < first


def test_the_same_result_again_writes_nothing_even_by_another_fit(model: ScoringModel):
    lead = owner()
    first = score_by_statistics([lead.pk])[lead.pk]
    model.is_active = False
    model.save()
    ScoringModel.objects.create(rows=9, weights=model.weights, is_active=True)
    assert score_by_statistics([lead.pk])[lead.pk] == first


def test_all_open_leads_are_scored_quietly_and_closed_ones_are_not(
    model: ScoringModel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ai_agents.actions.statistics.BATCH", 3)
    Lead.objects.update(status="converted", converted_at=clock.now())
    leads = [owner() for _lead in range(7)]
    steps = 0
    while score_next_batch():
        steps += 1
    assert steps == 3
    assert set(Score.objects.filter(kind="statistics").values_list("lead", flat=True)) == {
        lead.pk for lead in leads
    }
    assert not TimelineEvent.objects.filter(lead__in=leads).exists()
    model.refresh_from_db()
    assert model.scored_at
    assert not score_next_batch()


def test_scoring_many_takes_as_many_statements_as_scoring_few(model: ScoringModel):
    leads = [owner().pk for _lead in range(30)]
    score_by_rules_batch(leads)
    counts = []
    for some in (leads[:3], leads[3:]):
        with CaptureQueriesContext(connection) as statements:
            score_by_statistics(some, quietly=True)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 16


def test_when_statistics_stop_the_leads_show_the_rules_again(model: ScoringModel):
    judged, bare = owner(), make_lead()
    rules = score_by_rules(judged.pk)
    score_by_statistics([judged.pk, bare.pk])
    stop_statistics(by=Actor.system())
    while score_next_batch():
        pass
    judged.refresh_from_db()
    bare.refresh_from_db()
    assert (judged.score, judged.score_source) == (rules.value, "rules")
    assert (bare.score, bare.score_source) == (None, "")
    assert not Score.objects.filter(kind="statistics", is_current=True).exists()


def test_only_the_first_week_counts_and_nothing_after_the_outcome(model: ScoringModel):
    now = clock.now()
    lead = owner(outcome="won", outcome_at=now - timedelta(days=17), outcome_from="action")
    Inquiry.objects.filter(lead=lead).update(received_at=now - timedelta(days=20))
    for days in (19, 16, 2):
        Message.objects.create(
            lead=lead, direction="in", state="received",
            occurred_at=now - timedelta(days=days),
        )  # fmt: skip
    assert facts_of([lead.pk])[lead.pk].replies == 1
    Lead.objects.filter(pk=lead.pk).update(outcome_at=None, outcome="unknown", outcome_from="")
    assert facts_of([lead.pk])[lead.pk].replies == 2


def test_facts_are_what_came_with_the_first_inquiry(model: ScoringModel):
    lead = owner(company="Filled in later Ltd")
    Inquiry.objects.filter(lead=lead).update(payload={"name": "Ada", "phone": "1", "title": "", "job": None})
    facts = facts_of([lead.pk])[lead.pk]
    assert facts.given == {"name", "phone"}
    assert facts.message == "How much?"
    assert facts.custom == {"job": "Owner"}


def test_what_earlier_fits_said_is_deleted_but_for_first_graded_and_recent_scores(model: ScoringModel):
    lead, now = owner(), clock.now()
    made = []
    for days in (90, 80, 70, 3):
        score = Score.objects.create(lead=lead, kind="statistics", value=1, band="cool", is_current=False)
        Score.objects.filter(pk=score.pk).update(created_at=now - timedelta(days=days))
        made.append(score.pk)
    first, pruned, graded, recent = made
    ScoreOutcome.objects.create(lead=lead, score_id=graded, label="won", horizon_days=90)
    while score_next_batch():
        pass
    current = Score.objects.get(lead=lead, kind="statistics", is_current=True)
    kept = Score.objects.filter(lead=lead, kind="statistics").values_list("pk", flat=True)
    assert set(kept) == {first, graded, recent, current.pk}
    assert pruned not in kept


# --- grading
# -------------------------------------------------------------------------------------------------
def close(lead: Lead, outcome: str, *, days: int = 10) -> None:
    """The lead ended just now; its scores are `days` old."""
    now = clock.now()
    Score.objects.filter(lead=lead).update(created_at=now - timedelta(days=days))
    Lead.objects.filter(pk=lead.pk).update(outcome=outcome, outcome_at=now, outcome_from="action")


def test_the_first_score_of_each_kind_is_graded_per_horizon(model: ScoringModel):
    lead = owner()
    score_by_rules(lead.pk)
    first = score_by_statistics([lead.pk])[lead.pk]
    close(lead, "won", days=40)
    later = Score.objects.create(lead=lead, kind="statistics", value=1, band="cool", is_current=False)
    assert grade_scores(clock.now()) == 4
    found = ScoreOutcome.objects.filter(lead=lead, score__kind="statistics")
    assert set(found.values_list("score", "label", "horizon_days")) == {
        (first.pk, "won", 90),
        (first.pk, "won", 180),
    }
    assert later.pk != first.pk
    assert grade_scores(clock.now()) == 0


def test_a_score_made_after_the_outcome_and_a_sample_are_not_graded(model: ScoringModel):
    late, sample = owner(), owner()
    for lead in (late, sample):
        score_by_statistics([lead.pk])
        close(lead, "won")
    Score.objects.filter(lead=late).update(created_at=clock.now() + timedelta(hours=1))
    Score.objects.filter(lead=sample).update(provider="scripted")
    assert grade_scores(clock.now() + timedelta(minutes=1)) == 0


def test_the_calibration_counts_said_and_came_by_band(model: ScoringModel):
    for number in range(5):
        hot, cool = owner(), make_lead(custom={"job": "Student"})
        score_by_statistics([hot.pk, cool.pk])
        close(hot, "won")
        close(cool, "won" if number == 0 else "lost")
    grade_scores(clock.now())
    found = calibration("statistics", horizon_days=30)
    assert found.count == 10
    assert [(one.count, one.won) for one in found.by_band] == [(5, 1), (5, 5)]
    assert found.measures is not None
    assert found.measures.auc == pytest.approx(0.9, abs=0.11)
    assert calibration("model").count == 0
    assert calibration("model").measures is None
