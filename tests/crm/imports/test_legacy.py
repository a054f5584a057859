"""import_legacy: another system's schema comes in once, by our rules; a dry run writes nothing."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from psycopg.conninfo import make_conninfo

from crm import clock
from crm.actions.accounts import create_account, create_contact
from crm.actions.erasure import erase_person
from crm.actions.leads import snooze_lead
from crm.actions.personal_data import person_of
from crm.actions.pipelines import default_pipeline
from crm.errors import InvalidValue
from crm.figures.pipeline import funnel, won_by_month
from crm.figures.scope import Period
from crm.imports.legacy.reading import connected
from crm.imports.legacy.times import moment
from crm.models import Account, Actor, Contact, Inquiry, Lead, Note, Opportunity, Role, Stage, Task
from tests.factories import actor, make_admin, make_lead, make_team, make_user
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
CREATE TABLE companies (id int PRIMARY KEY, name text, domain text, country_code text,
    created_at timestamptz DEFAULT '2023-01-01 08:00+00');
CREATE TABLE contacts (id int PRIMARY KEY, full_name text, job_title text, email text, phone text,
    company_id int REFERENCES companies, created_at timestamp DEFAULT '2023-01-02 09:00');
CREATE TABLE leads (id int PRIMARY KEY, full_name text, company_name text, email text, phone text,
    budget numeric, notes text, status_id int REFERENCES lead_statuses, assigned_to uuid REFERENCES profiles,
    lost_reason text, contact_id int REFERENCES contacts, company_id int REFERENCES companies,
    follow_up_on date, created_at timestamptz DEFAULT '2024-02-01 10:00+00', status_since timestamptz,
    closed_at text, updated_at timestamptz);
CREATE TABLE deals (id int PRIMARY KEY, title text, value numeric, close_date date,
    stage_id int REFERENCES pipeline_stages, lead_id int REFERENCES leads,
    company_id int REFERENCES companies, contact_id int REFERENCES contacts, lost_reason text,
    currency text DEFAULT 'CHF', status text, created_at timestamptz DEFAULT '2024-03-01 10:00+00',
    closed_at date, updated_at timestamptz);
CREATE TABLE lead_notes (id int PRIMARY KEY, content text, lead_id int REFERENCES leads,
    created_at timestamptz DEFAULT '2025-03-01 12:00+00', author_id uuid REFERENCES profiles);
CREATE TABLE activities (id int PRIMARY KEY, subject text, details text, type text,
    lead_id int REFERENCES leads, deal_id int REFERENCES deals, user_id uuid REFERENCES profiles, result text,
    created_at timestamptz, due_at timestamptz, done_at timestamptz);
INSERT INTO lead_statuses VALUES (1, 'Fresh'), (2, 'In progress'), (3, 'Junk'), (4, 'On hold'),
    (5, 'Later'), (6, 'Customer');
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
PAST = """
INSERT INTO leads (id, full_name, email, status_id, assigned_to, lost_reason, contact_id, company_id,
        follow_up_on, created_at, status_since, closed_at, updated_at) VALUES
    (10, 'Nora', 'nora@example.com', 5, NULL, NULL, NULL, NULL, current_date + 40, '2024-02-01 10:00+00',
     '2024-05-01 10:00+00', NULL, NULL),
    (11, 'Olaf', 'olaf@example.com', 6, '11111111-1111-1111-1111-111111111111', NULL, NULL, NULL, NULL,
     '2024-02-01 10:00+00', NULL, '2024-03-05T12:00:00+01:00', NULL),
    (12, 'Pia', 'pia@example.com', 6, NULL, NULL, 1, 1, NULL, '2024-02-01 10:00+00', NULL, '2024-02-01',
     NULL),
    (13, 'Quin', 'quin@example.com', 3, NULL, 'No budget', NULL, NULL, NULL, '2024-02-01 10:00+00', NULL,
     NULL, '2024-06-01 00:00+00'),
    (14, 'Rita', 'rita@example.com', 3, NULL, NULL, NULL, NULL, NULL, '2024-02-01 10:00+00', NULL, NULL,
     NULL),
    (15, 'Sven', 'sven@example.com', 6, NULL, NULL, NULL, NULL, NULL, '2024-02-01 10:00+00', NULL,
     '2023-12-31', NULL),
    (16, 'Tom', 'tom@example.com', 3, NULL, NULL, NULL, NULL, NULL, '2024-02-01 10:00+00', NULL, 'soon',
     NULL),
    (17, 'Uma', 'uma@example.com', 2, NULL, NULL, NULL, NULL, NULL, '2024-02-01 10:00+00',
     '2024-04-01 10:00+00', NULL, '2024-07-01 10:00+00'),
    (18, 'Viv', 'viv@example.com', 1, NULL, NULL, NULL, NULL, NULL, now() + interval '1 day', NULL, NULL,
     NULL),
    (19, 'Walt', 'walt@example.com', 6, NULL, NULL, NULL, NULL, NULL, '2024-02-01 10:00+00', NULL,
     '2023-11-30', NULL);
