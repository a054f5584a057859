"""What can go wrong between a task and its answer. None of these reaches a door: the pump turns each into
an outcome.

The outcome of each is one row of the table in ai_agents/actions/outcomes.py; `code` is what AgentTask.error
and the metrics say.
"""

from typing import ClassVar


class AgentError(Exception):
    """Anything an agent's run may end in, other than a result.

    `code` and `reason` are stored with the task and the call: short words, never a lead's data. `detail` is
    for the repair call and for people who look at one call.
    """

    code: ClassVar[str] = "error"

    def __init__(self, reason: str = "", detail: str = "") -> None:
        super().__init__(reason or self.code)
        self.reason = reason or self.code
        self.detail = detail


class BadAnswer(AgentError):
    """The model left the agreed shape. `reason` is a short code (`empty`, `truncated`, `not_json`, ...)."""

    code = "invalid_output"


class Refused(AgentError):
    """The model or its content filter declined. A person looks at it; it is not asked again."""

    code = "refused"


class ProviderError(AgentError):
    """The call did not bring an answer. Asked again later, by backoff; an attempt is spent."""

    code = "provider_error"


class TimedOut(ProviderError):
    """The wall clock of the call ran out. What it cost is unknown."""

    code = "timeout"


class RateLimited(ProviderError):
    """429: come back in `retry_after_s` (None: the provider did not say). Spends no attempt."""

    code = "rate_limited"

    def __init__(self, reason: str = "", detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(reason, detail)
        self.retry_after_s = retry_after_s


class WrongRequest(ProviderError):
    """400, 413, 422: asking the same again cannot help."""

    code = "wrong_request"


class ModelGone(ProviderError):
    """404: the provider has no such model (any more). Tasks wait, or go to the next model."""

    code = "model_gone"


class NoAccess(ProviderError):
    """401, 402, 403: the key is wrong, spent or barred. Tasks wait until it works again."""

    code = "no_access"


class Interrupted(AgentError):
    """The run was ended from outside: the pump drains, or the lease is gone. Spends no attempt."""

    code = "interrupted"
