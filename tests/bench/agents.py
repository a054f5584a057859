"""Calls to the model: a pump with its queue, books and scores, beside a bare loop over the same client.

Both run in a process of their own (tests/bench/agents_run.py), on a database that is made for it and
dropped after, against one scripted server with a latency of 1 s.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.parse import quote

import psycopg
from django.conf import settings

from tests.bench.harness import REPOSITORY, Row
from tests.bench.surroundings import owner_parameters

DATABASE = "gardenos_bench_agents"
CALLS_PER_SLOT = 10


@contextlib.contextmanager
def own_database() -> Iterator[dict[str, str]]:
    """An empty, migrated database. Yields the environment of processes that work on it."""
    owner = owner_parameters()
    app = settings.DATABASES["default"]
    with psycopg.connect(**owner, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "gardenos.settings",
        "DATABASE_OWNER_URL": _url(owner["user"], owner["password"], owner),
        "DATABASE_URL": _url(app["USER"], app["PASSWORD"], owner),
        "SECRET_KEY": settings.SECRET_KEY,
        "AI_PROVIDER": "scripted",
    }
    try:
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=REPOSITORY, env=environment, check=True)
        yield environment
    finally:
        with psycopg.connect(**owner, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


def _url(user: str, password: str, where: dict) -> str:
    return f"postgresql://{quote(user)}:{quote(password)}@{where['host']}:{where['port']}/{DATABASE}"


def measure(in_flight: int, calls: int) -> dict[str, float]:
    """{"ours", "limit": calls/s, "ours_cpu_ms", "limit_cpu_ms": of the calling process, a call}."""
    with own_database() as environment:
        command = [sys.executable, "-m", "tests.bench.agents_run", str(in_flight), str(calls)]
        ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr.decode(errors="replace")[-500:])
    return json.loads(ran.stdout.splitlines()[-1])


def _job(in_flight: int) -> Row:
    calls = in_flight * CALLS_PER_SLOT
    found = measure(in_flight, calls)
    return Row(f"agents_{in_flight}", "calls/s", found["ours"], found["limit"], calls)


def _named(in_flight: int) -> Callable[[], Row]:
    job = functools.partial(_job, in_flight)
    job.__name__ = f"agents_{in_flight}"  # type: ignore[attr-defined]
    return job


JOBS = tuple(_named(in_flight) for in_flight in (64, 128, 256))
