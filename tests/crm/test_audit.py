"""The audit log: what is written there, who reads it, and that nobody changes it unseen."""

import json
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client, RequestFactory

from ai_agents.actions.pools import scale_agents
from ai_agents.models import AgentPool
from crm.actions.audit import audit
from crm.actions.sealing import SEAL_LOCK, seal_audit_log, verify_audit_log
from crm.actions.set_up import save_source, set_member, update_user
from crm.actions.tokens import create_token, revoke_token
from crm.models import Actor, AuditLog, AuditSeal, Role
from crm.tasks import heartbeat
from tests.factories import PASSWORD, make_admin, make_team, make_user

COMMITTED = pytest.mark.django_db(transaction=True)  # only what is committed can be sealed


def actions() -> list[str]:
    return list(AuditLog.objects.order_by("id").values_list("action", flat=True))


def sealed_entries(count: int) -> list[AuditLog]:
    entries = [
        audit("test.done", f"number {n}", by=Actor.system(), amount=n * 1.5, name="ä") for n in range(count)
    ]
    assert seal_audit_log() == count
    return entries


def as_superuser(statement: str) -> None:
    """What no role of ours can do; the owner of the tables can, after switching the trigger off."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("ALTER TABLE crm_auditlog DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE crm_auditseal DISABLE TRIGGER USER")
        cursor.execute(statement)
        cursor.execute("ALTER TABLE crm_auditlog ENABLE TRIGGER USER")
        cursor.execute("ALTER TABLE crm_auditseal ENABLE TRIGGER USER")
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE gardenos_app")


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def verify_command() -> tuple[int, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("audit_verify", stdout=out, stderr=err)
    except SystemExit as left:
        return int(left.code or 0), err.getvalue()
    return 0, out.getvalue()


@COMMITTED
def test_an_untouched_log_fits_its_seals_and_the_rest_is_its_tail():
    sealed_entries(3)
    sealed_entries(2)
    audit("test.done", "not sealed yet", by=Actor.system())
    verdict = verify_audit_log()
    assert (verdict.entries, verdict.seals, verdict.tail, verdict.trouble) == (5, 2, 1, "")
    assert verify_command()[0] == 0
    out = StringIO()
    call_command("audit_verify", as_json=True, stdout=out)
    assert json.loads(out.getvalue())["is_ok"] is True


@COMMITTED
@pytest.mark.parametrize(
    "change",
    ["summary = 'number 8'", "data = '{}'", "at = at + interval '1 microsecond'", "actor_kind = 'agent'"],
)
def test_one_changed_value_is_named(change: str):
    wrong = sealed_entries(3)[1]
    as_superuser(f"UPDATE crm_auditlog SET {change} WHERE id = {wrong.pk}")
    code, said = verify_command()
    assert code == 1
    assert f"entry {wrong.pk} was changed" in said


@COMMITTED
def test_a_deleted_entry_is_named():
    gone = sealed_entries(3)[2]
    as_superuser(f"DELETE FROM crm_auditlog WHERE id = {gone.pk}")
    assert verify_command() == (1, f"entry {gone.pk} is gone\n")


@COMMITTED
def test_a_seal_that_was_made_to_fit_or_taken_out_is_named():
    sealed_entries(1)
    first = AuditSeal.objects.get()
    sealed_entries(1)
    as_superuser(f"UPDATE crm_auditseal SET row_hashes = '{{0}}' WHERE id = {first.pk}")
    assert f"seal {first.pk} was changed" in verify_command()[1]
    as_superuser(f"DELETE FROM crm_auditseal WHERE id = {first.pk}")
    assert "a seal is missing" in verify_command()[1]


@COMMITTED
def test_another_key_opens_nothing(settings):
    sealed_entries(1)
    settings.AUDIT_KEY = "another key"
    assert "AUDIT_KEY" in verify_command()[1]


@COMMITTED
def test_what_an_older_transaction_could_still_precede_waits_for_its_seal():
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_current_xact_id()")
            audit("test.done", "younger", by=Actor.system())
            assert seal_audit_log() == 0
            cursor.execute("COMMIT")
        assert seal_audit_log() == 1
    finally:
        other.close()


@COMMITTED
def test_one_sealer_works_at_a_time_and_the_heartbeat_of_the_default_cluster_is_it():
    other = connection.copy()
    audit("test.done", "one", by=Actor.system())
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [SEAL_LOCK])
            assert seal_audit_log() == 0
            cursor.execute("SELECT pg_advisory_unlock(%s)", [SEAL_LOCK])  # before its process ends
    finally:
        other.close()
    heartbeat("ai")
    assert not AuditSeal.objects.exists()
    heartbeat("default")
    assert AuditSeal.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["crm_auditlog", "crm_auditseal"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET id = id",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "ALTER TABLE {} DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ],
)
def test_the_app_changes_nothing_of_it(table: str, statement: str):
    audit("test.done", "one", by=Actor.system())
    with pytest.raises(DatabaseError, match=r"permission denied|must be owner"), transaction.atomic():
        run(statement.format(table))


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "merge", "undo", "erase", "retention"])
def test_even_the_owner_meets_the_trigger_whatever_the_reason(reason: str):
    audit("test.done", "one", by=Actor.system())
    for statement in ("UPDATE crm_auditlog SET summary = 'x'", "DELETE FROM crm_auditlog"):
        with pytest.raises(DatabaseError, match="insert-only"), transaction.atomic():
            run(f"RESET ROLE; SELECT set_config('gardenos.maintenance', '{reason}', true); {statement}")


@pytest.mark.django_db
def test_what_decides_rights_is_written_down():
    boss = Actor.of(make_admin())
    user = make_user(email="new@example.com")
    update_user(user.pk, by=boss, role=Role.MANAGER, name="Newer")
    set_member(make_team(), user, by=boss)
    token, _text = create_token(user, name="t", scopes=["read"], by=boss)
    revoke_token(token.pk, by=boss)
    revoke_token(token.pk, by=boss)
    save_source(None, by=boss, code="fair", name="Fair", kind="manual")
    scale_agents(AgentPool.objects.first().kind, target=1, by=boss)
    assert actions() == [
        "user.role_changed",
        "user.changed",
        "team.member_set",
        "token.created",
        "token.revoked",
        "leadsource.made",
        "agentpool.changed",
    ]
    assert "new@example.com" not in json.dumps(list(AuditLog.objects.values("summary", "data")))


@pytest.mark.django_db
def test_signing_in_and_failing_to_is_written_without_an_address(client: Client):
    user = make_user(email="ada@example.com")
    client.post("/accounts/login/", {"login": "ada@example.com", "password": PASSWORD})
    client.post("/accounts/logout/")
    for address in ("ada@example.com", "nobody@example.com"):
        assert authenticate(RequestFactory().post("/"), email=address, password="wrong") is None
    entries = AuditLog.objects.order_by("id")
    assert [entry.action for entry in entries] == [
        "user.signed_in",
        "user.signed_out",
        "user.sign_in_failed",
        "user.sign_in_failed",
    ]
    assert {entry.target_id for entry in entries} == {str(user.public_id), ""}
    assert len(entries[3].data["address"]) == 64
    assert "@example.com" not in json.dumps(list(entries.values("summary", "data", "actor_label")))


@pytest.mark.django_db
def test_a_manager_reads_what_the_team_did_and_a_rep_opens_no_admin(client: Client):
    team = make_team()
    manager, rep, stranger = make_user(Role.MANAGER, team=team), make_user(team=team), make_user()
    audit("test.done", "done by the team", by=Actor.of(rep))
    audit("test.done", "done elsewhere", by=Actor.of(stranger))
    client.force_login(manager)
    page = client.get("/admin/crm/auditlog/").content.decode()
    assert "done by the team" in page
    assert "done elsewhere" not in page
    client.force_login(rep)
    assert client.get("/admin/crm/auditlog/").status_code == 302
    client.force_login(make_admin())
    assert "done elsewhere" in client.get("/admin/crm/auditlog/").content.decode()
    entry = AuditLog.objects.filter(action="test.done").first()
    assert client.post(f"/admin/crm/auditlog/{entry.pk}/change/", {"summary": "x"}).status_code == 403
    assert client.get("/admin/crm/auditlog/add/").status_code == 403
