"""Three machines with sshd, and an operator's place from where they are reached, in namespaces of their own.

A machine has its own processes, network, name and files (an overlay over this machine's). The host's
network and files stay as they are. systemd is played by node/systemctl, K3s by node/k3s; the
rest is real.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.deploy.images.network import PodNetwork, ip
from tests.deploy.site import REPOSITORY

ADDRESSES = {
    "node-1": "10.0.0.11",
    "node-2": "10.0.0.12",
    "node-3": "10.0.0.13",
    "operator": "10.0.0.2",
}
NODES = ("node-1", "node-2", "node-3")
LOOKED_AT = "/etc /usr/local /usr/bin /usr/sbin /srv /var/lib/gardenos-ops /var/lib/rancher"


def ready(node: str) -> dict[str, object]:
    return {"metadata": {"name": node}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


class Machines:
    """A context: three nodes that run, and `ops` from the operator's place."""

    def __init__(self, **changes: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gardenos-machines-"))
        self.network = PodNetwork(ADDRESSES, prefix=f"go{os.getpid() % 100_000}")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.inventory = self.folder / "site.yaml"
        self._write_inventory(changes)

    def _write_inventory(self, changes: dict[str, object]) -> None:
        site = yaml.safe_load((REPOSITORY / "deploy" / "inventory" / "example.yaml").read_text())
        k3s = (Path(__file__).parent / "node" / "k3s").read_bytes()
        site["k3s"] |= {"url": "file:///srv/k3s", "sha256": hashlib.sha256(k3s).hexdigest()}
        site["ssh"] = {"key": "operator", "known_hosts": "known_hosts"}
        site["api"] = {"address": "10.0.0.10", "interface": "eth0"}
        site["secrets"] = "secrets"
        site |= changes
        self.inventory.write_text(yaml.safe_dump(site))

    def __enter__(self) -> "Machines":
        for name in ("operator", "hostkey"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True
            )
        public = " ".join((self.folder / "hostkey.pub").read_text().split()[:2])
        (self.folder / "known_hosts").write_text("".join(f"{ADDRESSES[node]} {public}\n" for node in NODES))
        for path in (Path(__file__).parent / "node").iterdir():
            shutil.copy(path, self.folder)
        (self.folder / "nodes.json").write_text(json.dumps({"items": [ready(node) for node in NODES]}))
        self.network.up()
        for node in NODES:
            self._start(node)
        for node in NODES:
            self._wait(node)
        return self

    def _start(self, node: str) -> None:
        place = self.folder / node
        place.mkdir()
        with (self.folder / f"{node}.log").open("ab") as log:
            self.processes[node] = subprocess.Popen(
                [
                    *self.network.inside(node),
                    *("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child"),
                    *(self.folder / "start", node, place, self.folder),
                ],
                stdout=log,
                stderr=log,
            )

    def _wait(self, node: str) -> None:
        for _ in range(100):
            if self.on(node, "true", check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise TimeoutError(f"{node}: {(self.folder / f'{node}.log').read_text()}")

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()  # and with it, by --kill-child, whatever runs on the machine
            process.wait()
        self.network.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def on(self, node: str, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *self.network.inside("operator"),
                *("ssh", "-i", str(self.folder / "operator"), "-o", "BatchMode=yes"),
                *("-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", f"root@{ADDRESSES[node]}"),
                command,
            ],
            check=check,
            capture_output=True,
            text=True,
        )

    def ops(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._operator(
            [sys.executable, "-m", "deploy.ops", *words, "--inventory", str(self.inventory)]
        )

    def script(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """One of deploy/bin, as an operator calls it."""
        path = REPOSITORY / "deploy" / "bin" / name
        return self._operator([str(path), "--inventory", str(self.inventory), *words])

    def results(self, said: subprocess.CompletedProcess[str]) -> dict[str, object]:
        return json.loads(said.stdout)

    def _operator(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.network.inside("operator"), *words],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )

    def state(self) -> dict[str, str]:
        """What lies on the nodes and at the operator's, changed when, and what systemd and K3s were told."""
        find = f"find {LOOKED_AT} -newer /srv/k3s -printf '%p %T@ %m %u\\n' 2>/dev/null | sort"
        found = {
            node: self.on(node, f"{find}; cat /run/systemctl.log /run/k3s.calls 2>&1 || :").stdout
            for node in NODES
        }
        secrets = self.folder / "secrets"
        found["operator"] = "\n".join(
            f"{path} {path.stat().st_mtime_ns}" for path in sorted(secrets.rglob("*"))
        )
        return found

    def unplug(self, node: str) -> None:
        self._port(node, "down")

    def plug_in(self, node: str) -> None:
        self._port(node, "up")

    def _port(self, node: str, state: str) -> None:
        number = list(ADDRESSES).index(node)
        ip("-n", self.network.name("sw"), "link", "set", f"p{number}", state)
