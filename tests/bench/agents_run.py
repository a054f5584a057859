# ruff: noqa: E402  Django is set up before what uses models
"""`python -m tests.bench.agents_run IN_FLIGHT CALLS`: the bare loop, then a pump; the last line is JSON.

`... kill IN_FLIGHT CALLS`: a real cluster, once undisturbed and once killed half-way. `... plain CALLS`:
plain tasks on a cluster of 4 workers. `... memory IN_FLIGHT CALLS`: a pump alone. `... claim`: 10,000 queued.
Run by tests/bench/agents.py, which gives it a database of its own.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import django

django.setup()

from django.db import connection
from django.db.models import Max, Min
from django.utils import timezone

from ai_agents.actions import queue as task_queue
from ai_agents.actions.pools import keep_pools
from ai_agents.actions.requests import request_analysis_batch
from ai_agents.agents import AGENTS
from ai_agents.llm.client import ModelClient
from ai_agents.llm.line import Line
from ai_agents.llm.prices import price
from ai_agents.llm.providers import SCRIPTED_MODEL, Provider
from ai_agents.models import AgentCall, AgentPool, AgentTask, ModelPrice
from ai_agents.pump import Pump
from ai_agents.timing import Timing
from crm.models import Actor, Channel, Inquiry, InquiryState, Lead, LeadSource, Score, ScoreKind
from crm.tasks import enqueue
from gardenos.running_alone import free_port
from tests.bench import agents_plain
from tests.bench.harness import REPOSITORY, cpu_ns, cpu_with_ended_ns, pids_in
from tests.bench.surroundings import cluster as cluster_folder

KIND = "lead_analysis"
LATENCY_S = 1.0
TEXT = (
    "We bought a house last year and would like a terrace of {n} square metres with planting around it. "
    "The soil is heavy clay and the garden slopes to the north. Our budget is about 9 k. Please call me."
)


@dataclass(frozen=True, slots=True)
class Model:
    """The scripted server in a process of its own."""

    url: str
    pid: int


@contextlib.contextmanager
def scripted_model() -> Iterator[Model]:
    """Run it until the block ends."""
    port = free_port()
    command = [sys.executable, "manage.py", "scripted_llm", "--port", str(port), "--latency", str(LATENCY_S)]
    server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                seen(f"http://127.0.0.1:{port}/v1")
                break
            time.sleep(0.1)
        yield Model(f"http://127.0.0.1:{port}/v1", server.pid)
    finally:
        server.terminate()
        server.wait(10)


def seen(url: str) -> dict[str, Any]:
    """What the scripted server has received."""
    with urllib.request.urlopen(url.replace("/v1", "/control"), timeout=5) as answer:
        return json.loads(answer.read())


def make_leads(n: int) -> list[int]:
    """Leads with one inquiry each, all different."""
    source, _ = LeadSource.objects.get_or_create(code="bench", defaults={"name": "Bench"})
    leads = Lead.objects.bulk_create(Lead(name=f"Lead {i}", source=source) for i in range(n))
    Inquiry.objects.bulk_create(
        Inquiry(
            source=source,
            channel=Channel.FORM,
            state=InquiryState.CREATED,
            lead=lead,
            message=TEXT.format(n=lead.pk),
        )
        for lead in leads
    )
    return [lead.pk for lead in leads]


def set_up(in_flight: int) -> None:
    """One pool of this size; calls have a price, so that the budget is at work, too."""
    keep_pools()
    AgentPool.objects.filter(kind=KIND).update(target=in_flight, max_concurrency=256, is_auto=False)
    AgentPool.objects.exclude(kind=KIND).update(target=0, draft_from=100, is_auto=False)
    ModelPrice.objects.get_or_create(
        provider="scripted",
        model=SCRIPTED_MODEL,
        valid_from=date(2020, 1, 1),
        usd_in="0.27",
        usd_cached="0.2",
        usd_out="1.1",
    )


def queue(leads: list[int]) -> None:
    for at in range(0, len(leads), 250):
        request_analysis_batch(leads[at : at + 250], by=Actor.system())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


async def bare_loop(provider: Provider, facts: list[Any], in_flight: int) -> None:
    """The limit: the same agent, client and answers; no database."""
    agent, waiting = AGENTS[KIND], iter(facts)
    async with ModelClient(provider) as client:

        async def one_slot() -> None:
            for known in waiting:
                await agent.run(known, Line(client, SCRIPTED_MODEL, price("1", "1", "1"), agent.prompt))

        await asyncio.gather(*(one_slot() for _ in range(in_flight)))


def compare(in_flight: int, calls: int) -> dict[str, float]:
    set_up(in_flight)
    leads = make_leads(calls)
    facts = AGENTS[KIND].read([AgentTask(kind=KIND, lead_id=lead) for lead in leads])
    queue(leads)
    with scripted_model() as model:
        provider = Provider("scripted", model.url, "scripted", (SCRIPTED_MODEL,))
        limit_s, limit_cpu = timed(lambda: asyncio.run(bare_loop(provider, facts, in_flight)), model)
        pump = a_pump(provider)
        ours_s, ours_cpu = timed(pump.run, model)
    if pump.done["done"] != calls or Score.objects.filter(kind=ScoreKind.MODEL).count() != calls:
        raise RuntimeError(f"not all done: {pump.done}")
    return {
        "ours": calls / ours_s,
        "limit": calls / limit_s,
        "ours_of_perfect": calls / ours_s * LATENCY_S / in_flight,
        "limit_of_perfect": calls / limit_s * LATENCY_S / in_flight,
        **{f"ours_cpu_ms_{who}": ns / 1e6 / calls for who, ns in ours_cpu.items()},
        **{f"limit_cpu_ms_{who}": ns / 1e6 / calls for who, ns in limit_cpu.items()},
    }


def a_pump(provider: Provider) -> Pump:
    """A pump with its slot, that serves until nothing is left."""
    pump = Pump(provider, Timing(linger_s=0.05, claim_for_s=600), on_slot_free=lambda: None)
    if not pump.take_slot():
        raise RuntimeError("no slot")
    return pump


def timed(work: Any, model: Model) -> tuple[float, dict[str, int]]:
    """Seconds by the clock, and nanoseconds on the CPU: of this process, the database, the model's server."""
    began, before = time.monotonic(), cpu_by_process(model)
    work()
    seconds, after = time.monotonic() - began, cpu_by_process(model)
    return seconds, {who: after[who] - before[who] for who in after}


