"""Real clusters, in processes of their own, killed and stopped while calls are in the air."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.db import connection

from ai_agents.actions.requests import request_analysis
from ai_agents.models import AgentCall, AgentTask
from crm.models import Actor, Heartbeat, Score, ScoreKind
from tests.ai_agents.engine.conftest import Engine, until

SHORT = '{"lease_s": 1, "slot_s": 0.5, "control_s": 0.2, "linger_s": 2}'
QUICK = '{"lease_s": 3, "renew_s": 1, "slot_s": 2, "control_s": 0.5, "beat_s": 1}'
POISON = """
import os, signal, sys
import django
django.setup()
from ai_agents.agents.lead_analysis import LeadAnalysisAgent
from ai_agents.tasks import run_pump
run = LeadAnalysisAgent.run
async def deadly(self, facts, llm):
    if any("poison" in fact.text for fact in facts.facts):
        os.kill(os.getpid(), signal.SIGKILL)
    return await run(self, facts, llm)
LeadAnalysisAgent.run = deadly
print(run_pump(wait_s=10))
"""


def environment(engine: Engine) -> dict[str, str]:
    """What a process needs to work on this test's database, with the app's rights."""
    db = connection.settings_dict
    url = (
        f"postgresql://{quote(db['USER'])}:{quote(db['PASSWORD'])}@{db['HOST']}:{db['PORT']}/{db['NAME']}"
        "?options=-c%20role%3Dgardenos_app"
    )
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": url,
        "DATABASE_OWNER_URL": url,
        "SECRET_KEY": django_settings.SECRET_KEY,
        "AI_PROVIDER": "scripted",
        "SCRIPTED_LLM_URL": engine.server.url,
        "Q_CLUSTER_NAME": "ai",
        "TEST_AI_TIMING": QUICK,
        "PYTHONPATH": str(django_settings.BASE_DIR),
    }


@contextmanager
def cluster(engine: Engine) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py qcluster` for the agents, as a process group that is gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "qcluster", "--skip-checks"],
        cwd=django_settings.BASE_DIR,
        env=environment(engine),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def scored() -> int:
    return Score.objects.filter(kind=ScoreKind.MODEL, is_current=True).count()


@pytest.mark.timeout(120)
def test_killing_the_whole_cluster_loses_nothing_and_repeats_only_what_was_in_the_air(engine: Engine):
    engine.target(24)
    engine.queue(120)
    engine.server.script.latency_s = 0.5
    with cluster(engine) as first:
        until(lambda: engine.states()["done"] >= 30, within_s=40)
        kill_group(first)
    in_the_air = AgentTask.objects.filter(state="running", called_at__isnull=False).count()
    assert 0 < in_the_air <= 24
    with cluster(engine):
        until(lambda: engine.states() == {"done": 120}, within_s=60, every_s=0.2)
    assert scored() == Score.objects.filter(kind=ScoreKind.MODEL).count() == 120, "each result once"
    assert engine.server.seen()["repeated"] <= in_the_air
    # a call is booked before its result is stored, so that its cost is known even when the result is lost
    assert 120 <= AgentCall.objects.filter(status="ok").count() <= 120 + in_the_air


@pytest.mark.timeout(90)
def test_a_cluster_told_to_stop_drains_and_gives_back_what_it_could_not_finish(engine: Engine):
    engine.target(8)
    engine.queue(60)
    engine.server.script.latency_s = 0.4
    with cluster(engine) as process:
        until(lambda: engine.states()["done"] >= 8, within_s=40)
        began = time.monotonic()
        process.terminate()
        process.wait(20)
        assert time.monotonic() - began < 10
    states = engine.states()
    assert set(states) == {"done", "queued"}
    assert states["done"] + states["queued"] == 60
    assert set(AgentTask.objects.filter(state="queued").values_list("attempts", flat=True)) == {0}
    assert scored() == states["done"]
    assert engine.server.seen()["repeated"] == 0
    assert Heartbeat.objects.filter(name="cluster:ai").exists()


@pytest.mark.timeout(90)
def test_a_task_that_kills_its_process_dies_after_its_attempts(engine: Engine):
    engine.target(1)
    [poisoned] = engine.leads(1, text="This is poison to the pump.")
    request_analysis(poisoned.pk, by=Actor.system(), priority=0)
    engine.queue(3)
    env = environment(engine) | {
        "TEST_AI_TIMING": '{"lease_s": 1, "slot_s": 0.5, "control_s": 0.2, "linger_s": 2}'
    }
    deaths = 0
    for _ in range(6):
        if engine.states().keys() <= {"done", "dead"}:
            break
        AgentTask.objects.filter(state="queued").update(run_after="2020-01-01T00:00:00Z")  # no backoff here
        command = [sys.executable, "-c", POISON]
        ended = subprocess.run(
            command, env=env, cwd=django_settings.BASE_DIR, capture_output=True, timeout=60
        )
        deaths += ended.returncode == -signal.SIGKILL
    assert deaths == 3
    assert AgentTask.objects.get(lead=poisoned).state == "dead"
    assert AgentTask.objects.get(lead=poisoned).attempts == 3
    assert engine.states() == {"done": 3, "dead": 1}
