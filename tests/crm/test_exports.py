"""Exports: what leaves is what one may see, no cell is ever run, and a file brought back changes nothing."""

import csv
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from crm import clock, tasks
from crm.actions import exports
from crm.actions.exports import (
    advance_export,
    cancel_export,
    delete_old_exports,
    exported_file,
    stalled_exports,
    start_export,
)
from crm.actions.intake import default_source, receive_inquiry
from crm.actions.leads import update_lead
from crm.actions.opportunities import create_opportunity
from crm.actions.tags import tag_record
from crm.errors import ExportRefused, InvalidValue, LinkExpired, PermissionRefused, RateLimited
from crm.exports import files, running
from crm.imports.values import clean, guard
from crm.models import (
    Account,
    Actor,
    AuditLog,
    Channel,
    Contact,
    CustomField,
    Job,
    JobState,
    Lead,
    Opportunity,
    Role,
    SavedView,
    Tag,
    User,
)
from crm.permissions import EXPORT_LIMITS, ExportLimit
from tests.crm.imports.files import counts, run
from tests.factories import actor, make_admin, make_lead, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")


def export(by: Actor | User, **asked: Any) -> Job:
    """Asked for and worked off."""
    by = by if isinstance(by, Actor) else actor(by)
    job = start_export(by=by, in_process=True, **asked)
    while advance_export(job.pk, seconds=0):
        pass
    job.refresh_from_db()
    return job


def path_of(job: Job) -> Path:
    return files.path_of(f"{job.cursor['file']}.{job.cursor['asked']['format']}")


def rows_of(job: Job) -> list[dict[str, str]]:
    with path_of(job).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def left_over(media: Path) -> list[Path]:
    folder = media / files.FOLDER
    return sorted(folder.iterdir()) if folder.is_dir() else []


# --- what is in it -----------------------------------------------------------------------------------------
def test_the_file_holds_what_the_list_shows_in_its_order(settings: Any):
    admin = make_admin()
    for score in (20, 90, None, 60):
        make_lead(
            name=f"Score {score}", score=score, score_source="rules" if score else "", owner=admin,
            status="working", email=f"s{score}@example.com", phone="+493012345",
        )  # fmt: skip
    make_lead(name="Not asked for", status="new")
    job = export(admin, filters={"status": "working"})
    assert (job.state, job.total, job.result["rows"]) == (JobState.DONE, 4, 4)
    rows = rows_of(job)
    assert [row["name"] for row in rows] == ["Score 90", "Score 60", "Score 20", "Score None"]
    first = rows[0]
    lead = Lead.objects.get(name="Score 90")
    assert (first["gardenos_id"], first["owner"], first["email"]) == (
        str(lead.public_id), admin.email, "s90@example.com",
    )  # fmt: skip
    assert clean(first["phone"]) == "+493012345"
    assert first["created_at"] == f"{lead.created_at:%Y-%m-%dT%H:%M:%SZ}"
    assert [row["export_row"] for row in rows] == [f"{str(job.public_id)[:8]}-{n}" for n in range(1, 5)]
    (path,) = left_over(settings.MEDIA_ROOT)
    assert path == path_of(job)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_columns_are_chosen_and_own_fields_are_among_them():
    CustomField.objects.create(key="garden", label="Garden", type="text")
    CustomField.objects.create(key="gone", label="Gone", type="text", is_active=False)
    make_lead(name="Ada", custom={"garden": "roof", "gone": "x"})
    admin = make_admin()
    (row,) = rows_of(export(admin, columns=["custom:garden", "name"]))
    assert list(row) == ["gardenos_id", "custom:garden", "name", "export_row"]
    assert (row["custom:garden"], row["name"]) == ("roof", "Ada")
    assert "custom:gone" not in rows_of(export(admin))[0]


@pytest.mark.parametrize("target", ["contact", "account", "opportunity"])
def test_every_kind_of_record_can_be_exported(target: str):
    account = Account.objects.create(name="Moss Ltd", search_text="moss ltd")
    contact = Contact.objects.create(full_name="Moss, Ada", account=account, search_text="moss ada")
    create_opportunity(by=SYSTEM, name="Moss roof", account=account, primary_contact=contact)
    job = export(SYSTEM, target=target, filters={"q": "moss"}, sort="oldest")
    (row,) = rows_of(job)
    assert "oss" in row["name"]
    assert job.result["name"].startswith({"contact": "contacts", "account": "accounts"}.get(target, "opport"))
    assert rows_of(export(SYSTEM, target=target, filters={"q": "nobody-here"})) == []


