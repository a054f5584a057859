"""The agents, by kind. Read, ask, return: what they find is stored by ai_agents.actions."""

from ai_agents.agents.base import Agent
from ai_agents.agents.follow_up import FollowUpAgent
from ai_agents.agents.lead_analysis import LeadAnalysisAgent

AGENTS: dict[str, Agent] = {agent.kind: agent for agent in (LeadAnalysisAgent(), FollowUpAgent())}

__all__ = ["AGENTS", "Agent", "FollowUpAgent", "LeadAnalysisAgent"]
