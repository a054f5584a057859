"""What people's own records among ours were before, kept as `crm/models/history.py` says (ADR 0018)."""

from ai_agents.models.queue import AgentPool
from crm.models import keep_history

AgentPoolHistory = keep_history(AgentPool, {"paced_until"})
