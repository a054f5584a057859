"""No migration stops the release before it: each rule refuses one, and passes its harmless neighbour."""

from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.functions import Now

from gardenos import migration_lint
from gardenos.migration_lint import forks_of, lint, lint_migrations

INDEX = models.Index(fields=["name"], name="crm_made")
CHECK = models.CheckConstraint(condition=models.Q(name="x"), name="crm_made")
UNIQUE = models.UniqueConstraint(fields=["name"], name="crm_made")
CASCADE = models.CASCADE


def before() -> ProjectState:
    """A lead with a column of each kind that the rules tell apart, and whom it may point to."""
    state = ProjectState()
    state.add_model(ModelState("crm", "User", [("id", models.BigAutoField(primary_key=True))]))
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=200)),
        ("nick", models.CharField(max_length=200, null=True)),
        ("code", models.CharField(max_length=60, unique=True)),
        ("remark", models.TextField()),
        ("score", models.SmallIntegerField(null=True)),
        ("value", models.DecimalField(max_digits=14, decimal_places=2)),
        ("is_new", models.BooleanField(db_default=True)),
        ("owner", models.ForeignKey("crm.User", CASCADE, null=True, db_index=False)),
        ("source", models.ForeignKey("crm.User", CASCADE, db_index=False, db_constraint=False)),
        ("fans", models.ManyToManyField("crm.User")),
    ]
    rules = [
        models.UniqueConstraint(fields=["nick"], name="crm_lead_nick"),
        models.CheckConstraint(condition=models.Q(score__gte=0), name="crm_lead_score"),
    ]
    fields_of_note = [
        ("id", models.BigAutoField(primary_key=True)),
        ("lead", models.ForeignKey("crm.Lead", CASCADE)),
    ]
    state.add_model(ModelState("crm", "Note", fields_of_note, {"order_with_respect_to": "lead"}))
    options = {"constraints": rules, "indexes": [INDEX], "unique_together": {("name", "nick")}}
    state.add_model(ModelState("crm", "Lead", fields, options))
    return state


def migration(*operations: Operation, **attributes: object) -> Migration:
    made = type("Made", (Migration,), {"operations": list(operations), **attributes})
    return made("9999_made", "crm")


def found_in(*operations: Operation, **attributes: object) -> list[str]:
    return lint(migration(*operations, **attributes), before())


def added(field: models.Field) -> Operation:
    return migrations.AddField("lead", "made", field)


def altered(name: str, field: models.Field) -> Operation:
    return migrations.AlterField("lead", name, field)


def text(length: int = 9, **more: object) -> models.Field:
    return models.CharField(max_length=length, **more)


def to_user(**more: object) -> models.Field:
    return models.ForeignKey("crm.User", CASCADE, **more)