def test_only_what_the_asker_may_see_leaves():
    ours, theirs = make_team(), make_team()
    rep, mate = make_user(team=ours), make_user(team=ours)
    make_lead(name="Mine", owner=rep, team=ours)
    make_lead(name="Pool", team=ours)
    make_lead(name="My colleague's", owner=mate, team=ours)
    make_lead(name="Theirs", team=theirs)
    assert {row["name"] for row in rows_of(export(rep))} == {"Mine"}
    manager = make_user(Role.MANAGER, team=ours)
    assert {row["name"] for row in rows_of(export(manager))} == {"Mine", "Pool", "My colleague's"}
    assert len(rows_of(export(make_admin()))) == 4


def test_what_went_out_of_sight_while_the_file_was_made_is_not_in_it(monkeypatch: Any):
    monkeypatch.setattr(running, "ROWS_AT_ONCE", 1)
    rep = make_user(team=make_team())
    for number in range(3):
        make_lead(name=f"Lead {number}", owner=rep)
    job = start_export(by=actor(rep), sort="oldest", in_process=True)
    advance_export(job.pk, seconds=0)
    Lead.objects.filter(name="Lead 2").update(owner=make_user())
    while advance_export(job.pk, seconds=0):
        pass
    job.refresh_from_db()
    assert [row["name"] for row in rows_of(job)] == ["Lead 0", "Lead 1"]
    assert (job.total, job.result["rows"]) == (3, 2)


def test_a_saved_view_brings_its_filters_columns_and_order():
    admin = make_admin()
    make_lead(name="Old", status="working")
    make_lead(name="Young", status="working")
    make_lead(name="New", status="new")
    view = SavedView.objects.create(
        owner=admin, name="W", filters={"status": "working"}, columns=["name", "value"], sort="oldest"
    )
    rows = rows_of(export(admin, view=view))
    assert [row["name"] for row in rows] == ["Old", "Young"]
    assert list(rows[0]) == ["gardenos_id", "name", "est_value", "currency", "export_row"]


def test_an_export_takes_a_fixed_number_of_statements_a_slice(django_assert_max_num_queries: Any):
    admin = make_admin()
    for number in range(40):
        make_lead(name=f"Lead {number}", email=f"l{number}@example.com")
    with django_assert_max_num_queries(45):
        export(admin)


def test_tags_go_out_in_one_cell_and_come_back_to_their_leads():
    admin = make_admin()
    lead = make_lead(name="Ada", email="ada@example.com")
    for name in ("VIP", "Spring fair"):
        tag_record("lead", lead.pk, by=actor(admin), tag=Tag.objects.create(name=name))
    job = export(admin, columns=["name", "email", "tags"])
    assert rows_of(job)[0]["tags"] == "Spring fair, VIP"
    path = exported_file(job, by=actor(admin))
    lead.taggings.all().delete()
    assert counts(run(path.read_bytes(), policy="update")) == (0, 1, 0, 0)
    assert sorted(lead.taggings.values_list("tag__name", flat=True)) == ["Spring fair", "VIP"]


# --- formulas ----------------------------------------------------------------------------------------------
PAYLOADS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x.example")', "-2+3+cmd|'x'!A0",
    "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "'=1+1", "''=1+1", "+49 30 555",
]  # fmt: skip


@pytest.mark.parametrize("text", [*PAYLOADS, "\t=1", "\r=1", "\n=1"])
def test_a_guarded_cell_is_no_formula_and_comes_back_as_it_was(text: str):
    guarded = guard(text)
    assert guarded[0] == "'"
    assert clean(guarded) == text


@pytest.mark.parametrize("text", ["", "'", "it's", "a=b", "2-1", "Ada", "“=”", "'quoted'"])
def test_other_cells_stay_as_they_are(text: str):
    assert guard(text) == text
    assert clean(text) == text


def test_no_cell_of_either_file_starts_active():
    for text in PAYLOADS:
        make_lead(name=text, company=text)
    admin = make_admin()
    for row in rows_of(export(admin, columns=["name", "company"])):
        assert row["name"][0] == "'"
        assert row["company"][0] == "'"
    book = openpyxl.load_workbook(path_of(export(admin, format="xlsx", columns=["name", "company"])))
    cells = [cell for row in book["leads"].iter_rows(min_row=2) for cell in row]
    assert len(cells) == 4 * len(PAYLOADS)
    for cell in cells:
        assert cell.data_type == "s"
        assert cell.number_format == "@"
        assert cell.hyperlink is None
        assert str(cell.value)[0] not in "=+-@\t\r\uff1d\uff0b\uff0d\uff20"


