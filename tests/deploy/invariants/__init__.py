"""What must hold in every rendered site: each answers a fault that schemas let through.

An invariant is a function of a site that yields one complaint for each place where it does not hold.
"""

from tests.deploy.invariants import contents, database, numbers, pods, routing
from tests.deploy.invariants.base import INVARIANTS

__all__ = ["INVARIANTS", "contents", "database", "numbers", "pods", "routing"]