TAKES_AWAY = [
    migrations.RenameModel("Lead", "Prospect"),
    migrations.RenameField("lead", "name", "title"),
    migrations.AlterModelTable("lead", "leads"),
    migrations.DeleteModel("Lead"),
    migrations.RemoveField("lead", "name"),
]
PAIRS = [  # refused, why, the harmless neighbour
    # a new column
    (added(text()), "NOT NULL without a db_default", added(text(null=True))),
    (added(text(default="")), "NOT NULL without a db_default", added(text(default="", db_default=""))),
    (added(models.UUIDField(default=uuid4)), "NOT NULL", added(models.UUIDField(null=True, default=uuid4))),
    (
        added(models.UUIDField(db_default=RandomUUID())),
        "value of its own",
        added(models.UUIDField(null=True)),
    ),
    (
        added(models.IntegerField(db_default=models.F("id"))),
        "value of its own",
        added(models.IntegerField(db_default=0)),
    ),
    (added(text(null=True, unique=True)), "unique index under lock", added(text(null=True))),
    (
        added(text(null=True, db_index=True)),
        "AddIndexConcurrently",
        added(models.DateTimeField(db_default=Now())),
    ),
    (added(to_user(null=True)), "AddIndexConcurrently", added(to_user(null=True, db_index=False))),
    (
        added(to_user(null=True, db_index=False, db_default=1)),
        "foreign key reads",
        added(to_user(null=True, db_index=False, db_constraint=False)),
    ),
    (
        added(models.OneToOneField("crm.User", CASCADE, null=True)),
        "unique index",
        added(models.ManyToManyField("crm.User")),
    ),
    (
        added(
            models.GeneratedField(
                expression=models.F("id"), output_field=models.BigIntegerField(), db_persist=True
            )
        ),
        "rewrites",
        added(models.BigIntegerField(null=True)),
    ),
    # a column that is there
    (
        altered("score", models.BigIntegerField(null=True)),
        "changes the type",
        altered("score", models.SmallIntegerField(null=True, default=5, help_text="0 to 100")),
    ),
    (altered("name", text(100)), "changes the type", altered("name", text(999))),
    (altered("name", models.IntegerField()), "changes the type", altered("name", models.TextField())),
    (
        altered("code", models.TextField(unique=True)),
        "changes the type",
        altered("code", text(80, unique=True)),
    ),
    (altered("remark", text(99)), "changes the type", altered("remark", models.TextField(blank=True))),
    (
        altered("name", text(200, db_collation="C")),
        "changes the type",
        altered("name", text(200, choices=[("a", "A")])),
    ),
    (
        altered("value", models.DecimalField(max_digits=14, decimal_places=4)),
        "changes the type",
        altered("value", models.DecimalField(max_digits=20, decimal_places=2, default=Decimal(0))),
    ),
    (
        altered("score", models.PositiveSmallIntegerField(null=True)),
        "adds a check",
        altered("score", models.SmallIntegerField(null=True, blank=True)),
    ),
    (altered("nick", text(200)), "SET NOT NULL", altered("name", text(200, null=True))),
    (
        altered("name", text(200, unique=True)),
        "unique index under lock",
        altered("name", text(200, blank=True)),
    ),
    (
        altered("name", text(200, db_index=True)),
        "AddIndexConcurrently",
        altered("name", text(200, db_default="")),
    ),
    (
        altered("name", text(200, db_column="title")),
        "renames",
        altered("name", text(200, verbose_name="title")),
    ),
    (
        altered("code", text(60)),
        "takes away a unique rule",
        altered("code", text(60, unique=True, blank=True)),
    ),
    (
        altered("is_new", models.BooleanField(default=True)),
        "takes away a default",
        altered("is_new", models.BooleanField(db_default=False)),
    ),
    (
        altered("owner", to_user(null=True)),
        "AddIndexConcurrently",
        altered("owner", models.ForeignKey("crm.User", models.SET_NULL, null=True, db_index=False)),
    ),
    (
        altered("owner", to_user(null=True, db_index=False, to_field="other")),
        "changes the type",
        altered("owner", to_user(null=True, db_index=False, db_constraint=False)),
    ),
    (
        altered("source", to_user(db_index=False)),
        "adds a foreign key",
        altered("source", to_user(db_index=False, db_constraint=False, related_name="+")),
    ),
    (
        altered("fans", models.ManyToManyField("crm.Lead")),
        "changes the type",
        altered("fans", models.ManyToManyField("crm.User", blank=True)),
    ),
    # indexes and rules
    (migrations.AddIndex("lead", INDEX), "AddIndexConcurrently", AddIndexConcurrently("lead", INDEX)),
    (migrations.AddConstraint("lead", CHECK), "AddConstraintNotValid", AddConstraintNotValid("lead", CHECK)),
    (
        migrations.AddConstraint("lead", UNIQUE),
        "unique index under lock",
        ValidateConstraint("lead", "crm_lead_score"),
    ),
    (
        migrations.RemoveConstraint("lead", "crm_lead_nick"),
        "takes away a unique rule",
        migrations.RemoveConstraint("lead", "crm_lead_score"),
    ),
    (
        migrations.AlterUniqueTogether("lead", {("name", "nick"), ("name", "code")}),
        "unique index under lock",
        migrations.AlterUniqueTogether("lead", {("name", "nick")}),
    ),
    (
        migrations.AlterUniqueTogether("lead", set()),
        "takes away a unique rule",
        migrations.RemoveIndex("lead", "crm_made"),
    ),
    (
        migrations.AlterIndexTogether("lead", {("name", "code")}),
        "AddIndexConcurrently",
        migrations.AlterIndexTogether("lead", set()),
    ),
    (
        migrations.AlterOrderWithRespectTo("lead", "owner"),
        "without a db_default",
        migrations.AlterModelOptions("lead", {"ordering": ["name"]}),
    ),
    (
        migrations.AlterOrderWithRespectTo("note", None),
        "still uses it",
        migrations.AlterOrderWithRespectTo("note", "lead"),
    ),
]


@pytest.mark.parametrize("operation", TAKES_AWAY, ids=lambda operation: type(operation).__name__)
def test_what_the_last_release_still_uses_is_taken_away_in_a_contract_migration(operation: Operation):
    (line,) = found_in(operation)
    assert "still uses it" in line
    assert found_in(operation, contract=True) == []


@pytest.mark.parametrize(("refused", "why", "neighbour"), PAIRS)
def test_an_operation_is_refused_and_its_harmless_neighbour_passes(
    refused: Operation, why: str, neighbour: Operation
):
    lines = found_in(refused)
    assert len(lines) == 1, lines
    assert why in lines[0]
    assert found_in(refused, contract=True) == []
    assert found_in(neighbour) == []


