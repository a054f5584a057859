"""One line on a terminal that says how far long work has come; silent where nobody looks."""

import time
from typing import Any, Self

EVERY_S = 0.2


class Line:
    """`with Line(stderr) as line: line.show("tables", 3, 40)`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_watched = bool(getattr(stream, "isatty", lambda: False)())
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_watched and self._last:
            self._stream.write("\r\033[K", ending="")

    def show(self, what: str, done: int, total: int) -> None:
        """At most five times a second."""
        now = time.monotonic()
        if self._is_watched and now - self._last >= EVERY_S:
            self._last = now
            self._stream.write(f"\r\033[K{what}: {done:,} of {total:,}", ending="")
            self._stream.flush()
