"""Who gets the leads of a file: nobody, people by the rules, or one person; slice by slice, told once."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.actions.imports import run_import, undo_import
from crm.actions.leads import update_lead
from crm.errors import ImportRefused
from crm.imports import running
from crm.models import (
    Actor,
    AssignmentLog,
    AssignmentRule,
    ImportJob,
    ImportState,
    Lead,
    Notification,
    Role,
    TimelineEvent,
    User,
)
from tests.crm.imports.files import SYSTEM, check, people, work
from tests.crm.imports.test_undo import differences, dump
from tests.crm.web.pages import signed_in
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def run_for(assign: str | User, rows: bytes, by: Actor = SYSTEM) -> ImportJob:
    job = check(rows, by=by)
    run_import(job.pk, by=by, assign=assign, in_process=True)
    return work(job)


def two_in_turn() -> list[User]:
    users = [make_user(), make_user()]
    AssignmentRule.objects.create(name="In turn", method="round_robin").users.set(users)
    return users


def test_without_a_word_the_leads_wait_in_the_pool():
    two_in_turn()
    job = check(people(3))
    run_import(job.pk, by=SYSTEM, in_process=True)
    work(job)
    assert list(Lead.objects.values_list("owner", flat=True)) == [None] * 3
    assert not AssignmentLog.objects.exists()


def test_the_rules_deal_the_new_leads_out_in_slices_and_each_says_why(monkeypatch):
    monkeypatch.setattr(running, "ASSIGNED_AT_ONCE", 3)
    first, second = two_in_turn()
    known = make_lead(name="Person 1", email="p1@firm1.example", owner=None)
    job = run_for("rules", people(9))
    assert job.state == ImportState.DONE
    assert [Lead.objects.filter(owner=user).count() for user in (first, second)] == [4, 4]
    known.refresh_from_db()
    assert known.owner is None, "a lead that was there before is not dealt out"
    assert AssignmentLog.objects.count() == 8
    assert TimelineEvent.objects.filter(kind="lead.assigned", actor_kind="rule").count() == 8
    texts = Notification.objects.values_list("user", "text", "lead")
    assert sorted(texts) == [
        (user.pk, "4 new leads for you from leads.csv", None) for user in (first, second)
    ]


def test_a_person_gets_them_all_with_the_import_as_the_reason():
    me = make_user()
    run_for(me, people(4))
    assert Lead.objects.filter(owner=me).count() == 4
    assert set(AssignmentLog.objects.values_list("reason", "chosen")) == {
        (f"The import of leads.csv gives its leads to {me}.", me.pk)
    }


def test_somebody_who_left_meanwhile_gets_nothing_and_the_import_ends():
    me = make_user()
    job = check(people(2))
    run_import(job.pk, by=SYSTEM, assign=me, in_process=True)
    User.objects.filter(pk=me.pk).update(is_active=False)
    assert work(job).state == ImportState.DONE
    assert not Lead.objects.exclude(owner=None).exists()


def test_undo_takes_leads_back_that_were_only_given_away():
    users = two_in_turn()
    before = dump()
    job = run_for("rules", people(5))
    touched = Lead.objects.order_by("pk")[0]
    update_lead(touched.pk, by=actor(make_admin()), company="Edited Ltd")
    undo_import(job.pk, by=SYSTEM, in_process=True)
    job = work(job)
    assert (job.options["undo"]["removed"], job.options["undo"]["kept"]) == (4, 1)
    assert list(Lead.objects.values_list("pk", flat=True)) == [touched.pk]
    assert not Notification.objects.filter(user__in=users).exists()
    Lead.objects.filter(pk=touched.pk).update(version=2)
    assert not [
        line for line in differences(before, dump()) if "crm_lead " in line and str(touched.pk) not in line
    ]


def test_a_slice_costs_a_fixed_number_of_statements():
    two_in_turn()

    def statements(count: int, start: int) -> int:
        job = check(people(count, start=start))
        run_import(job.pk, by=SYSTEM, assign="rules", in_process=True)
        run = running.ImportRun(job.pk)
        while running.Job.objects.get(import_job=job).cursor["phase"] != running.ASSIGN:
            run.step()
        with CaptureQueriesContext(connection) as captured:
            run.step()
        run.close()
        return len(captured)

    few = statements(4, 1)
    assert statements(60, 100) == few


def test_each_role_gives_to_those_it_may():
    team = make_team()
    manager, rep, mate = make_user(Role.MANAGER, team=team), make_user(team=team), make_user(team=team)
    stranger, reader, gone = make_user(), make_user(Role.READ_ONLY, team=team), make_user(is_active=False)
    allowed: dict[User, list[User]] = {
        make_admin(): [manager, rep, mate, stranger],
        manager: [manager, rep, mate],
        rep: [rep],
    }
    for who, may in allowed.items():
        job = check(people(1), by=actor(who))
        for user in (manager, rep, mate, stranger, reader, gone):
            if user in may:
                continue
            with pytest.raises(ImportRefused) as refused:
                run_import(job.pk, by=actor(who), assign=user, in_process=True)
            assert refused.value.field == "assign"
        run_import(job.pk, by=actor(who), assign=may[0], in_process=True)


def test_the_command_takes_a_way_or_an_address(tmp_path):
    path = tmp_path / "leads.csv"
    path.write_bytes(people(3))
    me = make_user(email="jo@example.com")
    out = StringIO()
    call_command("import_leads", path, assign="Jo@Example.com", stdout=out, stderr=StringIO())
    assert "3 leads given to people" in out.getvalue()
    assert Lead.objects.filter(owner=me).count() == 3
    wrong: Any
    for wrong in ("nobody@example.com", "everybody"):
        with pytest.raises(CommandError) as refused:
            call_command("import_leads", path, assign=wrong, stdout=StringIO(), stderr=StringIO())
        assert refused.value.returncode == 2


def test_the_page_offers_and_takes_it():
    admin, (first, _second) = make_admin(), two_in_turn()
    job = check(people(2), by=actor(admin))
    client = signed_in(admin)
    html = client.get(f"/imports/{job.public_id}/").content.decode()
    assert '<option value="rules">' in html
    assert f'<option value="{first.public_id}">' in html
    for value in ("everybody", "6a8f0000-0000-4000-8000-000000000000"):
        client.post(f"/imports/{job.public_id}/run/", {"analyse": "none", "assign": value})
        job.refresh_from_db()
        assert job.state == ImportState.CHECKED, value
    client.post(f"/imports/{job.public_id}/run/", {"analyse": "none", "assign": str(first.public_id)})
    job.refresh_from_db()
    assert (job.state, job.assign, job.assign_to) == (ImportState.RUNNING, "user", first)
