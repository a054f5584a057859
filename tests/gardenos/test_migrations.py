"""Migrations go forward, back and forward again, and none stops the release before it."""

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from gardenos.migration_lint import forks_of, lint, lint_migrations


def migration(*operations, **attributes) -> Migration:
    made = type("Made", (Migration,), {"operations": list(operations), **attributes})
    return made("9999_made", "crm")


def test_ours_pass():
    assert lint_migrations() == []


INDEX = models.Index(fields=["name"], name="crm_made")
CHECK = models.CheckConstraint(condition=models.Q(name="x"), name="crm_made")
UNIQUE = models.UniqueConstraint(fields=["name"], name="crm_made")
NAME = models.CharField(max_length=9)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (migrations.RenameModel("Lead", "Prospect"), "still uses it"),
        (migrations.RenameField("lead", "name", "title"), "still uses it"),
        (migrations.AlterModelTable("lead", "leads"), "still uses it"),
        (migrations.DeleteModel("Lead"), "still uses it"),
        (migrations.RemoveField("lead", "name"), "still uses it"),
        (migrations.AddField("lead", "made", NAME), "NOT NULL without a default"),
        (migrations.AlterField("lead", "score", models.BigIntegerField()), "may rewrite"),
        (migrations.AddIndex("lead", INDEX), "AddIndexConcurrently"),
        (migrations.AddConstraint("lead", CHECK), "AddConstraintNotValid"),
        (migrations.AddConstraint("lead", UNIQUE), "builds an index under lock"),
        (migrations.RunSQL("ALTER TABLE crm_lead DROP COLUMN name", ""), "drops"),
        (migrations.RunSQL("ALTER TABLE crm_lead RENAME name TO title", ""), "renames"),
        (migrations.RunSQL("ALTER TABLE crm_lead ALTER COLUMN name TYPE text", ""), "rewrites"),
        (migrations.RunSQL("ALTER TABLE crm_lead ALTER name SET NOT NULL", ""), "under lock"),
        (migrations.RunSQL("CREATE INDEX made ON crm_lead (name)", ""), "CONCURRENTLY"),
        (migrations.RunSQL("UPDATE crm_lead SET name = name"), "no way back"),
        (migrations.RunPython(lambda apps, editor: None), "no way back"),
    ],
)
def test_what_would_stop_or_lose_something_is_refused(operation, why):
    assert any(why in line for line in lint(migration(operation)))
    if why != "no way back":
        assert lint(migration(operation, contract=True)) == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("lead", "made", models.CharField(max_length=9, null=True)),
        migrations.AddField("lead", "made", models.CharField(max_length=9, default="")),
        migrations.RunSQL("CREATE INDEX CONCURRENTLY made ON crm_lead (name)", "DROP INDEX made"),
        AddIndexConcurrently("lead", INDEX),
        migrations.AlterField("lead", "name", models.CharField(max_length=999)),
    ],
)
def test_what_runs_beside_the_last_release_passes(operation):
    assert lint(migration(operation)) == []


def test_a_new_table_may_have_what_it_likes():
    made = migrations.CreateModel("Made", [("id", models.BigAutoField(primary_key=True)), ("name", NAME)])
    assert (
        lint(migration(made, migrations.AddIndex("made", INDEX), migrations.AddConstraint("made", CHECK)))
        == []
    )


def test_two_that_both_come_last_are_refused():
    loader = MigrationLoader(None)
    assert list(forks_of(loader)) == []
    (leaf,) = loader.graph.leaf_nodes("crm")
    (before,) = [node.key for node in loader.graph.node_map[leaf].parents if node.key[0] == "crm"]
    other = ("crm", "9999_made")
    loader.graph.add_node(other, migration())
    loader.graph.add_dependency(None, other, before)
    (line,) = forks_of(loader)
    assert "9999_made" in line
    assert "both come last" in line


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


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_back_to_the_first_release_and_forward_again_leaves_the_same_catalogue():
    before = catalogue()
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    try:
        call_command("migrate", "crm", "0002", verbosity=0)
        assert catalogue() != before
    finally:
        call_command("migrate", verbosity=0)
    assert catalogue() == before
