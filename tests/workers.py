"""pytest-xdist: each worker tests on a PostgreSQL of its own.

A snapshot is a matter of the whole server: the transaction that one worker's test keeps open would hold back
the events and seals that another's waits for.
"""

import os
from pathlib import Path

from gardenos.embedded_postgres import EmbeddedPostgres, configured_server

_started: list[EmbeddedPostgres] = []


def start_own_server() -> None:
    """In a worker: start it and point the environment to it. Elsewhere, or beside DATABASE_URL: nothing."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    shared = os.environ.get("GARDENOS_DATA_DIR")
    if not worker or not shared or Path(shared).name == worker:  # the last: a process that a test started
        return
    os.environ["GARDENOS_DATA_DIR"] = str(Path(shared) / worker)
    server = configured_server(is_disposable=True)
    if server:
        server.acquire(dies_with_parent=True)
        _started.append(server)


def stop_own_server() -> None:
    """At the end of a worker."""
    while _started:
        _started.pop().release()
