"""What may not be kept for ever goes by itself, and nothing else does."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command

from crm import clock, tasks
from crm.actions import retention
from crm.actions.attachments import add_attachment, path_of
from crm.actions.leads import add_note
from crm.actions.personal_data import ERASED
from crm.actions.retention import keep_no_longer
from crm.imports import storing
from crm.models import (
    HISTORY,
    AuditLog,
    Contact,
    ImportJob,
    ImportStage,
    Inquiry,
    Lead,
    Message,
    Notification,
    TimelineEvent,
)
from tests.crm.privacy.canaries import WAITING, waits
from tests.factories import actor, make_admin, make_follow_up, make_lead, make_source, make_user

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=31)


@pytest.fixture(autouse=True)
def ledger(settings: Any, tmp_path: Any) -> None:
    settings.ERASURE_LEDGER = tmp_path / "erasures.jsonl"


def test_deleted_leads_go_after_thirty_days_with_all_that_hangs_on_them():
    now = clock.now()
    gone = make_lead(deleted_at=now - LONG_AGO, message="hello")
    make_lead(merged_into=gone)
    add = make_lead(owner=make_user())
    add_note(add.pk, by=actor(add.owner), body="stays")
    TimelineEvent.objects.create(lead=gone, kind="x", actor_kind="system", summary="y")
    recent = make_lead(deleted_at=now - timedelta(days=29))
    assert keep_no_longer(now)["deleted leads"] == 1
    assert set(Lead.objects.values_list("pk", flat=True)) == {add.pk, recent.pk}
    assert not Inquiry.objects.exists()
    assert AuditLog.objects.filter(action="maintenance.retention").count() == 1
    assert not HISTORY[Lead].objects.filter(pgh_obj_id=gone.pk).exists()


def test_files_of_deleted_leads_go_with_them(django_capture_on_commit_callbacks: Any):
    now, by = clock.now(), actor(make_admin())
    gone = make_lead()
    merged, stays = make_lead(), make_lead()
    files = [
        path_of(add_attachment(lead, by=by, file=io.BytesIO(b"plan"), file_name="a.txt").stored_as)
        for lead in (gone, merged, stays)
    ]
    Lead.objects.filter(pk=merged.pk).update(merged_into=gone)
    Lead.objects.filter(pk=gone.pk).update(deleted_at=now - LONG_AGO)
    with django_capture_on_commit_callbacks(execute=True):
        keep_no_longer(now)
    assert [path.exists() for path in files] == [False, False, True]


def test_spam_goes_and_what_belongs_to_a_lead_stays():
    now, source = clock.now(), make_source("web")
    old = {"source": source, "channel": "form", "received_at": now - LONG_AGO}
    Inquiry.objects.create(state="spam", **old)
    kept = Inquiry.objects.create(state="attached", lead=make_lead(), **old)
    new = Inquiry.objects.create(state="spam", source=source, channel="form")
    keep_no_longer(now)
    assert set(Inquiry.objects.all()) == {kept, new}


def test_disqualified_leads_are_anonymised_only_where_asked(settings: Any):
    now = clock.now()
    old = {"status": "disqualified", "disqualify_reason": "no budget", "status_changed_at": now - LONG_AGO}
    lead = make_lead(name="Ida", email="ida@example.org", **old)
    customer = make_lead(name="Bo", contact=Contact.objects.create(full_name="Bo"), **old)
    again = make_lead(name="Cy", email="cy@example.org", **old)
    make_lead(name="Cy", email="cy@example.org")
    assert keep_no_longer(now)["disqualified leads"] == 0, "0 days: kept"
    settings.RETENTION_DISQUALIFIED_DAYS = 30
    assert keep_no_longer(now)["disqualified leads"] == 1
    names = {row.pk: row.name for row in Lead.objects.all()}
    assert (names[lead.pk], names[customer.pk], names[again.pk]) == (ERASED, "Bo", "Cy")
    assert keep_no_longer(now)["disqualified leads"] == 0


def test_who_is_spared_keeps_nobody_behind_them(settings: Any, monkeypatch: Any):
    settings.RETENTION_DISQUALIFIED_DAYS = 30
    monkeypatch.setattr(retention, "SLICE", 2)
    now = clock.now()
    old = {"status": "disqualified", "disqualify_reason": "no budget", "status_changed_at": now - LONG_AGO}
    for _number in range(2):
        make_lead(contact=Contact.objects.create(full_name="Bo"), **old)
    written_to = make_lead(name="Al", email="al@example.org", **old)
    approved = {"state": "scheduled", "approved_by": make_admin(), "approved_at": now}
    mail = make_follow_up(written_to, **approved)
    Message.objects.create(
        lead=written_to,
        follow_up=mail,
        direction="out",
        state="sending",
        from_address="us@example.com",
        to_address=mail.to_address,
        subject=mail.subject,
        text=mail.body,
    )
    last = [make_lead(name=name, email="ida@example.org", **old) for name in ("Ida", "Ida B.")]
    assert keep_no_longer(now)["disqualified leads"] == 1, "two leads, one person"
    assert set(Lead.objects.filter(name=ERASED)) == set(last)


def test_each_slice_goes_on_behind_the_last_until_all_were_looked_at(settings: Any, monkeypatch: Any):
    settings.RETENTION_DISQUALIFIED_DAYS = 30
    monkeypatch.setattr(tasks, "ANONYMISE_S", 0)
    queued: list[int] = []
    monkeypatch.setattr(tasks, "enqueue", lambda name, after: queued.append(after))
    old = {"status": "disqualified", "disqualify_reason": "x", "status_changed_at": clock.now() - LONG_AGO}
    spared = make_lead(contact=Contact.objects.create(full_name="Bo"), **old)
    leads = [spared, *(make_lead(**old) for _number in range(2))]
    tasks.anonymise_disqualified()
    while len(queued) < 4 and queued[-1] != leads[-1].pk:
        tasks.anonymise_disqualified(queued[-1])
    assert queued == [lead.pk for lead in leads]
    tasks.anonymise_disqualified(queued[-1])
    assert len(queued) == 3, "none is left"
    assert Lead.objects.filter(name=ERASED).count() == 2


def test_files_that_nobody_imported_go_after_thirty_days(django_capture_on_commit_callbacks: Any):
    by = actor(make_admin())
    old, new = waits(WAITING, by), waits(WAITING, by)
    ImportJob.objects.filter(pk=old.pk).update(updated_at=clock.now() - timedelta(days=31))
    with django_capture_on_commit_callbacks(execute=True):
        counts = keep_no_longer(clock.now())
    assert counts["files that nobody imported"] == 1
    assert list(ImportJob.objects.all()) == [new]
    assert [storing.path_of(job.stored_as).exists() for job in (old, new)] == [False, True]
    assert set(ImportStage.objects.values_list("job_id", flat=True)) == {new.pk}


def test_read_notifications_go_after_ninety_days():
    user, now = make_admin(), clock.now()
    for key, read_at in (("a", now - timedelta(days=91)), ("b", now), ("c", None)):
        Notification.objects.create(user=user, kind="x", text="y", dedup_key=key, read_at=read_at)
    keep_no_longer(now)
    assert set(Notification.objects.values_list("dedup_key", flat=True)) == {"b", "c"}


def test_the_command_counts_first(capsys: Any):
    make_lead(deleted_at=clock.now() - LONG_AGO)
    call_command("prune", "--dry-run", "--json")
    assert json.loads(capsys.readouterr().out)["deleted leads"] == 1
    assert Lead.objects.count() == 1
    call_command("prune")
    assert "1 deleted leads" in capsys.readouterr().out
    assert not Lead.objects.exists()
