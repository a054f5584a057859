"""What becomes of a task by how its run ended. One table, no database.

| ended in | state | attempt | again after |
|---|---|---|---|
| a result | done | spent | |
| a result on facts that have changed meanwhile | cancelled `superseded`, not shown | spent | |
| unreadable answer, also after its repair | dead `invalid_output` | spent | |
| refused, content filter | dead `refused`: for a person | spent | |
| 429 | queued, up to 20 times | given back | Retry-After, else backoff |
| 408, 5xx, timeout, connection, no completion | queued until attempts are spent | spent | backoff |
| the same, while the model's circuit is open | queued | given back | a moment; the circuit holds it |
| 401, 402, 403, 404: opens the circuit | queued | given back | a moment; the circuit holds it |
| 400, 413, 422 | dead `wrong_request` | spent | |
| the pump stops, or its cluster is ended from outside | queued | given back | at once |
| its process dies, and it was alone: the lease runs out | queued until attempts are spent | spent | backoff |
| the same with others, whose fault it may be | queued, up to 10 times | given back | backoff |
| a fault in the agent's own code | queued until attempts are spent | spent | backoff |
"""

import random
from dataclasses import dataclass

from ai_agents.errors import (
    AgentError,
    BadAnswer,
    Interrupted,
    ModelGone,
    NoAccess,
    ProviderError,
    RateLimited,
    Refused,
    WrongRequest,
)
from ai_agents.models import AgentTask, TaskState

BACKOFF_FIRST_S = 2.0
BACKOFF_MOST_S = 900.0
MOST_RATE_LIMITED = 20
MOST_LOST = 10  # a task that kills its pump every time takes others along; so many times at most
A_MOMENT_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`again_s` only for queued. `gives_back` returns the attempt that the claim counted."""

    state: TaskState
    error: str = ""
    again_s: float = 0.0
    gives_back: bool = False
    is_rate_limited: bool = False
    is_lost: bool = False


DONE = Outcome(TaskState.DONE)
OVERTAKEN = Outcome(TaskState.CANCELLED, "superseded")


def backoff_s(tries: int) -> float:
    """Full jitter: anything from 0 to 2 s x 2^tries, at most 15 minutes."""
    return random.uniform(0, min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(tries, 20)))  # noqa: S311


def outcome_of(task: AgentTask, error: BaseException, *, is_down: bool = False) -> Outcome:
    """The row of the table for this error. `task.attempts` counts the run that just ended; `is_down`: the
    circuit of its model is open, so that the failure is not the task's.
    """
    if isinstance(error, RateLimited):
        return _rate_limited(task, error)
    if isinstance(error, Interrupted):
        return Outcome(TaskState.QUEUED, error.code, gives_back=True)
    if isinstance(error, BadAnswer | Refused | WrongRequest):
        return Outcome(TaskState.DEAD, f"{error.code}:{error.reason}"[:60])
    if isinstance(error, NoAccess | ModelGone) or (is_down and isinstance(error, ProviderError)):
        again_s = random.uniform(0, A_MOMENT_S)  # noqa: S311
        return Outcome(TaskState.QUEUED, f"{error.code}:{error.reason}"[:60], again_s, gives_back=True)
    code = (
        f"{error.code}:{error.reason}"
        if isinstance(error, AgentError)
        else f"agent_failed:{type(error).__name__}"
    )
    if task.attempts >= task.max_attempts:
        return Outcome(TaskState.DEAD, code[:60])
    return Outcome(TaskState.QUEUED, code[:60], backoff_s(task.attempts - 1))


def after_lost_lease(task: AgentTask, *, in_company: bool) -> Outcome:
    """Nobody saw how the run ended: its process has died, or hangs. `in_company`: others were lost with it,
    and nobody knows whose fault it was.
    """
    is_spent = task.lost + 1 >= MOST_LOST if in_company else task.attempts >= task.max_attempts
    if is_spent:
        return Outcome(TaskState.DEAD, "lease_lost", is_lost=in_company)
    tries = task.lost if in_company else task.attempts - 1
    return Outcome(
        TaskState.QUEUED, "lease_lost", backoff_s(tries), gives_back=in_company, is_lost=in_company
    )


def _rate_limited(task: AgentTask, error: RateLimited) -> Outcome:
    if task.rate_limited + 1 >= MOST_RATE_LIMITED:
        return Outcome(TaskState.DEAD, error.code, is_rate_limited=True)
    if error.retry_after_s is None:
        again_s = BACKOFF_FIRST_S / 2 + backoff_s(task.rate_limited)
    else:
        again_s = error.retry_after_s + random.uniform(0, 1)  # noqa: S311  not all at the same moment
    return Outcome(TaskState.QUEUED, error.code, again_s, gives_back=True, is_rate_limited=True)
