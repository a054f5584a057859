"""One queue cluster, in the place of django-q2's own command: none of its processes outlives the others."""

import inspect
import os
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crm.broker import start_cluster
from crm.progress import own_instance
from crm.tasks import CLUSTERS
from gardenos.processes import children_die_with_us, signal_group

LOOK_S = 0.2
LONGEST_STOP_S = 3_600


class Command(BaseCommand):
    help = (
        "Run the queue cluster that Q_CLUSTER_NAME names, without a watchdog; qcluster_watch starts this and "
        "keeps it at work."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stop-within",
            type=float,
            default=100,
            help="seconds to finish running tasks once the watchdog has been killed (default: 100)",
        )

    def handle(self, *, stop_within: float, **options: Any) -> None:
        if not 0 <= stop_within <= LONGEST_STOP_S:
            raise CommandError(f"--stop-within must lie between 0 and {LONGEST_STOP_S}.", returncode=2)
        os.environ.setdefault("Q_CLUSTER_NAME", CLUSTERS[0])
        parent = os.getppid()
        children_die_with_us(_role)
        try:
            cluster = start_cluster()
        except RuntimeError as error:
            raise CommandError(str(error)) from None
        if own_instance():
            threading.Thread(target=_end_as_orphan, args=(parent, stop_within), daemon=True).start()
        while cluster.sentinel.is_alive():  # SIGTERM is answered in here: it returns when all is drained
            time.sleep(LOOK_S)
        if not cluster.has_stopped:
            self.stderr.write("the sentinel was killed, and all of its cluster with it")
            sys.exit(1)


def _end_as_orphan(parent: int, stop_within: float) -> None:
    """Without a watchdog nobody would ever end a frozen cluster, and its successor would work beside it."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    time.sleep(stop_within)
    signal_group(os.getpgrp(), signal.SIGKILL)


def _role() -> str:
    """What the process that was just forked will be: the sentinel's call is still on its stack."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "spawn_process":
            return f"q-{frame.f_locals['target'].__name__}"
        frame = frame.f_back
    return "q-sentinel"
