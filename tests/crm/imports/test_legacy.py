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

from crm.actions.accounts import create_account, create_contact
from crm.actions.pipelines import default_pipeline
from crm.imports.legacy.reading import connected
from crm.models import Account, Contact, Inquiry, Lead, Note, Opportunity, Role, Stage
from tests.factories import actor, make_admin, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
EXAMPLE = Path(__file__).parents[3] / "docs/operations/legacy-supabase.toml"
SCHEMA = """
CREATE SCHEMA {schema};
SET search_path = {schema};
CREATE TABLE lead_statuses (id int PRIMARY KEY, name text);
CREATE TABLE profiles (id uuid PRIMARY KEY, email text);
CREATE TABLE pipelines (id int PRIMARY KEY, name text);
CREATE TABLE pipeline_stages (id int PRIMARY KEY, pipeline_id int REFERENCES pipelines, name text,
    sort_order int, win_chance numeric, outcome text);
CREATE TABLE companies (id int PRIMARY KEY, name text, domain text, country_code text);
CREATE TABLE contacts (id int PRIMARY KEY, full_name text, job_title text, email text, phone text,
    company_id int REFERENCES companies);
CREATE TABLE leads (id int PRIMARY KEY, full_name text, company_name text, email text, phone text,
    budget numeric, notes text, status_id int REFERENCES lead_statuses, assigned_to uuid REFERENCES profiles);
CREATE TABLE deals (id int PRIMARY KEY, title text, value numeric, close_date date,
    stage_id int REFERENCES pipeline_stages, lead_id int REFERENCES leads,
    company_id int REFERENCES companies, contact_id int REFERENCES contacts, lost_reason text);
CREATE TABLE lead_notes (id int PRIMARY KEY, content text, lead_id int REFERENCES leads,
    created_at timestamptz DEFAULT '2025-03-01 12:00+00');
INSERT INTO lead_statuses VALUES (1, 'Fresh'), (2, 'In progress'), (3, 'Junk'), (4, 'On hold');
INSERT INTO profiles VALUES ('11111111-1111-1111-1111-111111111111', 'Rep@Example.com'),
    ('22222222-2222-2222-2222-222222222222', 'left@example.com');
INSERT INTO pipelines VALUES (1, 'Gardens'), (2, 'sales');
INSERT INTO pipeline_stages VALUES (1, 1, 'Offer', 20, 0.4, 'none'), (2, 1, 'Closed won', 90, 1, 'won'),
    (3, 1, 'Closed lost', 99, 0, 'lost'), (4, 1, 'Visit', 10, 15, NULL), (5, 2, 'proposal', 1, NULL, NULL),
    (6, NULL, 'Nowhere', 1, NULL, NULL);
INSERT INTO companies VALUES (1, 'Moss Ltd', 'moss.example', 'GB'), (2, 'Here Ltd', 'here.example', NULL),
    (3, '', NULL, NULL);
INSERT INTO contacts VALUES (1, 'Ada Byron', 'Owner', 'ada@example.com', NULL, 1),
    (2, 'Bo Here', NULL, 'BO@here.example', NULL, 2), (3, 'Nil', NULL, NULL, NULL, 3);
INSERT INTO leads VALUES
    (1, 'Ada Byron', 'Moss Ltd', 'ada@example.com', '+49 30 5550001', 1200.50, 'A roof', 1,
     '11111111-1111-1111-1111-111111111111'),
    (2, 'Bob', NULL, 'bob@example.com', NULL, NULL, NULL, 2, NULL),
    (3, 'Cem', NULL, 'cem@example.com', NULL, NULL, NULL, 3, '22222222-2222-2222-2222-222222222222'),
    (4, 'Dora', NULL, 'dora@example.com', NULL, NULL, NULL, 4, NULL),
    (5, 'Eve', NULL, 'no address', NULL, NULL, NULL, NULL, NULL);
INSERT INTO deals VALUES (1, 'Roof', 900, current_date, 1, 1, 1, 1, NULL),
    (2, 'Pond', 50, NULL, 2, 2, NULL, NULL, NULL),
    (3, 'Wall', 10, NULL, 3, 4, NULL, NULL, 'too dear'), (4, 'Lost lead', 1, NULL, 1, 5, NULL, NULL, NULL),
    (5, 'Hedge', 70, NULL, 5, NULL, 2, 2, NULL),
    (6, 'Of nobody', 1, NULL, 1, NULL, NULL, NULL, NULL);
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


def counts(report: dict[str, Any], kind: str) -> list[int]:
    return [report[kind][name] for name in ("rows", "new", "known", "failed")]


def test_the_example_brings_everything_once(dsn: str, mapping: Path, capsys: Any):
    rep, boss = make_user(team=make_team(), email="rep@example.com"), make_admin(email="ida@example.com")
    default_pipeline()
    here = create_account(by=actor(boss), name="Here", domain="here.example")
    bo = create_contact(by=actor(boss), full_name="Bo", email="bo@here.example", account=here)
    before = state_of_tables()
    forecast = bring(dsn, mapping, capsys, "--dry-run")
    assert state_of_tables() == before
    done = bring(dsn, mapping, capsys, "--by", "Ida@example.com")
    assert {**forecast, "dry_run": False} == done
    assert counts(done, "pipelines") == [2, 1, 1, 0]
    assert counts(done, "stages") == [6, 4, 1, 1]
    assert counts(done, "accounts") == [3, 1, 1, 1]
    assert counts(done, "contacts") == [3, 1, 1, 1]
    assert counts(done, "leads") == [5, 4, 0, 1]
    assert counts(done, "opportunities") == [6, 4, 0, 2]
    assert counts(done, "notes") == [2, 1, 0, 1]
    assert done["leads"]["unmapped"] == {"status": {"On hold": 1}, "owner": {"left@example.com": 1}}
    assert done["stages"]["unmapped"] == {"kind": {"none": 1}}
    assert done["leads"]["problems"][0].startswith("leads 5: email: ")
    assert "Its account 3 did not come in" in done["contacts"]["problems"][0]
    assert [one.partition(": ")[2] for one in done["opportunities"]["problems"]] == [
        "lead: Its lead 5 did not come in.",
        "lead: It names no lead, account or contact.",
    ]
    gardens = Stage.objects.filter(pipeline__name="Gardens", is_active=True).order_by("position")
    assert list(gardens.values_list("name", "kind", "probability")) == [
        ("Visit", "open", 15),
        ("Offer", "open", 40),
        ("Closed won", "won", 100),
        ("Closed lost", "lost", 0),
    ]
    moss, person = Account.objects.get(name="Moss Ltd"), Contact.objects.get(full_name="Ada Byron")
    assert (moss.domain, moss.country, person.account, person.title) == ("moss.example", "GB", moss, "Owner")
    ada = Lead.objects.get(name="Ada Byron")
    assert (ada.owner, ada.company, str(ada.est_value), ada.status) == (rep, "Moss Ltd", "1200.50", "new")
    assert ada.contact == person, "the lead met the contact by its address"
    assert Lead.objects.get(name="Bob").status == "working"
    assert Lead.objects.get(name="Cem").status == "disqualified"
    cards = {card.name: card for card in Opportunity.objects.select_related("stage__pipeline")}
    assert {name: card.state for name, card in cards.items()} == {
        "Roof": "open",
        "Pond": "won",
        "Wall": "lost",
        "Hedge": "open",
    }
    assert (cards["Roof"].stage.name, cards["Roof"].account, cards["Roof"].primary_contact) == (
        "Offer",
        moss,
        person,
    )
    assert (cards["Wall"].lost_reason, cards["Pond"].stage.name) == ("too dear", "Closed won")
    assert (cards["Hedge"].stage.name, cards["Hedge"].account, cards["Hedge"].primary_contact) == (
        "Proposal",
        here,
        bo,
    )
    assert Note.objects.get().body == "[2025-03-01] Called twice"
    after = state_of_tables()
    again = bring(dsn, mapping, capsys, "--by", "ida@example.com")
    assert {again[kind]["new"] for kind in again if kind != "dry_run"} == {0}
    assert state_of_tables() == after


def test_pipelines_are_set_up_in_the_name_of_an_admin_only(dsn: str, mapping: Path):
    make_user(Role.MANAGER, email="bo@example.com")
    before = state_of_tables()
    for more in ((), ("--by", "bo@example.com"), ("--by", "nobody@example.com")):
        with pytest.raises(CommandError, match="admin") as refused:
            call_command("import_legacy", "--dsn", dsn, "--mapping", str(mapping), *more)
        assert refused.value.returncode == 2
    assert state_of_tables() == before


def test_words_for_stages_do_without_their_pipelines(dsn: str, mapping: Path, capsys: Any):
    """A mapping that brings no stages: their word means one of our open stages, or an end."""
    default_pipeline()
    tree = mapping.read_text()
    start, end = tree.index("[pipelines]"), tree.index("[leads]\n")
    tree = tree[:start] + tree[end:]
    tree = tree.replace('account = "company_id"', "#").replace('contact = "contact_id"', "#")
    tree = tree.replace('stage = "stage_id"', 'stage = "stage.name"')
    tree += (
        "\n[opportunities.joins]\nstage = { table = 'pipeline_stages', column = 'stage_id' }\n"
        "[opportunities.values.stage]\n'Offer' = 'Proposal'\n'Closed won' = '(won)'\n"
        "'Closed lost' = '(lost)'\n"
    )
    mapping.write_text(tree)
    assert counts(bring(dsn, mapping, capsys), "opportunities") == [6, 3, 0, 3]
    states = dict(Opportunity.objects.values_list("name", "state"))
    assert states == {"Roof": "open", "Pond": "won", "Wall": "lost"}
    assert Opportunity.objects.get(name="Roof").stage.name == "Proposal"


def test_the_other_database_is_only_read(dsn: str):
    with pytest.raises(Exception, match="read-only"), connected(dsn) as other:
        other.execute("DELETE FROM legacy_test.lead_notes")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('source = "Old CRM"', 'source = "Old CRM', "line 3"),
        ("[leads.fields]", "[leads.feilds]", "leads.feilds"),
        ('company = "company_name"', 'firm = "company_name"', "leads.fields.firm"),
        ('email = "email"', 'email = "e_mail"', "no column e_mail"),
        ('table = "deals"', 'table = "offers"', "no table legacy_test.offers"),
        ('"status.name"', '"state.name"', "no join “state”"),
        ('"Junk" = "disqualified"', '"Junk" = "gone"', "leads.values.status.Junk"),
        ('"won" = "won"', '"won" = "yes"', "stages.values.kind.won"),
        ('pipeline = "pipeline_id"', "#", "stages.fields.pipeline is needed"),
        ('body = "content"\n', "", "notes.fields.body is needed"),
        ('source = "Old CRM"', "source = 7", "source must be"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_line(
    dsn: str, mapping: Path, capsys: Any, old: str, new: str, says: str
):
    make_admin(email="ida@example.com")
    text = mapping.read_text()
    assert old in text
    mapping.write_text(text.replace(old, new, 1))
    with pytest.raises(CommandError, match=says) as refused:
        call_command("import_legacy", "--dsn", dsn, "--mapping", str(mapping), "--by", "ida@example.com")
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