def test_a_file_brought_back_changes_nothing():
    for key, kind in {"note": "text", "visits": "number", "since": "date", "vip": "boolean"}.items():
        CustomField.objects.create(key=key, label=key.title(), type=kind)
    names = ["=1+1", "-5", "Zoë “🌿” O'Neil", '"quoted", and; more', "Übermaß GmbH"]
    for number, name in enumerate(names):
        custom = {
            "note": f"one\ntwo “{name}”\tthree", "visits": [-5, 0, 1.5, 1234, 1_000_000][number],
            "since": "2026-02-28", "vip": number % 2 == 0,
        }  # fmt: skip
        receive_inquiry(
            channel="manual",
            payload={
                "name": name, "company": f"@{number} Moss, Ltd", "email": f"p{number}@example.com",
                "phone": f"+49 30 5550{number:04}", "est_value": "1234.50", "currency": "USD",
                "country": "DE",
                "interest": "-5 % off", "mailing_address": "+1 High Street", "custom": custom,
            },
            by=SYSTEM,
        )  # fmt: skip
    lead = Lead.objects.get(name="-5")
    update_lead(lead.pk, by=SYSTEM, interest="=A1", company="'=1")
    job = export(make_admin())
    default_source(Channel.CSV)  # made by the first import, whatever it brings
    content, before = path_of(job).read_bytes(), state_of_tables()
    back = run(content)
    assert counts(back) == (0, 0, len(names), 0)
    assert {row.message for row in back.rows.all()} == {"Nothing new in this row."}
    assert {name: state for name, state in state_of_tables().items() if before[name] != state} == {}
    changed = run(content.replace("Übermaß GmbH".encode(), "Übermaß KG".encode()))
    assert counts(changed) == (0, 1, len(names) - 1, 0)  # it would have noticed
    assert Lead.objects.filter(name="Übermaß KG").exists()


# --- limits ------------------------------------------------------------------------------------------------
def test_a_rep_takes_out_at_most_so_many_rows(monkeypatch: Any):
    monkeypatch.setitem(EXPORT_LIMITS, Role.REP, ExportLimit(rows=3))
    rep = make_user(team=make_team())
    for _number in range(3):
        make_lead(owner=rep)
    assert export(rep).result["rows"] == 3
    make_lead(owner=rep, status="working")
    with pytest.raises(ExportRefused, match="at most 3 rows"):
        export(rep)
    assert Job.objects.count() == 1
    assert export(rep, filters={"status": "new"}).result["rows"] == 3


def test_the_limit_holds_when_rows_come_after_the_question(monkeypatch: Any):
    monkeypatch.setitem(EXPORT_LIMITS, Role.REP, ExportLimit(rows=1))
    rep = make_user(team=make_team())
    make_lead(owner=rep)
    job = start_export(by=actor(rep), in_process=True)
    make_lead(owner=rep)
    assert not advance_export(job.pk, seconds=5)
    job.refresh_from_db()
    assert (job.state, "at most 1 rows" in job.error) == (JobState.FAILED, True)


def test_a_manager_exports_five_times_an_hour():
    manager = make_user(Role.MANAGER, team=make_team())
    now = clock.now()
    for _time in range(5):
        start_export(by=actor(manager))
    with pytest.raises(RateLimited) as refused:
        start_export(by=actor(manager))
    assert 0 < refused.value.details["retry_after_s"] <= 3_601
    assert Job.objects.count() == 5
    with clock.frozen(now + timedelta(minutes=61)):
        start_export(by=actor(manager))
    for _time in range(6):
        start_export(by=actor(make_admin()))


def test_a_sheet_has_an_end(monkeypatch: Any):
    monkeypatch.setattr(files, "XLSX_MOST", 2)
    admin = make_admin()
    for _number in range(3):
        make_lead()
    with pytest.raises(ExportRefused, match="Choose CSV"):
        export(admin, format="xlsx")
    assert export(admin).result["rows"] == 3


def test_a_workbook_that_no_worker_can_finish_ends_with_what_to_do(settings: Any, monkeypatch: Any):
    monkeypatch.setattr(running, "PACK_MOST_S", -1)
    make_lead()
    job = export(make_admin(), format="xlsx")
    assert (job.state, "Choose CSV" in job.error) == (JobState.FAILED, True)
    assert left_over(settings.MEDIA_ROOT) == []
    assert export(SYSTEM, format="xlsx").state == JobState.DONE  # a command takes its time


