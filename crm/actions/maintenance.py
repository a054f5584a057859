"""The few acts that may touch what is append-only: merge, erase, undo, retention. Each is audited."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from django.db import connection, models, transaction

from crm.actions.audit import audit
from crm.models import HISTORY, Actor

Reason = Literal["merge", "erase", "undo", "retention"]


@contextmanager
def maintenance(
    reason: Reason, summary: str, *, by: Actor, target: models.Model | None = None, **data: Any
) -> Iterator[None]:
    """Open append-only tables to the running transaction, for `reason`, while the block lasts.

    Must be used inside a transaction. The setting is local to it; it is cleared at the end of the block, too,
    because a savepoint that is released would keep it.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("maintenance needs a transaction")
    audit(f"maintenance.{reason}", summary, by=by, target=target, **data)
    with transaction.atomic():  # an error takes the setting back with the savepoint
        _declare(reason)
        yield
        _declare("")


def forget_deleted() -> None:
    """Take away the history of what the running transaction has deleted, under `erase`, `undo`, `retention`.

    A deleted person's values, and those of samples, would otherwise stay in it.
    """
    with connection.cursor() as cursor:
        for model in HISTORY.values():
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(
                f"DELETE FROM {table} WHERE pgh_obj_id IN (SELECT pgh_obj_id FROM {table} "  # noqa: S608
                "WHERE pgh_label = 'delete' AND pgh_created_at = now())"
            )


def _declare(reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('gardenos.maintenance', %s, true)", [reason])
