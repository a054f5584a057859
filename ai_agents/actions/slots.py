"""Pump slots: who may claim now. A slot is a leased row; letting it go lets a successor start at once."""

import json
import uuid
from typing import Any

from django.db import connection

GAP_S = (
    150  # between two pumps of a slot that count as one uninterrupted service: an idle one comes each minute
)


def take_slot(token: uuid.UUID, *, for_s: float, info: dict[str, Any]) -> int | None:
    """Take a free slot, or None. Forgets the kick that led here."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ai_agents_pumplease SET kicked_at = NULL WHERE kicked_at IS NOT NULL")
        cursor.execute(
            "UPDATE ai_agents_pumplease SET token = %s, until = now() + %s * interval '1 second', "
            "info = info || %s::jsonb || jsonb_build_object('up_since', CASE "
            "WHEN until > now() - %s * interval '1 second' "
            "THEN coalesce(info -> 'up_since', to_jsonb(now())) "
            "ELSE to_jsonb(now()) END) "
            "WHERE slot = (SELECT slot FROM ai_agents_pumplease WHERE until < now() ORDER BY slot LIMIT 1 "
            "FOR UPDATE SKIP LOCKED) RETURNING slot",
            [token, for_s, json.dumps(info), GAP_S],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def keep_slot(token: uuid.UUID, *, for_s: float, info: dict[str, Any]) -> bool:
    """Hold it on. False: it is somebody else's by now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ai_agents_pumplease SET until = now() + %s * interval '1 second', "
            "info = info || %s::jsonb WHERE token = %s",
            [for_s, json.dumps(info), token],
        )
        return bool(cursor.rowcount)


def free_slot(token: uuid.UUID) -> None:
    """Let it go."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ai_agents_pumplease SET until = now() WHERE token = %s", [token])


def take_all_away() -> int:
    """Free every slot that is held: who held it notices, claims no more and drains. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ai_agents_pumplease SET token = gen_random_uuid(), until = now() - interval '1 second', "
            "kicked_at = NULL WHERE until > now()"
        )
        return cursor.rowcount


def count(token: uuid.UUID, what: str, n: int) -> None:
    """Add to a slot's own counters, which outlive its pumps: `late` results that were discarded because their
    lease had gone, `expired` leases taken back.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ai_agents_pumplease "
            "SET info = info || jsonb_build_object(%s::text, coalesce((info ->> %s)::bigint, 0) + %s) "
            "WHERE token = %s",
            [what, what, n, token],
        )


def live_pumps() -> int:
    """How many pumps hold a slot."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ai_agents_pumplease WHERE until > now()")
        return cursor.fetchone()[0]


def held_back() -> dict[str, int]:
    """Kind -> how many calls live pumps keep to together since a provider answered 429; only kinds that are
    held below their share. Written by pumps at each beat.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, sum(most::int) FROM ai_agents_pumplease, "
            "jsonb_each_text(coalesce(info -> 'held_back', '{}')) AS held (kind, most) "
            "WHERE until > now() GROUP BY 1"
        )
        return dict(cursor.fetchall())
