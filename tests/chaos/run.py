# ruff: noqa: E402  Django is set up before what uses models
"""`python -m tests.chaos.run kills|shipped|rotate`: kills beside work, freezes at the shipped limits, or new
keys beside work.

Works on the empty database that the environment names; tests/chaos/__main__.py makes one. Prints the seed, a
table and a verdict, and exits with 1 when something was lost or doubled.
"""

import argparse
import contextlib
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.apps import apps
from django.conf import settings
from django.db import connection

from ai_agents.actions.pools import keep_pools
from ai_agents.models import AgentPool, AgentTask, TaskState
from crm.actions.tokens import create_token
from crm.models import Actor, Message, MessageState, Role, User
from crm.permissions import SCOPES
from crm.tasks import enqueue
from tests.chaos.site import KINDS, Site, running, wait_until
from tests.chaos.verdict import Verdict, is_settled, judge
from tests.chaos.work import Work

LEADS_PER_KILL = 5  # each is two tasks (analysis, draft) and a mail
LEADS_PER_KEY = 40
LIMITS = {"QUEUE_BEAT_S": "1", "QUEUE_STALE_S": "5"}
BACK_S = 120  # for a killed process to have a successor
SETTLE_S = 1_800
FREEZE_S = 90  # the promise for an idle worker or a monitor that was killed, at the shipped limits
REASON = re.compile(r"cluster \w+ (did no work|booked no result|guarded its processes|ended)")


def token() -> str:
    """An admin's token for everything."""
    admin = User.objects.create_user(f"chaos{os.getpid()}@example.com", None, role=Role.ADMIN, name="Chaos")
    return create_token(admin, name="chaos", scopes=list(SCOPES), by=Actor.system("chaos"))[1]


def set_up() -> str:
    keep_pools()
    AgentPool.objects.filter(kind="lead_analysis").update(target=8)
    AgentPool.objects.filter(kind="follow_up").update(target=8, draft_from=0)
    return token()


def kills(count: int, seed: int, gap_s: float, *, is_short: bool) -> int:
    """So many SIGKILLs beside work. Returns the exit code."""
    rng, began = random.Random(seed), time.monotonic()
    by_kind: Counter[str] = Counter()
    print(f"seed {seed}; {count} kills, one in {gap_s:g} s; limits {LIMITS}", flush=True)
    with workplace() as (folder, log):
        with running(folder, LIMITS, without="live" if is_short else "") as site:
            ready_s = time.monotonic() - began
            work = Work(site.doors, set_up(), total=count * LEADS_PER_KILL)
            work.start()
            try:
                kill_all(site, work, rng, count, gap_s, by_kind)
                killed_s = time.monotonic() - began
                settled_s = settle(work, waits_for_leases=not is_short)
            except TimeoutError as error:
                work.trouble.append(error)
                killed_s = settled_s = time.monotonic() - began
            work.stop()
            verdict = judge(work, site.sink)
        restarts = Counter(REASON.findall(log.read_text(errors="replace")))
        timings = {"ready": ready_s, "last kill": killed_s, "settled after": settled_s}
        report(by_kind, verdict, restarts, work, timings)
        if verdict.faults:
            print(log.read_text(errors="replace")[-6000:])
    return 1 if verdict.faults else 0


def kill_all(
    site: Site, work: Work, rng: random.Random, count: int, gap_s: float, by_kind: Counter[str]
) -> None:
    """Kinds come from a shuffled deck, so that each has its turn; moments and processes by chance."""
    deck: list[str] = []
    for number in range(count):
        work.allowed = (number + 1) * LEADS_PER_KILL
        time.sleep(min(rng.expovariate(1 / gap_s), 3 * gap_s))
        if not deck:
            deck = rng.sample(site.kinds, len(site.kinds))
        kind = deck.pop()
        site.kill(kind, rng, BACK_S)
        by_kind[kind] += 1
        if work.trouble:
            return
    work.allowed = work.total
    for kind in site.kinds:
        wait_until(lambda kind=kind: site.processes(kind), BACK_S, f"a {kind} came back")


def settle(work: Work, *, waits_for_leases: bool) -> float:
    question = lambda: bool(work.trouble) or is_settled(work, waits_for_leases=waits_for_leases)
    return wait_until(question, SETTLE_S, "all work is done")


def rotate(times: int, seed: int, *, is_short: bool) -> int:
    """Give the site a new SECRET_KEY, so often, while tasks are queued: part after part, without the key
    before. Returns the exit code.
    """
    rng, began, queued = random.Random(seed), time.monotonic(), 0
    kept = {"TOKEN_PEPPER": settings.TOKEN_PEPPER, "AUDIT_KEY": settings.AUDIT_KEY}  # as the guide says
    print(f"seed {seed}; {times} new keys, {LEADS_PER_KEY} inquiries before each", flush=True)
    with workplace() as (folder, log):
        with running(folder, LIMITS | kept, without="live" if is_short else "") as site:
            work = Work(site.doors, set_up(), total=times * LEADS_PER_KEY)
            work.start()
            for number in range(times):
                work.allowed = (number + 1) * LEADS_PER_KEY
                there = lambda: len(work.accepted) >= work.allowed - LEADS_PER_KEY // 2
                wait_until(there, BACK_S, "half of the inquiries are in")
                waits = AgentTask.objects.filter(state__in=[TaskState.QUEUED, TaskState.RUNNING]).count()
                print(f"  key {number + 1}: {waits} agents' tasks and {rows().count()} rows are queued")
                queued += waits
                key = f"{rng.getrandbits(256):064x}"
                for name in site.children:
                    site.restart(name, SECRET_KEY=key)
            settled_s = settle(work, waits_for_leases=not is_short)
            work.stop()
            verdict = judge(work, site.sink)
        timings = {"rotated and settled": time.monotonic() - began, "settled after": settled_s}
        report(Counter(), verdict, Counter(), work, timings)
        if verdict.faults:
            print(log.read_text(errors="replace")[-6000:])
    return 1 if verdict.faults or not queued else 0


