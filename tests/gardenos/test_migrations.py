"""Migrations go forward, back and forward again."""

from collections.abc import Iterator
from io import StringIO
from typing import Any, TextIO

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from crm.actions.overrides import lift_override, override_score
from gardenos.management.commands import migrate
from tests.crm.valid_rows import a
from tests.factories import actor, make_admin, make_lead

CATALOGUE = """
    SELECT 'column', c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || a.attnotnull || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
       AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'constraint', conrelid::regclass || conname || pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function', proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'grant', c.relname || ' ' || a.grantee::regrole || ' ' || a.privilege_type
      FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'public'::regnamespace
"""


def catalogue() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(CATALOGUE)
        return set(cursor.fetchall())


def rows_of(columns: dict[str, list[str]]) -> dict[str, list[tuple[str, ...]]]:
    """Table -> its rows, of these columns, as texts in order."""
    found = {}
    with connection.cursor() as cursor:
        for table, names in columns.items():
            texts = ", ".join(f'"{name}"::text' for name in names)
            cursor.execute(f"SELECT {texts} FROM {table}")
            found[table] = sorted(cursor.fetchall(), key=repr)
    return found


def columns_now() -> dict[str, list[str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns JOIN pg_tables"
            " ON tablename = table_name AND schemaname = table_schema"
            " WHERE table_schema = 'public' AND table_name ~ '^(crm|ai_agents)_' GROUP BY table_name"
        )
        return dict(cursor.fetchall())


def a_row_in_every_table() -> None:
    for app in ("crm", "ai_agents"):
        for model in apps.get_app_config(app).get_models(include_auto_created=True):
            if model._meta.managed and not model._default_manager.exists():
                a(model)
    by = actor(make_admin())
    for lead in (make_lead(), make_lead()):  # one whose score a person set, one where that is over
        override_score(lead.pk, by=by, value=80, reason="met at the fair")
    lift_override(lead.pk, by=by, reason="did not call back")


@pytest.mark.timeout(600)
def test_back_to_the_first_release_and_forward_again_leaves_the_same_catalogue_and_rows(owners_rights: None):
    """Every table has rows. What the first release had is there on the way, and unchanged at the end."""
    a_row_in_every_table()
    before, latest = catalogue(), columns_now()
    assert [table for table, rows in rows_of(latest).items() if not rows] == []
    try:
        call_command("migrate", "crm", "0002", verbosity=0)
        assert catalogue() != before
        kept = {
            table: sorted(set(names) & set(latest.get(table, []))) for table, names in columns_now().items()
        }
        there = rows_of(kept)
    finally:
        call_command("migrate", verbosity=0)
    assert catalogue() == before
    assert rows_of(kept) == there
    assert all(there.values())


def owner_parameters() -> dict[str, Any]:
    known = connection.settings_dict
    return {
        "dbname": known["NAME"],
        "user": known["USER"],
        "password": known["PASSWORD"],
        "host": known["HOST"],
        "port": known["PORT"],
    }


@pytest.fixture
def lock(owners_rights: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """Somebody else's transaction, beside which no migration can be noted; and little patience with it."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 100)
    monkeypatch.setattr(migrate, "PAUSE_S", 0.1)
    monkeypatch.setattr(migrate, "TRIES", 3)
    with psycopg.connect(**owner_parameters()) as other:
        other.execute("LOCK TABLE django_migrations IN EXCLUSIVE MODE")
        yield other


def back_by_one(heard: TextIO) -> None:
    """Take the newest migration of crm back. It changes its tables first, and then waits."""
    names = sorted(name for app, name in MigrationLoader(None).disk_migrations if app == "crm")
    call_command("migrate", "crm", names[-2], verbosity=0, stderr=heard)


def applied() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return set(cursor.fetchall())


def test_a_migration_that_waits_for_a_lock_gives_up_and_says_whom_to_look_for(lock: psycopg.Connection):
    before, heard = (applied(), catalogue()), StringIO()
    with pytest.raises(CommandError, match="pg_stat_activity"):
        back_by_one(heard)
    assert heard.getvalue().count("a table is locked; trying again") == 2
    assert (applied(), catalogue()) == before


def test_a_migration_that_waits_for_a_lock_goes_on_once_it_is_free(lock: psycopg.Connection):
    before = applied()

    class Heard(StringIO):
        def write(self, text: str) -> int:
            lock.rollback()
            return super().write(text)

    heard = Heard()
    try:
        back_by_one(heard)
        assert "trying again in 0.1 s (1 of 3)" in heard.getvalue()
        assert len(before - applied()) == 1
    finally:
        call_command("migrate", verbosity=0)
    assert applied() == before
