"""A file of leads by the import, beside a COPY of the very rows that it wrote."""

import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from django.db import connections
from psycopg import sql

from tests.bench.harness import REPOSITORY, Row, stop_shared
from tests.bench.surroundings import owner_parameters, prepare

ROWS = int(os.environ.get("BENCH_IMPORT_ROWS", "20000"))
COPY = "bench_copy"  # the database as it was before the import
TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
      AND a.attname = 'id' AND a.attidentity <> ''
      -- the one is only passed through; the other's rows are made by triggers, on both sides
      AND c.relname NOT IN ('crm_importstage', 'crm_dashboardcount')
    ORDER BY c.relname
"""


def import_vs_copy() -> Row:
    """Rows a second into a filled database: all tables, indexes and triggers on both sides."""
    prepare()
    stop_shared()  # a database that others use cannot be copied
    connections.close_all()
    owner = owner_parameters()
    with psycopg.connect(**owner, autocommit=True) as database:
        database.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(COPY)))
        name = sql.Identifier(owner["dbname"])
        tables = [table for (table,) in database.execute(TABLES)]
        last_ids = {table: _last_id(database, table) for table in tables}
    with psycopg.connect(**{**owner, "dbname": "postgres"}, autocommit=True) as elsewhere:
        elsewhere.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(COPY), name)
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            ours = _import(Path(folder), last_ids["crm_lead"])
            limit = _copy(Path(folder), last_ids)
    finally:
        with psycopg.connect(**owner, autocommit=True) as database:
            database.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(COPY)))
    return Row("import_vs_copy", "rows a second", ROWS / ours, ROWS / limit, ROWS)


def _last_id(database: psycopg.Connection, table: str) -> int:
    found = database.execute(sql.SQL("SELECT coalesce(max(id), 0) FROM {}").format(sql.Identifier(table)))
    row = found.fetchone()
    assert row is not None
    return row[0]


def _import(folder: Path, first: int) -> float:
    """Seconds that `import_leads` takes for a file of new leads, its start included. `first`: above it no
    lead has a number, so that a second run in the same database brings new ones, too.
    """
    path = folder / "leads.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Name", "Company", "Email", "Phone", "Country", "Interest", "Budget"])
        for number in range(first, first + ROWS):
            company = f"Import Gardens {number % 5000}"
            address = f"person{number}@imported{number % 5000}.example"
            phone = f"+4930{10**7 + number % (9 * 10**7)}"
            writer.writerow(
                [f"Ida Import {number}", company, address, phone, "DE", "Roof garden", number % 900]
            )
    command = [sys.executable, "manage.py", "import_leads", str(path), "--source", "bench-import"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--analyse", "none"],
        cwd=REPOSITORY,
        env={**os.environ, "AI_PROVIDER": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"import_leads: {done.stderr[-300:]}")
    return time.monotonic() - began


def _copy(folder: Path, last_ids: dict[str, int]) -> float:
    """Seconds to COPY what the import wrote into the database as it was before."""
    owner = owner_parameters()
    written: dict[str, Path] = {}
    with psycopg.connect(**owner) as source:
        for table, last_id in last_ids.items():
            path = folder / f"{table}.copy"
            rows = sql.SQL("COPY (SELECT * FROM {} WHERE id > {}) TO STDOUT").format(
                sql.Identifier(table), sql.Literal(last_id)
            )
            with path.open("wb") as file, source.cursor().copy(rows) as out:
                for block in out:
                    file.write(block)
            if path.stat().st_size:
                written[table] = path
    with psycopg.connect(**{**owner, "dbname": COPY}) as target:
        began = time.monotonic()
        for table, path in written.items():
            statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
            with path.open("rb") as file, target.cursor().copy(statement) as into:
                while block := file.read(1 << 16):
                    into.write(block)
        target.execute("SET CONSTRAINTS ALL IMMEDIATE")
        target.commit()
        return time.monotonic() - began


JOBS = (import_vs_copy,)
