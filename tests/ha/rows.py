"""A program that writes numbered rows and notes each one that was acknowledged: `python -m tests.ha.rows`.

    WRITER LEDGER PAUSE_S, and the connection string in ROWS_DSN

The ledger is a file outside the database: one line "number seconds" (of the monotonic clock) after each
acknowledgement, and before the next row. A row whose answer never came is in doubt and not sent again.
"""

import contextlib
import itertools
import os
import sys
import time
from pathlib import Path

import psycopg

TRY_AGAIN_S = 0.1
TABLE = "CREATE TABLE ha_rows (writer text NOT NULL, number bigint NOT NULL)"
RIGHTS = "GRANT SELECT, INSERT ON ha_rows TO gardenos_app"
INSERT = "INSERT INTO ha_rows (writer, number) VALUES (%s, %s)"


def main(writer: str, ledger: Path, pause_s: float) -> None:
    connection: psycopg.Connection | None = None
    number = 0
    with ledger.open("a", buffering=1) as noted:
        while True:
            number += 1
            try:
                connection = connection or psycopg.connect(os.environ["ROWS_DSN"], autocommit=True)
                connection.execute(INSERT, [writer, number])
            except psycopg.Error:
                if connection:
                    with contextlib.suppress(psycopg.Error):
                        connection.close()
                    connection = None
                time.sleep(TRY_AGAIN_S)
                continue
            noted.write(f"{number} {time.monotonic():.3f}\n")
            time.sleep(pause_s)


def acknowledged(ledger: Path) -> dict[int, float]:
    """Number -> when, in the order they came. A line that is being written is left out."""
    if not ledger.exists():
        return {}
    lines = ledger.read_text().split("\n")[:-1]
    return {int(number): float(at) for number, at in (line.split() for line in lines)}


def longest_gap(times: list[float], since: float, until: float) -> float:
    """Seconds of the longest pause between two of these times, of the pauses that reach into the span."""
    within = [at for at in times if since <= at <= until]
    before = [at for at in times if at < since][-1:]
    points = [*before, *within]
    if not points:
        return until - since
    pauses = [second - first for first, second in itertools.pairwise(points)]
    return max([*pauses, until - points[-1]])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
