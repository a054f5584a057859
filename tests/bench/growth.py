"""Does an answer cost more when the table is ten times as long? The same requests on a tenth of the leads."""

import contextlib
import functools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator

import psycopg
from django.conf import settings
from psycopg import sql

from gardenos.databases import embedded_database
from gardenos.running_alone import free_port
from tests.bench.harness import LEADS, REPOSITORY, Row, Server, Side, compare, product, serving
from tests.bench.pages import PARTS, session_headers, token_headers
from tests.bench.surroundings import cluster, owner_parameters, prepare

SMALL = "gardenos_bench_small"
Headers = dict[str, str]
PRINT_HEADERS = (
    "import json, django; django.setup(); from tests.bench.pages import session_headers, token_headers; "
    "print(json.dumps([token_headers(), session_headers()]))"
)


@functools.cache
def _small() -> tuple[dict[str, str], Headers, Headers]:
    """A database of a tenth of the leads: its environment, and a token's and a browser's headers for it."""
    prepare()
    with psycopg.connect(**owner_parameters(), autocommit=True) as owner:
        owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(SMALL)))
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(SMALL)))
    environment = {
        "DATABASE_URL": _address("app"),
        "DATABASE_OWNER_URL": _address("owner"),
        "SECRET_KEY": settings.SECRET_KEY,
        "DJANGO_SETTINGS_MODULE": "gardenos.settings",
    }
    _run(environment, "manage.py", "migrate", "--verbosity", "0")
    _run(environment, "manage.py", "seed_bench", "--leads", str(LEADS // 10))
    token, session = json.loads(_run(environment, "-c", PRINT_HEADERS).splitlines()[-1])
    return environment, token, session


def _address(role: str) -> str:
    there = embedded_database(settings.GARDENOS_DATA_DIR, role)
    return f"postgresql://{there['USER']}:{there['PASSWORD']}@{there['HOST']}:{there['PORT']}/{SMALL}"


def _run(environment: dict[str, str], *words: str) -> str:
    """Run Python on the small database. Raises RuntimeError with its last words."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return done.stdout


@contextlib.contextmanager
def _both() -> Iterator[tuple[Server, Server]]:
    """The product on all leads, and on a tenth of them."""
    elsewhere, _token, _session = _small()
    ports = free_port(), free_port()
    command, environment = product(ports[0])
    same_command, small_environment = product(ports[1])
    with (
        serving(command, ports[0], cluster(), **environment) as large,
        serving(same_command, ports[1], cluster(), **small_environment, **elsewhere) as small,
    ):
        yield large, small


def growth_list() -> Row:
    """GET /api/v1/leads/, 50 rows, newest first."""
    with _both() as (large, small):
        here, there = token_headers(), _small()[1]
        return compare(
            "growth_list",
            Side(large, lambda: ("GET", "/api/v1/leads/?limit=50", None, here)),
            Side(small, lambda: ("GET", "/api/v1/leads/?limit=50", None, there)),
        )


def growth_search() -> Row:
    """GET /api/v1/leads/?q= with parts of names."""
    with _both() as (large, small):
        here, there = token_headers(), _small()[1]
        path = "/api/v1/leads/?limit=50&q="
        return compare(
            "growth_search",
            Side(large, lambda: ("GET", path + random.choice(PARTS), None, here)),
            Side(small, lambda: ("GET", path + random.choice(PARTS), None, there)),
        )


def growth_today() -> Row:
    """The page Today of an admin."""
    with _both() as (large, small):
        here, there = session_headers(), _small()[2]
        return compare(
            "growth_today",
            Side(large, lambda: ("GET", "/", None, here)),
            Side(small, lambda: ("GET", "/", None, there)),
        )


JOBS = (growth_list, growth_search, growth_today)
