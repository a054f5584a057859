"""nftables on each node. A firewall that shuts out its operator is taken away again within a minute."""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deploy.ops.hosts import Host
from deploy.ops.inventory import Inventory
from deploy.ops.steps import File, Step, command_step, files_step, packages_step, service_step
from deploy.ops.templates import render

RULES = "/etc/gardenos/firewall.nft"
UNIT = "gardenos-firewall.service"
KEPT = "/run/gardenos-firewall-kept"
UNDO = (
    f"rm -f {KEPT}; setsid sh -c 'sleep 60; test -e {KEPT} || nft delete table inet gardenos' "
    "</dev/null >/dev/null 2>&1 &"
)


@dataclass(frozen=True)
class Firewall:
    inventory: Inventory
    hosts: tuple[Host, ...]

    def steps(self) -> Iterator[Step]:
        files = (
            File(RULES, self.rules),
            File(f"/etc/systemd/system/{UNIT}", lambda: render(f"firewall/{UNIT}")),
        )
        for host in self.hosts:
            yield packages_step(host, ("nftables",))
            yield files_step(host, "firewall: rules, unit", files)
            yield command_step(
                host,
                "nft takes the rules",
                holds=f"nft -c -f {RULES}",
                missing="it does not",
                do=f"nft -c -f {RULES}",
            )
            yield guarded(host, service_step(host, UNIT, files))

    def rules(self) -> str:
        site = self.inventory
        ports = [site.ssh.port, 6443, *([site.api.port] if site.api else [])]
        nodes = [*ports, 2379, 2380, 10250]
        return render(
            "firewall/firewall.nft",
            admins="\n".join(accept(site.admin_networks, tcp(ports))),
            nodes="\n".join(
                line
                for what in (tcp(nodes), "udp dport 8472", "meta l4proto vrrp")
                for line in accept([site.node_network], what)
            ),
            pods="\n".join(accept([site.pod_network], tcp([6443, 2379, 10250]))),
        )


def tcp(ports: Iterable[int]) -> str:
    return f"tcp dport {{ {', '.join(str(port) for port in sorted(set(ports)))} }}"


def accept(networks: Iterable[str], what: str) -> Iterator[str]:
    for each in networks:
        family = "ip" if ipaddress.ip_network(each).version == 4 else "ip6"
        yield f"{family} saddr {each} {what} accept"


def guarded(host: Host, step: Step) -> Step:
    """The step, undone by the node itself unless a new connection gets through afterwards."""

    def apply() -> None:
        host.must(UNDO)
        step.apply()
        host.anew().must(f"touch {KEPT}")

    return Step(step.where, step.what, step.check, apply)
