"""`manage.py doctor` and what it is made of."""

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, models
from django.db.models.functions import Now

from crm.models import Team
from crm.tasks import stamp
from gardenos import checkup
from gardenos.checkup import Finding
from gardenos.failures import database_line
from gardenos.schema_by_sql import read_sql
from gardenos.schema_check import default_of, schema_differences


@pytest.fixture
def as_owner(db: None) -> Callable[[str], None]:
    """Runs SQL with the rights to alter tables, inside the test's transaction."""

    def run(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            cursor.execute(statement)
            cursor.execute("SET ROLE gardenos_app")

    return run


def one(check: Callable) -> Finding:
    (finding,) = check()
    return finding


@pytest.mark.django_db
def test_a_migrated_database_has_no_differences():
    assert schema_differences() == []


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("ALTER TABLE crm_job DROP COLUMN error", "column crm_job.error is missing"),
        ("ALTER TABLE crm_team ADD COLUMN extra text", "column crm_team.extra is unknown to the code"),
        (
            "ALTER TABLE crm_job ALTER kind TYPE varchar(50)",
            "column crm_job.kind is character varying(50), not character varying(40)",
        ),
        ("ALTER TABLE crm_team ALTER name DROP NOT NULL", "column crm_team.name may be NULL"),
        (
            "ALTER TABLE crm_user DROP CONSTRAINT crm_user_role_known",
            "constraint crm_user_role_known is missing or not valid",
        ),
        ("DROP INDEX crm_outbox_at", "index crm_outbox_at is missing or not valid"),
        ("DROP TABLE crm_heartbeat", "table crm_heartbeat is missing"),
        (
            "ALTER TABLE crm_followup DROP CONSTRAINT crm_followup_hash_is_true",
            "constraint crm_followup_hash_is_true is missing or not valid",
        ),
        (
            "DROP TRIGGER crm_message_is_approved ON crm_message",
            "trigger crm_message_is_approved is missing or switched off",
        ),
        (
            "ALTER TABLE crm_timelineevent DISABLE TRIGGER crm_timelineevent_append_only",
            "trigger crm_timelineevent_append_only is missing or switched off",
        ),
        ("CREATE TABLE mine (id int)", "table mine is unknown to the code"),
        ("CREATE INDEX by_hand ON crm_team (name)", "index by_hand on crm_team is unknown to the code"),
        (
            "CREATE INDEX crm_lead_source_by_hand ON crm_lead (source_id)",
            "index crm_lead_source_by_hand on crm_lead is unknown to the code",
        ),
        (
            "ALTER TABLE crm_team ADD CONSTRAINT by_hand CHECK (name <> 'x')",
            "check by_hand on crm_team is unknown to the code",
        ),
        (
            "ALTER TABLE crm_team ADD CONSTRAINT by_hand UNIQUE (created_at)",
            "unique constraint by_hand on crm_team is unknown to the code",
        ),
        (
            "CREATE TRIGGER by_hand AFTER INSERT ON crm_team FOR EACH ROW EXECUTE FUNCTION crm_append_only()",
            "trigger by_hand is unknown to the code",
        ),
        (
            "CREATE FUNCTION by_hand() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function by_hand is unknown to the code",
        ),
        ("CREATE VIEW by_hand AS SELECT 1", "view by_hand is unknown to the code"),
        (
            "ALTER TABLE crm_team ALTER version SET DEFAULT 7",
            "column crm_team.version has the default 7, not None",
        ),
        (
            "ALTER TABLE crm_auditlog ALTER at DROP DEFAULT",
            "column crm_auditlog.at has the default None, not statement_timestamp()",
        ),
    ],
)
def test_a_change_by_hand_is_named(as_owner: Callable[[str], None], statement: str, difference: str):
    as_owner(statement)
    assert difference in schema_differences()


