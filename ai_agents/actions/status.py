"""What crm and its screens may know of the agents; `ai_agents.apps` puts these behind `crm.ports`."""

from collections.abc import Iterable
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ai_agents.actions.budget import CALLS_PER_RUN
from ai_agents.actions.calls import price_of
from ai_agents.agents import AGENTS, NAMES
from ai_agents.llm.prices import Price
from ai_agents.llm.providers import Provider, current_provider
from ai_agents.models import AgentTask, TaskState
from crm import clock
from crm.ports import AIStatus

TOKENS_OF_ANALYSIS = (1_200, 300)  # in and out, of a lead with one inquiry and a note
PROMPT_BYTES = 6_000  # of the instructions and a lead with one inquiry and a note
PUMP_SILENT_S = 120

_STATUS = """
SELECT (SELECT coalesce(sum(target), 0) FROM ai_agents_agentpool WHERE NOT paused),
       (SELECT array_agg(kind ORDER BY kind DESC) FROM ai_agents_agentpool WHERE paused),
       (SELECT string_agg(DISTINCT nullif(paused_because, ''), ' ') FROM ai_agents_agentpool WHERE paused),
       (SELECT count(*) FROM (SELECT 1 FROM ai_agents_agenttask WHERE state = 'queued' LIMIT 1000) AS first),
       budget.spent, budget.cap - budget.spent - budget.reserved,
       (SELECT info ->> 'model' FROM ai_agents_pumplease ORDER BY until DESC LIMIT 1),
       EXISTS (SELECT 1 FROM ai_agents_agenttask WHERE state = 'queued'
               AND run_after < now() - %(silent_s)s * interval '1 second')
       AND NOT EXISTS (SELECT 1 FROM crm_heartbeat WHERE name = 'cluster:ai'
                       AND at > now() - %(silent_s)s * interval '1 second')
FROM (SELECT 1) AS one LEFT JOIN ai_agents_budget AS budget
     ON budget.scope = 'all' AND budget.day = (now() AT TIME ZONE 'UTC')::date
"""


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
    with connection.cursor() as cursor:
        cursor.execute(_STATUS, {"silent_s": PUMP_SILENT_S})
        running, paused, because, queued, spent, room, model, is_silent = cursor.fetchone()
    cap = Decimal(str(settings.AI_DAILY_BUDGET_USD))
    room = cap if room is None else room
    return AIStatus(
        provider=provider.name,
        model=model or provider.models[0],
        is_on=True,
        is_sample=provider.is_sample,
        running=running,
        queued=queued,
        spent_today_usd=spent or Decimal(0),
        budget_usd=cap,
        trouble=_trouble(paused or [], because or "", room <= 0 or room < _set_aside(provider), is_silent),
    )


def _set_aside(provider: Provider) -> Decimal:
    """What a pump sets aside before it analyses one lead: with less than that left it claims nothing."""
    price = price_of(provider.name, provider.models[0], clock.now().date())
    return price.worst(PROMPT_BYTES, max_tokens=AGENTS["lead_analysis"].max_tokens) * CALLS_PER_RUN


def _trouble(paused: list[str], because: str, is_spent: bool, is_silent: bool) -> str:
    if paused:
        names = _(" and ").join(NAMES.get(kind, kind) for kind in paused)
        return f"{ngettext('%s is paused.', '%s are paused.', len(paused)) % names} {because}".rstrip()
    if is_spent:
        return _("Today's AI budget is spent; tasks wait until tomorrow.")
    if is_silent:
        return _("AI tasks are waiting and nothing works on them.")
    return ""


def pending(lead_ids: Iterable[int]) -> dict[int, str]:
    """For those of the leads that an agent works on or will: "scoring", else "drafting". One query."""
    words = {kind: agent.waiting_word for kind, agent in AGENTS.items() if agent.waiting_word}
    live = AgentTask.objects.filter(
        lead_id__in=list(lead_ids), state__in=[TaskState.QUEUED, TaskState.RUNNING], kind__in=words
    ).values_list("lead_id", "kind")
    return {lead_id: words[kind] for lead_id, kind in sorted(live)}
