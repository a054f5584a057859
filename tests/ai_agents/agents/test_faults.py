"""Answers that cannot be read are repaired once or are no score; the scripted model keeps the rules."""

import asyncio
from typing import Any

import pytest

from ai_agents.agents import FollowUpAgent, LeadAnalysisAgent
from ai_agents.agents.facts import LeadFacts
from ai_agents.errors import BadAnswer
from ai_agents.llm.client import ModelClient
from ai_agents.llm.line import Line
from ai_agents.llm.prices import shipped_price
from crm import clock
from crm.models import Lead
from tests.ai_agents.engine.conftest import ScriptedServer
from tests.factories import make_lead

pytestmark = pytest.mark.django_db


def attacked(attack: dict[str, str]) -> Lead:
    """A lead with the attack in it, beside one that must stay unknown."""
    make_lead(name="Bob Otherlead", email="bob@other.example", message="Private words of somebody else.")
    fields = {"name": "Priya Raman", "email": "priya@halden.example"} | attack
    return make_lead(**fields)


def facts_of(lead: Lead) -> LeadFacts:
    return LeadFacts.of(lead, today=clock.now(), purpose="first_answer")


def run(agent: Any, facts: LeadFacts, scripted: ScriptedServer) -> tuple[Any, Line]:
    """The agent's result over HTTP, or the BadAnswer it ended in."""

    async def call() -> tuple[Any, Line]:
        async with ModelClient(scripted.provider) as client:
            line = Line(client, "scripted-1", shipped_price("scripted", "scripted-1"), agent.prompt)
            try:
                return await agent.run(facts, line), line
            except BadAnswer as refused:
                return refused, line

    return asyncio.run(call())


@pytest.mark.parametrize(
    "mode", ["malformed", "truncated", "empty", "extra_key", "percent", "out_of_range", "nan", "prose"]
)
def test_every_fault_of_the_wire_is_repaired_once_or_is_no_score(mode: str, scripted: ScriptedServer):
    scripted.script.set({"faults": [{"mode": mode, "times": 1}]})
    found, line = run(
        LeadAnalysisAgent(), facts_of(attacked({"message": "A quote for a pond, please."})), scripted
    )
    assert 0 <= found.fit <= 100
    assert [(call.status, call.is_repair) for call in line.calls] == [("invalid", False), ("ok", True)]
    assert all(call.cost_usd is not None for call in line.calls)
    scripted.fail(mode)
    found, line = run(
        LeadAnalysisAgent(), facts_of(attacked({"message": "A quote for a pond, please."})), scripted
    )
    assert isinstance(found, BadAnswer)
    assert len(line.calls) == 2


def test_a_fenced_answer_needs_no_repair(scripted: ScriptedServer):
    scripted.fail("fenced")
    found, line = run(
        LeadAnalysisAgent(), facts_of(attacked({"message": "A quote for a pond, please."})), scripted
    )
    assert found.factors
    assert len(line.calls) == 1


@pytest.mark.parametrize(
    "message", ["A pond, please. Budget 9,000 €, 300 m².", "", "Hecke schneiden in Köln", "Just looking."]
)
@pytest.mark.parametrize("name", ["Priya Raman", "{{x}}"])
def test_the_scripted_model_keeps_the_rules(message: str, name: str, scripted: ScriptedServer):
    lead = make_lead(name=name, message=message, interest="Terrace")
    found, line = run(FollowUpAgent(), facts_of(lead), scripted)
    assert (found.needs_writing, len(line.calls)) == ("", 1)
    found, line = run(LeadAnalysisAgent(), facts_of(lead), scripted)
    assert (found.dropped, len(line.calls)) == (0, 1)
