"""Which migrations could stop or lose something while the release before them still runs.

Read from the operations and from the models as they were before each, without a database. A migration that
takes away says so itself, `contract = True` in its class, and comes a release after the code stopped using
what it takes away: see docs/development/migrations.md, and ADR 0021 for why this is not
django-migration-linter. `model_changes` judges Django's operations, `raw_sql` what RunSQL runs.
"""

from collections.abc import Iterator
from typing import Any

from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from gardenos.migration_lint.model_changes import Before, risks
from gardenos.migration_lint.raw_sql import sql_risks

OURS = ("crm", "ai_agents")
# The last migration of each app before the first release: no older code runs beside these, no table is big.
BASELINE = {"crm": "0019", "ai_agents": "0001"}
# Later than the baseline and refused by a rule that is younger than they are. No release ran beside them
# either. Nothing is added here: a new migration is written so that it passes.
_LATE = "validates in the migration that adds the constraint; the tables were empty"
BEFORE_THE_RULE: dict[str, str] = {
    "crm.0020_import_assign": f"indexes a new key of crm_importjob; {_LATE}",
    "crm.0022_score_overrides": _LATE,
    "crm.0024_readings": "crm_score.would_change got its db_default in crm.0028",
    "ai_agents.0005_engine": _LATE,
    "ai_agents.0008_scoring_choice": _LATE,
}


def lint_migrations() -> list[str]:
    """What is wrong with the migrations after BASELINE, one sentence each, and with the graph of all."""
    loader = MigrationLoader(None)
    found = list(forks_of(loader))
    for migration, state in _in_order(loader):
        if migration.app_label not in OURS:
            continue
        is_old = migration.name[:4] <= BASELINE[migration.app_label] or _name_of(migration) in BEFORE_THE_RULE
        found += irreversible(migration) if is_old else lint(migration, state)
    return found


def _in_order(loader: MigrationLoader) -> Iterator[tuple[Migration, ProjectState]]:
    """Every migration of every app after those it needs, with the models as they were before it."""
    state = ProjectState(real_apps=loader.unmigrated_apps)
    seen = set()
    for leaf in sorted(loader.graph.leaf_nodes()):
        for key in loader.graph.forwards_plan(leaf):
            if key not in seen:
                seen.add(key)
                migration = loader.graph.nodes[key]
                yield migration, state
                state = migration.mutate_state(state)


def forks_of(loader: MigrationLoader) -> Iterator[str]:
    """Two migrations that both come last: on a merge somebody has to renumber one."""
    for app, names in sorted(loader.detect_conflicts().items()):
        yield f"{app}: {' and '.join(sorted(names))} both come last; renumber one to follow the other"


def lint(migration: Migration, state: ProjectState) -> list[str]:
    """What this one does that a running release before it would not survive, and what has no way back.

    `state` has the models as they were before it.
    """
    if getattr(migration, "contract", False):
        return irreversible(migration)
    before = Before(state.clone(), migration.app_label, is_atomic=migration.atomic)
    found = []
    for operation in migration.operations:
        for part in _flat([operation]):
            if isinstance(part, operations.RunSQL):
                found += [f"SQL that {why}" for why in sql_risks(part.sql, before)]
            else:
                found += [f"{part.describe()}: {why}" for why in risks(part, before)]
            before.note(part)
        operation.state_forwards(migration.app_label, before.state)
    return [f"{_name_of(migration)}: {line}" for line in found] + irreversible(migration)


def irreversible(migration: Migration) -> list[str]:
    return [
        f"{_name_of(migration)}: {operation.describe()} has no way back"
        for operation in _flat(migration.operations)
        if not operation.reversible
    ]


def _name_of(migration: Migration) -> str:
    return f"{migration.app_label}.{migration.name}"


def _flat(some: Any) -> Iterator[Any]:
    for operation in some:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        else:
            yield operation
