"""An import taken back: every table as before, but for what people did since, which is named."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from crm import clock
from crm.actions.conversion import convert_lead
from crm.actions.imports import preview_undo_import, undo_import
from crm.actions.intake import receive_inquiry
from crm.actions.leads import add_note, assign_lead, disqualify_lead, update_lead
from crm.actions.merging import merge_leads
from crm.actions.opportunities import create_opportunity
from crm.actions.scores import score_by_rules
from crm.errors import PermissionRefused, UndoRefused
from crm.imports.running import ImportRun
from crm.imports.undoing import REMOVED, STORY, UNTIED, kept_rows
from crm.models import (
    Actor,
    CustomField,
    ImportJob,
    ImportRow,
    ImportState,
    Job,
    Lead,
    LeadSource,
    LeadStatus,
    MatchKey,
    MergeLog,
    Role,
    Score,
    Tag,
    Tagging,
)
from crm.tasks import resume_imports, work_on_import
from tests.crm.imports.files import SYSTEM, check, counts, csv_of, people, run, work
from tests.factories import actor, make_admin, make_lead, make_source, make_user
from tests.tables import compared_tables

pytestmark = pytest.mark.django_db


def dump() -> dict[str, dict[Any, str]]:
    """Every row of every compared table by id, but for `updated_at` and `version`."""
    tables: dict[str, dict[Any, str]] = {}
    with connection.cursor() as cursor:
        for table in compared_tables():
            cursor.execute(f'SELECT to_jsonb(row)::text FROM "{table}" AS row')
            rows = [json.loads(row) for (row,) in cursor]
            tables[table] = {
                row.get("id", place): json.dumps(
                    {name: value for name, value in row.items() if name not in {"updated_at", "version"}},
                    sort_keys=True,
                )
                for place, row in enumerate(rows)
            }
    return tables


def differences(before: dict, after: dict) -> list[str]:
    return [
        f"{table} {key}: {before[table].get(key)} -> {after[table].get(key)}"
        for table in before
        for key in before[table].keys() | after[table].keys()
        if before[table].get(key) != after[table].get(key)
    ]


def undo(job: ImportJob, by: Actor = SYSTEM) -> ImportJob:
    undo_import(job.pk, by=by, in_process=True)
    return work(job)


def known_leads() -> list[Lead]:
    """Leads that a file will meet: one at work, one asleep, one that was disqualified, one without scores."""
    at = timezone.now()
    leads = [
        make_lead(name="Person 1", email="p1@firm1.example", message="A garden?", custom={"garden": "none"}),
        make_lead(
            name="Person 2",
            email="p2@firm2.example",
            status=LeadStatus.NURTURING,
            snoozed_until=at + timedelta(days=3),
            attempts=2,
            last_inbound_at=at - timedelta(days=5),
        ),
        make_lead(name="Old 3", phone="+4930555000030"),
        make_lead(name="Person 4", email="p4@firm4.example"),
    ]
    for lead in leads[:3]:
        score_by_rules(lead.pk)
    CustomField.objects.create(target="lead", key="garden", label="Garden", type="text")
    make_source("csv", kind="csv")
    return leads


@pytest.mark.parametrize("policy", ["update", "create", "skip"])
def test_after_undo_of_an_untouched_import_every_table_is_as_before(policy: str):
    known_leads()
    before = dump()
    job = run(people(40), policy=policy, source="Fair 2026")
    assert counts(job) != (40, 0, 0, 0)
    assert len(differences(before, dump())) > 200
    seen = preview_undo_import(job.pk, by=SYSTEM)
    assert (seen.removed, seen.restored, seen.kept) == (job.rows_created, job.rows_updated, 0)
    job = undo(job)
    assert differences(before, dump()) == []
    assert job.state == ImportState.UNDONE
    assert job.options["undo"] == {
        "removed": job.rows_created,
        "restored": job.rows_updated,
        "kept": 0,
        "stays": [],
    }


def test_an_undone_file_can_be_imported_again():
    job = undo(run(people(12)))
    assert not Lead.objects.exists()
    again = run(people(12))
    assert counts(again) == (12, 0, 0, 0)
    assert Lead.objects.count() == 12
    assert job.pk != again.pk


def test_rows_that_people_worked_on_are_kept_and_named():
    boss = actor(make_admin())
    job = run(people(9))
    leads = {lead.name: lead for lead in Lead.objects.all()}
    update_lead(leads["Person 1"].pk, by=boss, company="Changed Ltd")
    add_note(leads["Person 2"].pk, by=boss, body="Called.")
    assign_lead(leads["Person 3"].pk, by=boss, owner=boss.user)
    Tagging.objects.create(tag=Tag.objects.create(name="Hot"), lead=leads["Person 4"])
    mine = make_lead(name="Mine")
    merge_leads(mine.pk, leads["Person 5"].pk, by=boss)
    seen = preview_undo_import(job.pk, by=boss)
    assert (seen.removed, seen.kept) == (4, 5)
    job = undo(job, boss)
    assert set(Lead.objects.values_list("name", flat=True)) == {
        *(f"Person {n}" for n in range(1, 6)),
        "Mine",
    }
    named = {row.row_no: row.message for row in kept_rows(job)}
    assert sorted(named) == [1, 2, 3, 4, 5]
    assert "changed" in named[1]
    assert "note" in named[2]
    assert "tagging" in named[4]
    assert [(row.row_no, f"Kept: {row.reason}") for row in seen.examples] == sorted(named.items())
    assert job.options["undo"]["kept"] == 5
    assert MatchKey.objects.filter(value="p1@firm1.example").exists()


def test_of_a_lead_that_was_changed_since_only_what_the_file_wrote_goes_back():
    boss = actor(make_admin())
    lead = make_lead(name="Ada", email="ada@x.example", company="Old Ltd", title="Head")
    content = csv_of("Name,E-mail,Company,Job title,Garden", "Ada,ada@x.example,File Ltd,Chief,roof")
    job = run(content)
    update_lead(lead.pk, by=boss, company="Ours Ltd", interest="roses")
    job = undo(job)
    lead.refresh_from_db()
    assert (lead.company, lead.title, lead.interest, lead.custom) == ("Ours Ltd", "Head", "roses", {})
    assert [row.row_no for row in kept_rows(job)] == [1]


def test_a_judgement_by_an_agent_or_the_rules_is_no_touch():
    job = run(people(3))
    lead = Lead.objects.order_by("pk").first()
    Score.objects.filter(lead=lead, is_current=True).update(is_current=False)
    Score.objects.create(lead=lead, kind="statistics", value=80, band="hot")
    assert preview_undo_import(job.pk, by=SYSTEM).removed == 3
    undo(job)
    assert not Lead.objects.exists()
    assert not Score.objects.exists()


def test_own_fields_and_sources_that_are_in_use_stay_and_are_named():
    job = run(people(4), source="Fair 2026")
    made = set(CustomField.objects.values_list("key", flat=True))
    assert made >= {"garden", "visits"}
    make_lead(name="Ada", custom={"garden": "roof"}, source=LeadSource.objects.get(name="Fair 2026"))
    job = undo(job)
    assert set(CustomField.objects.values_list("key", flat=True)) == {"garden"}
    assert len(job.options["undo"]["stays"]) == 2
    assert job.source.name == "Fair 2026"


@pytest.mark.parametrize("policy", ["create", "update"])
def test_tags_of_a_file_are_made_stuck_on_and_taken_back(policy: str):
    vip = Tag.objects.create(name="VIP")
    known = make_lead(name="Known", email="known@x.example")
    Tagging.objects.create(lead=known, tag=vip)
    make_source("csv", kind="csv")
    before = dump()
    content = csv_of(
        "Name,E-mail,Labels",
        "New,new@x.example,vip; Spring fair",
        'Known,known@x.example,"VIP,Spring fair"',
        "Plain,plain@x.example,",
    )
    job = run(content, policy=policy)
    assert counts(job) == (2, 1, 0, 0)
    fair = Tag.objects.get(name="Spring fair")
    on = {(row.lead.name, row.tag) for row in Tagging.objects.select_related("lead", "tag")}
    assert on == {("New", vip), ("New", fair), ("Known", vip), ("Known", fair)}
    undo(job)
    assert differences(before, dump()) == []
    assert Tag.objects.get() == vip


def test_a_tag_that_came_with_a_file_and_is_used_elsewhere_stays_and_is_named():
    job = run(csv_of("Name,E-mail,Tags", "New,new@x.example,Fair"))
    Tagging.objects.create(lead=make_lead(), tag=Tag.objects.get())
    job = undo(job)
    assert Tag.objects.get().name == "Fair"
    assert not Lead.objects.filter(name="New").exists()
    assert "Fair" in str(job.options["undo"]["stays"])


def test_undo_stopped_between_slices_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr("crm.imports.running.WRITTEN_AT_FIRST", 7)
    monkeypatch.setattr("crm.imports.running.WRITTEN_LEAST", 7)
    monkeypatch.setattr("crm.imports.running.WRITTEN_MOST", 7)
    known_leads()
    before = dump()
    job = run(people(40))
    undo_import(job.pk, by=SYSTEM)  # by the queue, whose worker dies
    work_on_it = ImportRun(job.pk)
    assert work_on_it.step()
    assert work_on_it.step()
    watched = Job.objects.get(import_job=job)
    assert watched.cursor == {"phase": "undo", "row": 14}
    assert (watched.done, watched.total) == (14, 40)
    assert 0 < Lead.objects.count() < 44
    with pytest.raises(UndoRefused, match="being undone"):
        undo_import(job.pk, by=SYSTEM)
    with clock.frozen(timezone.now() + timedelta(minutes=5)):
        resume_imports()
    work_on_import(job.pk)
    job.refresh_from_db()
    assert job.state == ImportState.UNDONE
    assert differences(before, dump()) == []


def test_a_lead_that_two_slices_of_one_file_changed_goes_back_all_the_way(monkeypatch):
    for name in ("FIRST", "LEAST", "MOST"):
        monkeypatch.setattr(f"crm.imports.running.WRITTEN_{'AT_FIRST' if name == 'FIRST' else name}", 1)
    make_lead(name="Ada", email="ada@x.example", phone="+493055501100", company="Old Ltd")
    make_source("csv", kind="csv")
    before = dump()
    content = csv_of("Name,E-mail,Phone,Company", "Ada,ada@x.example,,One Ltd", "Ada,,+493055501100,Two Ltd")
    job = run(content)
    assert counts(job) == (0, 2, 0, 0)
    undo(job)
    assert differences(before, dump()) == []


def test_undo_is_refused_with_the_reason_and_changes_nothing():
    job = check(people(2))
    with pytest.raises(UndoRefused, match="done"):
        undo_import(job.pk, by=SYSTEM)
    job = run(people(2))
    before = dump()
    with pytest.raises(ImportJob.DoesNotExist):
        undo_import(job.pk, by=actor(make_user()))
    with pytest.raises(PermissionRefused):
        undo_import(job.pk, by=actor(make_user(Role.READ_ONLY)))
    with clock.frozen(timezone.now() + timedelta(days=8)), pytest.raises(UndoRefused, match="seven days"):
        undo_import(job.pk, by=SYSTEM)
    assert {table for table, rows in dump().items() if rows != before[table]} <= {"crm_user"}
    job = undo(job)
    with pytest.raises(UndoRefused, match="already"):
        undo_import(job.pk, by=SYSTEM)
    assert ImportRow.objects.filter(job=job).count() == 2


def test_tables_named_here_exist_and_none_is_named_twice():
    from crm.actions.merge_relations import relations

    known = {relation.label for relation in relations(Lead)}
    assert {*REMOVED, *UNTIED} <= known
    assert not set(REMOVED) & set(UNTIED)
    assert set(STORY) <= set(REMOVED)


def test_the_command_says_what_would_happen_and_does_it():
    def called(*args: str) -> str:
        out = StringIO()
        call_command("undo_import", *args, stdout=out, stderr=StringIO())
        return out.getvalue()

    job = run(people(6))
    update_lead(Lead.objects.get(name="Person 2").pk, by=SYSTEM, company="Changed Ltd")
    assert "5 leads would be removed" in called(str(job.pk), "--dry-run")
    assert Lead.objects.count() == 6
    said = json.loads(called(str(job.public_id), "--json"))
    assert (said["removed"], said["kept"], said["kept_rows"][0]["row"]) == (5, 1, 2)
    assert list(Lead.objects.values_list("name", flat=True)) == ["Person 2"]
    for wrong, code in ((str(job.pk), 1), ("999999999", 1), ("nonsense", 2)):
        with pytest.raises(CommandError) as refused:
            called(wrong)
        assert refused.value.returncode == code


def persons_who_meet() -> None:
    """Two leads and a closed one that a row's keys prove to be one person; a contact without an open lead."""
    for name, keys in (
        ("Ada", {"email": "ada@x.example", "phone": "+493055501100"}),
        ("Ada L.", {"phone": "+493055501101"}),
        ("Bo", {"email": "bo@y.example"}),
        ("Cy", {"email": "cy@z.example"}),
    ):
        asked = {"name": name, "message": "A garden?", **keys}
        lead = receive_inquiry(channel="form", payload=asked, by=SYSTEM).lead
        add_note(lead.pk, by=actor(make_admin()), body="Called.")
        if name in {"Bo", "Cy"}:
            disqualify_lead(lead.pk, by=SYSTEM, reason="No garden")
    convert_lead(make_lead(name="Di", email="di@w.example").pk, by=SYSTEM, contact={})
    make_source("csv", kind="csv")


