"""What `manage.py doctor` looks at. Each check says what is, and for each complaint what to do."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.core.mail import get_connection
from django.db import DatabaseError, connection
from django.utils import timezone

from ai_agents.llm.providers import current_provider, probe
from crm.live.layer import PostgresChannelLayer
from crm.tasks import CLUSTERS, heartbeat_age_s, queue_depth
from gardenos.databases import owner_database
from gardenos.env import Env
from gardenos.failures import database_line
from gardenos.migration_state import unapplied_migrations
from gardenos.schema_check import schema_differences

VERSIONS = range(15, 19)
CLOCK_S = 5
WORKED_WITHIN_S = 90
LAYER_S = 5
LEAST_FREE = 1_000_000_000  # bytes
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `fix` is empty when `is_ok`."""

    name: str
    is_ok: bool
    text: str
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def good(name: str, text: str) -> Finding:
    return Finding(name, True, text)


def bad(name: str, text: str, fix: str) -> Finding:
    return Finding(name, False, text, fix)


def examine() -> Iterator[Finding]:
    """Look at everything. Without the database or its tables, what needs them is left out."""
    first = database()
    yield first
    if first.is_ok:
        yield from _look(roles)
        up_to_date = list(_look(migrations))
        yield from up_to_date
        for check in (schema, queues) if all(finding.is_ok for finding in up_to_date) else ():
            yield from _look(check)
        yield from _look(live)
    for check in (model, mail, disk):
        yield from _look(check)