SQL_PAIRS = [
    ("REFRESH MATERIALIZED VIEW a", "CONCURRENTLY", "CREATE MATERIALIZED VIEW a AS SELECT 1"),
    ("ALTER TABLE crm_lead DROP COLUMN name", "drops", "ALTER TABLE crm_lead DROP CONSTRAINT crm_lead_score"),
    ('ALTER TABLE "crm_lead" DROP "name"', "drops", 'ALTER TABLE "crm_lead" ALTER "nick" DROP NOT NULL'),
    ("DROP VIEW report_leads", "drops", "CREATE OR REPLACE VIEW report_leads AS SELECT 1"),
    ("DROP MATERIALIZED VIEW a", "drops", "REFRESH MATERIALIZED VIEW CONCURRENTLY a"),
    (
        "DROP FUNCTION f()",
        "drops",
        "DROP FUNCTION f(); CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS $$ SELECT a $$",
    ),
    ("DROP TABLE crm_lead", "drops", "DROP TRIGGER one ON crm_lead"),
    (
        "ALTER TABLE crm_lead RENAME name TO title",
        "renames",
        "COMMENT ON TABLE crm_lead IS 'RENAME TO nothing'",
    ),
    (
        "ALTER TABLE crm_lead ALTER COLUMN name TYPE text",
        "rewrites",
        "ALTER TABLE crm_lead ALTER name SET DEFAULT 'TYPE text'",
    ),
    (
        'ALTER TABLE public."crm_lead" ALTER COLUMN "name" SET DATA TYPE text',
        "rewrites",
        'ALTER TABLE "crm_lead" ALTER "name" SET STATISTICS 9',
    ),
    (
        "ALTER TABLE crm_lead ALTER name SET NOT NULL",
        "under lock",
        "ALTER TABLE crm_lead ALTER nick DROP NOT NULL",
    ),
    (
        "ALTER TABLE crm_lead ALTER is_new DROP DEFAULT",
        "takes away",
        "ALTER TABLE crm_lead ALTER is_new SET DEFAULT false",
    ),
    (
        "ALTER TABLE crm_lead ADD CHECK (score > 0)",
        "NOT VALID",
        "ALTER TABLE crm_lead ADD CHECK (score > 0) NOT VALID",
    ),
    (
        'ALTER TABLE crm_lead ADD CONSTRAINT "a" CHECK (score > 0)',
        "NOT VALID",
        "ALTER TABLE crm_lead ADD CONSTRAINT a CHECK (score IN (0, 1)) NOT VALID",
    ),
    (
        "ALTER TABLE crm_lead ADD FOREIGN KEY (owner_id) REFERENCES crm_user",
        "NOT VALID",
        "ALTER TABLE crm_lead ADD FOREIGN KEY (owner_id) REFERENCES crm_user NOT VALID",
    ),
    (
        "ALTER TABLE crm_lead ADD UNIQUE (name)",
        "USING INDEX",
        "ALTER TABLE crm_lead ADD CONSTRAINT a UNIQUE USING INDEX b",
    ),
    (
        "ALTER TABLE crm_lead ADD CONSTRAINT a EXCLUDE (name WITH =)",
        "under lock",
        "ALTER TABLE crm_lead VALIDATE CONSTRAINT a",
    ),
    (
        "ALTER TABLE crm_lead ADD made int NOT NULL",
        "without a DEFAULT",
        "ALTER TABLE crm_lead ADD made int NOT NULL DEFAULT 0",
    ),
    (
        "ALTER TABLE crm_lead ADD COLUMN a int, ADD COLUMN b int UNIQUE",
        "USING INDEX",
        "ALTER TABLE crm_lead ADD COLUMN a numeric(9, 2), ADD b int REFERENCES crm_user",
    ),
    (
        "ALTER TABLE crm_lead ADD made int CHECK (made > 0)",
        "NOT VALID",
        "ALTER TABLE crm_lead ADD made timestamptz DEFAULT now()",
    ),
    (
        "ALTER TABLE crm_lead ADD made uuid DEFAULT gen_random_uuid()",
        "rewrites",
        "ALTER TABLE crm_lead ADD made uuid",
    ),
    (
        "ALTER TABLE crm_lead ADD made int GENERATED ALWAYS AS (1) STORED",
        "rewrites",
        "ALTER TABLE crm_lead ADD made int DEFAULT 1",
    ),
    ("ALTER TABLE crm_lead SET UNLOGGED", "rewrites", "ALTER TABLE crm_lead SET (fillfactor = 90)"),
    (
        "CREATE INDEX made ON crm_lead (name)",
        "CONCURRENTLY",
        "CREATE INDEX CONCURRENTLY made ON crm_lead (name)",
    ),
    (
        'CREATE UNIQUE INDEX IF NOT EXISTS "made" ON "crm_lead" (name)',
        "CONCURRENTLY",
        "CREATE UNIQUE INDEX CONCURRENTLY made ON crm_lead (name)",
    ),
    ("REINDEX TABLE crm_lead", "CONCURRENTLY", "REINDEX TABLE CONCURRENTLY crm_lead"),
    ("VACUUM (ANALYZE, FULL) crm_lead", "rewrites", "VACUUM ANALYZE crm_lead"),
    ("TRUNCATE crm_lead", "takes away", "DELETE FROM crm_lead WHERE id = 1"),
    ("UPDATE crm_lead SET name = name", "every row", "UPDATE crm_lead SET name = '' WHERE id = 1"),
    ("LOCK TABLE crm_lead", "until the migration ends", "SET LOCAL lock_timeout = 900"),
    (
        "DO $$ BEGIN ALTER TABLE crm_lead DROP name; END $$",
        "drops",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE crm_lead; END $$",
    ),
    (
        "DO $do$ BEGIN IF true THEN EXECUTE 'DROP TABLE crm_lead'; END IF; END $do$",
        "drops",
        "SELECT 'DROP TABLE crm_lead'; -- DROP TABLE crm_lead",
    ),
]


