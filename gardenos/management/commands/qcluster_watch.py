"""Runs one queue cluster and judges it by progress: a frozen cluster looks alive to everything else."""

import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from crm.tasks import CLUSTERS, heartbeat_age_s, send_heartbeat
from gardenos.failures import database_line
from gardenos.processes import dying_with_parent, signal_group

BEAT_S = 10
STALE_S = 40
LONGEST_PAUSE_S = 30
DATABASE_LOOK_S = 1
LONGEST_STOP_S = 3_600
CHECK_AGE_S = 90  # the probe is more patient than the watchdog, which mends it


class Command(BaseCommand):
    help = (
        "Run a queue cluster; restart it when it stops doing work. With --check: exit 0 if it did work "
        f"within {CHECK_AGE_S} s, else 1 (for probes)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cluster", choices=CLUSTERS, default=CLUSTERS[0])
        parser.add_argument("--check", action="store_true", help="only say how old the last heartbeat is")
        parser.add_argument(
            "--stop-within", type=float, default=100, help="seconds to finish running tasks (default: 100)"
        )

    def handle(self, *, cluster: str, check: bool, stop_within: float, **options: Any) -> None:
        if not 0 <= stop_within <= LONGEST_STOP_S:
            raise CommandError(f"--stop-within must lie between 0 and {LONGEST_STOP_S}.", returncode=2)
        if check:
            self.check_once(cluster)
            return
        self.is_stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask_to_stop)
        watch = Watch(cluster, self.stderr.write)
        watch.start()
        while not self.is_stopping:
            watch.look()
            time.sleep(0.2)
        watch.stop(stop_within)

    def ask_to_stop(self, _number: int, _frame: object) -> None:
        self.is_stopping = True

    def check_once(self, cluster: str) -> None:
        age = heartbeat_age_s(cluster)
        if age is None or age > CHECK_AGE_S:
            self.stderr.write(
                f"cluster {cluster}: " + ("never worked" if age is None else f"idle for {age:.0f} s")
            )
            sys.exit(1)
        self.stdout.write(f"cluster {cluster}: worked {age:.0f} s ago")


class Watch:
    """One cluster in a process group of its own, and the time since it last proved progress."""

    def __init__(self, cluster: str, say: Any) -> None:
        self.cluster = cluster
        self.say = say
        self.process: subprocess.Popen[bytes] | None = None
        self.trouble = ""  # why it could not be started, said once
        self.next_beat = self.start_at = self.pause_s = 0.0
        self.proven_at = 0.0  # monotonic; a fresh start and an unreachable database count as proof

    def start(self) -> None:
        """Start the cluster, once the database is there: without it django-q dies with tracebacks."""
        if trouble := _database_trouble():
            if trouble != self.trouble:
                self.say(f"cluster {self.cluster} waits for the database: {trouble}")
            self.trouble = trouble
            self.start_at = time.monotonic() + DATABASE_LOOK_S
            return
        self.trouble = ""
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster", "--skip-checks"]
        self.process = subprocess.Popen(
            dying_with_parent(command, signal.SIGTERM),
            env={**os.environ, "Q_CLUSTER_NAME": self.cluster},
            start_new_session=True,
            close_fds=False,  # the supervisor's run.lock stays open in all its descendants
        )
        self.proven_at = time.monotonic()
        self.next_beat = self.proven_at + 1

    def look(self) -> None:
        """Once in a while: restart what ended, send a heartbeat, end what is stale."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return
        if self.process.poll() is not None:
            self.restart(f"ended with code {self.process.returncode}")
        elif now >= self.next_beat:
            self.next_beat = now + BEAT_S
            self.beat(now)

    def beat(self, now: float) -> None:
        try:
            age = heartbeat_age_s(self.cluster)
            send_heartbeat(self.cluster)
        except DatabaseError:  # not the cluster's fault, and a restart would not help
            self.proven_at = now
            connection.close()
            return
        if age is not None:
            self.proven_at = max(self.proven_at, now - age)
        if now - self.proven_at > STALE_S:
            self.restart(f"did no work for {now - self.proven_at:.0f} s")
        elif age is not None and age < BEAT_S * 2:
            self.pause_s = 0

    def restart(self, why: str) -> None:
        assert self.process is not None
        signal_group(self.process.pid, signal.SIGKILL)  # a frozen cluster does not answer SIGTERM
        self.process.wait()
        self.process = None
        self.start_at = time.monotonic() + self.pause_s
        self.say(f"cluster {self.cluster} {why}; starting it again")
        self.pause_s = min(max(1, self.pause_s * 2), LONGEST_PAUSE_S)

    def stop(self, within_s: float) -> None:
        """Let running tasks finish, then end the group."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.say(f"cluster {self.cluster} did not stop within {within_s:.0f} s; ending it")
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _database_trouble() -> str:
    """Why the database cannot be used now, in one line; empty when it can."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return database_line(error)
    finally:
        connection.close()
    return ""
