"""Which event starts which agent, and which does not."""

import pytest
from django.db import transaction

from ai_agents import tasks
from ai_agents.actions.pools import keep_pools
from ai_agents.models import AgentPool, AgentTask, PumpLease
from crm import events
from crm.actions.consents import suppress
from crm.actions.intake import receive_inquiry
from crm.actions.leads import disqualify_lead
from crm.models import (
    Actor,
    Channel,
    ImportJob,
    ImportRow,
    Inquiry,
    Lead,
    LeadStatus,
    Verdict,
)
from crm.tasks import queue_depth
from tests.factories import make_admin, make_follow_up, make_lead, make_source


@pytest.fixture(autouse=True)
def _fresh(db, settings):
    settings.AI_PROVIDER = "scripted"
    keep_pools()


def queued(kind: str = "lead_analysis") -> int:
    return AgentTask.objects.filter(kind=kind, state="queued").count()


def say(event: object) -> None:
    with transaction.atomic():
        events.publish(event)


def arrive(channel: Channel = Channel.FORM) -> Lead:
    payload = {"name": "Ann Lee", "email": "ann@example.com", "message": "We want a pond."}
    return receive_inquiry(channel=channel, payload=payload, by=Actor.system(), source=make_source()).lead


def test_a_lead_that_arrives_is_analysed_once():
    lead = arrive()
    assert queued() == 1
    say(events.LeadFactsChanged(lead.pk))
    assert queued() == 1


def test_a_lead_that_is_closed_is_not():
    lead = make_lead(message="We want a pond.", status=LeadStatus.WORKING)
    disqualify_lead(lead.pk, by=Actor.of(make_admin()), reason="Spam")
    AgentTask.objects.all().delete()
    say(events.LeadFactsChanged(lead.pk))
    assert queued() == 0


def test_an_arrival_wakes_a_pump_once_it_is_committed(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        arrive()
        assert queue_depth("ai") == 0
    assert queue_depth("ai") == 1
    assert not tasks.kick(), "one kick is enough"


def test_a_pump_at_work_needs_no_kick():
    PumpLease.objects.update(until="2100-01-01T00:00:00Z")
    assert not tasks.kick()


def promising(**fields) -> Lead:
    lead = make_lead(message="We want a pond.", **fields)
    Lead.objects.filter(pk=lead.pk).update(score=80, score_source="statistics")
    return lead


def scored(lead: Lead, source: str = "statistics") -> None:
    say(events.LeadScored(lead.pk, 80, source))


def test_a_promising_score_asks_for_a_draft_once():
    lead = promising()
    scored(lead)
    scored(lead)
    assert queued("follow_up") == 1


def test_the_pool_says_what_is_promising():
    AgentPool.objects.filter(kind="follow_up").update(draft_from=81)
    scored(promising())
    assert queued("follow_up") == 0


def test_rules_alone_ask_for_no_draft():
    lead = promising()
    Lead.objects.filter(pk=lead.pk).update(score_source="rules")
    scored(lead, "rules")
    assert queued("follow_up") == 0


def test_nobody_is_answered_twice():
    waiting, answered = promising(), promising(last_outbound_at="2026-01-02T00:00:00Z")
    make_follow_up(waiting)
    scored(waiting)
    scored(answered)
    assert queued("follow_up") == 0


def test_an_imported_row_has_asked_nothing():
    lead = promising()
    Inquiry.objects.filter(lead=lead).update(channel=Channel.CSV)
    scored(lead)
    assert queued("follow_up") == 0


def test_who_forbade_us_to_write_gets_no_draft():
    lead = promising(email="a@x.example")
    suppress("email", "a@x.example", by=Actor.system(), reason="unsubscribed")
    scored(lead)
    assert queued("follow_up") == 0


def test_a_draft_that_somebody_wants_comes_first():
    lead = make_lead(message="We want a pond.")
    say(events.DraftRequested(lead.pk, instruction="Short.", user_id=make_admin().pk))
    task = AgentTask.objects.get(kind="follow_up")
    assert (task.priority, task.params["instruction"]) == (1, "Short.")


def imported(n: int) -> ImportJob:
    job = ImportJob.objects.create(created_by=make_admin(), file_name="leads.csv", stored_as="x")
    for row in range(1, n + 1):
        lead = make_lead(score=row, score_source="rules", message="A pond.")
        ImportRow.objects.create(job=job, row_no=row, line_no=row + 1, verdict=Verdict.CREATE, lead=lead)
    return job


@pytest.mark.parametrize(("analyse", "expected"), [("all", 7), ("3", 3), ("none", 0)])
def test_an_import_is_analysed_as_far_as_it_was_asked(analyse, expected, monkeypatch):
    monkeypatch.setattr(tasks, "IMPORT_SLICE", 3)
    job = imported(7)
    queued_slices: list[tuple] = []
    monkeypatch.setattr(tasks, "enqueue", lambda path, *args: queued_slices.append((path, args)))
    tasks.analyse_import(job.pk, analyse)
    while any(path.endswith("analyse_import") for path, _ in queued_slices):
        path, args = queued_slices.pop(0)
        if path.endswith("analyse_import"):
            tasks.analyse_import(*args)
    assert queued() == expected
    if analyse == "3":
        assert sorted(AgentTask.objects.values_list("lead__score", flat=True)) == [5, 6, 7], (
            "the best by rules"
        )


def test_a_finished_import_hands_over_to_the_queue():
    say(events.ImportFinished(imported(1).pk, "all"))
    assert queue_depth("default") == 1
    assert queued() == 0


def test_erasing_a_person_cancels_what_is_queued_about_them():
    lead = arrive()
    say(events.PersonErased(lead.pk))
    assert set(AgentTask.objects.filter(lead=lead).values_list("error", flat=True)) == {"erased"}


def test_with_ai_off_events_start_nothing(settings):
    settings.AI_PROVIDER = "off"
    lead = arrive()
    say(events.ImportFinished(imported(1).pk, "all"))
    scored(promising())
    assert not AgentTask.objects.exists()
    assert queue_depth() == 0
    assert lead.pk