@pytest.mark.parametrize(
    "field",
    [
        models.JSONField(db_default=[]),
        models.JSONField(db_default={"longer": ["it's 50 %", 1, None], "a": "é"}),
        models.CharField(max_length=9, db_default="it's"),
        models.BooleanField(db_default=True),
        models.BigIntegerField(db_default=-5),
        models.DecimalField(max_digits=9, decimal_places=2, db_default=Decimal("1.50")),
        models.DateTimeField(db_default=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        models.DurationField(db_default=timedelta(days=1)),
        models.UUIDField(db_default=UUID(int=7)),
        models.DateTimeField(db_default=Now()),
    ],
    ids=lambda field: type(field).__name__,
)
@pytest.mark.django_db
def test_a_default_of_any_kind_is_known_again(field: models.Field):
    field.set_attributes_from_name("made")
    field.model = Team
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        with connection.schema_editor() as editor:
            editor.add_field(Team, field)
        cursor.execute(
            "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute a"
            " ON a.attrelid = adrelid AND a.attnum = adnum WHERE attname = 'made'"
        )
        assert cursor.fetchone()[0] == default_of(field)
        cursor.execute("SET ROLE gardenos_app")


@pytest.mark.django_db
def test_a_healthy_database_has_no_complaints(settings: SimpleNamespace):
    assert checkup.database().is_ok
    assert one(checkup.roles).is_ok
    assert one(checkup.migrations).is_ok
    assert one(checkup.schema).is_ok


def test_what_sql_makes_and_drops_is_read_from_it():
    found = defaultdict(set)
    read_sql(
        """
        CREATE OR REPLACE FUNCTION one() ...; CREATE FUNCTION two(a int) ...;
        CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS three ON t (a); -- CREATE TABLE none
        ALTER TABLE t ADD CONSTRAINT four CHECK (a > 0); CREATE VIEW five AS SELECT 1;
        DROP FUNCTION two(int); CREATE TRIGGER six BEFORE UPDATE ON t;
        """,
        found,
    )
    assert {kind: names for kind, names in found.items() if names} == {
        "function": {"one"},
        "index": {"three"},
        "constraint": {"four"},
        "view": {"five"},
        "trigger": {"six"},
    }


def test_an_app_that_may_change_tables_is_a_complaint(as_owner: Callable[[str], None]):
    as_owner("GRANT CREATE ON SCHEMA public TO gardenos_app")
    finding = one(checkup.roles)
    assert not finding.is_ok
    assert "may change tables" in finding.text
    assert "DATABASE_OWNER_URL" in finding.fix


def test_a_table_without_grants_is_a_complaint(as_owner: Callable[[str], None]):
    as_owner("REVOKE ALL ON crm_lead FROM gardenos_app")
    assert "cannot use 1 tables" in one(checkup.roles).text


@pytest.mark.django_db
def test_a_queue_is_judged_by_when_it_last_worked():
    stamp("cluster:default")
    first, second = checkup.queues()
    assert first.is_ok
    assert not second.is_ok
    assert "never worked" in second.text
    assert "qcluster_watch --cluster ai" in second.fix


@pytest.mark.django_db
def test_mail_that_stays_here_is_fine_and_mail_that_cannot_go_is_not(settings: SimpleNamespace):
    settings.MAIL_CATCHER, settings.EMAIL_URL = True, ""
    assert one(checkup.mail).is_ok
    settings.MAIL_CATCHER = False
    assert "set EMAIL_URL" in one(checkup.mail).fix
    settings.EMAIL_URL, settings.EMAIL_HOST, settings.EMAIL_PORT = "smtp://127.0.0.1:1", "127.0.0.1", 1
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert "check EMAIL_URL" in one(checkup.mail).fix


def test_a_full_disk_is_a_complaint(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000_000))
    assert not one(checkup.disk).is_ok


def test_a_model_that_does_not_answer_is_a_complaint(settings: SimpleNamespace):
    settings.AI_PROVIDER, settings.SCRIPTED_LLM_URL = "scripted", "http://127.0.0.1:1/v1"
    finding = one(checkup.model)
    assert not finding.is_ok
    assert "scripted_llm" in finding.fix
    settings.AI_PROVIDER = "off"
    assert one(checkup.model).is_ok


def test_without_the_database_the_rest_is_still_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        checkup, "database", lambda: checkup.bad("database", "Connection refused", "start it")
    )
    assert [finding.name for finding in checkup.examine()] == ["database", "model", "mail", "disk"]


def test_complaints_make_exit_code_1_and_come_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    findings = [checkup.good("database", "PostgreSQL 18"), checkup.bad("disk", "full", "make room")]
    monkeypatch.setattr("gardenos.management.commands.doctor.examine", lambda: iter(findings))
    with pytest.raises(SystemExit) as left:
        call_command("doctor", as_json=True)
    assert left.value.code == 1
    assert [row["is_ok"] for row in json.loads(capsys.readouterr().out)] == [True, False]
    with pytest.raises(SystemExit):
        call_command("doctor")
    assert "-> make room" in capsys.readouterr().out


def test_the_line_about_a_lost_database_shows_no_address_and_no_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:geheim@db.example/x")
    for text in (
        'connection failed: connection to server at "192.0.2.7", port 5432 failed: Connection refused',
        'connection failed: FATAL:  password authentication failed for user "somebody"',
        "failed to resolve host 'db.example': [Errno -2] Name or service not known",
    ):
        line = database_line(OperationalError(text))
        assert "check DATABASE_URL" in line
        assert not {"192.0.2.7", "somebody", "geheim", "db.example"} & set(line.replace("'", " ").split())
