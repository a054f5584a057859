"""The views for people's own reports are a contract, and their role reads nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from crm.actions.leads import add_note
from gardenos.databases import read_connection
from tests.factories import actor, make_admin, make_lead

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "reports.md"
SHORT = {"character varying": "text", "timestamp with time zone": "timestamptz"}
COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relkind = 'v' AND c.relname LIKE 'report\\_%' AND a.attnum > 0
     ORDER BY c.relname, a.attnum
"""
Contract = dict[str, list[tuple[str, str]]]


def documented() -> Contract:
    parts = re.split(r"^## (report_\w+)$", PAGE.read_text(), flags=re.MULTILINE)
    tables = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {view: re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE) for view, text in tables.items()}


@pytest.mark.django_db
def test_the_views_are_exactly_as_documented():
    live: Contract = {}
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        for view, column, kind in cursor.fetchall():
            live.setdefault(view, []).append((column, SHORT.get(kind, kind)))
    assert live == documented()
    assert len(live) == 18


@pytest.fixture
def reader(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A connection as the role for reports."""
    login = (read_connection(settings.GARDENOS_DATA_DIR) or {})["readonly"]
    place = connection.settings_dict
    with psycopg.connect(
        host=place["HOST"],
        port=place["PORT"],
        dbname=place["NAME"],
        user=login["user"],
        password=login["password"],
        autocommit=True,
    ) as opened:
        yield opened


def test_its_role_reads_every_view_and_no_table(reader: psycopg.Connection):
    by = actor(make_admin())
    lead = make_lead(name="Ida Moss", email="ida@example.org", message="secret words")
    add_note(lead.pk, by=by, body="secret words")
    for view in documented():
        rows = reader.execute(f"SELECT * FROM {view}").fetchall()
        assert "secret words" not in str(rows), view
    assert reader.execute("SELECT name FROM report_leads").fetchall() == [("Ida Moss",)]
    assert reader.execute("SELECT value FROM report_contact_points").fetchall() == [("ida@example.org",)]
    for table in connection.introspection.table_names():
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(f'SELECT * FROM "{table}" LIMIT 1')


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE report_leads SET name = 'x'",
        "DELETE FROM report_tags",
        "INSERT INTO report_exchange_rates VALUES ('EUR', 'USD', '2026-01-01', 1.1)",
        "CREATE TABLE mine (id int)",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_its_role_changes_nothing(reader: psycopg.Connection, statement: str):
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
        reader.execute(statement)  # the latter: such a view cannot be written through by anybody


def test_deleted_and_merged_leads_are_in_no_report(reader: psycopg.Connection):
    kept = make_lead(name="Kept")
    make_lead(name="Merged", merged_into=kept)
    make_lead(name="Deleted", deleted_at=kept.created_at)
    assert reader.execute("SELECT name FROM report_leads").fetchall() == [("Kept",)]
