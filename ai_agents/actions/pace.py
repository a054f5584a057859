"""Calls a minute: one time stamp a pool says up to when its rate is given away. In the database's clock,
shared by all pumps (the virtual scheduling algorithm of ATM's generic cell rate, ITU-T I.371).

A second's worth may go out at once, so that in no minute more than the rate and that one second go out.
"""

from math import floor

from django.db import connection

from ai_agents.models import AgentPool

BURST_S = 1.0


def room(pool: AgentPool) -> int:
    """How many calls may begin now. The caller holds the pool's lock."""
    interval_s = 60 / pool.rpm
    ahead_s = max(interval_s, BURST_S)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM greatest(coalesce(paced_until, statement_timestamp()), "
            "statement_timestamp()) - statement_timestamp()) FROM ai_agents_agentpool WHERE kind = %s",
            [pool.kind],
        )
        [given_away_s] = cursor.fetchone()
    return floor((ahead_s - float(given_away_s)) / interval_s + 1e-6)


def book(kind: str, calls: int) -> None:
    """Give the time of so many calls away. Pools without a rate are left alone."""
    if calls:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE ai_agents_agentpool SET paced_until = greatest(coalesce(paced_until, "
                "statement_timestamp()), statement_timestamp()) + %s * interval '60 seconds' / rpm "
                "WHERE kind = %s AND rpm > 0",
                [calls, kind],
            )
