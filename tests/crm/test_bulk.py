"""Bulk acts: one job, the rules of the single action for every row, and the way back."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from crm import clock
from crm.actions import bulk_running
from crm.actions.base import undo
from crm.actions.bulk import cancel_bulk, stalled_bulk, start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.housekeeping import delete_expired
from crm.actions.leads import update_lead
from crm.errors import CRMError, InvalidValue, PermissionRefused, TransitionRefused, UndoRefused
from crm.models import Actor, BulkRow, Job, JobState, Lead, LeadStatus, Role, Tag, Tagging, Undo
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def run(job: Job) -> Job:
    while advance_bulk(job.pk, seconds=5):
        pass
    job.refresh_from_db()
    return job


def ids(*leads: Lead) -> list:
    return [lead.public_id for lead in leads]


def test_each_row_obeys_the_rules_of_its_own_action_and_refusals_are_named():
    admin = make_admin()
    open_one, closed, so_already = (
        make_lead(name="Open"),
        make_lead(name="Closed", status=LeadStatus.CONVERTED, converted_at=clock.now()),
        make_lead(status=LeadStatus.DISQUALIFIED, disqualify_reason="old"),
    )
    leads = ids(open_one, closed, so_already)
    job = run(start_bulk("disqualify", by=Actor.of(admin), ids=leads, reason="no budget"))
    assert (job.state, job.done, job.total) == (JobState.DONE, 3, 3)
    assert (job.result["changed"], job.result["refused"], job.result["same"]) == (1, 1, 1)
    so_already.refresh_from_db()
    assert so_already.disqualify_reason == "old"
    assert Undo.objects.get(action="bulk").label == "Disqualified: no budget (3 records)"
    assert job.result["refusals"][0]["name"] == "Closed"
    open_one.refresh_from_db()
    assert (open_one.status, open_one.disqualify_reason) == ("disqualified", "no budget")
    assert open_one.timeline.filter(kind="lead.disqualified").count() == 1


def test_rows_that_one_may_not_see_are_counted_and_never_named():
    team = make_team()
    rep = make_user(team=team)
    mine, pool, away = (
        make_lead(owner=rep, team=team),
        make_lead(name="Pool", team=team),
        make_lead(name="Secret"),
    )
    job = run(
        start_bulk("tag", by=Actor.of(rep), ids=ids(mine, pool, away), tag=Tag.objects.create(name="T"))
    )
    assert (job.result["changed"], job.result["refused"], job.result["missing"]) == (1, 1, 1)
    assert "Secret" not in str(job.result)
    assert Tagging.objects.get().lead == mine


def test_undo_brings_back_what_was_and_names_what_has_moved_on():
    admin = Actor.of(make_admin())
    was, owner = make_user(), make_user()
    leads = [make_lead(name=f"L{n}", owner=was) for n in range(3)]
    job = start_bulk("assign", by=admin, ids=ids(*leads), owner=owner)
    offer = job.undo_offer
    run(job)
    assert Lead.objects.filter(owner=owner).count() == 3
    update_lead(leads[1].pk, by=admin, company="Moved on Ltd")
    undo(offer.public_id, by=admin)
    job = run(job)
    assert set(Lead.objects.filter(owner=was)) == {leads[0], leads[2]}
    assert (job.result["undone"], job.result["kept"]) == (2, 1)
    assert job.result["kept_rows"][0]["name"] == "L1"
    with pytest.raises(UndoRefused):
        undo(offer.public_id, by=admin)


def test_a_bulk_act_can_be_taken_back_for_seven_days_and_by_nobody_else():
    admin = Actor.of(make_admin())
    lead, owner = make_lead(), make_user()
    job = start_bulk("assign", by=admin, ids=ids(lead), owner=owner)
    run(job)
    with clock.frozen(clock.now() + timedelta(days=6, hours=23)):
        undo(job.undo_offer.public_id, by=admin)
        run(job)
    lead.refresh_from_db()
    assert lead.owner is None
    with clock.frozen(clock.now() + timedelta(days=8)), pytest.raises(CRMError):
        undo(job.undo_offer.public_id, by=admin)


def test_a_filter_is_resolved_once():
    admin = Actor.of(make_admin())
    for n in range(5):
        make_lead(name=f"L{n}", country="DE")
    job = start_bulk("snooze", by=admin, filters={"status": "new"}, until=clock.now() + timedelta(days=3))
    make_lead(name="Later")
    assert run(job).result["changed"] == 5
    assert Lead.objects.get(name="Later").status == LeadStatus.NEW


def test_an_interrupted_job_goes_on_where_it_stopped(monkeypatch):
    monkeypatch.setattr(bulk_running, "AT_A_TIME", 2)
    admin = Actor.of(make_admin())
    leads = [make_lead() for _ in range(5)]
    job = start_bulk("tag", by=admin, ids=ids(*leads), tag=Tag.objects.create(name="T"))
    assert advance_bulk(job.pk, seconds=0)
    job.refresh_from_db()
    assert (job.done, job.state) == (2, JobState.RUNNING)
    assert stalled_bulk(clock.now()) == []
    assert stalled_bulk(clock.now() + timedelta(minutes=3)) == [job.pk]
    assert run(job).result["changed"] == 5
    assert Tagging.objects.count() == 5
    assert stalled_bulk(clock.now() + timedelta(days=1)) == []


def test_cancelling_keeps_what_is_done_and_leaves_the_rest(monkeypatch):
    monkeypatch.setattr(bulk_running, "AT_A_TIME", 2)
    admin = Actor.of(make_admin())
    job = start_bulk(
        "tag", by=admin, ids=ids(*[make_lead() for _ in range(5)]), tag=Tag.objects.create(name="T")
    )
    advance_bulk(job.pk, seconds=0)
    with pytest.raises(Job.DoesNotExist):
        cancel_bulk(job.pk, by=Actor.of(make_user()))
    cancel_bulk(job.pk, by=admin)
    assert run(job).state == JobState.CANCELLED
    assert Tagging.objects.count() == 2
    with pytest.raises(TransitionRefused):
        cancel_bulk(job.pk, by=admin)


def test_what_is_on_its_way_back_is_not_stopped_half_way():
    admin = Actor.of(make_admin())
    job = start_bulk("assign", by=admin, ids=ids(make_lead()), owner=make_user())
    run(job)
    undo(job.undo_offer.public_id, by=admin)
    with pytest.raises(TransitionRefused):
        cancel_bulk(job.pk, by=admin)
    assert run(job).result["undone"] == 1


def test_a_slice_costs_the_same_statements_for_any_number_of_rows():
    admin, owner, tag = Actor.of(make_admin()), make_user(), Tag.objects.create(name="T")
    later = clock.now() + timedelta(days=3)
    acts = {"assign": {"owner": owner}, "tag": {"tag": tag}, "snooze": {"until": later}}
    few, many = [make_lead() for _ in range(2)], [make_lead() for _ in range(30)]
    for act, values in acts.items():
        costs = []
        for leads in (few, many):
            job = start_bulk(act, by=admin, ids=ids(*leads), **values)
            with CaptureQueriesContext(connection) as forth:
                assert run(job).result["changed"] == len(leads)
            undo(job.undo_offer.public_id, by=admin)
            with CaptureQueriesContext(connection) as back:
                assert run(job).result["undone"] == len(leads)
            costs.append((len(forth), len(back)))
        assert costs[0] == costs[1], act
        assert max(costs[0]) < 40, act


def test_a_row_that_the_database_refuses_holds_up_no_other(monkeypatch):
    admin, owner = Actor.of(make_admin()), make_user()
    leads = [make_lead() for _ in range(3)]
    real = bulk_running.act_on_slice

    def broken(job, keys, **given):
        taken = real(job, keys, **given)
        if leads[1].pk in keys:
            raise IntegrityError("no")
        return taken

    monkeypatch.setattr(bulk_running, "act_on_slice", broken)
    job = run(start_bulk("assign", by=admin, ids=ids(*leads), owner=owner))
    assert (job.result["changed"], job.result["refused"]) == (2, 1)
    assert set(Lead.objects.filter(owner=owner)) == {leads[0], leads[2]}


@pytest.mark.parametrize(
    ("act", "given", "field"),
    [
        ("sell", {"ids": ["x"]}, "act"),
        ("stage", {"ids": ["x"]}, "act"),
        ("disqualify", {"ids": ["x"], "reason": "r"}, "ids"),
        ("disqualify", {"ids": [], "reason": "r"}, "ids"),
        ("disqualify", {"reason": "r"}, "ids"),
        ("disqualify", {"ids": ["x"], "filters": {}, "reason": "r"}, "ids"),
        ("disqualify", {"filters": {"colour": "red"}, "reason": "r"}, "filters.colour"),
        ("disqualify", {"filters": {}, "reason": " "}, "reason"),
        ("disqualify", {"filters": {}, "reason": "a\0b"}, "reason"),
        ("disqualify", {"filters": {}, "reason": 5}, "reason"),
        ("disqualify", {"filters": {}}, "reason"),
        ("disqualify", {"filters": {}, "reason": "r", "owner": None}, "owner"),
        ("snooze", {"filters": {}, "until": "tomorrow"}, "until"),
        ("tag", {"filters": {}, "tag": 5}, "tag"),
        ("disqualify", {"filters": {"q": "nobody at all"}, "reason": "r"}, "ids"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_writes_nothing(act, given, field):
    make_lead()
    with pytest.raises(InvalidValue) as refused:
        start_bulk(act, by=Actor.of(make_admin()), **given)
    assert refused.value.field == field
    assert not Job.objects.exists()
    assert not BulkRow.objects.exists()


def test_names_and_reasons_go_with_the_rows_after_eight_days():
    by, lead = Actor.of(make_admin()), make_lead(name="Ida")
    run(start_bulk("disqualify", by=by, ids=[lead.public_id], reason="Ida moved"))
    until = clock.now() + timedelta(days=1)
    run(start_bulk("snooze", by=by, ids=[lead.public_id], until=until, reason="Ida again"))
    delete_expired(clock.now() + timedelta(days=7))
    assert Job.objects.get(result__refusals__0__name="Ida").result["refused"] == 1
    delete_expired(clock.now() + timedelta(days=9))
    assert not BulkRow.objects.exists()
    assert "Ida" not in str(list(Job.objects.values_list("result", "cursor")))
    assert Job.objects.get(cursor__act="snooze").result["refused"] == 1
    stamps = set(Job.objects.values_list("updated_at", flat=True))
    delete_expired(clock.now() + timedelta(days=9))
    assert set(Job.objects.values_list("updated_at", flat=True)) == stamps, "once"


def test_a_reader_does_nothing_to_many_either():
    with pytest.raises(PermissionRefused):
        start_bulk("disqualify", by=Actor.of(make_user(Role.READ_ONLY)), filters={}, reason="r")
