"""`manage.py import_leads`: what it prints, its exit codes, and that it leaves nothing it should not."""

import io
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from crm.models import ImportJob, Lead
from tests.crm.imports.files import csv_of, people, stored_files
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
REAL_LEADS = Path(os.environ.get("GARDENOS_TEST_DATA") or "/nonexistent") / "leads-with-outcomes.csv"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leads.csv"


def import_leads(path: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("import_leads", str(path), stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def refused(path: Path, **options: Any) -> tuple[int, str]:
    """(exit code, the one line)"""
    with pytest.raises(CommandError) as caught:
        import_leads(path, **options)
    return caught.value.returncode, str(caught.value)


def test_it_checks_then_writes_and_the_figures_add_up(path: Path):
    path.write_bytes(people(20) + b"Broken,nonsense,,,,,\r\n")
    printed = import_leads(path, source="Fair", analyse="none")
    assert "21 rows in = 20 will be created + 0 will be updated + 0 skipped + 1 errors" in printed
    assert "21 rows in = 20 created + 0 updated + 0 skipped + 1 errors" in printed
    assert "line 22, column “E-mail”: “nonsense” is not an e-mail address" in printed
    assert "rows/s" in printed
    assert "21 rows in = 0 created + 0 updated + 20 skipped + 1 errors" in import_leads(path, source="Fair")


def test_a_dry_run_writes_nothing(path: Path, settings, django_capture_on_commit_callbacks):
    path.write_bytes(people(5))
    before = state_of_tables()
    with django_capture_on_commit_callbacks(execute=True):
        printed = import_leads(path, dry_run=True, source="Fair")
    assert "5 rows in = 5 will be created" in printed
    assert state_of_tables() == before
    assert not ImportJob.objects.exists()
    assert stored_files(settings.MEDIA_ROOT) == []


@pytest.mark.parametrize(("asked", "chosen"), [("", "all"), ("none", "none"), ("7", "7")])
def test_what_the_agents_would_cost_is_said_before_anything_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, chosen: str
):
    monkeypatch.setattr("crm.ports._ports.price_of_analysis", lambda n: Decimal(n) / 100)
    path.write_bytes(people(120))
    printed = import_leads(path, dry_run=True, analyse=asked)
    offers = "none $0.00, 100 $1.00, all (120 leads) $1.20"
    assert f"analysis by the agents: {offers}; --analyse {chosen} is chosen" in printed


def test_columns_can_be_said(path: Path):
    path.write_bytes(csv_of("Who,Reach=me,City,Won", "Ada,ada@x.example,York,yes"))
    import_leads(path, map=["Who=name", "Reach=me=email", "City=", "Won=outcome"])
    lead = Lead.objects.get()
    assert (lead.name, lead.outcome, lead.custom) == ("Ada", "won", {})


def test_rows_with_errors_can_be_written_to_a_file(path: Path, tmp_path: Path):
    path.write_bytes(csv_of("Name,E-mail", "Ada,ada@x.example", "=1+1,nonsense"))
    assert "1 rows with errors written" in import_leads(path, errors=tmp_path / "errors.csv")
    assert '"\'=1+1"' in (tmp_path / "errors.csv").read_text("utf-8-sig")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"ada@x.example\nben@x.example\n", "looks like data"),
        (b"\xff\xfe\x00", "encoding"),
        (",".join(f"c{n}" for n in range(10_000)).encode(), "10,000 columns"),
        (b"Name\n" + b"x" * 100_000_000, "Line 2 is longer"),
        (b"Name\n", "no rows"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_and_exit_1(path: Path, settings, content: bytes, reason: str):
    path.write_bytes(content)
    before = state_of_tables()
    code, line = refused(path)
    assert (code, reason in line, "\n" in line) == (1, True, False), line
    assert state_of_tables() == before
    assert stored_files(settings.MEDIA_ROOT) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"map": ["Name"]}, "COLUMN=FIELD"),
        ({"map": ["Nobody=name"]}, "no column"),
        ({"map": ["Name=shoe_size"]}, "no field"),
        ({"outcome": "Nobody"}, "no column"),
        ({"analyse": "some"}, "Analyse"),
        ({"delimiter": "ab"}, "one character"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(path: Path, options: dict[str, Any], reason: str):
    path.write_bytes(people(3))
    code, line = refused(path, **options)
    assert (code, reason in line) == (2, True), line
    assert not ImportJob.objects.exists()


def test_a_file_that_is_not_there_is_exit_2(tmp_path: Path):
    assert refused(tmp_path / "missing.csv")[0] == 2
    assert refused(tmp_path)[0] == 2


@pytest.mark.skipif(not REAL_LEADS.exists(), reason="needs GARDENOS_TEST_DATA")
def test_the_real_leads_come_in_whole_and_once():
    options = {"source": "X Education", "outcome": "Converted", "analyse": "none"}
    printed = import_leads(REAL_LEADS, **options)
    assert "4,644 rows in = 4,644 created + 0 updated + 0 skipped + 0 errors" in printed
    assert Lead.objects.filter(outcome="won").count() == 1_775
    assert "4,644 rows in = 0 created + 0 updated + 4,644 skipped" in import_leads(REAL_LEADS, **options)
