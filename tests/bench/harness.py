"""What every measurement needs: servers to start, their CPU time and memory, and rows to print.

CPU time and ratios inside one run are what counts; wall times say more about the machine's other work.
"""

import atexit
import contextlib
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LEADS = int(os.environ.get("BENCH_LEADS", "100000"))
SMALL_LEADS = int(os.environ.get("BENCH_SMALL_LEADS", "10000"))  # what growth is measured against
ROUNDS = 5
ROUND_S = 0.3
LEAST_REQUESTS = 10

GOALS = {  # ours / limit, at most; for MORE_IS_BETTER at least
    "list_vs_floor": 2.5,
    "list_page_vs_template": 3.0,
    "detail_vs_floor": 3.0,
    "create_vs_floor": 8.0,
    "update_vs_floor": 4.0,
    "search_vs_floor": 2.0,
    "import_vs_copy": 0.25,
    "agents_64": 0.9,
    "agents_128": 0.85,
    "agents_256": 0.75,
    "agents_vs_plain": 10.0,
    "agents_memory_a_call": 1.0,
    "agents_claim": 1.0,
    "fanout_1000_vs_raw": 3.0,
    "web_memory_mb": 1.8,
    "dashboard_vs_detail": 4.0,
    "growth_list": 2.0,  # all leads against SMALL_LEADS
    "growth_deep_list": 2.0,
    "growth_filtered_list": 2.0,
    "growth_lead": 2.0,
    "growth_today": 2.0,
    "growth_board": 2.0,
    "growth_search": 3.0,
    "growth_search_common": 3.0,
    "growth_search_email": 3.0,
    "growth_search_phone": 3.0,
    "growth_search_typo": 10.0,
}
MORE_IS_BETTER = {"import_vs_copy", "agents_64", "agents_128", "agents_256", "agents_vs_plain"}


@dataclass(frozen=True, slots=True)
class Row:
    """One result. `limit` was measured in the same run; `n` counts requests, rows or messages."""

    job: str
    unit: str
    ours: float
    limit: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        ratio = self.ours / self.limit if self.limit else 0.0
        rounded = {"ours": round(self.ours, 3), "limit": round(self.limit, 3), "ratio": round(ratio, 3)}
        return asdict(self) | rounded

    def line(self) -> str:
        row, goal = self.as_dict(), GOALS[self.job]
        is_met = row["ratio"] >= goal if self.job in MORE_IS_BETTER else row["ratio"] <= goal
        sign = ">=" if self.job in MORE_IS_BETTER else "<="
        return (
            f"{self.job:<24}{self.unit:<18}{row['ours']:>11.2f}{row['limit']:>11.2f}{row['ratio']:>9.2f}"
            f"{self.n:>10}   goal {sign} {goal:g}{'' if is_met else '  NOT MET'}"
        )


HEAD = f"{'job':<24}{'unit':<18}{'ours':>11}{'limit':>11}{'ratio':>9}{'n':>10}"


