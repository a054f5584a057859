"""Does an answer cost more when the tables are long? The same requests on all leads, and on SMALL_LEADS."""

import functools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from crm.api.paging import Cursor
from gardenos.running_alone import free_port
from tests.bench.harness import (
    REPOSITORY,
    SMALL_LEADS,
    Ask,
    Row,
    Server,
    Side,
    compare,
    product,
    serving,
    shared,
)
from tests.bench.pages import product_server, session_headers, token_headers
from tests.bench.surroundings import cluster, database_from_empty, environment_of, owner_parameters

SMALL = "gardenos_bench_small"
Headers = dict[str, str]
PRINT_HEADERS = (
    "import json, django; django.setup(); from tests.bench.pages import session_headers, token_headers; "
    "print(json.dumps([token_headers(), session_headers()]))"
)
SOME = 300  # records that are asked for in turn, from all over the table
MIDDLE = """SELECT created_at, id FROM crm_lead WHERE deleted_at IS NULL ORDER BY created_at DESC, id DESC
    OFFSET (SELECT count(*) / 2 FROM crm_lead) LIMIT 1"""
SOME_LEADS = """SELECT l.public_id, l.name, e.norm, p.norm
    FROM (SELECT min(id) AS first, max(id) AS last FROM crm_lead) ends, generate_series(0, %s) AS step
    JOIN LATERAL (SELECT * FROM crm_lead WHERE id >= first + (last - first) * step / %s AND deleted_at IS NULL
                  ORDER BY id LIMIT 1) l ON true
    JOIN crm_contactpoint e ON e.lead_id = l.id AND e.kind = 'email'
    JOIN crm_contactpoint p ON p.lead_id = l.id AND p.kind = 'phone'"""
BEGINNINGS = (
    "abelan",
    "brener",
    "caldis",
    "hartem",
    "mortol",
    "nordul",
    "osterul",
    "pellin",
)  # one in 256 names
COMMON_BEGINNINGS = ("abel", "bren", "cald", "dorn", "falk", "gran", "hart", "jans")  # one in 16


@dataclass(frozen=True, slots=True)
class Place:
    """A database and the product in front of it, with somebody signed in."""

    server: Server
    database: dict[str, Any]
    token: Headers
    session: Headers

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.database) as connection:
            return connection.execute(statement, values).fetchall()

    def get(self, path: str) -> tuple[str, str, None, Headers]:
        return "GET", path, None, self.token if path.startswith("/api/") else self.session


def _large() -> Place:
    return Place(product_server(), owner_parameters(), token_headers(), session_headers())


def _small() -> Place:
    elsewhere, token, session = _small_database()
    port = free_port()
    command, environment = product(port)
    server = shared("small", lambda: serving(command, port, cluster(), **{**elsewhere, **environment}))
    return Place(server, {**owner_parameters(), "dbname": SMALL}, token, session)


@functools.cache
def _small_database() -> tuple[dict[str, str], Headers, Headers]:
    """Its environment, and a token's and a browser's headers for it. Filled once a run."""
    database_from_empty(SMALL)
    environment = environment_of(SMALL)
    _run(environment, "manage.py", "seed_bench", "--leads", str(SMALL_LEADS))
    token, session = json.loads(_run(environment, "-c", PRINT_HEADERS).splitlines()[-1])
    return environment, token, session


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


def _always(path: str) -> Callable[[Place], Ask]:
    return lambda place: lambda: place.get(path)


def _deep_list(place: Place) -> Ask:
    """The page behind the middle of all leads."""
    at, pk = place.rows(MIDDLE)[0]
    cursor = Cursor("-created_at", at, pk).encode()
    return lambda: place.get(f"/api/v1/leads/?limit=50&cursor={cursor}")


def _filtered_list(place: Place) -> Ask:
    [(owner,)] = place.rows("SELECT public_id FROM crm_user WHERE email = 'bench1@gardenos.local'")
    return lambda: place.get(f"/api/v1/leads/?limit=50&status=working&owner={owner}")


def _lead(place: Place) -> Ask:
    leads = [lead for lead, *_ in place.rows(SOME_LEADS, SOME, SOME)]
    return lambda: place.get(f"/leads/{random.choice(leads)}/")


def _search(texts: Callable[[Place], list[str]]) -> Callable[[Place], Ask]:
    def ask(place: Place) -> Ask:
        typed = texts(place)
        return lambda: place.get(f"/api/v1/leads/?limit=50&q={random.choice(typed)}")

    return ask


def _addresses(place: Place) -> list[str]:
    return [email for _, _, email, _ in place.rows(SOME_LEADS, SOME, SOME)]


def _numbers(place: Place) -> list[str]:
    """As people type them: without the country, and with the trunk zero."""
    return [f"0{phone.removeprefix('+44')}" for *_, phone in place.rows(SOME_LEADS, SOME, SOME)]


def _mistyped(place: Place) -> list[str]:
    """Surnames with a letter doubled, as no surname is."""
    names = {name.split()[-1].lower() for _, name, *_ in place.rows(SOME_LEADS, SOME, SOME)}
    return sorted(f"{name[:4]}{name[3]}{name[4:]}" for name in names if name.isalpha())


ASKED: dict[str, Callable[[Place], Ask]] = {
    "growth_list": _always("/api/v1/leads/?limit=50"),
    "growth_deep_list": _deep_list,
    "growth_filtered_list": _filtered_list,
    "growth_lead": _lead,
    "growth_today": _always("/"),
    "growth_board": _always("/bench/board"),
    "growth_search": _search(lambda place: list(BEGINNINGS)),
    "growth_search_common": _search(lambda place: list(COMMON_BEGINNINGS)),
    "growth_search_email": _search(_addresses),
    "growth_search_phone": _search(_numbers),
    "growth_search_typo": _search(_mistyped),
}


def _growth(name: str) -> Row:
    large, small = _large(), _small()
    return compare(name, Side(large.server, ASKED[name](large)), Side(small.server, ASKED[name](small)))


def _named(name: str) -> Callable[[], Row]:
    job = functools.partial(_growth, name)
    job.__name__ = name  # type: ignore[attr-defined]
    return job


JOBS = tuple(map(_named, ASKED))
