"""`python -m tests.ha.run FOLDER [smoke|full]`, in the suite's namespaces (tests/ha/__main__.py makes them).

Starts the cluster from the files of deploy/ and the application on it, lets people write, read and approve,
harms the cluster in every way of tests/ha/events.py, and compares in the end what was acknowledged with what
the final primary holds. Prints a table. Exits with 1 when something was lost or doubled or a goal was missed.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from tests.ha.application import python_path, running
from tests.ha.cluster import Cluster
from tests.ha.events import EVENTS
from tests.ha.report import Report
from tests.ha.rolling import AT_50, Deployments
from tests.ha.scene import Crowd, Scene


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ha")
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=["smoke", "full", "rolling"], nargs="?", default="full")
    parser.add_argument("--rounds", type=int, default=10, help="of rolling restarts")
    parser.add_argument("--only", default="", help="only events whose name holds this")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON too")
    parser.add_argument("--logs", type=Path, help="keep what all processes said in this folder")
    given = parser.parse_args()
    chosen = [
        event for event in EVENTS if given.only in event.name and (event.in_smoke or given.what == "full")
    ]
    report = Report(given.what)
    cluster = Cluster(given.folder, Path(os.environ["HA_PATRONI"]), python_path())
    try:
        cluster.start()
        report.step("there is a primary")
        with running(cluster, given.folder, report.step) as application:
            cluster.wait_until_whole()
            report.step("three members stream")
            deployments = None
            if given.what == "rolling":
                deployments = Deployments(application, cluster.network, given.folder)
            scene = Scene(cluster, application, given.folder, AT_50 if deployments else Crowd())
            scene.begin()
            report.step("people write, agents answer")
            try:
                if deployments:
                    roll(deployments, scene, given.rounds, report)
                else:
                    for event in chosen:
                        report.add(scene.play(event))
                scene.settle()
                report.step("all work is done")
                report.audit(scene)
            finally:
                scene.end()
    except (TimeoutError, RuntimeError) as error:
        report.fault(f"{type(error).__name__}: {error}")
    finally:
        if given.logs:
            keep_logs(given.folder, given.logs)
    report.write(given.out)
    return 1 if report.faults else 0


def roll(deployments: Deployments, scene: Scene, rounds: int, report: Report) -> None:
    """A release and the way back are a rolling restart each; the Job of the release comes before."""
    began = time.monotonic()
    deployments.application.migrate()
    report.step(f"migrate, with nothing to do: {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    for number in range(rounds):
        report.add_rollout(number + 1, deployments.roll())
    report.add_load(scene.record.within(began, time.monotonic()), time.monotonic() - began)


def keep_logs(folder: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    for path in [
        *folder.glob("*/log.txt"),
        *folder.glob("etcd/*.log"),
        *folder.glob("*.ledger"),
        *folder.glob("*.json"),
    ]:
        (to / "-".join(path.relative_to(folder).parts)).write_bytes(path.read_bytes())


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    print(f"took {time.monotonic() - began:.0f} s")
    sys.exit(code)
