"""Proof that a queue cluster gets work done: rows of Heartbeat, each set to the database's now.

`cluster:<name>` is the newest work of a cluster, wherever it runs. A cluster under `manage.py qcluster_watch`
is one of perhaps many; it has rows of its own, by its instance (`QCLUSTER_INSTANCE`):

- `work:<name>@<instance>`: one of its workers got something done;
- `guard:<name>@<instance>`: its sentinel, which replaces dead processes and runs schedules, made its round;
- `results:<name>@<instance>`: there while a finished task waits to be booked, since when.

`restarts:<name>` counts how often a watchdog has started a cluster anew, on all machines together.

They are written in statements of their own, outside transactions, so that nobody waits for a row of them.
"""

import hashlib
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Any

from django.db import connection

LEAST_PAUSE_S = 0.5  # between two stamps of `made` by one process
_STAMP = (
    "INSERT INTO crm_heartbeat (name, at, info) "
    "SELECT name, now(), %s::jsonb FROM unnest(%s::text[]) AS name ORDER BY name "
    "ON CONFLICT (name) DO UPDATE SET at = now(), info = excluded.info"
)
_last_made = float("-inf")


@dataclass(frozen=True, slots=True)
class Signs:
    """Seconds since each sign of life of one instance; None: never seen. `results_s`: how long a result has
    waited to be booked; None: none waits."""

    work_s: float | None
    guard_s: float | None
    results_s: float | None


def count_restart(cluster: str) -> None:
    """A watchdog starts this cluster anew: one more in the row `restarts:<cluster>`, which outlives it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO crm_heartbeat AS row (name, at, info) VALUES (%s, now(), '{\"n\": 1}') "
            "ON CONFLICT (name) DO UPDATE SET at = now(), "
            "info = jsonb_build_object('n', (row.info ->> 'n')::bigint + 1)",
            [f"restarts:{cluster}"],
        )


def here() -> str:
    """The beginning of the names of this machine's instances: the host's name, cut from the left to fit."""
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in socket.gethostname())[-30:] + "-"


def own_cluster() -> str:
    """The cluster that this process belongs to; empty outside of one."""
    return os.environ.get("Q_CLUSTER_NAME", "")


def own_instance() -> str:
    """The instance that this process belongs to; empty outside of a watched cluster."""
    return os.environ.get("QCLUSTER_INSTANCE", "") if own_cluster() else ""


def mark_of(instance: str) -> str:
    """16 hexadecimal digits that name an instance; others each time for a process that belongs to none."""
    return hashlib.sha256(instance.encode()).hexdigest()[:16] if instance else secrets.token_hex(8)


def stamp(name: str, **info: Any) -> None:
    """Set the row `name` to now. A stamp for this process's cluster counts for its instance, too."""
    names = [name]
    if name == f"cluster:{own_cluster()}" and own_instance():
        names.append(f"work:{own_cluster()}@{own_instance()}")
    with connection.cursor() as cursor:
        cursor.execute(_STAMP, [json.dumps(info), names])


def made() -> None:
    """Something got done here. Called between the steps of long work; cheap, and nothing outside a cluster
    or inside a transaction."""
    global _last_made
    now = time.monotonic()
    if own_cluster() and now - _last_made >= LEAST_PAUSE_S and not connection.in_atomic_block:
        _last_made = now
        stamp(f"cluster:{own_cluster()}")


def guard() -> None:
    """The sentinel of this process's cluster made its round."""
    if own_instance():
        stamp(f"guard:{own_cluster()}@{own_instance()}")


def result_waits() -> None:
    """A task of this instance is done and about to be booked."""
    if own_instance():
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO crm_heartbeat (name, at, info) VALUES (%s, now(), '{}') ON CONFLICT DO NOTHING",
                [f"results:{own_cluster()}@{own_instance()}"],
            )


def result_is_booked() -> None:
    """The monitor of this instance took up a result."""
    if own_instance():
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM crm_heartbeat WHERE name = %s", [f"results:{own_cluster()}@{own_instance()}"]
            )


def signs(cluster: str, instance: str) -> Signs:
    """What is known of one instance."""
    names = [f"{sign}:{cluster}@{instance}" for sign in ("work", "guard", "results")]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, extract(epoch FROM now() - at)::float FROM crm_heartbeat WHERE name = ANY(%s)",
            [names],
        )
        ages = dict(cursor.fetchall())
    return Signs(*(ages.get(name) for name in names))


def instances_here(cluster: str) -> list[str]:
    """The instances of this machine that left a sign, the freshest first."""
    before = f"guard:{cluster}@{here()}"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM crm_heartbeat WHERE starts_with(name, %s) ORDER BY at DESC", [before]
        )
        return [name.partition("@")[2] for (name,) in cursor.fetchall()]


def begin(cluster: str, instance: str) -> None:
    """An instance starts: what was left of its last life counts no more."""
    forget(cluster, instance)
    with connection.cursor() as cursor:
        cursor.execute(_STAMP, ["{}", [f"guard:{cluster}@{instance}"]])


def forget(cluster: str, instance: str) -> None:
    """Take away the rows of an instance."""
    names = [f"{sign}:{cluster}@{instance}" for sign in ("work", "guard", "results")]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM crm_heartbeat WHERE name = ANY(%s)", [names])


def heartbeat_age_s(cluster: str) -> float | None:
    """Seconds since the cluster last proved that it gets work done, anywhere; None before its first time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM now() - at) FROM crm_heartbeat WHERE name = %s", [f"cluster:{cluster}"]
        )
        row = cursor.fetchone()
    return float(row[0]) if row else None