def _look(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """One check; that it cannot be made is a complaint, too."""
    try:
        yield from check()
    except (DatabaseError, OSError) as error:
        yield bad(check.__name__, f"could not be looked at ({error.__class__.__name__})", "run doctor again")


def database() -> Finding:
    try:
        with connection.cursor() as cursor:
            before = timezone.now()
            cursor.execute(
                "SELECT current_setting('server_version_num')::int / 10000, clock_timestamp(), "
                "current_setting('server_encoding')"
            )
            version, now, encoding = cursor.fetchone()
    except DatabaseError as error:
        line, _, advice = database_line(error).partition("; ")
        return bad("database", line.removeprefix("database: "), advice)
    if version not in VERSIONS:
        return bad("database", f"PostgreSQL {version}", "use PostgreSQL 15, 16, 17 or 18")
    if encoding != "UTF8":
        return bad("database", f"its encoding is {encoding}", "make the database with ENCODING 'UTF8'")
    apart = abs((now - before).total_seconds())
    if apart > CLOCK_S:
        return bad("database", f"its clock is {apart:.0f} s apart from ours", "run NTP on both machines")
    where = "embedded" if settings.DATABASE_IS_EMBEDDED else "of DATABASE_URL"
    return good("database", f"PostgreSQL {version}, {where}, as {connection.settings_dict['USER']}")


def roles() -> Iterator[Finding]:
    """The app writes rows and can do nothing else; the owner changes tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolcreatedb OR rolcreaterole, "
            "has_schema_privilege('public', 'CREATE'), "
            "(SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND NOT (has_table_privilege("
            "format('%I.%I', schemaname, tablename), 'SELECT') AND has_table_privilege("
            "format('%I.%I', schemaname, tablename), 'INSERT'))) "
            "FROM pg_roles WHERE rolname = current_user"
        )
        is_super, makes_things, makes_tables, closed = cursor.fetchone()
    owner = owner_database(Env(), settings.GARDENOS_DATA_DIR)
    if is_super or makes_things or makes_tables:
        fix = "let DATABASE_URL name gardenos_app, and DATABASE_OWNER_URL the owner, then migrate"
        if owner["USER"] == connection.settings_dict["USER"]:
            fix = "set DATABASE_OWNER_URL to the owner of the tables and DATABASE_URL to gardenos_app"
        yield bad("roles", "the app's role may change tables or roles", fix)
    elif closed:
        yield bad("roles", f"the app's role cannot use {closed} tables", "run manage.py migrate as the owner")
    else:
        yield good("roles", "the app's role reads and writes rows, and changes no table")


def migrations() -> Iterator[Finding]:
    missing = unapplied_migrations()
    if missing:
        yield bad("migrations", f"not applied: {_some(missing)}", "run manage.py migrate")
    else:
        yield good("migrations", "all applied")


def schema() -> Iterator[Finding]:
    different = schema_differences()
    if different:
        yield bad(
            "schema",
            _some(different),
            "run manage.py migrate; if that changes nothing, somebody altered the database by hand: undo it",
        )
    else:
        yield good("schema", "tables, columns and constraints are as the code has them")


def queues() -> Iterator[Finding]:
    for cluster in CLUSTERS:
        name, age, waiting = f"queue {cluster}", heartbeat_age_s(cluster), queue_depth(cluster)
        start = f"start make run, or manage.py qcluster_watch --cluster {cluster}"
        if age is None:
            yield bad(name, f"never worked; {waiting} tasks wait", start)
        elif age > WORKED_WITHIN_S:
            yield bad(name, f"last worked {age:.0f} s ago; {waiting} tasks wait", start)
        else:
            yield good(name, f"worked {age:.0f} s ago; {waiting} tasks wait")


def live() -> Iterator[Finding]:
    """A message through the channel layer and back."""
    try:
        seconds = async_to_sync(_round_trip)()
    except Exception as error:  # Redis' own are no OSErrors
        trouble = error.__class__.__name__
    else:
        yield good("live updates", f"a message came back in {seconds * 1000:.0f} ms")
        return
    address = "CHANNEL_LAYER_URL" if settings.CHANNEL_LAYER_URL else "DATABASE_LISTEN_URL (not PgBouncer's)"
    yield bad("live updates", f"no message came back ({trouble})", f"check {address}")


async def _round_trip() -> float:
    """Seconds there and back. Raises TimeoutError, and whatever the layer in use raises."""
    layer, began = get_channel_layer(), time.monotonic()
    message = {"type": "doctor.ping", "at": time.time()}
    try:
        async with asyncio.timeout(LAYER_S):
            channel = await layer.new_channel("doctor")
            await layer.send(channel, message)
            while await layer.receive(channel) != message:
                pass  # a resync after the first LISTEN, perhaps
            return time.monotonic() - began
    finally:
        if isinstance(layer, PostgresChannelLayer):
            layer.close()  # its thread would complain when the embedded server stops


def model() -> Iterator[Finding]:
    provider = current_provider()
    if not provider.is_on:
        yield good("model", "off (AI_PROVIDER=off); leads are scored by rules")
        return
    found = probe(provider)
    if not found.trouble:
        yield good("model", f"{found.model} at {found.provider}")
        return
    fix = "check AI_MODEL, the address and its key"
    if provider.is_sample:
        fix = "start make run, or manage.py scripted_llm"
    yield bad("model", f"{found.provider}: {found.trouble}", fix)


def mail() -> Iterator[Finding]:
    if settings.MAIL_CATCHER:
        yield good("mail", "kept on this machine, shown at /dev/mail/; set EMAIL_URL to send")
        return
    if not settings.EMAIL_URL:
        yield bad("mail", "nothing can be sent", "set EMAIL_URL=smtp://user:password@host:587")
        return
    try:
        server = get_connection(fail_silently=False)
        server.open()
        server.close()
    except OSError as error:  # smtplib's errors are OSErrors
        yield bad("mail", f"the server does not take us in ({error.__class__.__name__})", "check EMAIL_URL")
    else:
        yield good("mail", "the server of EMAIL_URL takes us in")


def disk() -> Iterator[Finding]:
    place = settings.GARDENOS_DATA_DIR
    free = shutil.disk_usage(place if place.exists() else place.parent).free
    if free < LEAST_FREE:
        yield bad(
            "disk", f"{free / 1e9:.1f} GB free in {place}", "make room: PostgreSQL stops when none is left"
        )
    else:
        yield good("disk", f"{free / 1e9:.0f} GB free")


def _some(things: list[str]) -> str:
    rest = len(things) - SHOWN
    return "; ".join(things[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