def test_who_may_not_export_is_refused_also_when_that_changes_meanwhile():
    with pytest.raises(PermissionRefused):
        start_export(by=actor(make_user(Role.READ_ONLY, team=make_team())))
    with pytest.raises(PermissionRefused, match="export"):
        start_export(by=Actor.api(make_admin(), label="T", scopes=frozenset({"read", "write"})))
    rep = make_user(team=make_team())
    make_lead(owner=rep)
    done, job = export(rep), start_export(by=actor(rep), in_process=True)
    User.objects.filter(pk=rep.pk).update(role=Role.READ_ONLY)
    advance_export(job.pk, seconds=5)
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.FAILED, "Who asked for this may no longer export.")
    with pytest.raises(PermissionRefused):
        exported_file(done, by=actor(User.objects.get(pk=rep.pk)))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"target": "task"}, "target"),
        ({"format": "ods"}, "format"),
        ({"columns": ["name", "password"]}, "columns"),
        ({"columns": ["custom:nothing"]}, "columns"),
        ({"filters": {"colour": "red"}}, "filters.colour"),
        ({"filters": {"status": "sold"}}, "filters.status"),
        ({"filters": {"owner": "x"}}, "filters.owner"),
        ({"filters": {"q": "a\0"}}, "filters.q"),
        ({"filters": ["status"]}, "filters"),
        ({"target": "contact", "filters": {"status": "new"}}, "filters.status"),
        ({"target": "opportunity", "filters": {"stage": "1"}}, "filters.stage"),
        ({"target": "opportunity", "filters": {"state": "sold"}}, "filters.state"),
        ({"target": "account", "filters": 7}, "filters"),
        ({"sort": "password"}, "sort"),
        ({"target": "contact", "sort": "score"}, "sort"),
    ],
)
def test_bad_wishes_are_refused_by_name_and_leave_nothing(asked: dict[str, Any], field: str):
    admin = actor(make_admin())
    with pytest.raises(InvalidValue) as refused:
        start_export(by=admin, **asked)
    assert refused.value.field == field
    assert not Job.objects.exists()
    assert start_export(by=admin).state == JobState.QUEUED  # the control


def test_a_view_of_somebody_else_and_one_whose_field_is_gone_are_refused():
    admin, rep = make_admin(), make_user(team=make_team())
    view = SavedView.objects.create(owner=admin, name="Private", filters={})
    for by, wrong in ((rep, {}), (admin, {"sort": "newest"}), (admin, {"filters": {"status": "new"}})):
        with pytest.raises(InvalidValue) as refused:
            start_export(by=actor(by), view=view, **wrong)
        assert refused.value.field == "view"
    old = SavedView.objects.create(owner=admin, name="Old", filters={"custom:gone": "1"})
    with pytest.raises(InvalidValue, match="custom:gone"):
        start_export(by=actor(admin), view=old)
    with pytest.raises(InvalidValue):
        start_export(by=SYSTEM, filters={"owner": "me"})
    assert start_export(by=actor(admin), view=view)


# --- the log, the file's life -------------------------------------------------------------------------------
def test_the_log_says_what_left_and_no_name():
    admin = make_admin()
    make_lead(name="Ada Byron", email="ada@example.com", status="working")
    job = export(admin, filters={"status": "working", "q": "ada@example.com"}, columns=["name"])
    entry = AuditLog.objects.get(action="leads.exported")
    assert (entry.actor, entry.target_id, entry.data["rows"]) == (admin, str(job.public_id), 1)
    assert entry.data["columns"] == ["gardenos_id", "name"]
    assert entry.data["filters"]["status"] == "working"
    assert len(entry.data["filters"]["q"]) == 64
    assert "example.com" not in f"{entry.summary} {entry.data}"


def test_a_worker_that_died_is_followed_by_one_that_goes_on(monkeypatch: Any):
    monkeypatch.setattr(running, "ROWS_AT_ONCE", 2)
    admin = make_admin()
    for number in range(7):
        make_lead(name=f"Lead {number}")
    job = start_export(by=actor(admin), sort="oldest", in_process=True)
    advance_export(job.pk, seconds=0)  # chosen
    advance_export(job.pk, seconds=0)
    job.refresh_from_db()
    assert (job.state, job.done) == (JobState.RUNNING, 2)
    with files.path_of(f"{job.cursor['file']}.csv").open("a") as file:
        file.write("a line that the killed worker had not booked yet\r\n")
    assert stalled_exports(clock.now() + timedelta(minutes=3)) == [job.pk]
    assert stalled_exports(clock.now()) == []
    while advance_export(job.pk, seconds=0):
        pass
    job.refresh_from_db()
    assert [row["name"] for row in rows_of(job)] == [f"Lead {number}" for number in range(7)]
    assert not advance_export(job.pk, seconds=0)  # once more harms nothing


