"""Everything on one machine, under one supervisor. `make run` calls this."""

import http.client
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection, connections

from ai_agents.llm.providers import Provider, current_provider, probe
from crm.actions.users import create_first_admin
from crm.models import User
from crm.tasks import CLUSTERS
from gardenos.databases import embedded_database
from gardenos.embedded_postgres import EmbeddedPostgres, ServerError, configured_server
from gardenos.env import Env
from gardenos.failures import database_line
from gardenos.noted_addresses import SCRIPTED_LLM, SITE, note_address
from gardenos.processes import die_with_parent
from gardenos.running_alone import AlreadyRunning, RunLocks, free_port, is_wildcard, port_trouble
from gardenos.static_build import collect_static
from gardenos.supervisor import Child, Supervisor, child_environment

READY_S = 90


class CannotStart(Exception):
    """A step failed. The text is one line and says what to do; `code` is the exit code."""

    def __init__(self, line: str, code: int = 1) -> None:
        super().__init__(line)
        self.code = code


class Stopped(Exception):
    """A signal came while starting."""


class Command(BaseCommand):
    help = "Run everything on this machine: database, web, both queues. Ctrl-C stops it all."
    requires_system_checks: list[str] = []  # they are made after the database is up

    def handle(self, **options: Any) -> None:
        if "MAKELEVEL" in os.environ:  # a `make run` that is killed must not leave us behind
            die_with_parent(signal.SIGTERM)
        self.supervisor = Supervisor(self.say)
        self.server: EmbeddedPostgres | None = None
        self.noted: list[str] = []
        code = 0
        try:
            self.start()
            self.supervisor.keep_running(every_second=self.keep_database)
        except Stopped:
            pass
        except CannotStart as trouble:
            sys.stderr.write(f"gardenos: {trouble}\n")
            code = trouble.code
        finally:
            self.stop()
        sys.exit(code)

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    # --- starting ------------------------------------------------------------------------------------------
    def start(self) -> None:
        bind, port = settings.GARDENOS_BIND, settings.GARDENOS_PORT
        self.locks = RunLocks(settings.GARDENOS_DATA_DIR)
        try:
            self.locks.take()
        except AlreadyRunning as running:
            raise CannotStart(str(running), 2) from None
        trouble = port_trouble(bind, port)
        if trouble:
            raise CannotStart(trouble, 2)
        self.metrics = settings.GARDENOS_DATA_DIR / "metrics"
        shutil.rmtree(self.metrics, ignore_errors=True)  # counters of processes that are gone
        self.metrics.mkdir()
        with self.step("database") as done:
            done(self.start_database())
        with self.step("tables") as done:
            done(self.migrate())
        with self.step("static files") as done:
            done("built" if collect_static() else "as before")
        with self.step("people") as done:
            first_login = create_first_admin()
            done(_introduced(*first_login) if first_login else "as before")
        connections.close_all()  # what follows is done by others
        address = Env().text("SITE_URL").rstrip("/") or settings.OWN_ADDRESS  # not that of a run before
        self.note(SITE, address)
        with self.step("agents") as done:
            done(self.start_model())
        with self.step("queues") as done:
            done(self.start_clusters())
        with self.step("web") as done:
            done(self.start_web())
        self.say(f"\nGardenOS is ready: {address}/")
        if first_login:
            self.say(f"  Sign in as {first_login[0].email} with the password above.")
        self.say("  Ctrl-C stops everything.")

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Say what is done and how long it took; leave at once when a signal asked for it."""
        began = time.monotonic()
        words: list[str] = []
        try:
            yield words.append
        except DatabaseError as error:
            raise CannotStart(database_line(error)) from None
        self.say(f"  {name:<13}{words[0]}  ({time.monotonic() - began:.1f} s)")
        if self.supervisor.wish:
            raise Stopped

    def start_database(self) -> str:
        self.server = configured_server()
        if self.server is None:
            connection.ensure_connection()
            return "the one of DATABASE_URL"
        try:
            is_new = self.server.acquire(dies_with_parent=True)
        except ServerError as error:
            raise CannotStart(f"database: {error}") from None
        # The settings were read before the server had an address.
        connection.settings_dict.update(embedded_database(settings.GARDENOS_DATA_DIR, "app"))
        return f"PostgreSQL {'started' if is_new else 'found running'} in {self.server.directory}"

    def migrate(self) -> str:
        with connection.cursor() as cursor:
            before = _applied(cursor)
        call_command("migrate", verbosity=0, interactive=False)
        with connection.cursor() as cursor:
            count = _applied(cursor) - before
        return f"{count} migrations applied" if count else "up to date"

    def start_model(self) -> str:
        provider = current_provider()
        if provider.is_sample and not os.environ.get("SCRIPTED_LLM_URL"):
            port = free_port()
            self.note(SCRIPTED_LLM, f"http://127.0.0.1:{port}/v1")
            self.run("scripted model", "scripted_llm", "--port", str(port))
            return "sample answers (set DEEPINFRA_API_KEY for a real model)"
        return _said_by(provider)

    def start_clusters(self) -> str:
        for name in CLUSTERS:
            self.run(f"queue {name}", "qcluster_watch", "--cluster", name, "--stop-within", "4")
        return " and ".join(CLUSTERS)

    def start_web(self) -> str:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:gardenos.gunicorn_conf"]
        web = self.child("web", [*command, "gardenos.asgi:application"])
        self.supervisor.add(web)
        give_up = time.monotonic() + READY_S
        while not _is_ready(settings.GARDENOS_BIND, settings.GARDENOS_PORT):
            if self.supervisor.wish:
                raise Stopped
            if web.process and web.process.poll() is not None:
                raise CannotStart("the web server ended while starting; its messages above say why")
            if time.monotonic() > give_up:
                raise CannotStart(f"/readyz was not 200 within {READY_S} s; run manage.py doctor")
            time.sleep(0.1)
        return f"/readyz answers on port {settings.GARDENOS_PORT}"

    def note(self, name: str, address: str) -> None:
        note_address(settings.GARDENOS_DATA_DIR, name, address)
        self.noted.append(name)

    def run(self, name: str, *words: str) -> None:
        """Keep a manage.py command running."""
        self.supervisor.add(self.child(name, [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]))

    def child(self, name: str, command: list[str]) -> Child:
        environment = child_environment(PROMETHEUS_MULTIPROC_DIR=str(self.metrics), PYTHONUNBUFFERED="1")
        environment.pop("MAKELEVEL", None)
        return Child(name, command, environment, pass_fds=self.locks.shared)

    # --- running and stopping ------------------------------------------------------------------------------
    def keep_database(self) -> None:
        """An embedded server that was killed comes back, on the same port."""
        if self.server and not self.server.is_ready():
            self.say("the database ended; starting it again")
            try:
                self.server.ensure(dies_with_parent=True)
            except ServerError as error:
                self.say(f"database: {error}")

    def stop(self) -> None:
        if self.supervisor.wish:
            self.say("\nstopping ...")
        began = time.monotonic()
        self.supervisor.stop()
        for name in self.noted:
            note_address(settings.GARDENOS_DATA_DIR, name, "")
        if self.server:
            self.server.release(everyone=True)
        self.supervisor.sweep()
        if self.supervisor.wish:
            self.say(f"stopped in {time.monotonic() - began:.1f} s")


def _introduced(admin: User, password: str) -> str:
    return f"first admin {admin.email}, password {password} (shown only now)"


def _applied(cursor: Any) -> int:
    cursor.execute("SELECT to_regclass('django_migrations')")
    if cursor.fetchone()[0] is None:
        return 0
    cursor.execute("SELECT count(*) FROM django_migrations")
    return cursor.fetchone()[0]


def _said_by(provider: Provider) -> str:
    if not provider.is_on:
        return "off (AI_PROVIDER=off)"
    found = probe(provider)
    return f"{found.model} at {found.provider}" + (f"; {found.trouble}" if found.trouble else "")


def _is_ready(bind: str, port: int) -> bool:
    host = ("::1" if ":" in bind else "127.0.0.1") if is_wildcard(bind) else bind
    client = http.client.HTTPConnection(host, port, timeout=2)
    try:
        client.request("GET", "/readyz")
        return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
