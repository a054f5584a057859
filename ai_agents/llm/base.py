"""What agents see of a model, and what one call leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class LLM(Protocol):
    """One task's line to the model."""

    async def ask(
        self,
        *,
        system: str,
        user: str,
        parse: Callable[[str], T],
        max_tokens: int,
        temperature: float,
        timeout_s: float,
        is_repair: bool = False,
    ) -> T:
        """Make one call and return what `parse` makes of its text.

        Raises BadAnswer (from `parse`, or for an empty or cut answer), Refused, or a ProviderError. The
        call is booked in every case. `timeout_s` is wall clock, the whole answer included.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer, before anybody looks into its text. Tokens are the provider's, or ours when it gave
    none.
    """

    text: str
    finish_reason: str
    refusal: str
    model: str
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    reported_cost_usd: Decimal | None
    request_id: str


@dataclass(slots=True)
class CallRecord:
    """One HTTP call, as AgentCall stores it. `worst_usd` is what it could cost when nobody can say what it
    did.
    """

    provider: str
    model: str
    status: str
    ms: int
    is_repair: bool = False
    tokens_in: int | None = None
    tokens_cached: int | None = None
    tokens_out: int | None = None
    cost_usd: Decimal | None = None
    worst_usd: Decimal = Decimal(0)
    request_id: str = ""
    input: dict[str, Any] = field(default_factory=dict)
    output: str = ""
    error: str = ""

    @property
    def booked_usd(self) -> Decimal:
        """What the budget is charged: the known cost; the worst for a call whose answer we did not wait
        for.
        """
        if self.cost_usd is not None:
            return self.cost_usd
        return self.worst_usd if self.status == "timeout" else Decimal(0)
