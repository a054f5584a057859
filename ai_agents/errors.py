"""How the agents' work can fail."""

from typing import ClassVar


class AgentError(Exception):
    """`code` is stored with the task; texts never hold a lead's data or a provider's answer."""

    code: ClassVar[str] = "agent_error"


class BadAnswer(AgentError):
    """The model left the agreed shape. `reasons` are short sentences that the one repair call is given."""

    code = "invalid_output"

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