def cpu_by_process(model: Model) -> dict[str, int]:
    return {
        "caller": time.process_time_ns(),  # its threads that have ended, too
        "database": cpu_with_ended_ns(pids_in(cluster_folder())),
        "model": sum(cpu_ns([model.pid]).values()),
    }


def memory(in_flight: int, calls: int) -> dict[str, float]:
    """The most memory (RSS, MiB) that a pump of this size takes while it works."""
    set_up(in_flight)
    queue(make_leads(calls))
    most, is_over = [0.0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.05):
            most[0] = max(most[0], rss_mib())

    with scripted_model() as model:
        pump = a_pump(Provider("scripted", model.url, "scripted", (SCRIPTED_MODEL,)))
        watcher = threading.Thread(target=watch)
        watcher.start()
        pump.run()
        is_over.set()
        watcher.join()
    if pump.done["done"] != calls:
        raise RuntimeError(f"not all done: {pump.done}")
    return {"mib": most[0]}


def rss_mib() -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def plain(calls: int) -> dict[str, float]:
    """Calls a second of plain tasks on 4 workers, from the fifth result to the last."""
    set_up(1)
    AgentPool.objects.update(target=0, paused=True)
    leads = make_leads(calls)
    for lead_id in leads:
        enqueue(agents_plain.PATH, lead_id)
    with scripted_model() as model, contextlib.ExitStack() as running:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.agents_plain"],
            cwd=REPOSITORY,
            env=os.environ
            | {"DJANGO_SETTINGS_MODULE": "tests.bench.plain_settings", "SCRIPTED_LLM_URL": model.url},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.callback(kill, process)
        wait_for(5)
        began = time.monotonic()
        wait_for(calls)
        seconds = time.monotonic() - began
    return {"plain": (calls - 5) / seconds}


