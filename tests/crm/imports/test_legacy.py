"""import_legacy: another system's schema comes in once, by our rules; a dry run writes nothing."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from psycopg.conninfo import make_conninfo

from crm.actions.pipelines import default_pipeline
from crm.imports.legacy.reading import connected
from crm.models import Inquiry, Lead, Note, Opportunity
from tests.factories import make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
EXAMPLE = Path(__file__).parents[3] / "docs/operations/legacy-supabase.toml"
SCHEMA = """
CREATE SCHEMA {schema};
SET search_path = {schema};
CREATE TABLE lead_statuses (id int PRIMARY KEY, name text);
CREATE TABLE profiles (id uuid PRIMARY KEY, email text);
CREATE TABLE pipeline_stages (id int PRIMARY KEY, name text);
CREATE TABLE leads (id int PRIMARY KEY, full_name text, company_name text, email text, phone text,
    budget numeric, notes text, status_id int REFERENCES lead_statuses, assigned_to uuid REFERENCES profiles);
CREATE TABLE deals (id int PRIMARY KEY, title text, value numeric, close_date date,
    stage_id int REFERENCES pipeline_stages, lead_id int REFERENCES leads);
CREATE TABLE lead_notes (id int PRIMARY KEY, content text, lead_id int REFERENCES leads,
    created_at timestamptz DEFAULT '2025-03-01 12:00+00');
INSERT INTO lead_statuses VALUES (1, 'Fresh'), (2, 'In progress'), (3, 'Junk'), (4, 'On hold');
INSERT INTO profiles VALUES ('11111111-1111-1111-1111-111111111111', 'Rep@Example.com'),
    ('22222222-2222-2222-2222-222222222222', 'left@example.com');
INSERT INTO pipeline_stages VALUES (1, 'Offer'), (2, 'Closed won'), (3, 'Closed lost');
INSERT INTO leads VALUES
    (1, 'Ada Byron', 'Moss Ltd', 'ada@example.com', '+49 30 5550001', 1200.50, 'A roof', 1,
     '11111111-1111-1111-1111-111111111111'),
    (2, 'Bob', NULL, 'bob@example.com', NULL, NULL, NULL, 2, NULL),
    (3, 'Cem', NULL, 'cem@example.com', NULL, NULL, NULL, 3, '22222222-2222-2222-2222-222222222222'),
    (4, 'Dora', NULL, 'dora@example.com', NULL, NULL, NULL, 4, NULL),
    (5, 'Eve', NULL, 'no address', NULL, NULL, NULL, NULL, NULL);
INSERT INTO deals VALUES (1, 'Roof', 900, current_date, 1, 1), (2, 'Pond', 50, NULL, 2, 2),
    (3, 'Wall', 10, NULL, 3, 4), (4, 'Lost lead', 1, NULL, 1, 5);
INSERT INTO lead_notes (id, content, lead_id) VALUES (1, 'Called twice', 1), (2, 'Of a lead not here', 5);
"""


@pytest.fixture
def dsn() -> Any:
    """Another system's schema on the test server."""
    own = connection.get_connection_params()
    dsn = make_conninfo(
        **{name: own[name] for name in ("host", "port", "user", "password", "dbname") if own.get(name)}
    )
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("DROP SCHEMA IF EXISTS legacy_test CASCADE")
        other.execute(SCHEMA.format(schema="legacy_test"))
        yield dsn
        other.execute("DROP SCHEMA legacy_test CASCADE")


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """The example of the documentation."""
    path = tmp_path / "mapping.toml"
    path.write_text(EXAMPLE.read_text().replace('schema = "public"', 'schema = "legacy_test"'))
    return path


def bring(dsn: str, mapping: Path, capsys: Any, *more: str) -> dict[str, Any]:
    capsys.readouterr()
    try:
        call_command("import_legacy", "--dsn", dsn, "--mapping", str(mapping), "--json", *more)
    except CommandError as error:
        if error.returncode != 1:
            raise
    return json.loads(capsys.readouterr().out)


def test_the_example_brings_leads_opportunities_and_notes_once(dsn: str, mapping: Path, capsys: Any):
    rep = make_user(team=make_team(), email="rep@example.com")
    default_pipeline()
    before = state_of_tables()
    forecast = bring(dsn, mapping, capsys, "--dry-run")
    assert state_of_tables() == before
    done = bring(dsn, mapping, capsys)
    assert {**forecast, "dry_run": False} == done
    counts = lambda kind: [done[kind][name] for name in ("rows", "new", "known", "failed")]
    assert counts("leads") == [5, 4, 0, 1]
    assert counts("opportunities") == [4, 3, 0, 1]
    assert counts("notes") == [2, 1, 0, 1]
    assert done["leads"]["unmapped"] == {"status": {"On hold": 1}, "owner": {"left@example.com": 1}}
    assert done["leads"]["problems"][0].startswith("leads 5: email: ")
    ada = Lead.objects.get(name="Ada Byron")
    assert (ada.owner, ada.company, str(ada.est_value), ada.status) == (rep, "Moss Ltd", "1200.50", "new")
    assert Lead.objects.get(name="Bob").status == "working"
    assert Lead.objects.get(name="Cem").status == "disqualified"
    assert Opportunity.objects.get(name="Roof").stage.name == "Proposal"
    states = dict(Opportunity.objects.values_list("name", "state"))
    assert states == {"Roof": "open", "Pond": "won", "Wall": "lost"}
    assert Note.objects.get().body == "[2025-03-01] Called twice"
    after = state_of_tables()
    again = bring(dsn, mapping, capsys)
    assert [again[kind]["new"] for kind in ("leads", "opportunities", "notes")] == [0, 0, 0]
    assert state_of_tables() == after


def test_the_other_database_is_only_read(dsn: str):
    with pytest.raises(Exception, match="read-only"), connected(dsn) as other:
        other.execute("DELETE FROM legacy_test.lead_notes")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('source = "Old CRM"', 'source = "Old CRM', "line 2"),
        ("[leads.fields]", "[leads.feilds]", "leads.feilds"),
        ('email = "email"', 'mail = "email"', "leads.fields.mail"),
        ('email = "email"', 'email = "e_mail"', "no column e_mail"),
        ('table = "deals"', 'table = "offers"', "no table legacy_test.offers"),
        ('"status.name"', '"state.name"', "no join “state”"),
        ('"Junk" = "disqualified"', '"Junk" = "gone"', "leads.values.status.Junk"),
        ('body = "content"\n', "", "notes.fields.body is needed"),
        ('source = "Old CRM"', "source = 7", "source must be"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_line(
    dsn: str, mapping: Path, capsys: Any, old: str, new: str, says: str
):
    text = mapping.read_text()
    assert old in text
    mapping.write_text(text.replace(old, new, 1))
    with pytest.raises(CommandError, match=says) as refused:
        call_command("import_legacy", "--dsn", dsn, "--mapping", str(mapping))
    assert (refused.value.returncode, "\n" in str(refused.value)) == (2, False)
    assert not Inquiry.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    ["no dsn s3cret", "postgresql://me:s3cret@127.0.0.1:1/x", "host=127.0.0.1 port=1 password=s3cret x"],
)
def test_no_connection_is_said_in_one_line_without_the_password(mapping: Path, wrong: str):
    with pytest.raises(CommandError) as refused:
        call_command("import_legacy", "--dsn", wrong, "--mapping", str(mapping))
    assert refused.value.returncode == 2
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)