def test_the_file_goes_after_a_day_with_what_was_asked(settings: Any):
    admin = make_admin()
    make_lead()
    job = export(admin, format="xlsx")
    assert exported_file(job, by=actor(admin)).exists()
    assert delete_old_exports(clock.now() + timedelta(hours=23)) == 0
    lost = settings.MEDIA_ROOT / files.FOLDER / "lost.csv"
    lost.write_text("x")
    long_ago = (clock.now() - timedelta(days=3)).timestamp()
    os.utime(lost, (long_ago, long_ago))
    assert delete_old_exports(clock.now() + timedelta(hours=25)) == 1
    assert left_over(settings.MEDIA_ROOT) == []
    job.refresh_from_db()
    assert (job.cursor, job.result["rows"]) == ({"phase": "over"}, 1)
    with pytest.raises(LinkExpired):
        exported_file(job, by=actor(admin))


def test_a_cancelled_export_and_one_whose_file_was_deleted_leave_nothing(settings: Any, monkeypatch: Any):
    monkeypatch.setattr(running, "ROWS_AT_ONCE", 1)
    admin = actor(make_admin())
    make_lead()
    make_lead()
    job = start_export(by=admin, in_process=True)
    advance_export(job.pk, seconds=0)
    with pytest.raises(Job.DoesNotExist):
        cancel_export(job.pk, by=actor(make_admin()))
    assert cancel_export(job.pk, by=admin).state == JobState.CANCELLED
    assert not advance_export(job.pk, seconds=1)
    with pytest.raises(exports.TransitionRefused):
        cancel_export(job.pk, by=admin)
    other = start_export(by=admin, in_process=True)
    advance_export(other.pk, seconds=0)
    for path in left_over(settings.MEDIA_ROOT):
        path.unlink()  # as erasing a person does
    assert not advance_export(other.pk, seconds=1)
    other.refresh_from_db()
    assert (other.state, "deleted meanwhile" in other.error) == (JobState.FAILED, True)
    assert left_over(settings.MEDIA_ROOT) == []


def test_the_queue_works_it_off(monkeypatch: Any):
    make_lead()
    queued = []
    monkeypatch.setattr(tasks, "enqueue", lambda *call: queued.append(call))
    job = start_export(by=actor(make_admin()))
    assert queued == [("crm.tasks.work_on_export", job.pk)]
    tasks.work_on_export(job.pk)
    job.refresh_from_db()
    assert (job.state, len(queued)) == (JobState.DONE, 1)


# --- the command -------------------------------------------------------------------------------------------
def test_the_command_writes_a_file_of_ones_own(tmp_path: Path, settings: Any, capsys: Any):
    make_lead(name="Ada", status="working")
    make_lead(name="Bob", status="new")
    path = tmp_path / "leads.xlsx"
    call_command("export_leads", str(path), "--filter", "status=working", "--columns", "name", "--json")
    assert '"rows": 1' in capsys.readouterr().out
    sheet = openpyxl.load_workbook(path)["leads"]
    assert [cell.value for cell in sheet["B"]] == ["name", "Ada"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert left_over(settings.MEDIA_ROOT) == []
    assert Opportunity.objects.count() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--filter", "status"], "NAME=VALUE"),
        (["--filter", "colour=red"], "no filter"),
        (["--filter", "owner=me"], "nobody here"),
        (["--columns", "password"], "no column"),
        (["--sort", "password"], "order"),
    ],
)
def test_the_command_refuses_wrong_use(tmp_path: Path, arguments: list[str], says: str):
    with pytest.raises(CommandError, match=says) as refused:
        call_command("export_leads", str(tmp_path / "leads.csv"), *arguments)
    assert refused.value.returncode == 2
    assert list(tmp_path.iterdir()) == []
    there = tmp_path / "there.csv"
    there.write_text("mine")
    with pytest.raises(CommandError, match="there already"):
        call_command("export_leads", str(there))
    assert there.read_text() == "mine"
