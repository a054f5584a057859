"""`manage.py up` (what `make run` calls), with all its real processes."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gardenos.embedded_postgres import EmbeddedPostgres
from gardenos.running_alone import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
READY_S = 240  # a machine that runs other tests beside it is slow
pytestmark = pytest.mark.timeout(300)


class Run:
    """One `manage.py up` on a port of its own."""

    def __init__(self, data: Path, *, port: int | None = None, **environment: str) -> None:
        self.data, self.port = data, port or free_port()
        keep = {
            name: os.environ[name] for name in ("PATH", "HOME", "GARDENOS_PG_BIN") if os.environ.get(name)
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=REPOSITORY,
            env={
                **keep,
                "GARDENOS_DATA_DIR": str(data),
                "GARDENOS_PORT": str(self.port),
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def wait_for(self, words: str, within_s: float = READY_S) -> None:
        until(lambda: words in self.said or self.process.poll() is not None, within_s, lambda: self.said)
        assert words in self.said, self.said

    def get(self, path: str) -> int:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            client.request("GET", path)
            return client.getresponse().status
        except OSError:
            return 0
        finally:
            client.close()

    def end(self, wish: signal.Signals = signal.SIGTERM, within_s: float = 10) -> int:
        """Ask it to stop; its exit code. Fails the test when that takes too long."""
        self.process.send_signal(wish)
        code = self.process.wait(timeout=within_s)
        self._reader.join(timeout=5)
        return code

    def processes(self) -> dict[int, str]:
        """Everything that runs for this data directory: process id -> command line."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes()
                is_zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if not is_zombie and (str(self.data).encode() in environment or str(self.data) in words):
                found[int(entry.name)] = words
        return found


def doctor(run: Run) -> int:
    """The exit code of `manage.py doctor` beside it: it finds the running server, queues and model."""
    environment = {"PATH": os.environ["PATH"], "GARDENOS_DATA_DIR": str(run.data)}
    return subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        check=False,
    ).returncode


def site_url(run: Run) -> str:
    """What a command in another terminal writes into its links, where GARDENOS_PORT is not set."""
    environment = {"PATH": os.environ["PATH"], "GARDENOS_DATA_DIR": str(run.data)}
    command = [sys.executable, "manage.py", "config", "--json"]
    said = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, check=True).stdout
    return next(row["value"] for row in json.loads(said) if row["name"] == "SITE_URL")


def until(question: Callable[[], bool], within_s: float, say: Callable[[], str] = lambda: "") -> None:
    give_up = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < give_up, f"it never happened\n{say()}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that the tests of this file start from one after the other: only the first is new."""
    return tmp_path_factory.mktemp("up") / "data"


@pytest.fixture
def up(data: Path) -> Iterator[Callable[..., Run]]:
    started: list[Run] = []

    def up(**environment: str) -> Run:
        started.append(Run(environment.pop("data_dir", data), **environment))  # type: ignore[arg-type]
        return started[-1]

    yield up
    for run in started:
        if run.process.poll() is None:
            run.end()


def test_the_first_start_makes_everything_and_shows_a_password_once(up: Callable[..., Run]):
    first = up()
    first.wait_for("Ctrl-C stops everything")
    for step in ("database", "tables", "static files", "people", "agents", "queues", "web"):
        assert re.search(rf"^  {step} .*\(\d+\.\d s\)$", first.said, re.MULTILINE), first.said
    password = re.search(r"first admin (\S+), password (\S+) \(shown only now\)", first.said)
    assert password
    assert first.get("/livez") == first.get("/readyz") == 200
    assert first.get("/metrics") == 200
    until(lambda: doctor(first) == 0, 60, lambda: first.said)
    assert site_url(first) == f"http://127.0.0.1:{first.port}"
    assert first.end(signal.SIGINT) == 0
    assert first.processes() == {}
    assert site_url(first) == "http://127.0.0.1:8000"
    second = up()
    began = time.monotonic()
    second.wait_for("Ctrl-C stops everything")
    assert time.monotonic() - began < 30
    assert "password" not in second.said
    assert "Traceback" not in first.said + second.said
    assert second.end() == 0
    assert second.processes() == {}


