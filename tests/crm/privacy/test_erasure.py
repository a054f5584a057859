"""A person can be written out and forgotten, wholly, and again after a restore."""

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from ai_agents.models import AgentCall
from crm import clock
from crm.actions.base import undo
from crm.actions.bulk import start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.consents import is_suppressed
from crm.actions.erasure import erase_person, read_ledger, sync_ledger
from crm.actions.imports import advance_import, run_import
from crm.actions.intake import receive_inquiry, receive_public_inquiry
from crm.actions.person_export import export_person, write_person
from crm.actions.person_files import FILES
from crm.actions.personal_data import ERASED, HELD, HOLDS_NOTHING, Person, person_of
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import (
    Actor,
    AuditLog,
    BulkRow,
    Contact,
    ErasureLedger,
    ImportJob,
    Inquiry,
    Lead,
    Message,
    MessageState,
    Opportunity,
    Role,
    Suppression,
    TimelineEvent,
    Undo,
    User,
)
from tests.crm.privacy.canaries import CANARY, FILE, MAIL, NATIONAL, PHONE, WAITING, plant, traces, waits
from tests.factories import actor, make_admin, make_follow_up, make_lead, make_source, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def ledger(settings: Any, tmp_path: Path) -> Path:
    settings.ERASURE_LEDGER = tmp_path / "ledger" / "erasures.jsonl"
    return settings.ERASURE_LEDGER


def test_every_table_that_points_at_a_person_is_on_a_list():
    """A new foreign key cannot be forgotten: to a lead, a contact, or a row that is about one."""
    held = {entry.model for entry in HELD}
    pointing = {
        f"{model._meta.app_label}.{model.__name__}"
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if field.related_model in held and model not in held and not hasattr(model, "pgh_tracked_model")
    }
    assert pointing - set(HOLDS_NOTHING) == set()
    assert {*HOLDS_NOTHING} <= pointing, "an entry that nothing needs"


def test_nothing_of_the_person_is_left_in_any_table_or_file():
    admin = make_admin()
    lead, contact = plant(admin)
    bystander = make_lead(name="Other", email="other@example.org", message="hello")
    tables = {trace.partition(":")[0] for trace in traces()}
    assert len(tables) >= 25, sorted(tables)
    done = erase_person(person_of(lead=lead), by=actor(admin))
    left = traces()
    assert not left, "; ".join(left)
    assert done.counts["crm.lead"] == 3, "the merged ones, too"
    lead.refresh_from_db()
    contact.refresh_from_db()
    assert (lead.name, lead.status, contact.full_name, contact.do_not_contact) == (
        ERASED,
        "disqualified",
        ERASED,
        True,
    )
    bystander.refresh_from_db()
    assert bystander.name == "Other"


def nameless(by: Actor, **payload: str) -> Inquiry:
    """Somebody of whom there is no lead: what they sent failed, and a colleague's file waits."""
    waits(WAITING, by)
    return receive_public_inquiry(
        channel="form",
        payload={"name": f"{CANARY} Vole", "message": f"I am {CANARY}", **payload},
        source=make_source("web"),
        lacks=("No consent.",),
    )


def test_who_never_became_a_lead_is_written_out_and_erased_by_an_address_or_the_inquiry(tmp_path: Path):
    inquiry = nameless(actor(make_admin()), email=MAIL, phone=PHONE)
    by_phone = nameless(actor(User.objects.get()), phone=NATIONAL, country="GB")
    for number, person in enumerate((MAIL.upper(), str(inquiry.public_id))):
        call_command("privacy", "export", person, "--out", str(tmp_path / f"{number}.zip"))
        with zipfile.ZipFile(tmp_path / f"{number}.zip") as archive:
            tables = json.loads(archive.read("person.json"))["tables"]
        assert inquiry.public_id.hex in {row["public_id"].replace("-", "") for row in tables["crm.inquiry"]}
        assert {(line["line"], line["cells"]["Name"]) for line in tables[FILES]} == {(3, f"{CANARY} Vole")}
    call_command("privacy", "erase", MAIL, "--yes")
    assert is_suppressed("email", MAIL)
    assert all("erased" in job.error for job in ImportJob.objects.all())
    assert traces() == ["crm_inquiry: zanzibird"], "who gives a number alone is another person"
    call_command("privacy", "erase", PHONE, "--yes")
    assert traces() == []
    by_phone.refresh_from_db()
    assert by_phone.payload == {}
    with pytest.raises(CommandError) as refused:
        call_command("privacy", "erase", PHONE, "--yes")
    assert refused.value.returncode == 2


