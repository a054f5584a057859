"""One pump with 64 calls in flight, against a scripted model that takes a second for each."""

import os
import sys
import time
from collections.abc import Callable

from django.db import transaction

from ai_agents.actions.pools import pause_agents, resume_agents, scale_agents
from ai_agents.actions.requests import request_analysis_batch
from ai_agents.models import AgentTask, TaskState
from crm.models import Actor, Lead
from crm.tasks import AI, heartbeat_age_s
from gardenos.running_alone import free_port
from tests.bench.harness import Row, serving
from tests.bench.surroundings import cluster, prepare

TASKS = 1_000
IN_FLIGHT = 64
LATENCY_S = 1.0
MOST_S = 180
KIND = "lead_analysis"


def agents_64() -> Row:
    """Analyses a second from the request until the last is stored, beside 64 a second."""
    prepare()
    by, port = Actor.system("bench"), free_port()
    os.environ.update(
        AI_PROVIDER="scripted", SCRIPTED_LLM_URL=f"http://127.0.0.1:{port}/v1", AI_DAILY_BUDGET_USD="1000"
    )
    manage = [sys.executable, "manage.py"]
    model = [*manage, "scripted_llm", "--port", str(port), "--latency", str(LATENCY_S)]
    AgentTask.objects.filter(state=TaskState.QUEUED).delete()
    scale_agents(KIND, target=IN_FLIGHT, by=by)
    pause_agents("follow_up", by=by)
    fresh = Lead.objects.open().exclude(agent_tasks__kind=KIND)  # the same facts are not analysed twice a day
    leads = list(fresh.order_by("-pk").values_list("pk", flat=True)[:TASKS])
    try:
        with (
            serving(model, port, cluster()),
            serving([*manage, "qcluster_watch", "--cluster", AI, "--stop-within", "8"], port, cluster()),
        ):
            _wait(lambda: (heartbeat_age_s(AI) or 99) < 5)
            began = time.monotonic()
            with transaction.atomic():
                queued = request_analysis_batch(leads, by=by)
            _wait(lambda: not _open())
            seconds = time.monotonic() - began
    finally:
        resume_agents("follow_up", by=by)
        scale_agents(KIND, target=3, by=by)
    done = AgentTask.objects.filter(lead__in=leads, kind=KIND, state=TaskState.DONE).values("lead").distinct()
    if not done.count() == queued == TASKS:
        raise RuntimeError(f"{done.count()} of {queued} queued analyses are done; {TASKS} were wanted")
    return Row("agents_64", "calls a second", TASKS / seconds, IN_FLIGHT / LATENCY_S, TASKS)


def _open() -> bool:
    return AgentTask.objects.filter(kind=KIND, state__in=[TaskState.QUEUED, TaskState.RUNNING]).exists()


def _wait(question: Callable[[], bool]) -> None:
    give_up = time.monotonic() + MOST_S
    while not question():
        if time.monotonic() > give_up:
            raise RuntimeError(f"it took more than {MOST_S} s")
        time.sleep(0.1)


JOBS = (agents_64,)
