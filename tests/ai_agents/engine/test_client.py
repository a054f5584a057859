"""One call to a model over real HTTP: how each way to fail is named, bounded and paid."""

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal

import pytest

from ai_agents.errors import (
    AgentError,
    BadAnswer,
    ModelGone,
    NoAccess,
    ProviderError,
    RateLimited,
    TimedOut,
    WrongRequest,
)
from ai_agents.llm.base import CallRecord, Reply
from ai_agents.llm.client import ModelClient, read_reply
from ai_agents.llm.line import Line
from ai_agents.llm.prices import SHIPPED, price, shipped_price
from tests.ai_agents.engine.conftest import ScriptedServer

FACTS = {
    "agent": "lead_analysis",
    "facts": [
        {"id": "inquiry-1", "kind": "inquiry", "text": "We have a budget of 9 k. Please visit us soon!"}
    ],
}
USER = f"<lead_data_1a2b>{json.dumps(FACTS)}</lead_data_1a2b>"


def ask(
    server: ScriptedServer, parse: Callable = json.loads, timeout_s: float = 5
) -> tuple[object, list[CallRecord]]:
    """One question through a Line: (answer or the error it ended in, the calls it booked)."""

    async def run() -> tuple[object, list[CallRecord]]:
        async with ModelClient(server.provider) as client:
            line = Line(client, "scripted-gardener", price("1", "1", "2"), "lead_analysis.v1")
            try:
                answer: object = await line.ask(
                    system="You are a JSON machine.", user=USER, parse=parse, max_tokens=500, temperature=0.3,
                    timeout_s=timeout_s,
                )  # fmt: skip
            except AgentError as error:
                answer = error
            return answer, line.calls

    return asyncio.run(run())


def test_an_answer_comes_with_its_tokens_and_its_cost(scripted: ScriptedServer):
    answer, [call] = ask(scripted)
    assert set(answer) == {
        "fit",
        "summary",
        "reasons",
        "recommended_action",
        "timeline",
        "risks",
        "missing",
        "would_change",
    }
    assert call.status == "ok"
    assert (
        call.cost_usd == price("1", "1", "2").cost(tokens_in=call.tokens_in, tokens_out=call.tokens_out) > 0
    )


def test_the_same_facts_bring_the_same_answer_and_quotes_are_verbatim(scripted: ScriptedServer):
    first, _ = ask(scripted)
    second, _ = ask(scripted)
    assert first == second
    assert first["reasons"]
    assert all(reason["quote"] in FACTS["facts"][0]["text"] for reason in first["reasons"])
    assert scripted.seen()["repeated"] == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [("400", WrongRequest), ("401", NoAccess), ("402", NoAccess), ("403", NoAccess), ("404", ModelGone),
     ("408", ProviderError), ("422", WrongRequest), ("429", RateLimited), ("500", ProviderError),
     ("503", ProviderError)],
)  # fmt: skip
def test_each_status_is_one_kind_of_failure_after_one_request(scripted: ScriptedServer, status, error):
    scripted.fail(status)
    answer, [call] = ask(scripted)
    assert type(answer) is error
    assert scripted.seen()["requests"] == 1, "the SDK must not repeat a call by itself"
    assert call.status == ("rate_limited" if status == "429" else "error")
    assert call.booked_usd == 0


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0.5", 0.5), ("999999", 3600), ("soon", None), ("", None), ("-3", 0)]
)
def test_retry_after_is_read_and_bounded(scripted: ScriptedServer, header, seconds):
    scripted.fail("429", retry_after=header)
    answer, _ = ask(scripted)
    assert answer.retry_after_s == seconds


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_the_wall_clock_bounds_a_hang_and_a_drip(scripted: ScriptedServer, mode):
    scripted.fail(mode, every_s=0.1)
    began = time.monotonic()
    answer, [call] = ask(scripted, timeout_s=0.6)
    assert isinstance(answer, TimedOut)
    assert time.monotonic() - began < 2.5
    assert call.status == "timeout"
    assert call.booked_usd > 0, "what it cost is unknown, so the worst is booked"


def test_a_closed_connection_is_the_providers_failure(scripted: ScriptedServer):
    scripted.fail("reset")
    answer, [call] = ask(scripted)
    assert isinstance(answer, ProviderError)
    assert call.status == "error"


@pytest.mark.parametrize(
    ("mode", "status"),
    [("truncated", "invalid"), ("empty", "invalid"), ("refusal", "refused"), ("content_filter", "refused")],
)  # fmt: skip
def test_an_answer_that_is_none_still_costs_what_it_cost(scripted: ScriptedServer, mode, status):
    scripted.fail(mode)
    answer, [call] = ask(scripted)
    assert isinstance(answer, AgentError)
    assert call.status == status
    assert call.cost_usd > 0


def test_usage_is_kept_when_the_parser_refuses(scripted: ScriptedServer):
    def refuse(text: str) -> None:
        raise BadAnswer("missing_key", "fit is missing")

    answer, [call] = ask(scripted, parse=refuse)
    assert answer.reason == "missing_key"
    assert (call.status, call.error) == ("invalid", "missing_key")
    assert call.cost_usd > 0
    assert call.output.startswith("{")


def test_a_200_that_is_no_completion_is_the_providers_failure(scripted: ScriptedServer):
    scripted.fail("not_json_body")
    answer, _ = ask(scripted)
    assert type(answer) is ProviderError
    assert answer.reason == "not_a_completion"


@pytest.mark.parametrize("mode", ["no_usage", "wrong_usage"])
def test_missing_or_absurd_usage_is_replaced_by_our_own_count(scripted: ScriptedServer, mode):
    scripted.fail(mode)
    _, [call] = ask(scripted)
    assert 10 < call.tokens_in < 400
    assert 10 < call.tokens_out < 1000


def test_the_providers_own_cost_wins():
    reply = read_reply(
        b'{"choices":[{"message":{"content":"{}"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":350,"completion_tokens":150,"estimated_cost":0.00015}}',
        prompt="x" * 1400, max_tokens=1000, asked="m",
    )  # fmt: skip
    assert reply.reported_cost_usd == Decimal("0.000150")
    assert isinstance(reply, Reply)


def test_a_model_without_a_price_is_taken_for_a_dear_one():
    assert shipped_price("openai_compatible", "nobody/knows").usd_out >= max(
        one.price.usd_out for one in SHIPPED
    )
    assert shipped_price("scripted", "nobody/knows").usd_out == 0


def test_wanted_models_that_are_not_offered_are_left_out(scripted: ScriptedServer):
    async def offered(*wanted: str) -> tuple[str, ...]:
        provider = type(scripted.provider)("scripted", scripted.url, "k", wanted)
        async with ModelClient(provider) as client:
            return await client.offered_models()

    scripted.script.set({"models": ["old", "new"]})
    assert asyncio.run(offered("gone", "new", "old")) == ("new", "old")
    assert asyncio.run(offered("gone", "gone too")) == ("gone", "gone too"), "a list may be incomplete"