TOGETHER = csv_of(
    "Name,E-mail,Phone,Company",
    "Ada,ada@x.example,+493055501101,One Ltd",  # two open leads become one
    "Bo,bo@y.example,,Two Ltd",  # comes back: a contact is made that holds the closed lead
    "Di,di@w.example,,Three Ltd",  # a contact whose lead was converted
    "New,new@v.example,+493055501102,Four Ltd",
    "Ada,,+493055501100,Five Ltd",  # who has been merged by the first row
)


def test_what_a_row_brought_together_is_taken_apart_again():
    persons_who_meet()
    before = dump()
    job = run(TOGETHER, policy="create")
    assert MergeLog.objects.count() == 1
    assert counts(job) == (3, 2, 0, 0)
    job = undo(job)
    assert differences(before, dump()) == []
    assert job.options["undo"] == {"removed": 3, "restored": 2, "kept": 0, "stays": []}


def test_a_row_that_brought_together_what_was_used_since_is_kept_whole_and_named():
    persons_who_meet()
    boss = actor(make_admin())
    job = run(TOGETHER, policy="create")
    update_lead(Lead.objects.live().get(name="Ada").pk, by=boss, title="Head")
    made = Lead.objects.get(inquiries__channel="csv", name="Bo").contact
    create_opportunity(by=boss, name="Pond", primary_contact=made)
    between = dump()
    job = undo(job, boss)
    assert [row.row_no for row in kept_rows(job)] == [1, 2, 5]
    assert job.options["undo"]["kept"] == 3
    changed = {line.split()[0] for line in differences(between, dump()) if "crm_contact " in line}
    assert not changed
    assert MergeLog.objects.count() == 1
    assert set(Lead.objects.live().values_list("name", "company")) >= {("Ada", "One Ltd"), ("Bo", "Two Ltd")}
    assert not Lead.objects.filter(name="New").exists()