def descendants(pid: int) -> list[int]:
    """The process and all it started that are alive."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):  # it may end meanwhile
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, to_do = [], [pid]
    while to_do:
        found.append(to_do.pop())
        to_do += children.get(found[-1], [])
    return found


def cpu_ns(pids: list[int]) -> dict[int, int]:
    """Nanoseconds on a CPU of each process, all its threads together (schedstat, proc(5))."""
    used = {}
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
            used[pid] = sum(int(task.read_text().split()[0]) for task in tasks)
    return used


def cpu_with_ended_ns(pids: list[int]) -> int:
    """Nanoseconds on a CPU of these processes and of their children that have ended (proc(5), stat; in steps
    of 10 ms): a connection's process is gone with the connection.
    """
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def pids_in(folder: Path) -> list[int]:
    """The processes that work in this folder, as a database's do in its cluster's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def pss_mb(pids: list[int]) -> float:
    """Memory of these processes in MB, shared pages divided among their users."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total / 1024


@dataclass
class Server:
    """A started web server."""

    process: subprocess.Popen[bytes]
    port: int
    database: Path  # the cluster's folder: its processes' CPU time counts, too

    def pids(self) -> list[int]:
        return descendants(self.process.pid)

    def cpu_ns(self) -> dict[int, int]:
        return cpu_ns(self.pids() + pids_in(self.database))


@contextlib.contextmanager
def serving(command: list[str], port: int, database: Path, **environment: str) -> Iterator[Server]:
    """Run a server until the block ends. `{port}` in the command is replaced."""
    process = subprocess.Popen(
        [word.format(port=port) for word in command],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(process, port)
        yield Server(process, port, database)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


_running = contextlib.ExitStack()
_shared: dict[str, Server] = {}
atexit.register(_running.close)


def shared(name: str, start: Callable[[], contextlib.AbstractContextManager[Server]]) -> Server:
    """The server of this name, for several measurements; started by the first that asks for it."""
    if name not in _shared:
        _shared[name] = _running.enter_context(start())
    return _shared[name]


def stop_shared() -> None:
    """End the shared servers, and with them their connections. Who needs one again starts it again."""
    _running.close()
    _shared.clear()


def wait_for_port(process: subprocess.Popen[bytes], port: int, within_s: float = 60) -> None:
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}")
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            client.request("GET", "/livez")
            client.getresponse().read()
            return
        except OSError:
            time.sleep(0.1)
        finally:
            client.close()
    raise RuntimeError("the server did not start")


def product(port: int, *, workers: int = 1) -> tuple[list[str], dict[str, str]]:
    """GardenOS's web processes as `make run` starts them, with the addresses of tests/bench/urls.py."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "python:gardenos.gunicorn_conf",
        "gardenos.asgi:application",
    ]
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
        "GARDENOS_PORT": str(port),
        "WEB_WORKERS": str(workers),
        "AI_PROVIDER": "off",
        "API_RATE_PER_MINUTE": "1000000",
    }
    return command, environment


def floor(*, workers: int = 1) -> list[str]:
    """The reference: a minimal Django application under gunicorn's threads."""
    return [
        *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", str(workers)),
        *("--worker-class", "gthread", "--threads", "4", "--keep-alive", "30", "--log-level", "error"),
        "tests.bench.floor_app:application",
    ]


Request = tuple[str, str, bytes | None, dict[str, str]]  # method, path, body, headers
Ask = Callable[[], Request]
Heard = Callable[[http.client.HTTPResponse, bytes], None]


@dataclass
class Side:
    """One of the two that are compared: where, what is asked, and what is done with an answer."""

    server: Server
    ask: Ask
    heard: Heard = lambda response, body: None


def compare(job: str, ours: Side, limit: Side) -> Row:
    """CPU ms a request of server and database, one client, rounds of both in turn."""
    per_request: dict[str, list[float]] = {"ours": [], "limit": []}
    count = 0
    for side in (ours, limit):
        _round(side)  # imports, plans and caches of the first requests are not what is measured
    for _ in range(ROUNDS):
        for name, side in (("ours", ours), ("limit", limit)):
            n, ms = _round(side)
            per_request[name].append(ms)
            count += n if name == "ours" else 0
    return Row(
        job,
        "CPU ms a request",
        statistics.median(per_request["ours"]),
        statistics.median(per_request["limit"]),
        count,
    )


def _round(side: Side) -> tuple[int, float]:
    client = http.client.HTTPConnection("127.0.0.1", side.server.port, timeout=30)
    count = 0
    before, began = side.server.cpu_ns(), time.monotonic()
    while time.monotonic() - began < ROUND_S or count < LEAST_REQUESTS:
        method, path, body, headers = side.ask()
        client.request(method, path, body, headers)
        response = client.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        side.heard(response, answer)
        count += 1
    client.close()
    after = side.server.cpu_ns()
    return count, sum(after[pid] - before.get(pid, 0) for pid in after) / 1e6 / count


def write(rows: list[Row]) -> Path:
    """Put the rows into $BENCH_OUT, one JSON object a line."""
    out = Path(os.environ.get("BENCH_OUT") or REPOSITORY / ".data" / "bench.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row.as_dict()) + "\n" for row in rows))
    return out
