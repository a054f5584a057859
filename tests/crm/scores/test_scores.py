"""Storing scores: one current of a kind, a blend that names its source, a line in the story."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from ai_agents.models import AgentTask
from crm import clock, events
from crm.actions.scores import NewScore, record_score, record_scores, score_by_rules, score_by_rules_batch
from crm.models import Actor, Lead, Score, ScoreFactor, TimelineEvent
from crm.plaintext import normalised
from tests.factories import make_lead

pytestmark = pytest.mark.django_db
AGENT = Actor.agent("LeadAnalysisAgent")


def make_task(lead: Lead) -> AgentTask:
    return AgentTask.objects.create(kind="lead_analysis", lead=lead, dedup_key=uuid4().hex)


def model_score(lead: Lead, value: int, **more: Any) -> Score:
    return record_score(lead.pk, kind="model", value=value, task_id=make_task(lead).pk, by=AGENT, **more)


@pytest.fixture
def scored() -> Iterator[list[events.LeadScored]]:
    """Every LeadScored that is published while the test runs."""
    heard: list[events.LeadScored] = []
    events.on(events.LeadScored)(heard.append)
    yield heard
    events._durable[events.LeadScored].remove(heard.append)


def test_rules_score_a_lead_without_any_model():
    lead = make_lead(email="ada@example.com", message="Could you send me a quote for a pond?")
    score = score_by_rules(lead.pk)
    lead.refresh_from_db()
    assert (lead.score, lead.score_source) == (score.value, "rules")
    assert score.base + sum(factor.points for factor in score.factors.all()) == score.value


def test_a_rule_quotes_the_inquiry_at_its_place():
    lead = make_lead(message="Hello 👋🏽.\r\n\r\n  Could you send me a\u200b quote?")
    factor = score_by_rules(lead.pk).factors.get(label="Asked for a quote")
    inquiry = lead.inquiries.get()
    assert factor.verified
    assert (factor.source_kind, factor.source_id) == ("inquiry", inquiry.pk)
    assert (
        normalised(inquiry.message)[factor.start : factor.end] == factor.quote == "Could you send me a quote?"
    )


def test_changed_facts_are_scored_in_the_same_transaction():
    lead = make_lead(message="Please visit us.")
    with transaction.atomic():
        events.publish(events.LeadFactsChanged(lead.pk))
        assert Score.objects.filter(lead=lead, kind="rules", is_current=True).exists()


def test_scoring_the_same_facts_again_writes_nothing(noon, scored):
    lead = make_lead(message="How much is a pond?")
    first = score_by_rules(lead.pk)
    assert score_by_rules(lead.pk).pk == first.pk
    assert TimelineEvent.objects.filter(lead=lead, kind="lead.scored").count() == 1
    assert len(scored) == 1


def test_a_model_score_outranks_the_rules_and_the_lead_says_so():
    lead = make_lead(message="Hello.")
    rules = score_by_rules(lead.pk)
    model_score(lead, 91, provider="scripted", model="scripted-1")
    lead.refresh_from_db()
    assert (lead.score, lead.score_source) == (91, "model")
    blend = Score.objects.get(lead=lead, kind="blend", is_current=True)
    assert (blend.value, blend.blended_from, blend.band, blend.is_sample) == (91, "model", "hot", True)
    rules.refresh_from_db()
    assert rules.is_current


def test_rules_do_not_touch_the_blend_while_a_model_score_stands(scored):
    lead = make_lead(message="Hello.")
    model_score(lead, 40)
    heard = len(scored)
    score_by_rules(lead.pk)
    lead.refresh_from_db()
    assert (lead.score, lead.score_source) == (40, "model")
    assert len(scored) == heard


def test_statistics_outrank_a_model():
    lead = make_lead()
    model_score(lead, 40)
    record_score(lead.pk, kind="statistics", value=66, probability=0.66, by=Actor.system())
    lead.refresh_from_db()
    assert (lead.score, lead.score_source) == (66, "statistics")


def test_a_new_score_retires_the_old_one():
    lead = make_lead()
    old, new = model_score(lead, 40), model_score(lead, 70)
    assert list(Score.objects.filter(lead=lead, kind="model", is_current=True)) == [new]
    assert Score.objects.filter(pk=old.pk, is_current=False).exists()
    assert Score.objects.filter(lead=lead, kind="blend").count() == 2


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ([62], "Scored 62"),
        ([62, 80], "Score raised from 62 to 80"),
        ([62, 20], "Score lowered from 62 to 20"),
        ([62, 62], "Score confirmed at 62"),
    ],
)
def test_the_story_tells_how_the_score_moved(values: list[int], summary: str, scored):
    lead = make_lead()
    for value in values:
        model_score(lead, value, provider="scripted")
    event = TimelineEvent.objects.filter(lead=lead, kind="lead.scored").latest("pk")
    assert (event.summary, event.actor_kind, event.actor_label) == (summary, "agent", "LeadAnalysisAgent")
    assert event.data["provider"] == "scripted"
    assert scored[-1].value == values[-1]
    assert scored[-1].previous == (values[0] if len(values) > 1 else None)


def test_a_score_does_not_move_the_version_that_people_edit_against():
    lead = make_lead()
    model_score(lead, 40)
    version = lead.version
    lead.refresh_from_db()
    assert lead.version == version


def test_a_lead_that_is_gone_cannot_be_scored():
    lead = make_lead(deleted_at=clock.now())
    with pytest.raises(Lead.DoesNotExist):
        score_by_rules(lead.pk)
    with pytest.raises(Lead.DoesNotExist):
        record_score(lead.pk, kind="rules", value=1, by=Actor.system())


def test_two_scores_for_one_lead_in_one_batch_leave_one():
    lead = make_lead()
    task = make_task(lead)
    stored = record_scores(
        [NewScore(lead.pk, "model", value, task_id=task.pk) for value in (10, 20)], by=AGENT
    )
    assert stored[lead.pk].value == 20


@pytest.mark.parametrize("value", [-1, 101])
def test_a_value_outside_0_to_100_is_refused_by_the_database(value: int):
    with pytest.raises(IntegrityError):
        model_score(make_lead(), value)


def test_a_model_score_without_a_task_is_refused_by_the_database():
    with pytest.raises(IntegrityError, match="crm_score_model_has_task"):
        record_score(make_lead().pk, kind="model", value=50, by=AGENT)


def test_two_current_scores_of_a_kind_are_refused_by_the_database():
    lead = make_lead()
    Score.objects.create(lead=lead, kind="rules", value=10, band="cool")
    with pytest.raises(IntegrityError, match="crm_score_one_current"):
        Score.objects.create(lead=lead, kind="rules", value=20, band="cool")


def test_a_batch_takes_the_same_number_of_queries_however_many_leads(noon):
    few = [make_lead(message="A quote?").pk for _ in range(2)]
    many = [make_lead(message="A quote?").pk for _ in range(20)]
    with CaptureQueriesContext(
        connection,
    ) as for_few:
        score_by_rules_batch(few)
    with CaptureQueriesContext(connection) as for_many:
        score_by_rules_batch(many)
    assert len(for_few) == len(for_many) <= 14


def test_an_imported_batch_is_quiet_but_scored(scored):
    leads = [make_lead(message="A quote?") for _ in range(3)]
    score_by_rules_batch([lead.pk for lead in leads])
    assert not scored
    assert not TimelineEvent.objects.filter(kind="lead.scored").exists()
    assert Lead.objects.filter(score=None).count() == 0
    assert ScoreFactor.objects.filter(label="Asked for a quote", verified=True).count() == 3


def test_asking_again_raises_the_score_of_a_lead(noon):
    lead = make_lead(message="How much is a pond?")
    first = score_by_rules(lead.pk).value
    lead.inquiries.create(
        source=lead.source, channel="form", message="Still interested in the pond.", state="attached"
    )
    assert score_by_rules(lead.pk).value > first


def test_a_silent_lead_scores_lower_later(noon):
    lead = make_lead(message="How much is a pond?")
    first = score_by_rules(lead.pk).value
    with clock.frozen(noon + timedelta(days=150)):
        assert score_by_rules(lead.pk).value < first


@pytest.mark.django_db(transaction=True)
def test_two_threads_scoring_one_lead_leave_one_current_score():
    lead = make_lead(message="A quote?")
    start, errors = Barrier(2), []

    def run(value: int) -> None:
        try:
            start.wait(5)
            model_score(lead, value)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    for round_ in range(3):
        threads = [Thread(target=run, args=(value + round_,)) for value in (30, 60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert not errors
    current = Score.objects.filter(lead=lead, is_current=True)
    assert sorted(current.values_list("kind", flat=True)) == ["blend", "model"]
    assert Score.objects.filter(lead=lead, kind="model").count() == 6
    lead.refresh_from_db()
    assert lead.score == current.get(kind="model").value
