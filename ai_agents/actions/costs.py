"""What the agents cost: by kind of work, by person, by model, for each lead read and each deal won."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from ai_agents.agents import NAMES
from ai_agents.llm.prices import COMPARED, SHIPPED
from crm.models import Opportunity, OpportunityState

MICRO = Decimal("0.000001")

_BY_KIND = """
SELECT task.kind, count(DISTINCT task.id), count(DISTINCT task.lead_id), count(*),
       count(*) FILTER (WHERE call.status = 'invalid'), count(*) FILTER (WHERE call.cost_usd IS NULL),
       coalesce(sum(call.tokens_in), 0), coalesce(sum(call.tokens_out), 0), coalesce(sum(call.cost_usd), 0)
FROM ai_agents_agentcall AS call JOIN ai_agents_agenttask AS task ON task.id = call.task_id
WHERE call.created_at >= %(since)s AND call.created_at < %(until)s
GROUP BY ROLLUP (task.kind) ORDER BY task.kind NULLS LAST
"""
_BY_MODEL = """
SELECT provider, model, count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0),
       coalesce(sum(cost_usd), 0)
FROM ai_agents_agentcall WHERE created_at >= %(since)s AND created_at < %(until)s
GROUP BY 1, 2 ORDER BY 6 DESC, 1, 2 LIMIT 50
"""
_BY_USER = """
SELECT person.public_id::text, coalesce(nullif(person.name, ''), person.email), count(*),
       coalesce(sum(call.cost_usd), 0)
FROM ai_agents_agentcall AS call JOIN ai_agents_agenttask AS task ON task.id = call.task_id
JOIN crm_user AS person ON person.id = task.requested_by_id
WHERE call.created_at >= %(since)s AND call.created_at < %(until)s
GROUP BY person.id ORDER BY 4 DESC, 1 LIMIT 200
"""


@dataclass(frozen=True, slots=True)
class KindCost:
    """One kind of work, USD. `unknown` calls have no known cost: they were not answered."""

    kind: str
    name: str
    tasks: int
    leads: int
    calls: int
    invalid: int
    unknown: int
    tokens_in: int
    tokens_out: int
    usd: Decimal

    @property
    def usd_per_task(self) -> Decimal | None:
        return per(self.usd, self.tasks)

    @property
    def usd_per_lead(self) -> Decimal | None:
        return per(self.usd, self.leads)

    @property
    def invalid_share(self) -> float | None:
        return self.invalid / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of a period; `since` is included, `until` is not."""

    since: datetime
    until: datetime
    total: KindCost
    kinds: tuple[KindCost, ...]
    models: tuple[Mapping[str, Any], ...]  # provider, model, calls, tokens_in, tokens_out, usd
    people: tuple[Mapping[str, Any], ...]  # id, name, calls, usd; who asked
    won: int  # opportunities won in the period, whoever may see them

    @property
    def usd_per_won_deal(self) -> Decimal | None:
        """All that the period cost, over all that was won in it."""
        return per(self.total.usd, self.won)


def costs(since: datetime, until: datetime) -> Costs:
    """The costs of all calls made in a period. Four queries."""
    period = {"since": since, "until": until}
    kinds = [_kind(row) for row in _rows(_BY_KIND, period)]
    total = kinds.pop()  # the ROLLUP's line comes last, and always
    won = Opportunity.objects.live().filter(
        state=OpportunityState.WON, closed_at__gte=since, closed_at__lt=until
    )
    return Costs(
        since=since,
        until=until,
        total=total,
        kinds=tuple(kinds),
        models=tuple(
            dict(zip(("provider", "model", "calls", "tokens_in", "tokens_out", "usd"), row, strict=True))
            for row in _rows(_BY_MODEL, period)
        ),
        people=tuple(
            dict(zip(("id", "name", "calls", "usd"), row, strict=True)) for row in _rows(_BY_USER, period)
        ),
        won=won.count(),
    )


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What one task of a kind would cost with another model, at its newest price."""

    model: str
    source: str
    usd: Decimal

    def saves(self, other: "WhatIf") -> float:
        """By what part this one is cheaper than the other; 0.9 is 90 %."""
        return float(1 - self.usd / other.usd) if other.usd else 0.0


def what_if(kind: KindCost) -> list[WhatIf]:
    """The same tokens at every price that comes with us, the cheapest first, nothing of them cached."""
    if not kind.tasks:
        return []
    newest = {(one.provider, one.model): one for one in (*SHIPPED, *COMPARED)}
    found = [
        WhatIf(
            one.model,
            one.source,
            per(one.price.cost(tokens_in=kind.tokens_in, tokens_out=kind.tokens_out), kind.tasks) or MICRO,
        )
        for one in newest.values()
    ]
    return sorted(found, key=lambda one: (one.usd, one.model))


def per(usd: Decimal, number: int) -> Decimal | None:
    """USD for each, to a millionth; None when there is nothing to divide by."""
    return (usd / number).quantize(MICRO) if number else None


def _kind(row: tuple[Any, ...]) -> KindCost:
    kind = row[0] or "all"
    return KindCost(kind, NAMES.get(kind, kind), *row[1:])


def _rows(statement: str, period: Mapping[str, datetime]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, period)
        return cursor.fetchall()