INSERT INTO deals (id, title, value, stage_id, lead_id, status, created_at, closed_at, lost_reason) VALUES
    (20, 'Terrace', 1000, 1, 11, 'success', '2024-03-01 10:00+00', '2024-03-11', NULL),
    (21, 'Fence', 500, 3, 11, NULL, '2024-03-02 10:00+00', '2024-04-01', 'Too far'),
    (22, 'Shed', 80, 1, 17, 'active', '2024-03-03 10:00+00', NULL, NULL),
    (23, 'Gate', 5, 1, 17, 'success', '2024-03-03 10:00+00', '2024-03-01', NULL);
INSERT INTO lead_notes VALUES (10, 'Likes roses', 11, '2024-02-02 09:00+00',
    '11111111-1111-1111-1111-111111111111');
INSERT INTO activities VALUES
    (1, 'Talk about the terrace', 'Wants oak', 'Phone call', 11, NULL, '11111111-1111-1111-1111-111111111111',
     'Agreed', '2024-02-03 09:00+00', '2024-02-04 09:00+00', '2024-02-04 10:30+00'),
    (2, 'Look at the shed', NULL, 'Visit', NULL, 22, '11111111-1111-1111-1111-111111111111', NULL,
     '2024-03-04 09:00+00', now() + interval '3 days', NULL),
    (3, 'Nobody does it', NULL, 'Visit', 17, NULL, '22222222-2222-2222-2222-222222222222', NULL, NULL, NULL,
     NULL);
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
        "lead: It names none of: lead, account, contact.",
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
    note = Note.objects.get()
    assert (note.body, str(note.created_at)) == ("Called twice", "2025-03-01 12:00:00+00:00")
    after = state_of_tables()
    again = bring(dsn, mapping, capsys, "--by", "ida@example.com")
    assert {again[kind]["new"] for kind in again if kind != "dry_run"} == {0}
    assert state_of_tables() == after


@pytest.fixture
def past(dsn: str) -> str:
    """The same with leads, deals and activities that have ended, slept and moved."""
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SET search_path = legacy_test;" + PAST)
    return dsn


def lines(rows: Any) -> list[str]:
    """When and what, in minutes of UTC."""
    return [f"{at:%Y-%m-%d %H:%M} {what}" for at, what in rows]


