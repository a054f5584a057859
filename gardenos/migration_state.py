"""Is the database as new as the code?"""

import functools

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.utils import ProgrammingError


@functools.cache
def newest_migrations() -> frozenset[tuple[str, str]]:
    """The last migration of every app, by (app, name), as the code has them."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def unapplied_migrations() -> list[str]:
    """The newest migrations that the database has not seen, as `app.name`. One query."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = set(cursor.fetchall())
        except ProgrammingError:  # no table yet
            applied = set()
    return sorted(".".join(migration) for migration in newest_migrations() - applied)
