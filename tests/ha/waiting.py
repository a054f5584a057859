"""Waiting for what must come, with an end."""

import time
from collections.abc import Callable

LOOK_S = 0.1


def until(question: Callable[[], object], what: str, within_s: float) -> float:
    """Seconds until it is so. Raises TimeoutError."""
    began = time.monotonic()
    while not question():
        if time.monotonic() - began > within_s:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        time.sleep(LOOK_S)
    return time.monotonic() - began