def claims() -> dict[str, float]:
    """Milliseconds of a claim of 16 among 10,000 queued of 3 kinds and 10 priorities, the median of 50; and
    of the claim that takes the one that waited longest.
    """
    set_up(256)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ai_agents_agenttask (public_id, created_at, updated_at, kind, dedup_key, priority, "
            "run_after, input_hash, prompt_version, params, requested_as, error, state, attempts, "
            "max_attempts, rate_limited, reserved_usd) "
            "SELECT gen_random_uuid(), now(), now(), (ARRAY[%s, 'follow_up', 'third'])[1 + i %% 3], "
            "'k' || i, (i / 3) %% 10, now() - i * interval '1 ms', '', '', '{}', '', '', 'queued', 0, 3, "
            "0, 0 "
            "FROM generate_series(1, 10000) AS i",
            [KIND],
        )
        cursor.execute("ANALYZE ai_agents_agenttask")
    took: dict[bool, list[float]] = {False: [], True: []}
    before = cpu_with_ended_ns(pids_in(cluster_folder())) + 1e9 * time.process_time()
    for turn in range(50):
        for oldest_first in (False, True):
            began = time.perf_counter()
            got = task_queue.claim(KIND, 1 if oldest_first else 16, lease_s=30, oldest_first=oldest_first)
            took[oldest_first].append(1000 * (time.perf_counter() - began))
            AgentTask.objects.filter(pk__in=[task.pk for task in got]).update(
                state="done", finished_at=timezone.now(), lease_until=None, lease_token=None
            )
            if not got:
                raise RuntimeError(f"nothing to claim in turn {turn}")
    used = cpu_with_ended_ns(pids_in(cluster_folder())) + 1e9 * time.process_time() - before
    return {
        "first_ms": statistics.median(took[False]),
        "oldest_ms": statistics.median(took[True]),
        "cpu_ms": used / 1e6 / (len(took[False]) + len(took[True])),
    }


@contextlib.contextmanager
def cluster(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py qcluster` for the agents, in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "qcluster", "--skip-checks"],
        cwd=REPOSITORY,
        env=os.environ | {"Q_CLUSTER_NAME": "ai", "SCRIPTED_LLM_URL": url},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def done() -> int:
    return AgentTask.objects.filter(kind=KIND, state="done").count()


def wait_for(count: int, within_s: float = 300) -> None:
    give_up = time.monotonic() + within_s
    while done() < count:
        if time.monotonic() > give_up:
            raise RuntimeError(f"{done()} of {count} after {within_s} s")
        time.sleep(0.1)


def survive(in_flight: int, calls: int) -> None:
    """Print how a cluster does undisturbed, and what a SIGKILL in the middle costs."""
    set_up(in_flight)
    with scripted_model() as model:
        url = model.url
        queue(make_leads(calls))
        with cluster(url):
            wait_for(calls)
        times = AgentTask.objects.aggregate(first=Min("started_at"), last=Max("finished_at"))
        rate = calls / (times["last"] - times["first"]).total_seconds()
        share = rate * LATENCY_S / in_flight
        print(f"undisturbed: {calls} analyses, {rate:.1f} calls/s, {share:.2f} of {in_flight}/s", flush=True)
        repeated_before = seen(url)["repeated"]
        queue(make_leads(calls))
        with cluster(url) as first:
            wait_for(calls + calls // 2)
            kill(first)
        killed_at, at_kill = time.monotonic(), done() - calls
        flying = AgentTask.objects.filter(state="running", called_at__isnull=False).count()
        print(
            f"SIGKILL of the whole cluster: {at_kill} done, {flying} in flight, the rest queued", flush=True
        )
        with cluster(url):
            wait_for(2 * calls)
        seconds = time.monotonic() - killed_at
        print(f"restarted: {done() - calls} of {calls} done {seconds:.1f} s after the kill")
        scores = Score.objects.filter(kind=ScoreKind.MODEL)
        once = scores.count() == scores.values("lead").distinct().count() == 2 * calls
        repeated = seen(url)["repeated"] - repeated_before
        print(f"each result once: {once}; repeated calls: {repeated} (at most {in_flight})")
        print(f"calls booked: {AgentCall.objects.filter(status='ok').count()} of {2 * calls}")
    if not once or repeated > in_flight:
        raise RuntimeError("a result was lost or doubled, or too many calls were repeated")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    if sys.argv[1] == "kill":
        survive(*numbers)
    else:
        modes: dict[str, Any] = {"memory": memory, "plain": plain, "claim": claims}
        print(json.dumps(modes.get(sys.argv[1], compare)(*numbers)))
