"""Rows of the queue: how they are written, fetched, given back and set aside.

django-q2 writes signed pickles: a new SECRET_KEY makes them unreadable without a word, and whoever has the
key and the table runs code. Ours are JSON: the name of a function, which the worker looks up on a list, and
plain values. Nothing in them depends on a key (ADR 0032).

A row's `lock` is the time from which it may be fetched, `by` the instance that fetched it last, `fetched` how
often that happened: a task that kills its worker ends after MOST_FETCHES, in django_q's table of failures.
A key `<cluster>@<instance>` addresses one instance; such rows come before all others.
"""

import json
import logging
import time
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.db import connection, transaction
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
from django_q.cluster import Cluster
from django_q.conf import Conf
from django_q.signing import SignedPackage

from crm import clock, progress

log = logging.getLogger(__name__)
MOST_FETCHES = 3
_FIELDS = ("id", "name", "func", "args", "group", "ack_failure", "started")
_FETCH = """
UPDATE django_q_ormq SET lock = statement_timestamp() + %(retry)s * interval '1 second'
WHERE id = (
    SELECT id FROM django_q_ormq WHERE key = ANY(%(keys)s) AND lock <= statement_timestamp()
    ORDER BY key = %(cluster)s, lock, id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, payload
"""


class Rows(ORM):
    """django-q2's broker on its own table, with rows that are text. `at`: enqueue for then, not for now."""

    def __init__(self, list_key: str | None = None, at: datetime | None = None) -> None:
        super().__init__(list_key)
        self._at = at
        self._told = float("-inf")

    def enqueue(self, task: str) -> int:
        """Write the row of what django-q2 packed a moment ago. Raises TypeError for what a row cannot
        say."""
        packed = SignedPackage.loads(task)
        refused = {name for name, value in packed.items() if value and name not in {*_FIELDS, "cluster"}}
        if refused or not isinstance(packed["func"], str):
            raise TypeError(f"a row of the queue cannot hold {', '.join(sorted(refused)) or 'a function'}")
        row = {name: packed[name] for name in _FIELDS if name in packed}
        row |= {"args": list(packed["args"]), "started": packed["started"].isoformat()}
        lock = self._at or Now()
        return self.get_connection().create(key=self.list_key, payload=json.dumps(row), lock=lock).pk

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Fetch the row that is due the longest, or wait a little and return None."""
        instance = progress.own_instance()
        keys = [self.list_key] + [f"{self.list_key}@{instance}"] * bool(instance)
        self.get_connection()  # closes a connection that has had its time
        with connection.cursor() as cursor:
            cursor.execute(_FETCH, {"retry": Conf.RETRY, "keys": keys, "cluster": self.list_key})
            found = cursor.fetchone()
        if not found:
            time.sleep(Conf.POLL)
            return None
        number, payload = found
        row = read(payload)
        if row is None or row["fetched"] >= MOST_FETCHES:
            set_aside(number, row)
            return None
        row |= {"fetched": row["fetched"] + 1, "by": instance}
        self.get_connection().filter(pk=number).update(payload=json.dumps(row))
        return [(number, SignedPackage.dumps(_as_task(row)))]

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        """Called by the sentinel in each of its rounds, twice a second. Nobody reads its figures; that it
        makes rounds is what the watchdog wants to know."""
        now = time.monotonic()
        if now - self._told >= progress.LEAST_PAUSE_S * 2:
            self._told = now
            self.get_connection()
            progress.guard()


def read(payload: str) -> dict[str, Any] | None:
    """A row's content, or None for one that is not ours."""
    try:
        row = json.loads(payload)
        is_ours = isinstance(row["func"], str) and isinstance(row["args"], list)
        is_plain = all(arg is None or isinstance(arg, str | int | float) for arg in row["args"])
        whole = {"id": str(row["id"]), "name": str(row["name"]), "fetched": int(row.get("fetched", 0))}
        datetime.fromisoformat(row["started"])
    except (ValueError, LookupError, TypeError):
        return None
    return row | whole if is_ours and is_plain else None


def _as_task(row: dict[str, Any]) -> dict[str, Any]:
    """What a worker expects."""
    task = {name: row[name] for name in _FIELDS if name in row}
    return task | {
        "args": tuple(row["args"]),
        "kwargs": {},
        "started": datetime.fromisoformat(row["started"]),
    }


@transaction.atomic
def set_aside(number: int, row: dict[str, Any] | None) -> None:
    """Take a row off the queue that cannot be run, and book it as a failure."""
    known = row or {"id": uuid4().hex, "name": f"row {number}", "func": "unreadable", "args": []}
    why = f"fetched {MOST_FETCHES} times and never finished" if row else "not a row of this build"
    log.error("set aside %.100s of the queue: %s", known["func"], why)
    now = clock.now()
    failure = {
        "name": known["name"][:100],
        "func": known["func"][:256],
        "args": tuple(known["args"]),
        "started": now,
        "stopped": now,
        "success": False,
        "result": why,
        "attempt_count": MOST_FETCHES if row else 0,
    }
    apps.get_model("django_q", "Task").objects.update_or_create(id=known["id"][:32], defaults=failure)
    _rows().filter(pk=number).delete()


@transaction.atomic
def give_back(cluster: str, instance: str, *, is_forgiven: bool = False) -> int:
    """An instance has ended: what it had fetched may be fetched again at once, and what was addressed to it
    goes. Forgiven: that fetch is not counted. Returns how many rows came back.
    """
    _rows().filter(key=f"{cluster}@{instance}").delete()
    said = json.dumps({"by": instance})[1:-1]
    held = _rows().filter(key=cluster, lock__gt=Now(), payload__contains=said).select_for_update()
    rows = list(held.values_list("pk", "payload"))
    for number, payload in rows:
        row = read(payload)
        if row is not None and is_forgiven:
            row["fetched"] = max(0, row["fetched"] - 1)
        _rows().filter(pk=number).update(lock=Now(), payload=json.dumps(row) if row else payload)
    return len(rows)


def depth(cluster: str | None = None) -> int:
    """Rows on the queue, of one cluster or all, those that a worker holds included."""
    return (_rows().filter(key=cluster) if cluster else _rows()).count()


def is_waiting(key: str, path: str = "") -> bool:
    """Whether a row lies there that may be fetched now: of this function, or any."""
    due = _rows().filter(key=key, lock__lte=Now())
    return (due.filter(payload__contains=json.dumps({"func": path})[1:-1]) if path else due).exists()


def start_cluster() -> Cluster:
    """Start the cluster that Q_CLUSTER_NAME names, in children of this process. SIGTERM to this process
    drains it; `has_stopped` is true then, `sentinel.is_alive()` as long as it runs.
    """
    cluster = Cluster()
    cluster.start()
    return cluster


def _rows() -> Any:
    return apps.get_model("django_q", "OrmQ").objects
