"""As whom the embedded PostgreSQL runs: it refuses to be root.

An ordinary user runs it as themselves. Root runs it in a user namespace in which root is called `nobody`: its
files stay root's. Where namespaces are refused (a plain chroot) root runs it as the real `nobody`, whose
files go to /var/lib/gardenos when `nobody` cannot reach the checkout.
"""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOBODY = 65534
STATE_DIR = Path("/var/lib/gardenos")
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")


@dataclass(frozen=True, slots=True)
class Account:
    """How to start PostgreSQL's programs, and whose its files are (numeric ids as seen from outside)."""

    prefix: tuple[str, ...]
    uid: int
    gid: int
    popen: dict[str, Any]  # extra arguments of subprocess.Popen

    def command(self, *words: str | Path, dies_with_parent: bool = False) -> list[str]:
        """The command line to start. `dies_with_parent`: the kernel sends SIGINT when our process ends."""
        last_wish = (
            ["setpriv", "--pdeathsig", "INT", "--"] if dies_with_parent and shutil.which("setpriv") else []
        )
        return [*self.prefix, *last_wish, *map(str, words)]

    def own(self, path: Path) -> None:
        """Give a file or a tree to the account, unless it has it already."""
        if os.geteuid() != 0 or path.stat().st_uid == self.uid:
            return
        for folder, _, files in os.walk(path):
            for name in ("", *files):
                os.chown(os.path.join(folder, name), self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid)

    def can_reach(self, path: Path) -> bool:
        """May the account pass through every folder above `path`?"""
        if self.uid in (0, os.geteuid()):
            return True
        existing = [folder for folder in path.parents if folder.exists()]
        return all(folder.stat().st_mode & 0o001 or folder.stat().st_uid == self.uid for folder in existing)


def this_account() -> Account:
    """The account for the user who runs us."""
    if os.geteuid() != 0:
        return Account((), os.geteuid(), os.getegid(), {})
    if _may_use_namespaces():
        return Account(NAMESPACE, 0, 0, {})
    return Account((), NOBODY, NOBODY, {"user": NOBODY, "group": NOBODY, "extra_groups": []})


def _may_use_namespaces() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603


def place_for(account: Account, wanted: Path) -> Path:
    """`wanted`, or the same under /var/lib/gardenos when the account cannot get there."""
    if account.can_reach(wanted):
        return wanted
    place = STATE_DIR / hashlib.sha256(str(wanted).encode()).hexdigest()[:16] / wanted.name
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def reachable_programs(account: Account, programs: Path) -> Path:
    """The folder of PostgreSQL's programs, or a copy of the installation where the account can run it."""
    if account.can_reach(programs / "postgres"):
        return programs
    installation, package = programs.parent, programs.parent.parent
    stamp = (programs / "postgres").stat()
    copy = STATE_DIR / f"postgresql-{stamp.st_size:x}-{int(stamp.st_mtime):x}"
    if not copy.exists():
        unfinished = copy.with_suffix(f".{os.getpid()}")
        shutil.copytree(installation, unfinished / package.name / installation.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # a wheel's own, found by their relative place
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return copy / package.name / installation.name / programs.name
