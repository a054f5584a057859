"""So many requests a minute for each token or user."""

from dataclasses import dataclass

from django.conf import settings
from rest_framework.exceptions import Throttled

from crm.actions import rates

WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Rate(rates.Rate):
    """As the API tells of it."""

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
        if self.is_spent:
            raise Throttled(wait=self.resets_in_s)


def count_hit(bucket: str) -> Rate:
    """Count one request."""
    counted = rates.count_hit(bucket, limit=settings.API_RATE_PER_MINUTE, window_s=WINDOW_S)
    return Rate(counted.limit, counted.hits, counted.resets_in_s)
