"""Keeps a set of processes running, and ends all of them together."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gardenos.processes import adopt_orphans, dying_with_parent, end_descendants, signal_group

POLL_S = 0.2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0  # a process that ran this long starts again without a longer pause
STOP_S = 5.5  # and the database takes up to 3 s more: all within the 10 s that are promised

Say = Callable[[str], None]


@dataclass
class Child:
    """One process to keep running. `pass_fds` stay open in it and in what it starts."""

    name: str
    command: list[str]
    env: dict[str, str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0, init=False)
    pause_s: float = field(default=FIRST_PAUSE_S, init=False)
    start_at: float = field(default=0, init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603  our own programs
            dying_with_parent(self.command, signal.SIGTERM),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # they log to standard error
            pass_fds=self.pass_fds,
            start_new_session=True,  # Ctrl-C comes to us alone; its group is the handle to end all it started
        )
        self.started_at = time.monotonic()

    def look(self, say: Say) -> None:
        """Start it again, after a pause that doubles, when it has ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        signal_group(self.process.pid, signal.SIGKILL)  # nothing of it may meet its successor
        is_steady = now - self.started_at > STEADY_S
        self.pause_s = FIRST_PAUSE_S if is_steady else min(self.pause_s * 2, LONGEST_PAUSE_S)
        self.process, self.start_at = None, now + self.pause_s
        say(f"{self.name} ended ({_how(code)}); starting it again in {self.pause_s:.0f} s")


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


class Supervisor:
    """Runs children until a signal asks it to stop, then ends them within STOP_S."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.children: list[Child] = []
        self.wish: signal.Signals | None = None
        adopt_orphans()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.wish = signal.Signals(number)

    def add(self, child: Child) -> None:
        self.children.append(child)
        child.start()

    def keep_running(self, *, every_second: Callable[[], None]) -> None:
        """Return when asked to stop."""
        next_second = time.monotonic()
        while not self.wish:
            for child in self.children:
                child.look(self.say)
            if time.monotonic() >= next_second:
                every_second()
                next_second = time.monotonic() + 1
            time.sleep(POLL_S)

    def stop(self) -> None:
        """SIGTERM to all at once, SIGKILL to what remains."""
        running = [child.process for child in self.children if child.process]
        for process in running:
            if process.poll() is None:
                process.terminate()
        give_up = time.monotonic() + STOP_S
        while any(process.poll() is None for process in running) and time.monotonic() < give_up:
            time.sleep(0.02)
        for process in running:
            signal_group(process.pid, signal.SIGKILL)

    @staticmethod
    def sweep() -> None:
        """Nothing we started is left after this."""
        end_descendants()


def child_environment(**values: str) -> dict[str, str]:
    return {**os.environ, **values}
