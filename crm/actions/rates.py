"""How often something may happen, counted for all processes in one UNLOGGED table: one upsert a hit."""

from dataclasses import dataclass
from time import time

from django.db import connection
from django.utils.translation import gettext as _

from crm.errors import RateLimited

_HIT = """
    INSERT INTO crm_ratehit (bucket, "window", hits, expires_at)
    VALUES (%s, %s, 1, to_timestamp(%s))
    ON CONFLICT (bucket, "window") DO UPDATE SET hits = crm_ratehit.hits + 1
    RETURNING hits
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """How much of the window's budget is used."""

    limit: int
    hits: int
    resets_in_s: int

    @property
    def is_spent(self) -> bool:
        return self.hits > self.limit


def count_hit(bucket: str, *, limit: int, window_s: int = 60) -> Rate:
    """Count one hit. Windows that are over are swept out by crm.tasks.sweep."""
    now = time()
    window = int(now // window_s)
    ends_at = (window + 1) * window_s
    with connection.cursor() as cursor:
        cursor.execute(_HIT, [bucket, window, ends_at + window_s])
        (hits,) = cursor.fetchone()
    return Rate(limit, hits, max(1, int(ends_at - now + 0.999)))


def refuse_above(bucket: str, *, limit: int, window_s: int = 60) -> None:
    """Count one hit. Raises RateLimited, with `retry_after_s` in its details, beyond `limit` in a window."""
    rate = count_hit(bucket, limit=limit, window_s=window_s)
    if rate.is_spent:
        raise RateLimited(_("Too often. Try again later."), retry_after_s=rate.resets_in_s)
