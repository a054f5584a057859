"""So many requests a minute for each token or user, counted for all processes in one UNLOGGED table."""

import time
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from rest_framework.exceptions import Throttled

WINDOW_S = 60
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
    def headers(self) -> dict[str, str]:
        """As in draft-ietf-httpapi-ratelimit-headers-06, the form that clients know."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.limit - self.hits)),
            "RateLimit-Reset": str(self.resets_in_s),
        }

    def refuse_if_spent(self) -> None:
        """Raises Throttled (429), with the seconds to wait."""
        if self.hits > self.limit:
            raise Throttled(wait=self.resets_in_s)


def count_hit(bucket: str) -> Rate:
    """Count one request: one upsert. Windows that are over are swept out by crm.tasks.sweep."""
    now = time.time()
    window = int(now // WINDOW_S)
    ends_at = (window + 1) * WINDOW_S
    with connection.cursor() as cursor:
        cursor.execute(_HIT, [bucket, window, ends_at + WINDOW_S])
        (hits,) = cursor.fetchone()
    return Rate(settings.API_RATE_PER_MINUTE, hits, max(1, int(ends_at - now + 0.999)))
