"""`migrate`, as the owner of the tables, without queueing behind anybody's lock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections
from psycopg.errors import LockNotAvailable

from gardenos.databases import owner_database
from gardenos.env import Env
from gardenos.lean_migrations import LeanExecutor

LOCK_TIMEOUT_MS = 2_000  # a waiting ALTER TABLE holds up every query behind it
TRIES = 15
PAUSE_S = 2
migrate.MigrationExecutor = LeanExecutor  # type: ignore[attr-defined]  # Django's handle() takes it there


class Command(migrate.Command):
    help = f"{migrate.Command.help} As the owner (DATABASE_OWNER_URL); also makes the cache table."

    def handle(self, *args: Any, **options: Any) -> None:
        with as_owner(options["database"]), bounded_waits(options["database"]):
            for attempt in range(1, TRIES + 1):
                try:
                    super().handle(*args, **options)
                    break
                except OperationalError as error:
                    if not isinstance(error.__cause__, LockNotAvailable):
                        raise
                    self.wait(attempt, options["database"])
            if not (options["check_unapplied"] or options["plan"]):
                call_command("createcachetable", database=options["database"], verbosity=0)

    def wait(self, attempt: int, alias: str) -> None:
        """Before the next try. Raises CommandError after the last."""
        connections[alias].close()
        if attempt == TRIES:
            raise CommandError(
                "a table stayed locked by somebody else; end the transaction that pg_stat_activity shows, "
                "and run migrate again"
            )
        self.stderr.write(f"a table is locked; trying again in {PAUSE_S} s ({attempt} of {TRIES})")
        time.sleep(PAUSE_S)


@contextmanager
def as_owner(alias: str) -> Iterator[None]:
    """Let this process's connection be the owner's. The test runner's already is, to another database."""
    connection = connections[alias]
    usual, owner = dict(connection.settings_dict), owner_database(Env(), settings.GARDENOS_DATA_DIR)
    if all(usual[key] == owner[key] for key in ("USER", "HOST", "PORT")):
        yield
        return
    if usual["NAME"] != owner["NAME"]:
        raise CommandError("DATABASE_OWNER_URL and DATABASE_URL name two databases; make them name one")
    connection.settings_dict.update(owner)
    try:
        with bounded_waits(alias):
            yield
    finally:
        connection.settings_dict.update(usual)


@contextmanager
def bounded_waits(alias: str) -> Iterator[None]:
    """Connect anew, to wait for no lock longer than LOCK_TIMEOUT_MS; and anew, as before, at the end."""
    connection = connections[alias]
    usual = connection.settings_dict["OPTIONS"]
    bound = f"{usual.get('options', '')} -c lock_timeout={LOCK_TIMEOUT_MS}".strip()
    connection.close()
    connection.settings_dict["OPTIONS"] = {**usual, "options": bound}
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = usual
