"""The one module that speaks to a model. One client per event loop; each call bounded by the wall clock.

The SDK's own retries are off: a retry belongs to the queue, where it survives a crash and holds no slot.
Answers are read by us from the raw body, so that usage is kept whatever the text looks like.
"""

import asyncio
import contextlib
import email.utils
import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx2
import openai
import orjson
from openai import AsyncOpenAI, DefaultAioHttpClient

from ai_agents.errors import ModelGone, NoAccess, ProviderError, RateLimited, TimedOut, WrongRequest
from ai_agents.llm.base import Reply
from ai_agents.llm.prices import estimate_tokens
from ai_agents.llm.providers import Provider, model_ids

MAX_RETRY_AFTER_S = 3600.0
# Idle connections are let go before any server does it, or a call would go out on a closing one.
LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=4.0)
MAX_BODY_BYTES = 4_000_000


class ModelClient:
    """An AsyncOpenAI for one provider. Make it, use it and close it inside one event loop."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        # No redirects: an answer must come from the address that the key is for.
        self._openai = AsyncOpenAI(
            base_url=provider.base_url,
            api_key=provider.api_key,
            max_retries=0,
            timeout=600,  # the wall clock below is what ends a call
            http_client=DefaultAioHttpClient(follow_redirects=False, limits=LIMITS),
        )

    async def __aenter__(self) -> "ModelClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._openai.close()

    async def complete(
        self, *, model: str, system: str, user: str, max_tokens: int, temperature: float, timeout_s: float
    ) -> Reply:
        """One chat completion as a JSON object. Raises a ProviderError by kind of failure, TimedOut by
        wall clock.
        """
        try:
            async with asyncio.timeout(timeout_s):
                # The plain request: the body is JSON already, so the SDK's walk through it (a third of what
                # a call costs the CPU) has nothing to find.
                response = await self._openai.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body={
                        "model": model,
                        "messages": [
                            {"role": "system", "content": system},
                            {"role": "user", "content": user},
                        ],
                        "max_tokens": max_tokens,
                        "temperature": temperature,
                        "response_format": {"type": "json_object"},
                    },
                )
        except TimeoutError:
            raise TimedOut from None
        except openai.APIStatusError as error:
            raise _by_status(error) from None
        except openai.APIConnectionError as error:  # a closed connection too is reported as a timeout
            cause = error.__cause__.__class__.__name__ if error.__cause__ else "connection"
            raise ProviderError("connection", cause) from None
        except openai.OpenAIError as error:
            raise ProviderError("sdk", error.__class__.__name__) from None
        return read_reply(
            response.content, prompt=system + user, max_tokens=max_tokens, asked=model,
            request_id=response.headers.get("x-request-id", ""),
        )  # fmt: skip

    async def offered_models(self, *, timeout_s: float = 5.0) -> tuple[str, ...]:
        """Those of the wanted models that GET /models names, in our order; all of them when the list cannot
        be had, or names none.
        """
        wanted = self.provider.models
        with contextlib.suppress(TimeoutError, openai.OpenAIError, ValueError):
            async with asyncio.timeout(timeout_s):
                raw = await self._openai.models.with_raw_response.list()
            offered = set(model_ids(orjson.loads(raw.http_response.content)))
            return tuple(model for model in wanted if model in offered) or wanted
        return wanted


def read_reply(body: bytes, *, prompt: str, max_tokens: int, asked: str, request_id: str = "") -> Reply:
    """The reply in a 2xx body. A body that is no chat completion is the provider's fault: ProviderError."""
    if len(body) > MAX_BODY_BYTES:
        raise ProviderError("body_too_long", f"{len(body)} bytes")
    try:
        answer = orjson.loads(body)
        choice = answer["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
        finish_reason = choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ProviderError("not_a_completion", body[:200].decode("utf-8", "replace").strip()) from None
    text = text if isinstance(text, str) else ""
    tokens_in, tokens_cached, tokens_out, cost = _usage(answer.get("usage"), prompt, text, max_tokens)
    return Reply(
        text=text,
        finish_reason=finish_reason if isinstance(finish_reason, str) else "",
        refusal=refusal if isinstance(refusal, str) else "",
        model=asked,
        tokens_in=tokens_in,
        tokens_cached=tokens_cached,
        tokens_out=tokens_out,
        reported_cost_usd=cost,
        request_id=(request_id or str(answer.get("id") or ""))[:120],
    )


def _usage(usage: Any, prompt: str, text: str, max_tokens: int) -> tuple[int, int, int, Decimal | None]:
    """Tokens in, cached, out, and the cost if reported. Figures that cannot be true are replaced by our
    own count.
    """
    usage = usage if isinstance(usage, dict) else {}
    most_in = len(prompt.encode("utf-8", "replace")) + 1000  # no tokeniser makes more than a token a byte
    tokens_in = _count(usage.get("prompt_tokens"), most_in) or estimate_tokens(prompt)
    tokens_out = _count(usage.get("completion_tokens"), max(max_tokens, len(text)) + 1000)
    if tokens_out is None:
        tokens_out = estimate_tokens(text)
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens"), tokens_in) if isinstance(details, dict) else 0
    return tokens_in, cached or 0, tokens_out, _cost(usage.get("estimated_cost"))


def _count(value: Any, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _cost(value: Any) -> Decimal | None:
    """DeepInfra's own figure, USD. Rounded up to a millionth."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    if not cost.is_finite() or not 0 <= cost < 100:
        return None
    return cost.quantize(Decimal("0.000001"), rounding="ROUND_UP")


def _by_status(error: openai.APIStatusError) -> ProviderError:
    """AI.md's outcome table: which status spends an attempt, which ends the task, which stops the pool."""
    status = error.status_code
    reason = f"http_{status}"
    if status == 429:
        return RateLimited(reason, retry_after_s=_retry_after(error.response.headers.get("retry-after")))
    if status in (401, 402, 403):
        return NoAccess(reason)
    if status == 404:
        return ModelGone(reason, _message(error))
    if status in (400, 413, 422):
        return WrongRequest(reason, _message(error))
    return ProviderError(reason)


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else ""
    return str(message or "")[:200]


def _retry_after(header: str | None) -> float | None:
    """Seconds, from delta seconds or an HTTP date (RFC 9110, 10.2.3); at most an hour, None when
    unreadable.
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    if seconds != seconds or seconds < 0:  # NaN, or a date gone by
        return 0.0
    return min(seconds, MAX_RETRY_AFTER_S)


def elapsed_ms(since: float) -> int:
    """Milliseconds since a `time.monotonic()`."""
    return round((time.monotonic() - since) * 1000)
