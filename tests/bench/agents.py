"""Calls to the model: a pump with its queue, books and scores, beside a bare loop over the same client.

Both run in a process of their own (tests/bench/agents_run.py), on a database that is made for it, against
one scripted server with a latency of 1 s.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable

from tests.bench.harness import REPOSITORY, Row
from tests.bench.surroundings import database_from_empty, environment_of

DATABASE = "gardenos_bench_agents"
CALLS_PER_SLOT = 5


def own_database() -> dict[str, str]:
    """An empty, migrated database: the environment of processes that work on it."""
    database_from_empty(DATABASE)
    return {**os.environ, **environment_of(DATABASE), "AI_PROVIDER": "scripted"}


def measure(in_flight: int, calls: int) -> dict[str, float]:
    """{"ours", "limit": calls/s, "ours_cpu_ms", "limit_cpu_ms": of the calling process, a call}."""
    command = [sys.executable, "-m", "tests.bench.agents_run", str(in_flight), str(calls)]
    ran = subprocess.run(command, cwd=REPOSITORY, env=own_database(), capture_output=True, check=False)
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
