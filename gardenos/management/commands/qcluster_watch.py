"""Runs one queue cluster and judges it by progress: a frozen cluster looks alive to everything else."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from dataclasses import astuple
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from ai_agents.actions import leases
from crm import broker, progress
from crm.tasks import CLUSTERS, send_heartbeat
from gardenos.failures import database_line
from gardenos.management.commands.qcluster import LONGEST_STOP_S
from gardenos.processes import dying_with_parent, is_running, signal_group

LOOK_S = 0.2
START_S = 30  # a fresh cluster has so long to do its first work, on a machine that is slow
LONGEST_PAUSE_S = 30
DATABASE_LOOK_S = 1
IDLE = "did no work"  # perhaps because of what it had in hand


class Command(BaseCommand):
    help = (
        "Run a queue cluster; restart it when it stops doing work (QUEUE_BEAT_S, QUEUE_STALE_S). "
        "With --check: exit 0 if this machine's cluster works, else 1, and say why (for probes)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        own = progress.own_cluster()
        default = own if own in CLUSTERS else CLUSTERS[0]
        parser.add_argument("--cluster", choices=CLUSTERS, default=default)
        parser.add_argument(
            "--check", action="store_true", help="only say whether the cluster gets work done"
        )
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
        watch = Watch(cluster, self.stderr.write, stop_within=stop_within)
        watch.start()
        while not self.is_stopping:
            watch.look()
            time.sleep(LOOK_S)
        watch.stop()

    def ask_to_stop(self, _number: int, _frame: object) -> None:
        self.is_stopping = True

    def check_once(self, cluster: str) -> None:
        """For probes. More patient than the watchdog, which mends what it finds."""
        limit_s = 2 * settings.QUEUE_STALE_S + settings.QUEUE_BEAT_S
        here = progress.instances_here(cluster)
        if here:
            signs = progress.signs(cluster, here[0])
        else:  # asked from another machine: what is known of all of them
            signs = progress.Signs(progress.heartbeat_age_s(cluster), 0, None)
        trouble = "never worked" if signs.work_s is None else why_stale(signs, limit_s)
        if trouble:
            self.stderr.write(f"cluster {cluster}: {trouble}")
            sys.exit(1)
        self.stdout.write(f"cluster {cluster}: worked {signs.work_s:.0f} s ago")


def why_stale(signs: progress.Signs, limit_s: float) -> str:
    """What in a cluster stands still for longer than that, in words; empty when nothing does."""
    if signs.work_s is not None and signs.work_s > limit_s:
        return f"{IDLE} for {signs.work_s:.0f} s"
    if signs.results_s is not None and signs.results_s > limit_s:
        return f"booked no result for {signs.results_s:.0f} s"
    if signs.guard_s is not None and signs.guard_s > limit_s:
        return f"guarded its processes last {signs.guard_s:.0f} s ago"
    return ""


class Watch:
    """One cluster in a process group of its own, and the time since it last proved progress."""

    def __init__(self, cluster: str, say: Any, *, stop_within: float = 100) -> None:
        self.cluster = cluster
        self.say = say
        self.stop_within = stop_within
        self.instance = f"{progress.here()}{os.getpid()}"
        self.process: subprocess.Popen[bytes] | None = None
        self.trouble = ""  # why it could not be started, said once
        self.next_beat = self.start_at = self.pause_s = 0.0
        self.counts_from = 0.0  # monotonic; a start and an unreachable database count as proof
        self.has_worked = False  # since it was started
        self.was_ended = False  # from outside: what it had in hand is not to blame

    def start(self) -> None:
        """Start the cluster, once the database is there: without it django-q dies with tracebacks."""
        if trouble := self._clear_up():
            if trouble != self.trouble:
                self.say(f"cluster {self.cluster} waits for the database: {trouble}")
            self.trouble = trouble
            self.start_at = time.monotonic() + DATABASE_LOOK_S
            return
        self.trouble = ""
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster", "--skip-checks"]
        command += ["--stop-within", str(self.stop_within)]
        self.process = subprocess.Popen(
            dying_with_parent(command, signal.SIGTERM),
            env={**os.environ, "Q_CLUSTER_NAME": self.cluster, "QCLUSTER_INSTANCE": self.instance},
            start_new_session=True,
            close_fds=False,  # the supervisor's run.lock stays open in all its descendants
        )
        self.counts_from, self.has_worked = time.monotonic(), False
        self.next_beat = self.counts_from + min(1, settings.QUEUE_BEAT_S)

    def _clear_up(self) -> str:
        """Give back what earlier clusters of this machine held, and begin anew. Why the database cannot be
        used, in one line; empty when all is done."""
        try:
            for instance in progress.instances_here(self.cluster):
                pid = int(instance.rpartition("-")[2])
                if instance != self.instance and not is_running(pid):
                    broker.give_back(self.cluster, instance)
                    progress.forget(self.cluster, instance)
            broker.give_back(self.cluster, self.instance, is_forgiven=self.was_ended)
            if self.was_ended:
                leases.give_back(self.instance)
            progress.begin(self.cluster, self.instance)
        except DatabaseError as error:
            return database_line(error)
        finally:
            connection.close()
        return ""

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
            self.next_beat = now + settings.QUEUE_BEAT_S
            self.beat(now)

    def beat(self, now: float) -> None:
        try:
            signs = progress.signs(self.cluster, self.instance)
            send_heartbeat(self.cluster, self.instance)
        except DatabaseError:  # not the cluster's fault, and a restart would not help
            self.counts_from = now
            connection.close()
            return
        if signs.work_s is not None and not self.has_worked:
            self.has_worked, self.pause_s = True, 0
        if trouble := self.why_stale(signs, now - self.counts_from):
            self.restart(trouble)

    def why_stale(self, signs: progress.Signs, counted_s: float) -> str:
        """As above, for a cluster that has been looked at for `counted_s`: no sign is older than that."""
        limit_s = settings.QUEUE_STALE_S
        if not self.has_worked:
            late = counted_s > max(limit_s, START_S)
            return f"{IDLE} for {counted_s:.0f} s" if late else ""
        return why_stale(
            progress.Signs(*(None if age is None else min(age, counted_s) for age in astuple(signs))), limit_s
        )

    def restart(self, why: str) -> None:
        assert self.process is not None
        self.was_ended = not why.startswith(IDLE)
        signal_group(self.process.pid, signal.SIGKILL)  # a frozen cluster does not answer SIGTERM
        self.process.wait()
        self.process = None
        self.start_at = time.monotonic() + self.pause_s
        self.say(f"cluster {self.cluster} {why}; starting it again")
        with contextlib.suppress(DatabaseError):  # it is away; this one goes uncounted
            progress.count_restart(self.cluster)
        self.pause_s = min(max(1, self.pause_s * 2), LONGEST_PAUSE_S)

    def stop(self) -> None:
        """Let running tasks finish, then end the group."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(self.stop_within)
            except subprocess.TimeoutExpired:
                self.say(f"cluster {self.cluster} did not stop within {self.stop_within:.0f} s; ending it")
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()
        try:
            broker.give_back(self.cluster, self.instance)
            progress.forget(self.cluster, self.instance)
        except DatabaseError:
            pass  # the next start here does it
