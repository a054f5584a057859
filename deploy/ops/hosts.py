"""Commands and files on a node, over ssh. One connection per node, shared by all that follows."""

import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.ops.inventory import Inventory, Node

UNREACHABLE = 255  # ssh's own exit code, ssh(1)


class Trouble(Exception):
    """A step could not be done; the message says why and where."""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line that says something, errors first."""
        lines = [line for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"exit code {self.code}"


@dataclass(frozen=True)
class Host:
    """A node as root sees it. Without root, `sudo -n` is asked."""

    node: Node
    words: tuple[str, ...]  # the ssh command, ready for what is to run
    sudo: bool

    @property
    def name(self) -> str:
        return self.node.name

    def run(self, command: str, *, stdin: str = "", timeout_s: float = 120) -> Said:
        """`command` by sh, as root. Raises Trouble if the node is not reached or does not answer in time."""
        words = ["sudo", "-n"] if self.sudo else []
        remote = shlex.join([*words, "sh", "-c", command])
        try:
            said = subprocess.run(  # noqa: S603  # a list, and what is in it is quoted
                [*self.words, remote],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Trouble(f"{self.name}: no answer within {timeout_s:.0f} s to: {command[:80]}") from None
        found = Said(said.returncode, said.stdout, said.stderr)
        if said.returncode == UNREACHABLE:
            raise Trouble(f"{self.name} ({self.node.ssh_address}): not reached by ssh: {found.last}")
        return found

    def anew(self) -> "Host":
        """The same node by a connection of its own, not the one that is shared."""
        options = ("-o", "ControlPath=none", "-o", "ControlMaster=no")
        return Host(self.node, (self.words[0], *options, *self.words[1:]), self.sudo)

    def must(self, command: str, *, stdin: str = "", timeout_s: float = 120) -> str:
        """What `command` prints. Raises Trouble with its last words if it fails."""
        said = self.run(command, stdin=stdin, timeout_s=timeout_s)
        if said.code:
            raise Trouble(f"{self.name}: {command.split(' ')[0]} failed: {said.last}")
        return said.out

    def states(self, paths: list[str]) -> dict[str, tuple[str, str, str]]:
        """(sha256, mode, owner:group) of the files that are there, by path."""
        names = shlex.join(paths)
        said = self.must(
            f"for path in {names}; do if test -f $path; then "
            "sha256sum <$path; stat -c '%a %U:%G %n' $path; fi; done"
        )
        lines = said.splitlines()
        found = {}
        for digest, status in zip(lines[::2], lines[1::2], strict=True):
            mode, owner, path = status.split(" ", 2)
            found[path] = (digest.split()[0], mode, owner)
        return found


class Fleet:
    """The hosts of an inventory by node name; a context, so that connections end."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._sockets = Path(tempfile.mkdtemp(prefix="gardenos-ops-"))
        self.hosts = tuple(self._host(node) for node in inventory.nodes)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            subprocess.run(  # noqa: S603
                [*host.words[:-1], "-O", "exit", host.words[-1]], capture_output=True, check=False
            )
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _host(self, node: Node) -> Host:
        ssh = self.inventory.ssh
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "5",
            "ControlMaster": "auto",
            "ControlPersist": "60",
            "ControlPath": str(self._sockets / node.name),
            **({"UserKnownHostsFile": ssh.known_hosts} if ssh.known_hosts else {}),
            **({"IdentityFile": ssh.key, "IdentitiesOnly": "yes"} if ssh.key else {}),
        }
        words = ["ssh", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
        return Host(
            node=node,
            words=(*words, "-p", str(ssh.port), f"{ssh.user}@{node.ssh_address}"),
            sudo=ssh.user != "root",
        )
