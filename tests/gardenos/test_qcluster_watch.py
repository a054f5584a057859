"""The watchdog of a queue cluster: what it takes for proof, and what it does without."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import OperationalError, connection

from crm import progress
from crm.models import Heartbeat
from crm.progress import Signs
from gardenos.management.commands import qcluster_watch
from gardenos.management.commands.qcluster_watch import Watch, why_stale
from gardenos.processes import is_running
from tests.bench.harness import descendants
from tests.processes import environment


def test_without_a_database_the_cluster_waits_and_says_so_once():
    said: list[str] = []
    watch = Watch("default", said.append)
    refused = OperationalError("connection failed: Connection refused")
    with (
        mock.patch.object(qcluster_watch, "progress") as rows,
        mock.patch.object(qcluster_watch, "broker"),
        mock.patch.object(qcluster_watch, "connection"),
        mock.patch.object(qcluster_watch.subprocess, "Popen") as started,
    ):
        rows.instances_here.side_effect = refused
        watch.start()
        watch.start()
        assert not started.called
        assert [line.partition(";")[0] for line in said] == [
            "cluster default waits for the database: database: Connection refused"
        ]
        rows.instances_here.side_effect = None
        watch.start()
        assert started.called


def test_each_restart_is_counted_for_its_cluster_and_a_lost_database_hinders_none(db):
    watch = Watch("default", lambda _line: None)
    for _ in range(2):
        watch.process = mock.Mock(pid=2**22 + 1)  # no such process
        watch.restart("booked no result for 41 s")
    with mock.patch.object(progress, "count_restart", side_effect=OperationalError("gone")):
        watch.process = mock.Mock(pid=2**22 + 1)
        watch.restart("booked no result for 41 s")
    assert watch.process is None
    assert Heartbeat.objects.get(name="restarts:default").info == {"n": 2}


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (Signs(39, 39, 39), ""),
        (Signs(41, 1, None), "did no work for 41 s"),
        (Signs(1, 41, None), "guarded its processes last 41 s ago"),
        (Signs(1, 1, 41), "booked no result for 41 s"),
        (Signs(None, None, None), ""),
    ],
)
def test_each_part_of_a_cluster_can_stand_still_alone(signs, reason):
    assert why_stale(signs, 40) == reason


@pytest.mark.parametrize(
    ("has_worked", "counted_s", "signs", "is_stale"),
    [
        (False, 29, Signs(None, 1, None), False),  # still starting
        (False, 41, Signs(None, 1, None), True),
        (True, 10, Signs(500, 500, 500), False),  # signs from before the database came back
        (True, 41, Signs(500, 1, None), True),
        (True, 500, Signs(2, 2, None), False),
    ],
)
def test_a_cluster_has_its_time_from_its_start_and_from_the_databases_return(
    has_worked, counted_s, signs, is_stale
):
    watch = Watch("default", print)
    watch.has_worked = has_worked
    assert bool(watch.why_stale(signs, counted_s)) is is_stale


def test_the_cluster_is_the_one_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("Q_CLUSTER_NAME", "ai")
    assert (
        qcluster_watch.Command().create_parser("manage.py", "qcluster_watch").parse_args([]).cluster == "ai"
    )


class TestCheck:
    """`--check`, the probe."""

    @staticmethod
    def stamp(sign: str, seconds_ago: int, host: str = "") -> None:
        name = f"{sign}:default@{host or progress.here()}77"
        progress.stamp(name)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE crm_heartbeat SET at = now() - %s * interval '1 second' WHERE name = %s",
                [seconds_ago, name],
            )

    @staticmethod
    def check() -> tuple[int, str]:
        said = StringIO()
        try:
            call_command("qcluster_watch", "--check", stdout=said, stderr=said)
        except SystemExit as end:
            return int(str(end.code)), said.getvalue().strip()
        return 0, said.getvalue().strip()

    def test_a_cluster_that_never_worked_fails(self, db):
        assert self.check() == (1, "cluster default: never worked")
        self.stamp("guard", 1)
        assert self.check() == (1, "cluster default: never worked")

    def test_one_that_works_passes(self, db):
        self.stamp("guard", 2)
        self.stamp("work", 3)
        assert self.check() == (0, "cluster default: worked 3 s ago")

    @pytest.mark.parametrize(
        ("sign", "words"),
        [
            ("work", "did no work for 91 s"),
            ("results", "booked no result for 91 s"),
            ("guard", "guarded its processes last 91 s ago"),
        ],
    )
    def test_one_that_stands_still_fails_and_says_where(self, db, sign, words):
        for other in ("guard", "work"):
            self.stamp(other, 3)
        self.stamp(sign, 91)
        assert self.check() == (1, f"cluster default: {words}")

    def test_another_machines_work_does_not_speak_for_this_ones(self, db):
        self.stamp("guard", 2)
        self.stamp("work", 91)
        progress.stamp("cluster:default")
        assert self.check()[0] == 1

    def test_from_a_machine_without_a_cluster_any_work_counts(self, db):
        self.stamp("guard", 91, host="elsewhere-")
        progress.stamp("cluster:default")
        assert self.check()[0] == 0


@pytest.fixture
def watched(transactional_db: None, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`manage.py qcluster_watch` with short limits, on this test's database."""
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster_watch", "--stop-within", "1"],
            cwd=django_settings.BASE_DIR,
            env=environment(QUEUE_BEAT_S="0.5", QUEUE_STALE_S="3", GARDENOS_DATA_DIR=str(tmp_path)),
            stderr=log,
            text=True,
        )
        yield process
        process.terminate()
        process.wait(10)


def until(question: Callable[[], object], within_s: float = 60) -> None:
    give_up = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.1)


def of_role(watch: subprocess.Popen[str], role: str) -> list[int]:
    found = []
    for pid in descendants(watch.pid):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == f"q-{role}":
                found.append(pid)
    return found


def works(watch: subprocess.Popen[str]) -> bool:
    here = progress.instances_here("default")
    return bool(here) and progress.signs("default", here[0]).work_s is not None


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "role",
    [
        "monitor",
        *(pytest.param(role, marks=pytest.mark.slow) for role in ("worker", "pusher", "sentinel")),
    ],
)
def test_a_cluster_of_which_one_part_stands_still_is_replaced_as_a_whole(watched, tmp_path, role):
    until(lambda: works(watched))
    before = {pid for each in ("sentinel", "pusher", "monitor", "worker") for pid in of_role(watched, each)}
    assert len(before) == 5
    for pid in of_role(watched, role):
        os.kill(pid, signal.SIGSTOP)
    until(lambda: "starting it again" in (tmp_path / "log").read_text())
    until(lambda: not [pid for pid in before if is_running(pid)])  # it says so, then does it
    until(lambda: of_role(watched, role) and works(watched))


@pytest.mark.timeout(150)
def test_no_process_of_a_cluster_outlives_its_watchdog(watched):
    until(lambda: works(watched))
    all_of_it = descendants(watched.pid)[1:]
    assert len(all_of_it) == 6
    for pid in of_role(watched, "worker"):
        os.kill(pid, signal.SIGSTOP)  # a frozen cluster does not answer SIGTERM
    watched.kill()
    until(lambda: not [pid for pid in all_of_it if is_running(pid)])
