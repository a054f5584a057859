"""Migrations go forward, back and forward again."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from crm.actions.overrides import lift_override, override_score
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
@pytest.mark.django_db(transaction=True)
def test_back_to_the_first_release_and_forward_again_leaves_the_same_catalogue_and_rows():
    """Every table has rows. What the first release had is there on the way, and unchanged at the end."""
    a_row_in_every_table()
    before, latest = catalogue(), columns_now()
    assert [table for table, rows in rows_of(latest).items() if not rows] == []
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
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
