"""GardenOS with all its real processes, under the supervisor's rules, and a way to name and kill them."""

import contextlib
import os
import random
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from crm.tasks import CLUSTERS
from gardenos.processes import adopt_orphans, end_descendants, signal_group
from gardenos.running_alone import free_port
from gardenos.supervisor import Child, child_environment
from tests.bench.harness import REPOSITORY, descendants
from tests.crm.mail.smtp_server import Sink, running_server

ROLES = ("sentinel", "pusher", "monitor", "worker")
KINDS = ("web", "live", *ROLES, "cluster", "watch")
LOOK_S = 0.1
STOP_WITHIN_S = "4"  # seconds a cluster has to drain, as under `make run`
READY_S = 90


class Site:
    """Web, live and both queues; started anew when they end, by the product's own means alone."""

    def __init__(self, folder: Path, sink: Sink, environment: dict[str, str], *, without: str = "") -> None:
        self.folder, self.sink = folder, sink
        self.ports = {name: free_port() for name in ("web", "live", "model")}
        self.environment = child_environment(
            **environment,
            EMAIL_URL=f"smtp://127.0.0.1:{sink.port}",
            AI_PROVIDER="scripted",
            SCRIPTED_LLM_URL=f"http://127.0.0.1:{self.ports['model']}/v1",
            API_RATE_PER_MINUTE="1000000",
            GARDENOS_DATA_DIR=str(folder),
            PYTHONUNBUFFERED="1",
        )
        manage = [sys.executable, str(REPOSITORY / "manage.py")]
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:gardenos.gunicorn_conf"]
        commands = {
            "model": [*manage, "scripted_llm", "--port", str(self.ports["model"]), "--latency", "0.3"],
            "web": [*gunicorn, "gardenos.asgi:application"],
            "live": [*gunicorn, "gardenos.asgi:application"],
        }
        for name in CLUSTERS:
            watch = ["qcluster_watch", "--cluster", name, "--stop-within", STOP_WITHIN_S]
            commands[f"queue {name}"] = [*manage, *watch]
        commands.pop(without, None)
        self.children = {name: Child(name, words, self._of(name)) for name, words in commands.items()}
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def _of(self, name: str) -> dict[str, str]:
        port = {"GARDENOS_PORT": str(self.ports[name])} if name in {"web", "live"} else {}
        return self.environment | port

    @property
    def doors(self) -> list[int]:
        """Ports that answer HTTP."""
        return [self.ports[name] for name in ("web", "live") if name in self.children]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if kind not in {"web", "live"} or kind in self.children]

    # --- running -------------------------------------------------------------------------------------------
    def start(self) -> None:
        for child in self.children.values():
            child.start()
        self._keeper.start()
        wait_until(lambda: all(map(is_ready, self.doors)), READY_S, "the web processes answer")
        for kind in self.kinds:
            wait_until(lambda kind=kind: self.processes(kind), READY_S, f"a {kind} runs")

    def _keep(self) -> None:
        while not self._is_over.is_set():
            for child in self.children.values():
                child.look(lambda line: print(line, file=sys.stderr, flush=True))
            time.sleep(LOOK_S)

    def stop(self) -> None:
        self._is_over.set()
        self._keeper.join(5)
        for child in self.children.values():
            if child.process:
                signal_group(child.process.pid, signal.SIGTERM)
        for child in self.children.values():
            if child.process:
                with contextlib.suppress(Exception):
                    child.process.wait(6)
        end_descendants(5)

    def restart(self, name: str, **changed: str) -> None:
        """End one part as an operator does, with SIGTERM; it comes back with these settings changed."""
        child = self.children[name]
        child.env = {**child.env, **changed}
        process = child.process
        if process:
            signal_group(process.pid, signal.SIGTERM)
        wait_until(lambda: child.process not in {None, process}, READY_S, f"{name} was started again")
        if name in {"web", "live"}:
            wait_until(lambda: is_ready(self.ports[name]), READY_S, f"{name} answers")

    # --- killing -------------------------------------------------------------------------------------------
    def processes(self, kind: str, clusters: tuple[str, ...] = CLUSTERS) -> list[int]:
        """Process ids of a kind that are alive now."""
        if kind in {"web", "live"}:
            return [pid for pid in self._tree(kind) if comm(pid)]
        trees = [self._tree(f"queue {name}") for name in clusters]
        if kind == "watch":
            return [tree[0] for tree in trees if tree]
        if kind == "cluster":  # started by the watch, and no child of it has a role yet
            return [pid for tree in trees for pid in tree[1:] if not comm(pid).startswith("q-") and comm(pid)]
        return [pid for tree in trees for pid in tree if comm(pid) == f"q-{kind}"]

    def _tree(self, name: str) -> list[int]:
        process = self.children[name].process
        return descendants(process.pid) if process and process.poll() is None else []

    def kill(self, kind: str, rng: random.Random, within_s: float) -> int:
        """SIGKILL to one process of a kind, once there is one. Raises TimeoutError if none comes back."""
        give_up = time.monotonic() + within_s
        while True:
            found = sorted(self.processes(kind))
            if found:
                pid = rng.choice(found)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return pid
            if time.monotonic() > give_up:
                raise TimeoutError(f"no {kind} came back within {within_s:.0f} s")
            time.sleep(LOOK_S)


@contextlib.contextmanager
def running(folder: Path, environment: dict[str, str], *, without: str = "") -> Iterator[Site]:
    """The site with its mail sink, ready. Nothing of it is left at the end."""
    adopt_orphans()
    with running_server(folder / "mail") as sink:
        site = Site(folder, sink, environment, without=without)
        try:
            site.start()
            yield site
        finally:
            site.stop()


def comm(pid: int) -> str:
    """The short name of a process; empty when it has ended."""
    with contextlib.suppress(OSError, IndexError):
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        return "" if after.split()[0] == "Z" else before.partition("(")[2]
    return ""


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_until(question, within_s: float, what: str) -> float:  # type: ignore[no-untyped-def]
    """Seconds until it is so. Raises TimeoutError."""
    began = time.monotonic()
    while not question():
        if time.monotonic() - began > within_s:
            raise TimeoutError(f"not so within {within_s:.0f} s: {what}")
        time.sleep(LOOK_S)
    return time.monotonic() - began
