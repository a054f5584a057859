"""What the migrations make by SQL, which no model tells of: read from the migrations themselves.

Every RunSQL in order: CREATE adds a name, DROP takes it away. So nobody keeps a list, and an object that a
person made by hand in the database is in none.
"""

import re
from collections import defaultdict
from functools import cache
from typing import Any

import pgtrigger
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState

_KINDS = r"FUNCTION|TRIGGER|(?:UNIQUE\s+)?INDEX|(?:MATERIALIZED\s+)?VIEW|TABLE|CONSTRAINT"
_CHANGE = re.compile(
    rf"\b(?P<verb>CREATE(?:\s+OR\s+REPLACE)?|ADD|DROP)\s+(?:CONSTRAINT\s+(?=TRIGGER))?(?P<kind>{_KINDS})\s+"
    r"(?:CONCURRENTLY\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:public\.)?\"?(?P<name>\w+)\"?",
    re.IGNORECASE,
)
LIBRARY_FUNCTIONS = {"_pgh_attach_context", "_pgtrigger_should_ignore"}  # of pghistory and pgtrigger

Names = dict[str, set[str]]  # function, trigger, index, view, table, constraint -> names


@cache
def made_by_sql() -> Names:
    """The names by kind of all that the migrations' SQL leaves behind, the libraries' triggers included."""
    loader = MigrationLoader(None)
    found: Names = defaultdict(set)
    seen: set[Any] = set()
    for leaf in sorted(loader.graph.leaf_nodes()):
        for node in loader.graph.forwards_plan(leaf):
            if node not in seen:
                seen.add(node)
                for operation in loader.disk_migrations[node].operations:
                    _read(operation, found)
    for model, trigger in pgtrigger.registered():
        found["trigger"].add(trigger.get_pgid(model))
        found["function"].add(trigger.get_pgid(model))
    found["function"] |= LIBRARY_FUNCTIONS
    return found


def _read(operation: Any, found: Names) -> None:
    if isinstance(operation, SeparateDatabaseAndState):
        for inner in operation.database_operations:
            _read(inner, found)
    if isinstance(operation, RunSQL):
        for statement in [operation.sql] if isinstance(operation.sql, str) else operation.sql:
            read_sql(statement if isinstance(statement, str) else statement[0], found)


def read_sql(text: str, found: Names) -> None:
    """Note what this SQL makes and drops."""
    text = re.sub(r"--[^\n]*", "", text)
    for change in _CHANGE.finditer(text):
        kind = change["kind"].split()[-1].lower()
        if change["verb"].upper() == "DROP":
            found[kind].discard(change["name"])
        else:
            found[kind].add(change["name"])
