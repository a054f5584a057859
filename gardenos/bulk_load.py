"""Big loads: without indexes and foreign keys while rows come in, with all of them before anybody looks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection

# What can be made again from its own definition: plain indexes, unique constraints, then foreign keys, which
# refer to primary keys; those stay.
INDEXES = """
    SELECT format('DROP INDEX %%I', c.relname), pg_get_indexdef(c.oid)
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = ANY(%s::regclass[])
       AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = c.oid AND k.conrelid = i.indrelid
                       AND k.contype IN ('p', 'u', 'x'))
     ORDER BY c.relname
"""
CONSTRAINTS = """
    SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
           format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname,
                  pg_get_constraintdef(oid))
      FROM pg_constraint WHERE conrelid = ANY(%s::regclass[]) AND contype = %s
     ORDER BY conname
"""


@contextmanager
def without_indexes(tables: Sequence[str]) -> Iterator[None]:
    """Inside a transaction of the tables' owner: drop, and at the end rebuild, under the very names they had.

    Whatever happens, a crash of the server included, the transaction takes the drops back with the rows; so
    nothing has to be mended afterwards. The tables are locked against everybody meanwhile.
    """
    with connection.cursor() as cursor:
        drops: list[str] = []
        builds: list[str] = []
        wanted: list[tuple[str, list[Any]]] = [
            (CONSTRAINTS, [list(tables), "f"]),
            (INDEXES, [list(tables)]),
            (CONSTRAINTS, [list(tables), "u"]),
        ]
        for query, arguments in wanted:
            cursor.execute(query, arguments)
            for drop, build in cursor.fetchall():
                drops.append(drop)
                builds.insert(0, build)
        # what this transaction wrote before is checked now: a table with checks to come cannot be altered
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        for statement in drops:
            cursor.execute(statement)
        yield
        cursor.execute("SET LOCAL maintenance_work_mem = '512MB'")
        for statement in builds:
            cursor.execute(statement)
