"""A backup that is older than an erasure: dumped and restored by PostgreSQL's own programs, then replayed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg import sql

from ai_agents.models import AgentCall, AgentTask
from crm.actions.erasure import erase_person
from crm.actions.intake import receive_inquiry
from crm.actions.leads import add_note
from crm.actions.messages import record_inbound_message
from crm.actions.personal_data import person_of
from crm.models import LiveEpoch, User
from gardenos.databases import read_connection
from gardenos.embedded_postgres import client_program
from tests.crm.privacy.canaries import MAIL, TRACES, plant
from tests.factories import actor, make_admin

pytestmark = pytest.mark.django_db(transaction=True)
ASKED, NOTED, WROTE, JUDGED = "quaggamire", "wombatine", "axolotlish", "narwhalese"
CANARIES = (*TRACES, ASKED, NOTED, WROTE, JUDGED)
RESTORED = f"test_restored_{os.getpid()}"


def _drop(link: psycopg.Connection, name: sql.Identifier) -> None:
    """Also while autovacuum is in it, whose worker we may not end: without FORCE PostgreSQL does."""
    try:
        link.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
    except psycopg.errors.InsufficientPrivilege:
        link.execute(sql.SQL("DROP DATABASE {}").format(name))


@pytest.fixture(autouse=True)
def ledger(settings: Any, tmp_path: Path) -> Path:
    settings.ERASURE_LEDGER = tmp_path / "kept apart" / "erasures.jsonl"
    return settings.ERASURE_LEDGER


def address(database: str, **other: str) -> str:
    login = {**connection.settings_dict, **other}
    return "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/".format_map(login) + database


def server_version() -> int:
    with closing(psycopg.connect(address(connection.settings_dict["NAME"]))) as link:
        return link.info.server_version // 10_000


def run(program: str, *arguments: Any) -> str:
    """What it printed. The program is one of the server's release, as pg_dump wants it."""
    found = client_program(program, server_version())
    if found is None:
        pytest.skip(f"no {program} of PostgreSQL {server_version()} here; apt-get install postgresql-client")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def fresh_database() -> Iterator[str]:
    name = sql.Identifier(RESTORED)
    with closing(psycopg.connect(address("postgres"), autocommit=True)) as link:
        link.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        try:
            yield address(RESTORED)
        finally:
            _drop(link, name)


def found_in(database: str) -> set[str]:
    """The canaries in a full dump, binary columns included."""
    dump = run("pg_dump", database).lower()
    return {word for word in CANARIES if word in dump or word.encode().hex() in dump}


def manage(*line: str, ledger: Path, data: Path) -> str:
    """What a command said that runs on the restored database, with the app's rights."""
    app = (read_connection(settings.GARDENOS_DATA_DIR) or {}).get("app", {})
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("DATABASE_")},
        "DJANGO_SETTINGS_MODULE": "gardenos.settings",
        "DATABASE_URL": address(RESTORED, **{key.upper(): app[key] for key in app}),
        "SECRET_KEY": settings.SECRET_KEY,  # also the key of the ledger's hashes, unless AUDIT_KEY is set
        "ERASURE_LEDGER": str(ledger),
        "GARDENOS_DATA_DIR": str(data),
        "AI_PROVIDER": "off",
    }
    command = [sys.executable, "manage.py", *line]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=settings.BASE_DIR, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def plant_six(admin: User) -> Any:
    """A person with a canary of its own in each kind of text, beside the two that lie in every column."""
    lead, _contact = plant(admin)
    receive_inquiry(channel="form", payload={"email": MAIL, "message": ASKED}, by=actor(admin))
    add_note(lead.pk, by=actor(admin), body=NOTED)
    record_inbound_message(lead.pk, by=actor(admin), from_address=MAIL, subject=WROTE, text=WROTE)
    AgentCall.objects.create(
        task=AgentTask.objects.get(),
        attempt=2,
        provider="scripted",
        model="m",
        status="invalid",
        output=JUDGED,
    )
    return lead


def test_erased_restored_from_an_older_dump_and_replayed_leaves_nothing_in_a_full_dump(
    ledger: Path, fresh_database: str, tmp_path: Path
):
    admin = make_admin()
    lead = plant_six(admin)
    ours = address(connection.settings_dict["NAME"])
    run("pg_dump", "--format=custom", f"--file={tmp_path / 'yesterday'}", ours)
    erase_person(person_of(lead=lead), by=actor(admin))
    assert found_in(ours) == set()
    connection.close()

    run("pg_restore", "--exit-on-error", f"--dbname={fresh_database}", tmp_path / "yesterday")
    assert found_in(fresh_database) == set(CANARIES), "the backup has brought the person back"
    said = manage("privacy", "replay", ledger=ledger, data=tmp_path)
    assert "1 entries" in said
    assert "records erased again" in said
    assert found_in(fresh_database) == set()
    with closing(psycopg.connect(fresh_database)) as link:
        kept = link.execute("SELECT public_id::text, replayed_at FROM crm_erasureledger").fetchall()
        epoch = link.execute("SELECT epoch FROM crm_liveepoch").fetchall()
    assert [row[0] in ledger.read_text() for row in kept if row[1]] == [True]
    assert epoch != list(LiveEpoch.objects.values_list("epoch")), "pages that stayed open load anew"