def test_what_ended_over_there_ended_then(past: str, mapping: Path, capsys: Any):
    make_user(team=make_team(), email="rep@example.com")
    make_admin(email="ida@example.com")
    default_pipeline()
    forecast = bring(past, mapping, capsys, "--dry-run")
    done = bring(past, mapping, capsys, "--by", "ida@example.com")
    assert {**forecast, "dry_run": False} == {**done, "activities": forecast["activities"]}
    assert counts(done, "leads") == [15, 10, 0, 5]
    assert done["leads"]["became"] == {
        "new": 2, "working": 2, "nurturing": 1, "converted": 2, "disqualified": 3,
    }  # fmt: skip
    assert done["leads"]["undated"] == 2, "Cem and Rita ended at a time that nothing says"
    reasons = done["leads"]["reasons"]
    assert reasons["closed_at: It ended before it began."] == 2, "refused rows are counted by their reason"
    assert {reason.partition(":")[0] for reason in reasons} == {"closed_at", "created_at", "email"}
    assert done["opportunities"]["became"] == {"open": 3, "won": 2, "lost": 2}
    assert done["opportunities"]["reasons"]["lead: Its lead … did not come in."] == 1
    assert done["activities"]["unmapped"] == {"owner": {"left@example.com": 1}}
    assert done["activities"]["reasons"] == {"owner: Nobody here has it: neither it nor what it is about.": 1}
    leads = {lead.name: lead for lead in Lead.objects.all()}
    assert {str(lead.created_at) for lead in leads.values()} == {"2024-02-01 10:00:00+00:00"}
    history = {
        name: lines(lead.status_changes.order_by("at", "id").values_list("at", "to_status"))
        for name, lead in leads.items()
    }
    assert history["Nora"] == ["2024-02-01 10:00 new", "2024-05-01 10:00 nurturing"]
    assert history["Olaf"] == ["2024-02-01 10:00 new", "2024-03-05 11:00 converted"]
    assert history["Pia"] == ["2024-02-01 10:00 new", "2024-02-01 10:00 converted"], "a day is no time"
    assert history["Quin"] == ["2024-02-01 10:00 new", "2024-06-01 00:00 disqualified"]
    assert history["Uma"] == ["2024-02-01 10:00 new", "2024-04-01 10:00 working"]
    assert all(lead.status_changed_at == lead.status_changes.latest("at", "id").at for lead in leads.values())
    assert leads["Nora"].snoozed_until.astimezone(ZoneInfo("Europe/Berlin")).time() == time(0)
    assert leads["Quin"].disqualify_reason == "No budget"
    assert (str(leads["Quin"].outcome_at), leads["Quin"].outcome) == ("2024-06-01 00:00:00+00:00", "lost")
    assert leads["Uma"].next_action_at > clock.now() - timedelta(minutes=5), "to be looked at today"
    assert (leads["Pia"].contact.full_name, leads["Pia"].converted_account.name) == ("Ada Byron", "Moss Ltd")
    assert str(leads["Pia"].contact.created_at) == "2023-01-02 08:00:00+00:00", "of the mapping's zone"
    olaf = leads["Olaf"]
    assert (olaf.contact.full_name, olaf.contact.created_at) == ("Olaf", olaf.converted_at)
    story = olaf.timeline.exclude(kind="lead.scored").order_by("occurred_at", "id")
    scored = olaf.timeline.filter(kind="lead.scored").earliest("occurred_at")
    assert scored.occurred_at > clock.now() - timedelta(hours=1), "who reacts to it does so now"
    assert lines(story.values_list("occurred_at", "kind")) == [
        "2024-02-01 10:00 inquiry.received",
        "2024-02-01 10:00 lead.assigned",
        "2024-02-02 09:00 note.added",
        "2024-02-03 09:00 task.created",
        "2024-02-04 10:30 task.done",
        "2024-03-01 10:00 opportunity.created",
        "2024-03-02 10:00 opportunity.created",
        "2024-03-05 11:00 lead.converted",
        "2024-03-10 23:00 opportunity.won",
        "2024-03-31 22:00 opportunity.lost",
    ]
    after = state_of_tables()
    again = bring(past, mapping, capsys, "--by", "ida@example.com")
    assert {again[kind]["new"] for kind in again if kind != "dry_run"} == {0}
    assert state_of_tables() == after


def test_figures_count_what_came_in_when_it_was(past: str, mapping: Path, capsys: Any):
    make_user(team=make_team(), email="rep@example.com")
    boss = make_admin(email="ida@example.com")
    bring(past, mapping, capsys, "--by", "ida@example.com")
    card = Opportunity.objects.select_related("lead", "stage").get(name="Terrace")
    assert (str(card.amount), card.currency, card.stage.name) == ("1000.00", "CHF", "Closed won")
    assert lines(card.stage_changes.order_by("at").values_list("at", "to_stage__name")) == [
        "2024-03-01 10:00 Offer",
        "2024-03-10 23:00 Closed won",
    ]
    took = card.closed_at - card.created_at
    assert took == timedelta(days=9, hours=13)
    assert card.stage_changes.get(to_stage__kind="won").seconds_in_from == took.total_seconds()
    assert card.lead.converted_opportunity == card
    assert (card.lead.outcome, card.lead.outcome_at) == ("won", card.closed_at)
    spring = Period(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC))
    months = won_by_month(boss, currency="CHF", period=spring)
    assert {month.isoformat(): str(total.amount) for month, total in months.items()} == {
        "2024-03-01": "1000.00"
    }
    steps = {step.name: step for step in funnel(card.stage.pipeline, boss, spring)}
    offer = steps["Offer"]
    assert (offer.entered, offer.won, offer.median_s) == (3, 1, took.total_seconds())
    assert steps["Closed lost"].entered == 1
    shed = Opportunity.objects.get(name="Shed")
    assert shed in Opportunity.objects.filter(last_event_at__lt=clock.now() - timedelta(days=300))
    task = Task.objects.get(title="Talk about the terrace")
    assert (task.kind, task.outcome, task.done_by.email) == ("call", "Agreed", "rep@example.com")
    assert Task.objects.get(opportunity=shed).state == "open"
    assert Note.objects.get(body="Likes roses").author.email == "rep@example.com"


