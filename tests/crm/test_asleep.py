"""No lead falls asleep: who has open leads without a next step is told, once a night."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from crm import clock, tasks
from crm.actions import asleep
from crm.actions.asleep import asleep_report, check_asleep, is_due, last_report
from crm.models import LeadStatus, Notification, Role
from tests.factories import make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def planned(noon, **fields):
    return make_lead(next_action_at=noon, next_action_kind="call", **fields)


def test_the_report_counts_open_leads_without_a_next_step_by_owner(noon, django_assert_num_queries):
    team = make_team()
    ada, bo = make_user(name="Ada", team=team), make_user(name="Bo", team=team)
    old = make_lead(name="Old", owner=ada, team=team, status_changed_at=noon - timedelta(days=9))
    for _n in range(2):
        make_lead(owner=ada, team=team)
    make_lead(owner=bo, team=team)
    make_lead(team=team)
    planned(noon, owner=bo)
    make_lead(owner=bo, status=LeadStatus.DISQUALIFIED, disqualify_reason="spam")
    make_lead(owner=bo, deleted_at=noon)
    with django_assert_num_queries(3):
        report = asleep_report(noon)
    assert report["total"] == 5
    assert [(row["name"], row["count"]) for row in report["owners"]] == [("Ada", 3), ("", 1), ("Bo", 1)]
    assert report["owners"][0]["leads"][0]["lead"] == str(old.public_id)
    assert len(report["owners"][1]["leads"]) == 1
    assert report["teams"] == {team.pk: [5, 1]}


def test_lists_are_capped_and_counts_are_whole(noon, monkeypatch):
    monkeypatch.setattr(asleep, "OWNERS_NAMED", 2)
    monkeypatch.setattr(asleep, "LEADS_NAMED", 3)
    for n in range(4):
        user = make_user()
        for _lead in range(n + 2):
            make_lead(owner=user)
    report = asleep_report(noon)
    assert report["total"] == 14
    assert [(row["count"], len(row["leads"])) for row in report["owners"]] == [(5, 3), (4, 3)]


def test_owners_and_managers_are_told_once_a_night(noon):
    team = make_team("Sales")
    ada, manager = make_user(team=team), make_user(Role.MANAGER, team=team)
    make_user(Role.MANAGER, team=make_team())
    make_lead(owner=ada, team=team)
    make_lead(team=team)
    assert last_report() is None
    assert is_due(noon)
    for _worker in range(3):
        check_asleep(noon)
    told = dict(Notification.objects.values_list("user", "text"))
    assert told == {
        ada.pk: "1 open lead of yours has no next step.",
        manager.pk: "Sales: 2 open leads have no next step, 1 of the pool.",
    }
    assert last_report()["total"] == 2
    assert "name" not in last_report()["owners"][0]["leads"][0]  # erasing a person need not look here
    assert not is_due(noon)
    assert not is_due(noon + timedelta(hours=13))  # 01:00 of the next day
    assert is_due(noon + timedelta(hours=15))


def test_the_worker_looks_by_its_schedule(noon):
    make_lead(owner=make_user())
    tasks.find_asleep_leads()
    tasks.find_asleep_leads()
    assert Notification.objects.count() == 1
    with clock.frozen(noon + timedelta(days=1)):
        tasks.find_asleep_leads()
    assert Notification.objects.count() == 2


def test_the_command_says_it_and_ends_with_1_only_when_asked(noon):
    out = StringIO()
    call_command("asleep_report", "--check", stdout=out)
    make_lead(name="Old", owner=make_user(name="Ada"))
    call_command("asleep_report", stdout=out)
    assert "Ada: 1" in out.getvalue()
    out = StringIO()
    call_command("asleep_report", "--json", stdout=out)
    assert json.loads(out.getvalue())["total"] == 1
    with pytest.raises(CommandError) as failed:
        call_command("asleep_report", "--check", stdout=out)
    assert failed.value.returncode == 1
    assert Notification.objects.count() == 0
