"""Which migrations could stop or lose something while the release before them still runs.

Read from the operations, without a database. A migration that takes away says so itself, `contract = True`
in its class, and comes a release after the code stopped using what it takes away: see
docs/development/migrations.md, and ADR 0021 for why this is not django-migration-linter.
"""

import re
from collections.abc import Iterator
from typing import Any

from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader

OURS = ("crm", "ai_agents")
# The last migration of each app before the first release: no older code runs beside these, no table is big.
BASELINE = {"crm": "0019", "ai_agents": "0001"}
_TAKES_AWAY = (
    operations.RenameModel,
    operations.RenameField,
    operations.AlterModelTable,
    operations.DeleteModel,
    operations.RemoveField,
)
_RISKY_SQL = (
    (r"\bDROP\s+(TABLE|COLUMN|SCHEMA)\b", "drops what the release before may still use"),
    (r"\bRENAME\b", "renames what the release before may still use"),
    (r"\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b", "rewrites a table under lock"),
    (r"\bSET\s+NOT\s+NULL\b", "reads a whole table under lock"),
    (r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)", "builds an index under lock; add CONCURRENTLY"),
    (r"\bVACUUM\s+FULL\b|\bCLUSTER\b|\bSET\s+(UN)?LOGGED\b", "rewrites a table under lock"),
)


def lint_migrations() -> list[str]:
    """What is wrong with the migrations after BASELINE, one sentence each, and with the graph of all."""
    loader = MigrationLoader(None)
    found = list(forks_of(loader))
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app in OURS:
            is_old = name[:4] <= BASELINE[app]
            found += irreversible(migration) if is_old else lint(migration)
    return found


def forks_of(loader: MigrationLoader) -> Iterator[str]:
    """Two migrations that both come last: on a merge somebody has to renumber one."""
    for app, names in sorted(loader.detect_conflicts().items()):
        yield f"{app}: {' and '.join(sorted(names))} both come last; renumber one to follow the other"


def lint(migration: Migration) -> list[str]:
    """What this one does that a running release before it would not survive, and what has no way back."""
    found = irreversible(migration)
    if getattr(migration, "contract", False):
        return found
    made: set[str] = set()  # models that it makes itself: nobody uses them yet
    for operation in _flat(migration.operations):
        if isinstance(operation, operations.CreateModel):
            made.add(operation.name_lower)
        elif getattr(operation, "model_name_lower", "") not in made:
            found += [f"{migration.app_label}.{migration.name}: {why}" for why in _risks(operation)]
    return found


def irreversible(migration: Migration) -> list[str]:
    return [
        f"{migration.app_label}.{migration.name}: {operation.describe()} has no way back"
        for operation in _flat(migration.operations)
        if not operation.reversible
    ]


def _flat(some: Any) -> Iterator[Any]:
    for operation in some:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        else:
            yield operation


def _risks(operation: Any) -> Iterator[str]:
    what = operation.describe()
    if isinstance(operation, _TAKES_AWAY):
        yield f"{what}: the release before still uses it; do it in a contract migration, a release later"
    elif isinstance(operation, operations.AddField) and not _has_value(operation.field):
        yield f"{what}: NOT NULL without a default; rows that exist have no value"
    elif isinstance(operation, operations.AlterField):
        yield from _alterations(operation, what)
    elif type(operation) is operations.AddIndex:
        yield f"{what}: locks the table; use AddIndexConcurrently and atomic = False"
    elif type(operation) is operations.AddConstraint:
        if isinstance(operation.constraint, models.CheckConstraint):
            yield f"{what}: reads the table under lock; use AddConstraintNotValid, then ValidateConstraint"
        else:
            yield f"{what}: builds an index under lock; do it in a contract migration, at a quiet hour"
    elif isinstance(operation, operations.RunSQL):
        text = operation.sql if isinstance(operation.sql, str) else " ".join(map(str, operation.sql))
        for pattern, why in _RISKY_SQL:
            if re.search(pattern, text, re.IGNORECASE):
                yield f"SQL that {why}"


def _has_value(field: models.Field) -> bool:
    return field.null or field.has_default() or field.has_db_default() or field.many_to_many is True


def _alterations(operation: operations.AlterField, what: str) -> Iterator[str]:
    """Text alone says what the field becomes; what it was is not known here, so types other than text, and
    NOT NULL, are for a contract migration. A change of choices or help text keeps the column as it is.
    """
    field = operation.field
    if isinstance(field, models.ForeignKey) or field.many_to_many:
        return
    kind = (field.db_type(connection) or "").split("(")[0]
    if kind not in {"varchar", "text"} and not field.null:
        yield f"{what}: may rewrite the table; if the column stays as it is, mark the migration as contract"
