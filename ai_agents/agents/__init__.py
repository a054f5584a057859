"""The agents, by kind. A new kind is its own file, its prompt, and its line in REGISTERED."""

from ai_agents.agents.base import Agent
from ai_agents.agents.follow_up import FollowUpAgent
from ai_agents.agents.lead_analysis import LeadAnalysisAgent
from ai_agents.agents.opportunity import OpportunityAgent
from ai_agents.agents.reply_triage import ReplyTriageAgent

REGISTERED: tuple[Agent, ...] = (
    LeadAnalysisAgent(),
    FollowUpAgent(),
    ReplyTriageAgent(),
    OpportunityAgent(),
)

AGENTS: dict[str, Agent] = {agent.kind: agent for agent in REGISTERED}
NAMES: dict[str, str] = {kind: type(agent).__name__ for kind, agent in AGENTS.items()}

__all__ = [
    "AGENTS",
    "NAMES",
    "Agent",
    "FollowUpAgent",
    "LeadAnalysisAgent",
    "OpportunityAgent",
    "ReplyTriageAgent",
]
