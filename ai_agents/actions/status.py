"""What crm and its screens may know of the agents; `ai_agents.apps` puts these behind `crm.ports`."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection

from ai_agents.actions.budget import CALLS_PER_RUN
from ai_agents.actions.calls import price_of
from ai_agents.actions.health import FAILING_OF, SILENT_S, STALE_S, STATE, Trouble, troubles
from ai_agents.agents import AGENTS
from ai_agents.llm.prices import Price
from ai_agents.llm.providers import Provider, current_provider
from ai_agents.models import AgentTask, TaskState
from crm import clock
from crm.ports import AIStatus

TOKENS_OF_ANALYSIS = (1_200, 300)  # in and out, of a lead with one inquiry and a note
PROMPT_BYTES = 6_000  # of the instructions and a lead with one inquiry and a note

_STATUS = f"""
SELECT (SELECT coalesce(sum(target), 0) FROM ai_agents_agentpool WHERE NOT paused),
       (SELECT count(*) FROM (SELECT 1 FROM ai_agents_agenttask WHERE state = 'queued' LIMIT 1000) AS first),
       (SELECT spent FROM ai_agents_budget
        WHERE scope = 'all' AND day = (now() AT TIME ZONE 'UTC')::date),
       (SELECT usd_day FROM ai_agents_budgetcap WHERE scope = 'all'),
       ({STATE})
"""  # noqa: S608  two statements of our own


def price_of_analysis(n: int) -> Decimal:
    """Expected USD for `n` analyses; 0 when AI is off or its answers are scripted."""
    provider = current_provider()
    if not provider.is_on or provider.is_sample:
        return Decimal(0)
    price = price_of(provider.name, provider.models[0], clock.now().date())
    return (n * _analysis(price)).quantize(Decimal("0.01"), rounding="ROUND_UP")


def _analysis(price: Price) -> Decimal:
    tokens_in, tokens_out = TOKENS_OF_ANALYSIS
    return price.cost(tokens_in=tokens_in, tokens_out=tokens_out)


def ai_status() -> AIStatus:
    """One line about the agents, in one query (two when the provider has a price)."""
    provider = current_provider()
    if not provider.is_on:
        return AIStatus()
    running, queued, spent, cap, state = _read(provider)
    found = troubles(provider, state, least_usd=_set_aside(provider))
    return AIStatus(
        provider=provider.name,
        model=(state["used"] or {}).get("model") or provider.models[0],
        is_on=True,
        is_sample=provider.is_sample,
        running=running,
        queued=queued,
        spent_today_usd=spent or Decimal(0),
        budget_usd=Decimal(str(settings.AI_DAILY_BUDGET_USD)) if cap is None else cap,
        trouble=found[0].text if found else "",
    )


def current_troubles() -> list[Trouble]:
    """What keeps the agents from working now, the worst first. Two queries."""
    provider = current_provider()
    if not provider.is_on:
        return []
    return troubles(provider, _read(provider)[4], least_usd=_set_aside(provider))


def _read(provider: Provider) -> tuple[int, int, Decimal | None, Decimal | None, dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _STATUS,
            {
                "silent_s": SILENT_S,
                "stale_s": STALE_S,
                "newest": FAILING_OF[1],
                "provider": provider.name,
            },
        )
        running, queued, spent, cap, state = cursor.fetchone()
    return running, queued, spent, cap, json.loads(state) if isinstance(state, str) else state


def _set_aside(provider: Provider) -> Decimal:
    """What a pump sets aside before it analyses one lead: with less than that left it claims nothing."""
    price = price_of(provider.name, provider.models[0], clock.now().date())
    return price.worst(PROMPT_BYTES, max_tokens=AGENTS["lead_analysis"].max_tokens) * CALLS_PER_RUN


def pending(lead_ids: Iterable[int]) -> dict[int, str]:
    """For those of the leads that an agent works on or will: "scoring", else "drafting". One query."""
    words = {kind: agent.waiting_word for kind, agent in AGENTS.items() if agent.waiting_word}
    live = AgentTask.objects.filter(
        lead_id__in=list(lead_ids), state__in=[TaskState.QUEUED, TaskState.RUNNING], kind__in=words
    ).values_list("lead_id", "kind")
    return {lead_id: words[kind] for lead_id, kind in sorted(live)}
