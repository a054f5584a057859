"""The agents, by kind. Read, ask, return: what they find is stored by ai_agents.actions."""

from ai_agents.agents.base import Agent
from ai_agents.agents.follow_up import FollowUpAgent
from ai_agents.agents.lead_analysis import LeadAnalysisAgent

AGENTS: dict[str, Agent] = {agent.kind: agent for agent in (LeadAnalysisAgent(), FollowUpAgent())}
NAMES: dict[str, str] = {kind: type(agent).__name__ for kind, agent in AGENTS.items()}

__all__ = ["AGENTS", "NAMES", "Agent", "FollowUpAgent", "LeadAnalysisAgent"]