def test_an_old_inquiry_neither_wakes_a_sleeping_lead_nor_moves_its_times_back(
    dsn: str, mapping: Path, capsys: Any
):
    make_admin(email="ida@example.com")
    lead = make_lead(name="Ada Byron", email="ada@example.com")
    Lead.objects.filter(pk=lead.pk).update(last_inbound_at=clock.now())
    lead = snooze_lead(lead.pk, by=actor(make_admin()), until=clock.now() + timedelta(days=9))
    before = Lead.objects.get(pk=lead.pk)
    done = bring(dsn, mapping, capsys, "--by", "ida@example.com")
    assert done["leads"]["joined"] == 1
    lead.refresh_from_db()
    assert (lead.status, lead.snoozed_until) == ("nurturing", before.snoozed_until)
    assert (lead.last_inbound_at, lead.status_changed_at) == (
        before.last_inbound_at,
        before.status_changed_at,
    )
    inquiry = Inquiry.objects.get(lead=lead, idempotency_key="legacy:1")
    assert str(inquiry.received_at) == "2024-02-01 10:00:00+00:00"
    assert lead.timeline.get(kind="inquiry.received", data__inquiry=str(inquiry.public_id)).occurred_at == (
        inquiry.received_at
    )


def test_to_run_it_again_brings_nobody_back_who_was_erased_here(
    dsn: str, mapping: Path, capsys: Any, settings: Any, tmp_path: Path
):
    settings.ERASURE_LEDGER = tmp_path / "erasures.jsonl"
    make_admin(email="ida@example.com")
    bring(dsn, mapping, capsys, "--by", "ida@example.com")
    ada = Lead.objects.get(name="Ada Byron")
    erase_person(person_of(lead=ada), by=Actor.system())
    before = state_of_tables()
    again = bring(dsn, mapping, capsys, "--by", "ida@example.com")
    assert state_of_tables() == before
    assert again["leads"]["reasons"]["email: Whoever has this address was erased here."] == 1
    assert again["contacts"]["reasons"]["email: Whoever has this address was erased here."] == 1
    assert again["opportunities"]["reasons"]["lead: Its lead … did not come in."] == 2


@pytest.mark.parametrize(
    ("value", "means"),
    [
        (datetime.fromisoformat("2024-03-01T09:00"), "2024-03-01 08:00"),
        (datetime(2024, 3, 1, 9, tzinfo=UTC), "2024-03-01 09:00"),
        (date(2024, 7, 1), "2024-06-30 22:00"),
        ("2024-03-01", "2024-02-29 23:00"),
        ("2024-03-01T09:00:00", "2024-03-01 08:00"),
        ("2024-03-01 09:00:00+05:30", "2024-03-01 03:30"),
        ("", None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_one_of_the_mappings_zone(value: Any, means: str | None):
    found = moment(value, zone=ZoneInfo("Europe/Berlin"), field="at")
    assert (found and f"{found:%Y-%m-%d %H:%M}") == means


@pytest.mark.parametrize(
    "value", ["yesterday", "2024-13-01", 1709280000, "0001-01-01", "2999-01-01", date.min]
)
def test_what_is_no_time_of_the_past_is_refused_by_its_field(value: Any):
    with pytest.raises(InvalidValue) as refused:
        moment(value, zone=ZoneInfo("UTC"), field="closed_at")
    assert refused.value.field == "closed_at"


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
        ('"Europe/Berlin"', '"Europe/Bonn"', "time_zone: there is no zone “Europe/Bonn”"),
        ('"failed" = "lost"', '"failed" = "gone"', "opportunities.values.state.failed"),
        ('"Visit" = "meeting"', '"Visit" = "trip"', "activities.values.kind.Visit"),
        ('title = "subject"', "#", "activities.fields.title is needed"),
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
