"""One task's line to the model: makes the call, keeps what it cost, judges whether there is an answer at
all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from ai_agents.errors import AgentError, BadAnswer, ProviderError, Refused, TimedOut
from ai_agents.llm.base import CallRecord, Reply
from ai_agents.llm.client import ModelClient, elapsed_ms
from ai_agents.llm.prices import Price

T = TypeVar("T")
MAX_STORED_OUTPUT = 20_000  # characters; what lies beyond tells nobody anything


@dataclass(slots=True)
class Line:
    """Implements `ai_agents.llm.base.LLM`. `calls` holds every call made, answered or not."""

    client: ModelClient
    model: str
    price: Price
    prompt_version: str
    calls: list[CallRecord] = field(default_factory=list)

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
        """See LLM.ask. The call is in `calls` before its text is read."""
        began = time.monotonic()
        call = CallRecord(
            provider=self.client.provider.name,
            model=self.model,
            status="error",
            ms=0,
            is_repair=is_repair,
            worst_usd=self.price.worst(
                len((system + user).encode("utf-8", "replace")), max_tokens=max_tokens
            ),
            input={"prompt": self.prompt_version, "user": user},
        )
        self.calls.append(call)
        try:
            reply = await self.client.complete(
                model=self.model, system=system, user=user,
                max_tokens=max_tokens, temperature=temperature, timeout_s=timeout_s,
            )  # fmt: skip
        except AgentError as error:
            call.status = _status_of(error)
            call.error = error.reason[:60]
            call.output = error.detail[:200]
            raise
        except BaseException:  # cancelled: the pump stops or the task was taken away; the money may be gone
            call.status, call.error = "timeout", "cancelled"
            raise
        finally:
            call.ms = elapsed_ms(began)
        self._book(call, reply)
        try:
            return parse(_text_of(reply))
        except AgentError as error:
            call.status = _status_of(error)
            call.error = error.reason[:60]
            raise

    def _book(self, call: CallRecord, reply: Reply) -> None:
        call.status = "ok"
        call.tokens_in, call.tokens_cached, call.tokens_out = (
            reply.tokens_in,
            reply.tokens_cached,
            reply.tokens_out,
        )
        call.cost_usd = self._cost(reply)
        call.request_id = reply.request_id
        call.output = reply.text[:MAX_STORED_OUTPUT].replace("\0", "")

    def _cost(self, reply: Reply) -> Decimal:
        if reply.reported_cost_usd is not None:
            return reply.reported_cost_usd
        return self.price.cost(
            tokens_in=reply.tokens_in, tokens_cached=reply.tokens_cached, tokens_out=reply.tokens_out
        )


def _text_of(reply: Reply) -> str:
    """The text that is worth parsing. Raises Refused or BadAnswer when there is none."""
    if reply.refusal or reply.finish_reason == "content_filter":
        raise Refused("content_filter" if reply.finish_reason == "content_filter" else "refusal")
    if reply.finish_reason == "length":
        raise BadAnswer("truncated")
    if not reply.text.strip():
        raise BadAnswer("empty")
    return reply.text


def _status_of(error: AgentError) -> str:
    if isinstance(error, TimedOut):
        return "timeout"
    if isinstance(error, ProviderError):
        return "rate_limited" if error.code == "rate_limited" else "error"
    return "refused" if isinstance(error, Refused) else "invalid"
