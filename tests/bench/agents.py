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
CALLS_PER_SLOT = 10
PLAIN_CALLS = 60
MEMORY_CALLS = 1_024


def own_database() -> dict[str, str]:
    """An empty, migrated database: the environment of processes that work on it."""
    database_from_empty(DATABASE)
    return {**os.environ, **environment_of(DATABASE), "AI_PROVIDER": "scripted"}


def measure(*words: object) -> dict[str, float]:
    """What tests/bench/agents_run.py prints for these words."""
    command = [sys.executable, "-m", "tests.bench.agents_run", *map(str, words)]
    ran = subprocess.run(command, cwd=REPOSITORY, env=own_database(), capture_output=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr.decode(errors="replace")[-500:])
    return json.loads(ran.stdout.splitlines()[-1])


def _job(in_flight: int) -> Row:
    """Also prints both sides against calls in flight / latency, and the CPU of each process a call."""
    calls = in_flight * CALLS_PER_SLOT
    found = measure(in_flight, calls)
    for side in ("ours", "limit"):
        shares = [f"{who} {found[f'{side}_cpu_ms_{who}']:.1f}" for who in ("caller", "database", "model")]
        perfect = f"{found[f'{side}_of_perfect']:.2f} of {in_flight}/s"
        print(f"  {side:<6}{perfect}; CPU ms a call: {', '.join(shares)}", flush=True)
    return Row(f"agents_{in_flight}", "calls/s", found["ours"], found["limit"], calls)


def _named(in_flight: int) -> Callable[[], Row]:
    job = functools.partial(_job, in_flight)
    job.__name__ = f"agents_{in_flight}"  # type: ignore[attr-defined]
    return job


def agents_vs_plain() -> Row:
    """Side by side: plain tasks with 4 workers, a bare loop without a database, and a pump."""
    plain = measure("plain", PLAIN_CALLS)["plain"]
    found = measure(64, 64 * CALLS_PER_SLOT)
    print(
        f"  side by side, calls/s: plain tasks, 4 workers {plain:.1f}; bare loop of 64 {found['limit']:.1f}; "
        f"pump of 64 {found['ours']:.1f}",
        flush=True,
    )
    return Row("agents_vs_plain", "calls/s", found["ours"], plain, 64 * CALLS_PER_SLOT)


def agents_memory_a_call() -> Row:
    """What a call more in flight takes, in MiB, beside 0.1."""
    few, many = (measure("memory", n, MEMORY_CALLS)["mib"] for n in (16, 256))
    print(f"  a pump of 16 took {few:.1f} MiB at most, one of 256 {many:.1f} MiB", flush=True)
    return Row("agents_memory_a_call", "MiB", max(0.0, many - few) / 240, 0.1, MEMORY_CALLS)


def agents_claim() -> Row:
    """A claim among 10,000 queued of 3 kinds and 10 priorities, beside 20 ms."""
    found = measure("claim")
    print(
        f"  the one that waited longest: {found['oldest_ms']:.1f} ms; "
        f"CPU of both and of marking them done, on both sides: {found['cpu_ms']:.1f} ms a claim",
        flush=True,
    )
    return Row("agents_claim", "ms", found["first_ms"], 20.0, 10_000)


JOBS = (
    *(_named(in_flight) for in_flight in (64, 128, 256)),
    agents_vs_plain,
    agents_memory_a_call,
    agents_claim,
)
