"""The table, the comparison of ledgers with the final primary, and what speaks against the cluster."""

import json
import os
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.ha.places import ADDRESSES
from tests.ha.rolling import Rollout
from tests.ha.scene import Played, Scene, stored
from tests.ha.traffic import Answer, wrong

HEAD = (
    "event",
    "rows, HAProxy",
    "rows, hosts",
    "leads",
    "goal",
    "agents",
    "whole",
    "503",
    "others",
    "slowest",
)
ROW = "{:<36}{:>14}{:>12}{:>7}{:>6}{:>8}{:>7}{:>6}{:>8}{:>9}"


class Report:
    """Collects figures; `faults` empty means that all held."""

    def __init__(self, what: str) -> None:
        self.what, self.began = what, time.monotonic()
        self.played: list[Played] = []
        self.rollouts: list[Rollout] = []
        self.counts: dict[str, Any] = {}
        self.faults: list[str] = []
        self.failed_tasks: list[str] = []
        self.load = os.getloadavg()[0]

    def step(self, what: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def add(self, played: Played) -> None:
        """An event is over. Faults: a missed goal, an answer that should not have come."""
        if not self.played:
            print(ROW.format(*HEAD))
        self.played.append(played)
        outages = (played.rows_by_haproxy_s, played.rows_by_hosts_s, played.leads_s)
        print(
            ROW.format(
                played.name,
                *(f"{seconds:.2f}" for seconds in outages),
                f"{played.goal_s:.0f}",
                f"{played.agents_s:.1f}",
                f"{played.whole_s:.1f}",
                played.refused,
                sum(played.wrong.values()),
                f"{played.slowest_s:.1f}",
            ),
            flush=True,
        )
        for seconds in outages:
            if seconds > played.goal_s:
                self.fault(f"{played.name}: no write for {seconds:.1f} s, allowed {played.goal_s:.0f} s")
        for what, count in played.wrong.items():
            self.fault(f"{played.name}: {count} times {what}")

    def add_rollout(self, number: int, rollout: Rollout) -> None:
        """A rolling restart is over."""
        self.rollouts.append(rollout)
        ends = ", ".join(f"{role} ended within {seconds:.1f} s" for role, seconds in rollout.ends_s.items())
        self.step(f"rolling restart {number}: {rollout.took_s:.1f} s; {ends}")
        self.faults += [f"rolling restart {number}: {trouble}" for trouble in rollout.troubles]

    def add_load(self, answers: list[Answer], seconds: float) -> None:
        """What was asked during all of them. Here a 503 is a fault too."""
        asked = [each for each in answers if each.kind != "livez"]
        failed = Counter(f"{each.path}: {each.status or each.why}" for each in asked if not each.is_fine)
        self.counts["requests during the rolling restarts"] = len(asked)
        self.counts["requests a second"] = f"{len(asked) / seconds:.1f}"
        self.counts["requests failed"] = sum(failed.values())
        self.faults += [f"rolling restarts: {count} times {what}" for what, count in failed.items()]

    def audit(self, scene: Scene) -> None:
        """What was acknowledged against what the final primary and its standbys hold."""
        from tests.chaos.verdict import judge

        primary = scene.cluster.primary()
        rows = stored(scene.cluster.owner_dsn(f"{ADDRESSES[primary]}:5432"))
        acked = {(name, number) for name, numbers in scene.ledgers().items() for number in numbers}
        lost, doubled = acked - set(rows), [row for row, count in rows.items() if count > 1]
        self.counts |= {
            "rows acknowledged": len(acked),
            "rows lost": len(lost),
            "rows doubled": len(doubled),
            "rows in doubt (stored, not acknowledged)": len(set(rows) - acked),
        }
        for name, found in (("rows lost", sorted(lost)), ("rows doubled", sorted(doubled))):
            if found:
                self.fault(f"{name}: {len(found)}, {found[:3]}")
        verdict = judge(scene.work, scene.application.sink)
        self.counts |= verdict.counts
        self.faults += verdict.faults
        self.failed_tasks = failed_tasks()
        answers = scene.record.within(0, time.monotonic())
        self.counts |= {f"answers to {kind}": n for kind, n in Counter(a.kind for a in answers).items()}
        self.counts["503 with Retry-After"] = sum(each.is_honest_no for each in answers)
        known = sum((played.wrong for played in self.played), Counter[str]())
        for what, count in (wrong(answers) - known).items():
            self.fault(f"between events: {count} times {what}")

    def write(self, out: Path | None) -> None:
        for what, count in self.counts.items():
            print(f"  {what:<44}{count:>8}")
        for line in self.failed_tasks:
            print(f"  failed and made good by another: {line}")
        load = f"load {self.load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
        print(f"{os.cpu_count()} cores, {load}")
        print("\n".join(["FAILED", *self.faults]) if self.faults else "0 lost, 0 doubled, every goal met")
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            events = [asdict(each) for each in self.played]
            rollouts = [asdict(each) for each in self.rollouts]
            figures = {
                "what": self.what,
                "events": events,
                "rollouts": rollouts,
                "counts": self.counts,
                "faults": self.faults,
            }
            out.write_text(json.dumps(figures | {"load": self.load}, indent=1))


def failed_tasks() -> list[str]:
    """What the queue has booked as failed, and why. The audit looks whether any of its work is missing."""
    from django.apps import apps

    rows = apps.get_model("django_q", "Task").objects.filter(success=False).values_list("func", "result")
    return [f"{func}: {str(result).strip().splitlines()[-1][:110]}" for func, result in rows]