def test_a_replay_erases_who_never_became_a_lead_too():
    inquiry = nameless(actor(make_admin()), email=MAIL)
    before = dict(Inquiry.objects.values_list("pk", "payload"))
    call_command("privacy", "erase", MAIL, "--yes")
    Inquiry.objects.filter(pk=inquiry.pk).update(payload=before[inquiry.pk], message=CANARY)  # a restore
    ErasureLedger.objects.all().delete()
    call_command("privacy", "replay")
    assert traces() == []


def test_a_number_that_several_people_share_names_nobody():
    first, second = (make_lead(name=name, phone=PHONE) for name in ("Ida", "Bo"))
    with pytest.raises(CommandError, match="Several people") as refused:
        call_command("privacy", "erase", PHONE, "--yes")
    assert str(first.public_id) in str(refused.value)
    assert str(second.public_id) in str(refused.value)


def test_of_an_import_that_runs_the_rows_about_the_erased_are_not_written():
    by = actor(make_admin())
    job = waits(FILE + "Other,other@example.com,+442079460100,Hello\n", by)
    run_import(job.pk, by=by, in_process=True)
    lead = make_lead(name=f"{CANARY} V.", email=MAIL)
    erase_person(person_of(lead=lead), by=by)
    advance_import(job.pk, seconds=60)
    assert traces() == []
    assert list(Lead.objects.exclude(pk=lead.pk).values_list("name", flat=True)) == ["Other"]


def test_the_reason_of_a_bulk_act_that_runs_goes_when_it_is_over():
    admin = make_admin()
    lead, other = (make_lead(name=name, owner=admin) for name in ("Ida", "Bo"))
    job = start_bulk(
        "snooze",
        by=actor(admin),
        ids=[lead.public_id, other.public_id],
        until=clock.now() + timedelta(days=1),
        reason=f"{CANARY} is away",
    )
    erase_person(person_of(lead=lead), by=actor(admin))
    while advance_bulk(job.pk, seconds=60):
        pass
    job.refresh_from_db()
    assert job.cursor["values"]["reason"] == ERASED
    assert job.result["refusals"] == []
    assert Undo.objects.get(public_id=job.cursor["undo"]).label == ERASED
    other.refresh_from_db()
    assert other.status == "nurturing"


def test_what_came_from_somebody_else_without_a_lead_stays():
    lead = make_lead(name="Ida", email="ida@example.org", phone="+442079460018")
    web, kept = make_source("web"), {"state": "failed", "channel": "form"}
    for payload in (
        {"email": "frida@example.org", "message": "ida@example.org is my mother"},
        {"email": "bo@example.org", "phone": "+442079460018"},
        {"email": "ida@", "phone": "+44 20 7946 0019"},
        {"phone": "0018"},
    ):
        Inquiry.objects.create(source=web, payload=payload, **kept)
    theirs = Inquiry.objects.create(
        source=web, payload={"email": "IDA+x@example.org"}, error="“IDA+x”: wrong", **kept
    )
    done = erase_person(person_of(lead=lead), by=actor(make_admin()))
    assert list(Inquiry.objects.filter(lead=None, payload={})) == [theirs]
    theirs.refresh_from_db()
    assert (theirs.state, theirs.error, done.counts["crm.inquiry"]) == ("failed", "", 1)


def test_others_of_the_same_bulk_act_can_still_be_put_back():
    admin = make_admin()
    lead, other = (make_lead(name=name, owner=admin) for name in ("Ida", "Bo"))
    by = actor(admin)
    job = start_bulk("disqualify", by=by, ids=[lead.public_id, other.public_id], reason="Ida moved")
    while advance_bulk(job.pk, seconds=60):
        pass
    erase_person(person_of(lead=lead), by=by)
    rows = BulkRow.objects.filter(job=job).order_by("record_id")
    assert [row.undo is None for row in rows] == [True, False]
    undo(job.undo_offer.public_id, by=by)
    while advance_bulk(job.pk, seconds=60):
        pass
    assert list(rows.values_list("state", flat=True)) == ["kept", "undone"]
    other.refresh_from_db()
    lead.refresh_from_db()
    assert (other.status, lead.status, lead.disqualify_reason) == ("new", "disqualified", ERASED)


