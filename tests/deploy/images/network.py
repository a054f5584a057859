"""Network namespaces on one bridge, each with an address of the pods' network; the host's stays as it is."""

import os
import subprocess
from dataclasses import dataclass, field


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass
class PodNetwork:
    """`addresses`: name of a namespace -> its address in 10.42.0.0/16."""

    addresses: dict[str, str]
    prefix: str = field(default_factory=lambda: f"gi{os.getpid() % 100_000}")

    def name(self, pod: str) -> str:
        return f"{self.prefix}-{pod}"

    def path(self, pod: str) -> str:
        return f"/run/netns/{self.name(pod)}"

    def inside(self, pod: str) -> list[str]:
        return ["ip", "netns", "exec", self.name(pod)]

    def up(self) -> None:
        switch = self.name("sw")
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for number, (pod, address) in enumerate(self.addresses.items()):
            name = self.name(pod)
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip(
                "-n",
                name,
                "link",
                "add",
                "eth0",
                "type",
                "veth",
                "peer",
                "name",
                f"p{number}",
                "netns",
                switch,
            )
            ip("-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
            ip("-n", name, "address", "add", f"{address}/16", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")

    def cut(self, pod: str) -> None:
        """Pull the cable: nothing comes in or goes out, and neither side is told."""
        self._port(pod, "down")

    def mend(self, pod: str) -> None:
        self._port(pod, "up")

    def _port(self, pod: str, state: str) -> None:
        ip("-n", self.name("sw"), "link", "set", f"p{list(self.addresses).index(pod)}", state)

    def down(self) -> None:
        for pod in (*self.addresses, "sw"):
            subprocess.run(["ip", "netns", "delete", self.name(pod)], check=False, capture_output=True)
