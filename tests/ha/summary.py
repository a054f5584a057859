"""`python -m tests.ha.summary RUN.json...`: least, median and most of several runs, as a table in Markdown.

The files are those of `make test-ha ARGS="--out RUN.json"`.
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

COLUMNS = {
    "rows_by_haproxy_s": "rows, HAProxy",
    "rows_by_hosts_s": "rows, all members named",
    "leads_s": "leads, API",
    "whole_s": "whole again",
}


def table(runs: list[dict[str, Any]]) -> str:
    """A line per event, seconds as least/median/most."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        for event in run["events"]:
            found[event["name"]].append(event)
    lines = [
        "| event | " + " | ".join(COLUMNS.values()) + " | 503 | other answers |",
        "|---|" + "---|" * (len(COLUMNS) + 2),
    ]
    for name, events in found.items():
        cells = [spread([event[column] for event in events]) for column in COLUMNS]
        refused = sum(event["refused"] for event in events)
        wrong = sum(sum(event["wrong"].values()) for event in events)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {refused} | {wrong} |")
    return "\n".join(lines)


def spread(seconds: list[float]) -> str:
    return "/".join(f"{each:.1f}" for each in (min(seconds), statistics.median(seconds), max(seconds)))


if __name__ == "__main__":
    print(table([json.loads(Path(name).read_text()) for name in sys.argv[1:]]))
