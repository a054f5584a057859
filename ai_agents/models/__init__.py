"""The tables of the agents."""

from ai_agents.models.control import BudgetCap
from ai_agents.models.history import AgentPoolHistory
from ai_agents.models.judging import CircuitState, ProviderHealth, ScoringModel
from ai_agents.models.lab import AnswerState, Arm, PromptUse, Replay, ReplayAnswer, ReplayState
from ai_agents.models.queue import (
    AgentCall,
    AgentPool,
    AgentTask,
    Budget,
    CallStatus,
    ModelPrice,
    PumpLease,
    TaskState,
)

__all__ = [
    "AgentCall",
    "AgentPool",
    "AgentPoolHistory",
    "AgentTask",
    "AnswerState",
    "Arm",
    "Budget",
    "BudgetCap",
    "CallStatus",
    "CircuitState",
    "ModelPrice",
    "PromptUse",
    "ProviderHealth",
    "PumpLease",
    "Replay",
    "ReplayAnswer",
    "ReplayState",
    "ScoringModel",
    "TaskState",
]
