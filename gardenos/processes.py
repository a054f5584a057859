"""Starting processes that cannot outlive us, and ending them."""

import contextlib
import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15


def dying_with_parent(command: list[str], wish: signal.Signals) -> list[str]:
    """The command, to which the kernel sends `wish` when the process that starts it ends, however it ends."""
    program = shutil.which(
        "setpriv"
    )  # util-linux; without it (not Linux) children end by our own signals only
    return [program, "--pdeathsig", wish.name.removeprefix("SIG"), "--", *command] if program else command


def die_with_parent(wish: signal.Signals) -> None:
    """The same for ourselves."""
    _prctl(_PR_SET_PDEATHSIG, wish)


def adopt_orphans() -> None:
    """Children of our children come to us when their parent ends, so that `end_descendants` finds them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def signal_group(leader: int, wish: signal.Signals) -> None:
    """Send a signal to a whole process group, if there still is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, wish)


def end_descendants(within_s: float = 2) -> None:
    """SIGKILL whatever still descends from us, and wait until it is gone."""
    give_up = time.monotonic() + within_s
    while _reap() and time.monotonic() < give_up:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def _reap() -> bool:
    """Collect the children that have ended. False when no child is left."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _children() -> list[int]:
    """Process ids whose parent we are: the second field after the name in /proc/<pid>/stat."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            if entry.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(int(entry.parent.name))
    return found


def children_die_with_us(name: Callable[[], str]) -> None:
    """From now on, whatever this process forks, and what that forks, is ended by the kernel when its parent
    has ended, however that came. `name` is asked in the child and shown by `ps -o comm` (15 characters).
    """
    parent = 0

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    def bind() -> None:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel knew of our wish
            os._exit(1)
        _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name().encode()[:15]))

    os.register_at_fork(before=remember, after_in_child=bind)


def is_running(pid: int) -> bool:
    """Whether a process of this number does anything, be it ours or not. A zombie has ended; our own is
    reaped.
    """
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
