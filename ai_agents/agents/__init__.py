"""The agents, by kind. A new kind is its own file, its prompt, and its line in REGISTERED."""

from functools import cache

from ai_agents.agents.base import Agent
from ai_agents.agents.follow_up import FollowUpAgent
from ai_agents.agents.lead_analysis import LeadAnalysisAgent
from ai_agents.agents.opportunity import OpportunityAgent
from ai_agents.agents.reply_triage import ReplyTriageAgent
from ai_agents.prompts import PromptRefused, load

REGISTERED: tuple[Agent, ...] = (
    LeadAnalysisAgent(),
    FollowUpAgent(),
    ReplyTriageAgent(),
    OpportunityAgent(),
)

AGENTS: dict[str, Agent] = {agent.kind: agent for agent in REGISTERED}
NAMES: dict[str, str] = {kind: type(agent).__name__ for kind, agent in AGENTS.items()}


@cache
def agent_for(kind: str, version: str = "") -> Agent:
    """The agent with this version of its instructions; with those it came with if there is none such."""
    agent = AGENTS[kind]
    if version in {"", agent.version}:
        return agent
    try:
        load(version)
    except PromptRefused:
        return agent
    return type(agent)(version)


__all__ = [
    "AGENTS",
    "NAMES",
    "Agent",
    "FollowUpAgent",
    "LeadAnalysisAgent",
    "OpportunityAgent",
    "ReplyTriageAgent",
    "agent_for",
]
