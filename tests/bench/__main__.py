# ruff: noqa: E402  Django is set up before what uses models
"""`make bench`: run the measurements, print a table, write JSON rows to $BENCH_OUT.

BENCH=name (or names after the command) runs some; BENCH_LEADS (100000) is the size of the database.
"""

import os
import sys
from collections.abc import Callable

import django
import psycopg

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")
django.setup()

from tests.bench import agents, fanout, growth, imports, memory, pages
from tests.bench.harness import HEAD, LEADS, Row, write

PARTS = (pages, growth, imports, agents, fanout, memory)
JOBS: dict[str, Callable[[], Row]] = {job.__name__: job for part in PARTS for job in part.JOBS}


def main(names: list[str]) -> int:
    """Exit code 2 for a job that does not exist, 1 when one fails."""
    unknown = sorted(set(names) - JOBS.keys())
    if unknown:
        sys.stderr.write(f"no such job: {', '.join(unknown)}; there are {', '.join(JOBS)}\n")
        return 2
    print(f"{LEADS} leads\n{HEAD}", flush=True)
    rows, failed = [], []
    for name in names or JOBS:
        try:
            row = JOBS[name]()
        except (RuntimeError, OSError, psycopg.Error) as error:
            failed.append(name)
            print(f"{name:<24}FAILED: {error}", flush=True)
            continue
        rows.append(row)
        print(row.line(), flush=True)
    print(f"written to {write(rows)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
