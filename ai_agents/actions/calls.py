"""Books every call to a model, answered or not. The rows are append-only."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from ai_agents.llm.base import CallRecord
from ai_agents.llm.prices import Price, shipped_price
from ai_agents.models import AgentCall, AgentTask, ModelPrice


def record_calls(made: Iterable[tuple[AgentTask, Sequence[CallRecord]]]) -> None:
    """Insert the calls of these tasks' last run, in one statement."""
    AgentCall.objects.bulk_create(
        AgentCall(
            task_id=task.pk,
            attempt=task.attempts,
            is_repair=call.is_repair,
            provider=call.provider,
            model=call.model[:120],
            status=call.status,
            tokens_in=call.tokens_in,
            tokens_cached=call.tokens_cached,
            tokens_out=call.tokens_out,
            cost_usd=call.cost_usd,
            ms=call.ms,
            request_id=call.request_id,
            input=call.input,
            output=call.output,
            error=call.error,
        )
        for task, calls in made
        for call in calls
    )


def price_of(provider: str, model: str, on: date) -> Price:
    """The price in force on a day: the operator's ModelPrice, else the one we ship."""
    row = (
        ModelPrice.objects.filter(provider=provider, model=model, valid_from__lte=on)
        .order_by("-valid_from")
        .first()
    )
    if row is None:
        return shipped_price(provider, model, on)
    return Price(Decimal(row.usd_in), Decimal(row.usd_cached), Decimal(row.usd_out))
