"""What "now" is for everything that falls due. Leases and locks use the database's now() instead.

Read once per tick and passed on as `at`; tests replace it with `frozen`, and so do commands that write down
what happened in the past.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.utils import timezone

_frozen: datetime | None = None


def now() -> datetime:
    """The current time, aware, UTC."""
    return _frozen or timezone.now()


@contextmanager
def frozen(at: datetime) -> Iterator[None]:
    """Hold the clock of this process at `at` (aware) inside the block. For tests, and for commands that run
    alone: every thread sees it.
    """
    global _frozen
    before, _frozen = _frozen, at
    try:
        yield
    finally:
        _frozen = before
