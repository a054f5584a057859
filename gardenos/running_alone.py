"""One GardenOS per data directory, and a port that is free, found out before anything starts."""

import errno
import fcntl
import socket
import time
from pathlib import Path
from typing import IO

PREVIOUS_RUN_S = 15  # web and clusters end by themselves within this when their supervisor was killed


class AlreadyRunning(Exception):
    """The text is one line and says what to do."""


class RunLocks:
    """Two locks. `supervisor.lock` is ours alone; `run.lock` is also held open by every process we start.

    So after a SIGKILL of the supervisor the next one knows both that nobody supervises and when the
    processes of the last run are gone.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._supervisor: IO[str] | None = None
        self._run: IO[str] | None = None

    def take(self) -> None:
        """Raises AlreadyRunning."""
        self._supervisor = self._open("supervisor.lock")
        if not _lock(self._supervisor, 0):
            raise AlreadyRunning(
                f"GardenOS already runs from {self._directory}; stop that one, or set GARDENOS_DATA_DIR"
            )
        self._run = self._open("run.lock")
        if not _lock(self._run, PREVIOUS_RUN_S):
            raise AlreadyRunning(
                f"processes of a killed run still use {self._directory}; end them: pgrep -af manage.py"
            )

    def _open(self, name: str) -> IO[str]:
        try:
            return (self._directory / name).open("a")
        except PermissionError:
            raise AlreadyRunning(
                f"{self._directory} belongs to another user; run as that user, or set GARDENOS_DATA_DIR"
            ) from None

    @property
    def shared(self) -> tuple[int, ...]:
        """The file descriptors that started processes keep open."""
        assert self._run is not None
        return (self._run.fileno(),)


def _lock(file: IO[str], within_s: float) -> bool:
    give_up = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.1)
        else:
            return True


def port_trouble(address: str, port: int) -> str:
    """Why nothing can listen there, with what to do; empty when something can."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        return f"{address} is no address of this machine; set GARDENOS_BIND to one, such as 127.0.0.1"
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
            probe.listen(1)
        except OSError as error:
            return _explain(error, address, port)
    return ""


def _explain(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use on {address}; stop what uses it, "
            f"or choose another: GARDENOS_PORT={port + 1 if port < 65535 else 8000} make run"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}; choose one above 1023: GARDENOS_PORT=8000 make run"
    return f"{address} is no address of this machine; set GARDENOS_BIND to one, such as 127.0.0.1"


def free_port() -> int:
    """A port on the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_wildcard(address: str) -> bool:
    return address in {"0.0.0.0", "::", ""}  # noqa: S104  compared, not bound