def shipped(times: int, seed: int) -> int:
    """Kill an idle worker of one cluster and the monitor of the other, so often, at the shipped limits."""
    rng, began = random.Random(seed), time.monotonic()
    found: dict[str, list[float]] = {"idle worker": [], "monitor": []}
    print(
        f"seed {seed}; {times} times each; limits {settings.QUEUE_BEAT_S:g} s / {settings.QUEUE_STALE_S:g} s"
    )
    with workplace() as (folder, log):
        with running(folder, {}, without="live") as site:
            set_up()
            for _ in range(times):
                wait_until(lambda: all(map(round_trip_is_open, ("default", "ai"))), 60, "both are at work")
                time.sleep(rng.uniform(2, 8))
                victims = {
                    "idle worker": ("default", reader_of(site.processes("worker", ("default",)), rng)),
                    "monitor": ("ai", site.processes("monitor", ("ai",))[0]),
                }
                for kind, seconds in recover(victims).items():
                    found[kind].append(seconds)
                    print(f"  {kind:<12} recovered in {seconds:5.1f} s", flush=True)
        restarts = Counter(REASON.findall(log.read_text(errors="replace")))
    slowest = max(max(seconds) for seconds in found.values())
    print(f"restarts by reason: {dict(restarts)}; took {time.monotonic() - began:.0f} s")
    print(f"slowest recovery {slowest:.1f} s, promised {FREEZE_S} s")
    return 0 if slowest < FREEZE_S else 1


def recover(victims: dict[str, tuple[str, int]]) -> dict[str, float]:
    """Kill each, then ask for one task through its cluster: seconds from the kill until it is booked."""
    waiting: dict[str, tuple[float, Callable[[], bool]]] = {}
    for kind, (cluster, pid) in victims.items():
        os.kill(pid, 9)
        waiting[kind] = (time.monotonic(), asked(cluster))
    seconds: dict[str, float] = {}
    while len(seconds) < len(waiting):
        for kind, (since, is_booked) in waiting.items():
            if kind not in seconds and is_booked():
                seconds[kind] = time.monotonic() - since
            elif kind not in seconds and time.monotonic() - since > 2 * FREEZE_S:
                seconds[kind] = float("inf")
        time.sleep(0.1)
    return seconds


def asked(cluster: str) -> Callable[[], bool]:
    """Queue a heartbeat; a question whether it was run and booked."""
    before = set(rows().values_list("pk", flat=True))
    enqueue("crm.tasks.heartbeat", cluster, cluster=cluster)
    mine = set(rows().filter(key=cluster).values_list("pk", flat=True)) - before
    return lambda: not rows().filter(pk__in=mine).exists()


def round_trip_is_open(cluster: str) -> bool:
    question = asked(cluster)
    with contextlib.suppress(TimeoutError):
        return wait_until(question, 20, "a round trip") >= 0
    return False


def reader_of(workers: list[int], rng: random.Random) -> int:
    """The worker that holds the queue's lock, as far as the kernel tells: it waits in read(2), the others for
    the lock. Its death freezes the cluster."""
    for pid in workers:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/syscall").read_text().split()[0] == "0":
                return pid
    return rng.choice(workers)


def rows():  # type: ignore[no-untyped-def]
    return apps.get_model("django_q", "OrmQ").objects


@contextlib.contextmanager
def workplace():  # type: ignore[no-untyped-def]
    """A folder, and a file that takes what all processes say. Printing goes on as before."""
    with tempfile.TemporaryDirectory(prefix="gardenos-chaos-") as name:
        log = Path(name) / "log.txt"
        with log.open("wb") as out:
            kept = os.dup(2)
            os.dup2(out.fileno(), 2)
            try:
                yield Path(name), log
            finally:
                os.dup2(kept, 2)
                os.close(kept)
                connection.close()


def report(
    by_kind: Counter[str], verdict: Verdict, restarts: Counter[str], work: Work, timings: dict[str, float]
) -> None:
    print("kills       " + "  ".join(f"{kind} {by_kind[kind]}" for kind in KINDS if by_kind[kind]))
    print("restarts    " + ("  ".join(f"{why} {n}" for why, n in restarts.most_common()) or "none"))
    print("seconds     " + "  ".join(f"{what} {seconds:.0f}" for what, seconds in timings.items()))
    for what, count in verdict.counts.items():
        print(f"  {what:<38}{count:>7}")
    print(f"  {'requests sent again':<38}{work.failed:>7}")
    asked_about = Message.objects.filter(state__in=[MessageState.UNCERTAIN, MessageState.SENDING]).count()
    if verdict.faults:
        print("FAILED")
        for fault in verdict.faults:
            print(f"  {fault}")
    else:
        print(
            f"0 lost, 0 doubled sends, 0 double results; {asked_about} sends in question, as their rows say"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("what", choices=["kills", "shipped", "rotate"], nargs="?", default="kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--gap", type=float, default=3.0, help="seconds between two kills, on average")
    parser.add_argument(
        "--short", action="store_true", help="no live process; messages found sending may stay so"
    )
    given = parser.parse_args()
    if given.what == "shipped":
        return shipped(given.times, given.seed)
    if given.what == "rotate":
        return rotate(given.times, given.seed, is_short=given.short)
    return kills(given.kills, given.seed, given.gap, is_short=given.short)


if __name__ == "__main__":
    sys.exit(main())