def test_a_judgement_since_does_not_keep_a_row_that_brought_records_together():
    persons_who_meet()
    job = run(TOGETHER, policy="create")
    ada = Lead.objects.live().get(name="Ada")
    Score.objects.filter(lead=ada, kind="blend", is_current=True).update(is_current=False)
    Score.objects.create(lead=ada, kind="blend", value=90, band="hot", blended_from="rules")
    Lead.objects.filter(pk=ada.pk).update(score=90)
    job = undo(job)
    assert job.options["undo"]["kept"] == 0
    assert set(Lead.objects.live().filter(name__startswith="Ada").values_list("name", "company")) == {
        ("Ada", ""),
        ("Ada L.", ""),
    }


@pytest.mark.slow
@pytest.mark.timeout(1_800)  # about five minutes on two cores
@pytest.mark.django_db(transaction=True)
def test_a_hundred_thousand_rows_taken_back_leave_every_table_as_it_was_but_for_what_was_edited():
    """99,000 rows that make a lead and 1,000 that change one of the 2,000 leads there are."""
    run(people(2_000))
    before = dump()
    big = people(100_000, start=1_001).replace(b",Firm ", b",Company ")
    job = run(big)
    assert counts(job) == (99_000, 1_000, 0, 0)
    assert undo(job).state == ImportState.UNDONE
    assert differences(before, dump()) == []

    job = run(big)
    edited = list(Lead.objects.order_by("-pk")[:4])
    for lead in edited:
        update_lead(lead.pk, by=SYSTEM, interest="Asked about since")
    undo(job)
    assert {row.lead_id for row in kept_rows(job)} == {lead.pk for lead in edited}
    changed = {line.split(":")[0] for line in differences(before, dump()) if line.startswith("crm_lead ")}
    assert changed == {f"crm_lead {lead.pk}" for lead in edited}