def test_what_is_counted_stays():
    admin = make_admin()
    lead, _contact = plant(admin)
    events = TimelineEvent.objects.count()
    erase_person(person_of(lead=lead), by=actor(admin))
    call = AgentCall.objects.get()
    assert (call.tokens_in, call.input, call.output) == (10, {}, "")
    assert set(Opportunity.objects.values_list("name", flat=True)) == {ERASED}
    assert TimelineEvent.objects.count() == events
    assert set(TimelineEvent.objects.filter(lead=lead).values_list("summary", flat=True)) == {ERASED}


def test_the_address_stays_banned_and_who_comes_back_is_somebody_new():
    admin = make_admin()
    lead, _contact = plant(admin)
    erase_person(person_of(lead=lead), by=actor(admin))
    assert is_suppressed("email", MAIL)
    assert not Suppression.objects.exclude(norm="").exists()
    again = receive_inquiry(channel="form", payload={"name": "Ann", "email": MAIL}, by=Actor.system()).lead
    assert again.pk != lead.pk


def test_a_person_is_all_records_that_are_linked_merged_or_share_an_address():
    contact = Contact.objects.create(full_name="Ida")
    first = make_lead(email="ida@example.org", contact=contact)
    merged = make_lead(merged_into=first)
    other_mail = make_lead(email="ida@example.org")
    same_phone = make_lead(phone="+442079460018")
    make_lead(phone="+442079460018", contact=contact)
    whole = person_of(lead=other_mail)
    assert whole.contacts == {contact.pk}
    assert {first.pk, merged.pk, other_mail.pk} < whole.leads
    assert same_phone.pk not in whole.leads


def test_only_an_admin_erases_and_nobody_while_a_message_leaves():
    admin, lead = make_admin(), make_lead(name="Ida")
    person = person_of(lead=lead)
    for role in (Role.MANAGER, Role.REP, Role.READ_ONLY):
        with pytest.raises(PermissionRefused):
            erase_person(person, by=actor(make_user(role)))
    with pytest.raises(InvalidValue):
        erase_person(Person(frozenset(), frozenset()), by=actor(admin))
    follow_up = make_follow_up(lead, state="scheduled", approved_by=admin, approved_at=lead.created_at)
    message = Message.objects.create(
        lead=lead,
        follow_up=follow_up,
        direction="out",
        state=MessageState.SENDING,
        from_address="us@example.com",
        to_address=follow_up.to_address,
        subject=follow_up.subject,
        text=follow_up.body,
    )
    with pytest.raises(TransitionRefused, match="being sent"):
        erase_person(person, by=actor(admin))
    lead.refresh_from_db()
    assert lead.name == "Ida"
    Message.objects.filter(pk=message.pk).delete()
    erase_person(person, by=actor(admin))


def test_the_export_shows_what_is_known_and_no_secret():
    admin = make_admin()
    lead, _contact = plant(admin)
    known = export_person(person_of(lead=lead), by=actor(admin))
    filled = {entry.model._meta.label_lower for entry in HELD}
    assert set(known["tables"]) == filled | {FILES}, "the story fills every table"
    text = json.dumps(known, default=str)
    for part in (MAIL, PHONE, "is hot", "called", "is keen"):
        assert part in text
    assert f"{CANARY}hash" not in text
    entry = AuditLog.objects.get(action="person.exported")
    assert CANARY not in json.dumps(entry.data)


def test_the_export_is_a_zip_with_the_files():
    admin = make_admin()
    lead, _contact = plant(admin)
    target = io.BytesIO()
    counts = write_person(person_of(lead=lead), target, by=actor(admin))
    with zipfile.ZipFile(target) as archive:
        assert json.loads(archive.read("person.json"))["tables"].keys() == counts.keys()
        (attached,) = [name for name in archive.namelist() if name.startswith("attachments/")]
        assert archive.read(attached) == CANARY.encode()
    with pytest.raises(PermissionRefused):
        write_person(person_of(lead=lead), io.BytesIO(), by=actor(make_user(Role.MANAGER)))


