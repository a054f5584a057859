"""On whose behalf this process is writing right now, told to the database with the writing statement itself.

A door sets it once: the middleware for a request, the queue for a task, `acting_as` for a part of one.
Triggers read it as the transaction-local setting `pghistory.context_metadata`. It rides in front of UPDATE
and DELETE of our tables, in the same message to the server: no round trip more, and it cannot go stale.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from crm.models.actors import Actor

_who: ContextVar[Callable[[], Actor] | None] = ContextVar("acting", default=None)
OURS = ("crm_", "ai_agents_")
DECLARE = "SELECT set_config('pghistory.context_metadata', %s, true)"


@contextmanager
def acting_as(who: Actor | Callable[[], Actor]) -> Iterator[None]:
    """Put changes in this block down to `who`, which may be a function that is asked at the first change."""
    token = _who.set((lambda: who) if isinstance(who, Actor) else who)
    try:
        yield
    finally:
        _who.reset(token)


def acting() -> Actor:
    """Who changes records now: by default the system, under the name of the command that runs."""
    who = _who.get()
    return who() if who else Actor.system(_command())


def _command() -> str:
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else ""
    if program == "manage.py" and len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        return f"manage.py {sys.argv[1]}"[:120]
    return "GardenOS"


def as_context(who: Actor) -> dict[str, Any]:
    """How a history row names its actor."""
    return {"kind": str(who.kind), "user": who.user.pk if who.user else None, "label": who.label[:120]}


def declare_actor(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute wrapper: say who acts, in front of a statement that may change a record."""
    if not isinstance(sql, str) or not _may_change(sql):
        return execute(sql, params, many, context)
    who = json.dumps(as_context(acting()))
    if many or isinstance(params, dict):
        execute(DECLARE, [[who]] if many else [who], many, context)
        return execute(sql, params, many, context)
    if not params:  # psycopg reads % only in statements with values
        sql = sql.replace("%", "%%") if params is None else sql
    result = execute(f"{DECLARE}; {sql}", [who, *(params or ())], many, context)
    cursor = context["cursor"]
    while cursor.nextset():
        pass
    return result


def _may_change(sql: str) -> bool:
    word = sql.lstrip()[:6].upper()
    if word == "INSERT":
        return "DO UPDATE" in sql and any(name in sql for name in OURS)
    return (word in {"UPDATE", "DELETE"} or word.startswith("WITH")) and any(name in sql for name in OURS)


def _install(sender: object, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    if declare_actor not in connection.execute_wrappers:
        connection.execute_wrappers.append(declare_actor)


connection_created.connect(_install)
