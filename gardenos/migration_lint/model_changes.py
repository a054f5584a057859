"""What Django's operations do to tables that have rows and are in use.

Facts about locks: PostgreSQL's documentation of ALTER TABLE ("Notes") and CREATE INDEX ("Building Indexes
Concurrently"). A column that is added with a constant default, or with none, touches no row; its foreign key
is then not checked either (transformAlterTableStmt, `skipValidation`). What takes time is the index.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import connection, models
from django.db.migrations import operations
from django.db.migrations.state import ProjectState
from django.db.models.functions import Now

_STILL_USED = "the release before still uses it; do it in a contract migration, a release later"
_INDEX = "builds an index under lock; use AddIndexConcurrently, in a migration of its own with atomic = False"
_UNIQUE = (
    "builds a unique index under lock; CREATE UNIQUE INDEX CONCURRENTLY in a RunSQL with atomic = False "
    "(state_operations tell Django), or a contract migration at a quiet hour"
)
VALIDATES_LATE = (
    "this migration changed the table before, and holds that lock while it reads all rows; "
    "validate in a migration of its own"
)
_REWRITES = "rewrites the table under lock; a new column, filled in batches"


class Before:
    """The models before an operation, and which tables the migration made or changed up to there."""

    def __init__(self, state: ProjectState, app: str, *, is_atomic: bool = True) -> None:
        self.state, self.app, self.is_atomic = state, app, is_atomic
        self.new: set[str] = set()  # tables that nobody uses yet
        self.locked: set[str] = set()  # tables that it may hold locked until it ends

    def note(self, operation: Any) -> None:
        """To be called after it was judged, before the state changes."""
        model = model_of(operation)
        if isinstance(operation, operations.CreateModel):
            self.new.add(str(operation.options.get("db_table") or f"{self.app}_{model}").lower())
        elif (self.app, model) in self.state.models and not isinstance(operation, ValidateConstraint):
            self.note_lock(self.table_of(model))

    def note_lock(self, table: str) -> None:
        if self.is_atomic and table not in self.new:
            self.locked.add(table)

    def table_of(self, model: str) -> str:
        return str(self.options(model).get("db_table") or f"{self.app}_{model}").lower()

    def field(self, model: str, name: str) -> models.Field:
        return self.state.models[self.app, model].fields[name]

    def options(self, model: str) -> dict[str, Any]:
        known = self.state.models.get((self.app, model))
        return known.options if known else {}


def model_of(operation: Any) -> str:
    """The model that it is about, in lower case; '' for SQL and code."""
    return (getattr(operation, "model_name", None) or getattr(operation, "name", None) or "").lower()


def risks(operation: Any, before: Before) -> Iterator[str]:
    """Why it could stop the release before it, each with what to do instead."""
    if before.table_of(model_of(operation)) in before.new:
        return
    for kind, judge in _JUDGES:
        if isinstance(operation, kind):
            yield from judge(operation, before)
            return


def _takes_away(operation: Any, before: Before) -> Iterator[str]:
    yield _STILL_USED


def _add_field(operation: operations.AddField, before: Before) -> Iterator[str]:
    field = operation.field
    if field.many_to_many:
        return  # a table of its own
    if field.generated or isinstance(field, models.AutoField | models.BigAutoField | models.SmallAutoField):
        yield _REWRITES
        return
    if not field.null and not field.has_db_default():
        yield (
            "NOT NULL without a db_default: rows that exist, and those that the release before still writes, "
            "have no value; Django keeps its own default only while the column is made"
        )
    if field.has_db_default() and not _is_constant(field.db_default):
        yield f"each row gets a value of its own: {_REWRITES}"
    yield from _new_indexes(None, field)
    if _has_foreign_key(field) and field.has_db_default():
        yield "the foreign key reads the table under lock; NULL without a default"


def _is_constant(default: Any) -> bool:
    """One value for all rows: PostgreSQL keeps it beside the table. now() is the same in one statement."""
    return not hasattr(default, "resolve_expression") or isinstance(default, models.Value | Now)


def _alter_field(operation: operations.AlterField, before: Before) -> Iterator[str]:
    new, old = operation.field, before.field(operation.model_name_lower, operation.name)
    if _type_of(old) != _type_of(new):
        has_index = old.unique or getattr(old, "db_index", False)
        makes_index_anew = has_index and _type_of(new) == "text"  # Django's second one, for LIKE
        if makes_index_anew or not _is_wider(_type_of(old), _type_of(new)):
            yield f"changes the type, which {_REWRITES}"
    if (old.db_column or None) != (new.db_column or None):
        yield f"renames the column: {_STILL_USED}"
    if old.null and not new.null:
        yield (
            "SET NOT NULL reads the whole table under lock, and the release before writes NULL; "
            "a check that is NOT VALID, validated later, then a contract migration"
        )
    if old.has_db_default() and not new.has_db_default() and not new.null:
        yield "takes away a default that the release before leaves to the database; contract"
    if _check_of(new) and _check_of(old) != _check_of(new):
        yield "adds a check, which reads the table under lock; use AddConstraintNotValid"
    if old.unique and not new.unique:
        yield "takes away a unique rule that the release before may rest on (ON CONFLICT); contract"
    if _has_foreign_key(new) and not _has_foreign_key(old):
        yield "adds a foreign key, which reads the table under lock; RunSQL: ADD CONSTRAINT ... NOT VALID"
    yield from _new_indexes(old, new)


def _new_indexes(old: models.Field | None, new: models.Field) -> Iterator[str]:
    """A unique field has its index by being unique."""
    if new.unique and not (old and old.unique):
        yield _UNIQUE
    elif getattr(new, "db_index", False) and not (old and getattr(old, "db_index", False) and not old.unique):
        yield f"{_INDEX}; db_index=False here"


def _has_foreign_key(field: models.Field) -> bool:
    return bool(field.remote_field) and not field.many_to_many and getattr(field, "db_constraint", False)


def _target_of(field: models.Field) -> str:
    """The model that a relation points to, and by which column or table."""
    remote = field.remote_field
    target = remote.model if isinstance(remote.model, str) else remote.model._meta.label  # type: ignore[union-attr]
    by = (
        getattr(remote, "through", None)
        or getattr(field, "db_table", None)
        or getattr(field, "to_fields", "")
    )
    return f"{target} {by}".lower()


def _type_of(field: models.Field) -> str:
    """As PostgreSQL has it. The type of a foreign key is that of what it points to."""
    if field.remote_field:
        return f"to {_target_of(field)}"
    return " ".join(filter(None, [field.db_type(connection), getattr(field, "db_collation", None)]))


def _check_of(field: models.Field) -> str | None:
    """What Django adds for a kind of field, as `"%(column)s" >= 0`."""
    return connection.data_type_check_constraints.get(field.get_internal_type())


def _is_wider(old: str, new: str) -> bool:
    """Changes that PostgreSQL makes without reading a row: longer text, and more digits before the point."""
    varchar, numeric = r"varchar(?:\((\d+)\))?", r"numeric\((\d+), ?(\d+)\)"
    was, becomes = re.fullmatch(varchar, old), re.fullmatch(varchar, new)
    if was and (new == "text" or (becomes and becomes[1] is None)):
        return True
    if was and becomes and was[1]:
        return int(becomes[1]) >= int(was[1])
    was, becomes = re.fullmatch(numeric, old), re.fullmatch(numeric, new)
    return bool(was and becomes and was[2] == becomes[2] and int(becomes[1]) >= int(was[1]))


def _add_index(operation: operations.AddIndex, before: Before) -> Iterator[str]:
    yield _INDEX


def _add_constraint(operation: operations.AddConstraint, before: Before) -> Iterator[str]:
    if isinstance(operation.constraint, models.CheckConstraint):
        yield "reads the table under lock; use AddConstraintNotValid, then ValidateConstraint"
    elif isinstance(operation.constraint, models.UniqueConstraint):
        yield _UNIQUE
    else:
        yield "builds an index under lock; do it in a contract migration, at a quiet hour"


def _validate(operation: ValidateConstraint, before: Before) -> Iterator[str]:
    if before.table_of(operation.model_name.lower()) in before.locked:
        yield VALIDATES_LATE


def _remove_constraint(operation: operations.RemoveConstraint, before: Before) -> Iterator[str]:
    known = before.options(operation.model_name_lower).get("constraints", ())
    if any(rule.name == operation.name and not isinstance(rule, models.CheckConstraint) for rule in known):
        yield "takes away a unique rule that the release before may rest on (ON CONFLICT); contract"


def _together(operation: Any, before: Before) -> Iterator[str]:
    known = set(before.options(operation.name_lower).get(operation.option_name) or ())
    wanted = set(operation.option_value or ())
    if wanted - known:
        yield _UNIQUE if operation.option_name == "unique_together" else _INDEX
    if known - wanted and operation.option_name == "unique_together":
        yield "takes away a unique rule that the release before may rest on (ON CONFLICT); contract"


def _order(operation: operations.AlterOrderWithRespectTo, before: Before) -> Iterator[str]:
    known = before.options(operation.name_lower).get("order_with_respect_to")
    if operation.order_with_respect_to and not known:
        yield "adds a column that is NOT NULL without a db_default; a field of your own, with one"
    elif known and not operation.order_with_respect_to:
        yield _STILL_USED


def _code(operation: operations.RunPython, before: Before) -> Iterator[str]:
    if before.locked:
        yield "this migration changed tables before, and holds those locks meanwhile; a migration of its own"


def _fine(operation: Any, before: Before) -> Iterator[str]:
    return iter(())


_JUDGES: tuple[tuple[Any, Callable[[Any, Before], Iterator[str]]], ...] = (
    (
        (
            operations.RenameModel,
            operations.RenameField,
            operations.AlterModelTable,
            operations.DeleteModel,
            operations.RemoveField,
        ),
        _takes_away,
    ),
    (operations.AddField, _add_field),
    (operations.AlterField, _alter_field),
    (AddIndexConcurrently, _fine),
    (operations.AddIndex, _add_index),
    (AddConstraintNotValid, _fine),
    (operations.AddConstraint, _add_constraint),
    (ValidateConstraint, _validate),
    (operations.RemoveConstraint, _remove_constraint),
    ((operations.AlterUniqueTogether, operations.AlterIndexTogether), _together),
    (operations.AlterOrderWithRespectTo, _order),
    (operations.RunPython, _code),
)
