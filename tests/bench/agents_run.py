# ruff: noqa: E402  Django is set up before what uses models
"""`python -m tests.bench.agents_run IN_FLIGHT CALLS`: the bare loop, then a pump; the last line is JSON.

`python -m tests.bench.agents_run kill IN_FLIGHT CALLS`: a real cluster, once undisturbed and once killed
half-way. Run by tests/bench/agents.py, which gives it a database of its own.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import date
from typing import Any

import django

django.setup()

from django.db import connection
from django.db.models import Max, Min

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
from gardenos.running_alone import free_port
from tests.bench.harness import REPOSITORY

KIND = "lead_analysis"
LATENCY_S = 1.0
TEXT = (
    "We bought a house last year and would like a terrace of {n} square metres with planting around it. "
    "The soil is heavy clay and the garden slopes to the north. Our budget is about 9 k. Please call me."
)


@contextlib.contextmanager
def scripted_model() -> Iterator[str]:
    """The scripted server in a process of its own. Yields its address."""
    port = free_port()
    command = [sys.executable, "manage.py", "scripted_llm", "--port", str(port), "--latency", str(LATENCY_S)]
    server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                seen(f"http://127.0.0.1:{port}/v1")
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
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
    AgentPool.objects.filter(kind=KIND).update(target=in_flight, max_concurrency=256)
    AgentPool.objects.exclude(kind=KIND).update(target=0, draft_from=100)
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
    with scripted_model() as url:
        provider = Provider("scripted", url, "scripted", (SCRIPTED_MODEL,))
        limit_s, limit_cpu_s = timed(lambda: asyncio.run(bare_loop(provider, facts, in_flight)))
        pump = Pump(provider, Timing(linger_s=0.05, claim_for_s=600), on_slot_free=lambda: None)
        if not pump.take_slot():
            raise RuntimeError("no slot")
        ours_s, ours_cpu_s = timed(pump.run)
    if pump.done["done"] != calls or Score.objects.filter(kind=ScoreKind.MODEL).count() != calls:
        raise RuntimeError(f"not all done: {pump.done}")
    return {
        "ours": calls / ours_s,
        "limit": calls / limit_s,
        "ours_cpu_ms": 1000 * ours_cpu_s / calls,
        "limit_cpu_ms": 1000 * limit_cpu_s / calls,
    }


def timed(work: Any) -> tuple[float, float]:
    """Seconds by the clock and on the CPU (this process)."""
    began, cpu = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - began, time.process_time() - cpu


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
    with scripted_model() as url:
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
        flying = AgentTask.objects.filter(state="running").count()
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
    if sys.argv[1] == "kill":
        survive(int(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(compare(int(sys.argv[1]), int(sys.argv[2]))))