def test_the_ledger_is_on_disk_and_says_nobodys_name(ledger: Path):
    admin = make_admin()
    lead, _contact = plant(admin)
    erase_person(person_of(lead=lead), by=actor(admin))
    assert ledger.stat().st_mode & 0o777 == 0o600
    (entry,) = read_ledger(ledger)
    assert str(lead.public_id) in entry["leads"]
    assert CANARY not in ledger.read_text()
    ledger.unlink()
    assert sync_ledger() == 1, "what a crash kept from the file is found"
    assert [row["id"] for row in read_ledger(ledger)] == [entry["id"]]
    assert sync_ledger() == 0


def test_a_damaged_ledger_is_named_by_its_line(ledger: Path):
    ledger.parent.mkdir(parents=True)
    ledger.write_text("{}\n")
    with pytest.raises(InvalidValue, match="Line 1"):
        read_ledger(ledger)
    with pytest.raises(CommandError, match="Line 1"):
        call_command("privacy", "replay")


def test_erased_restored_from_an_older_dump_and_replayed_nothing_is_left(tmp_path: Path, capsys: Any):
    from gardenos.archive.reading import read_archive
    from gardenos.archive.tables import archived_models
    from gardenos.archive.writing import write_archive

    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    admin = make_admin()
    lead, _contact = plant(admin)
    write_archive(tmp_path / "yesterday")
    erase_person(person_of(lead=lead), by=actor(admin))
    assert traces() == []
    newcomer = receive_inquiry(
        channel="form", payload={"name": "New", "email": "n@example.org"}, by=Actor.system()
    )

    with connection.cursor() as cursor:
        tables = ", ".join(model._meta.db_table for model in archived_models())
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    read_archive(tmp_path / "yesterday")
    assert len(traces()) > 25, "the backup has brought the person back"
    assert not ErasureLedger.objects.exists()

    call_command("privacy", "replay", "--dry-run")
    assert len(traces()) > 25
    call_command("privacy", "replay")
    assert "erased again" in capsys.readouterr().out
    assert traces() == []
    assert ErasureLedger.objects.get().replayed_at
    call_command("privacy", "replay")
    assert "1 entries; 0 records erased again; 0 added" in capsys.readouterr().out
    assert is_suppressed("email", MAIL)
    assert newcomer.lead.pk
    connection.close()


def test_a_replay_spares_who_came_back_after_the_erasure(ledger: Path):
    admin = make_admin()
    lead, _contact = plant(admin)
    erase_person(person_of(lead=lead), by=actor(admin))
    again = receive_inquiry(channel="form", payload={"name": "Ann", "email": MAIL}, by=Actor.system()).lead
    call_command("privacy", "replay")
    again.refresh_from_db()
    assert again.name == "Ann"
    Lead.objects.filter(pk=again.pk).update(created_at=lead.created_at)
    call_command("privacy", "replay")
    again.refresh_from_db()
    assert again.name == ERASED, "older than the erasure: a backup brought it"


def test_the_command_finds_an_address_however_its_domain_is_written():
    lead = make_lead(name="Ida", email="ida@xn--grten-gra.example")
    call_command("privacy", "erase", " Ida@Gärten.example", "--yes")
    lead.refresh_from_db()
    assert lead.name == ERASED


def test_the_command_asks_first_and_refuses_by_name(monkeypatch: Any, tmp_path: Path, capsys: Any):
    lead = make_lead(name="Ida", email="ida@example.org")
    with pytest.raises(CommandError, match="no lead, contact, inquiry") as refused:
        call_command("privacy", "erase", "nobody@example.org", "--yes")
    assert refused.value.returncode == 2
    call_command("privacy", "erase", "ida@example.org", "--dry-run")
    monkeypatch.setattr("builtins.input", lambda prompt: "no")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("privacy", "erase", str(lead.public_id))
    lead.refresh_from_db()
    assert lead.name == "Ida"
    out = tmp_path / "ida.zip"
    call_command("privacy", "export", "ida@example.org", "--out", str(out))
    assert out.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="exists"):
        call_command("privacy", "export", "ida@example.org", "--out", str(out))
    call_command("privacy", "erase", str(lead.public_id), "--yes")
    lead.refresh_from_db()
    assert lead.name == ERASED
    assert "erased:" in capsys.readouterr().out
    assert Path(django_settings.ERASURE_LEDGER).exists()