@pytest.mark.parametrize(("refused", "why", "neighbour"), SQL_PAIRS)
def test_sql_is_refused_and_its_harmless_neighbour_passes(refused: str, why: str, neighbour: str):
    lines = found_in(migrations.RunSQL(refused, ""))
    assert len(lines) == 1, lines
    assert why in lines[0]
    assert found_in(migrations.RunSQL(refused, ""), contract=True) == []
    assert found_in(migrations.RunSQL(neighbour, "")) == []
    assert len(found_in(migrations.RunSQL(["SELECT 1", (refused.lower(), [])], ""))) == 1, (
        "in a list, in small letters"
    )


def nothing(apps: object, editor: object) -> None:
    """What a RunPython runs is not judged."""


CODE = migrations.RunPython(nothing, nothing)
VALIDATE = ValidateConstraint("lead", "crm_made")
SQL_VALIDATE = migrations.RunSQL("ALTER TABLE crm_lead VALIDATE CONSTRAINT crm_made", "")
SQL_ADD = migrations.RunSQL("ALTER TABLE crm_lead ADD CONSTRAINT crm_made CHECK (id > 0) NOT VALID", "")


@pytest.mark.parametrize("first", [AddConstraintNotValid("lead", CHECK), SQL_ADD])
@pytest.mark.parametrize("then", [VALIDATE, SQL_VALIDATE, CODE])
def test_what_reads_or_writes_many_rows_comes_in_a_migration_after_the_one_that_locks(
    first: Operation, then: Operation
):
    (line,) = found_in(first, then)
    assert "migration of its own" in line
    assert found_in(then, first) == []
    assert found_in(then, then) == [], "which locks nobody out"
    assert found_in(first, then, atomic=False) == []


def test_what_has_no_way_back_is_refused_even_where_things_are_taken_away():
    for operation in (migrations.RunSQL("SELECT 1"), migrations.RunPython(nothing)):
        for marks in ({}, {"contract": True}):
            (line,) = found_in(operation, **marks)
            assert "no way back" in line


def test_a_new_table_may_have_what_it_likes():
    made = migrations.CreateModel("Made", [("id", models.BigAutoField(primary_key=True)), ("name", text())])
    assert (
        found_in(
            made,
            migrations.AddField("made", "owner", to_user()),
            migrations.AddIndex("made", INDEX),
            migrations.AddConstraint("made", UNIQUE),
            migrations.AlterUniqueTogether("made", {("name", "owner")}),
            migrations.RunSQL(
                "CREATE INDEX a ON crm_made (name); ALTER TABLE crm_made ALTER name SET NOT NULL", ""
            ),
            migrations.RunSQL("CREATE UNLOGGED TABLE b (a int); CREATE INDEX c ON b (a)", ""),
            CODE,
        )
        == []
    )


def test_what_a_column_was_is_known_also_after_the_same_migration_changed_it():
    wider = altered("name", text(300))
    assert found_in(wider, altered("name", text(300))) == []
    (line,) = found_in(wider, altered("name", text(250)))
    assert "changes the type" in line


def test_only_what_runs_in_the_database_is_judged():
    split = migrations.SeparateDatabaseAndState
    assert found_in(split(state_operations=[migrations.AddIndex("lead", INDEX)])) == []
    (line,) = found_in(split(database_operations=[migrations.AddIndex("lead", INDEX)]))
    assert "AddIndexConcurrently" in line


def test_ours_pass():
    assert lint_migrations() == []


def test_none_is_excused_that_would_pass(monkeypatch: pytest.MonkeyPatch):
    excused = set(migration_lint.BEFORE_THE_RULE)
    monkeypatch.setattr(migration_lint, "BEFORE_THE_RULE", {})
    assert {line.partition(":")[0] for line in lint_migrations()} == excused


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