def test_a_killed_supervisor_takes_everything_along_and_the_next_start_needs_no_hand(up: Callable[..., Run]):
    killed = up()
    killed.wait_for("Ctrl-C stops everything")
    killed.process.kill()
    killed.process.wait()
    (killed.data / "site_url").write_text("http://127.0.0.1:1")  # of a run before that
    again = up(port=killed.port)  # type: ignore[arg-type]
    again.wait_for("Ctrl-C stops everything")
    assert f"is ready: http://127.0.0.1:{killed.port}/" in again.said
    assert again.get("/readyz") == 200
    assert again.end() == 0
    assert again.processes() == {}


def test_what_dies_is_started_again(up: Callable[..., Run]):
    run = up()
    run.wait_for("Ctrl-C stops everything")

    def kill(words: str) -> None:
        for number, line in run.processes().items():
            if words in line:
                os.kill(number, signal.SIGKILL)

    kill("gunicorn")
    run.wait_for("web ended (SIGKILL); starting it again in 2 s", 20)
    until(lambda: run.get("/readyz") == 200, 60, lambda: run.said)
    kill("qcluster_watch --cluster ai")
    run.wait_for("queue ai ended (SIGKILL)", 20)
    until(lambda: any("--cluster ai" in line for line in run.processes().values()), 20)
    server = EmbeddedPostgres(run.data)
    killed, _ = server._pid_file()
    assert killed
    os.kill(killed, signal.SIGKILL)
    # By the supervisor, or by a queue's watcher that was just starting and found it gone.
    until(lambda: server._pid_file()[0] not in (None, killed), 30, lambda: run.said)
    until(lambda: run.get("/readyz") == 200, 60, lambda: run.said)
    assert run.end() == 0
    assert run.processes() == {}


def test_a_second_one_from_the_same_data_is_refused_before_anything_starts(up: Callable[..., Run]):
    first = up()
    first.wait_for("Ctrl-C stops everything")
    second = up()
    assert second.process.wait(timeout=60) == 2
    assert "already runs from" in second.said
    assert second.said.count("\n") == 1
    assert first.get("/readyz") == 200


def test_a_port_in_use_is_refused_before_anything_starts(up: Callable[..., Run], tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = up(port=port, data_dir=tmp_path / "data")  # type: ignore[arg-type]
        assert run.process.wait(timeout=60) == 2
    time.sleep(0.2)
    assert f"port {port} is in use" in run.said
    assert f"GARDENOS_PORT={port + 1}" in run.said
    assert run.said.count("\n") == 1
    assert not (tmp_path / "data" / "postgres").exists()


def test_an_address_that_is_not_ours_is_refused(up: Callable[..., Run], tmp_path: Path):
    run = up(GARDENOS_BIND="192.0.2.1", data_dir=tmp_path / "data")  # type: ignore[arg-type]
    assert run.process.wait(timeout=60) == 2
    time.sleep(0.2)
    assert "set GARDENOS_BIND" in run.said


def test_a_database_that_is_not_there_is_one_line(up: Callable[..., Run], tmp_path: Path):
    run = up(
        data_dir=tmp_path / "data",  # type: ignore[arg-type]
        DATABASE_URL="postgresql://app:canary@127.0.0.1:1/x",
        SECRET_KEY="k" * 50,
    )
    assert run.process.wait(timeout=60) == 1
    time.sleep(0.2)
    assert "check DATABASE_URL" in run.said
    assert "canary" not in run.said
    assert "Traceback" not in run.said


def test_a_named_database_is_used(up: Callable[..., Run], tmp_path: Path):
    server = EmbeddedPostgres(tmp_path / "theirs", is_disposable=True)
    server.acquire()
    try:
        known = json.loads((tmp_path / "theirs" / "connection.json").read_text())
        urls = {
            role: f"postgresql://{known[role]['user']}:{known[role]['password']}"
            f"@{known['host']}:{known['port']}/{known['database']}"
            for role in ("app", "owner")
        }
        run = up(
            data_dir=tmp_path / "data",  # type: ignore[arg-type]
            DATABASE_URL=urls["app"],
            DATABASE_OWNER_URL=urls["owner"],
            SECRET_KEY="k" * 50,
        )
        run.wait_for("Ctrl-C stops everything")
        assert "the one of DATABASE_URL" in run.said
        assert run.get("/readyz") == 200
        assert run.end() == 0
        assert not (tmp_path / "data" / "postgres").exists()
        assert server.is_ready()
    finally:
        server.release(everyone=True)
