# ruff: noqa: E402  Django is set up before what uses models
"""`python -m tests.bench.agents_plain`: a cluster of plain tasks, one call to the model each, on 4 workers.

What most people would write: read the lead, ask, store the answer. Run by tests/bench/agents_run.py as the
side that pumps are compared with.
"""

import asyncio

import django

django.setup()

from django.core.management import call_command
from django.utils import timezone

from ai_agents.agents import AGENTS
from ai_agents.agents.base import Finished
from ai_agents.llm.client import ModelClient
from ai_agents.llm.line import Line
from ai_agents.llm.prices import price
from ai_agents.llm.providers import SCRIPTED_MODEL, current_provider
from ai_agents.models import AgentTask, TaskState
from crm.tasks import task

KIND = "lead_analysis"


@task()
def analyse(lead_id: int) -> None:
    """One call, one score."""
    agent = AGENTS[KIND]
    row = AgentTask.objects.create(
        kind=KIND, lead_id=lead_id, dedup_key=f"plain {lead_id}", state=TaskState.DONE,
        prompt_version=agent.prompt, finished_at=timezone.now(),
    )  # fmt: skip
    [facts] = agent.read([row])

    async def ask() -> object:
        async with ModelClient(current_provider()) as client:
            return await agent.run(facts, Line(client, SCRIPTED_MODEL, price("1", "1", "1"), agent.prompt))

    agent.store([Finished(row, facts, asyncio.run(ask()), "scripted", SCRIPTED_MODEL)])


PATH = "tests.bench.agents_plain.analyse"

if __name__ == "__main__":
    import tests.bench.agents_plain  # noqa: F401  registers the task under its path

    call_command("qcluster")
