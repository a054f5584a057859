"""One address for the API servers: HAProxy on each node, keepalived moves the address (docs/adr/0035)."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.ops.hosts import Host
from deploy.ops.inventory import Api, Inventory, Node, WrongInventory
from deploy.ops.steps import File, Step, answers_step, files_step, packages_step, service_step
from deploy.ops.templates import render

CHECK = "/usr/local/sbin/gardenos-api-check"


@dataclass(frozen=True)
class LoadBalancer:
    inventory: Inventory
    hosts: tuple[Host, ...]

    @property
    def api(self) -> Api:
        """Raises WrongInventory if the site has no shared address."""
        if self.inventory.api is None:
            raise WrongInventory(
                "api: is required (address, interface), or use your provider's load balancer"
            )
        return self.inventory.api

    def steps(self) -> Iterator[Step]:
        for host in self.hosts:
            yield packages_step(host, ("haproxy", "keepalived", "curl"))
            haproxy = File("/etc/haproxy/haproxy.cfg", self.haproxy)
            keepalived = self.keepalived_files(host.node)
            yield files_step(host, "HAProxy, keepalived: configuration", (haproxy, *keepalived))
            yield service_step(host, "haproxy.service", (haproxy,), restart=reload)
            yield service_step(host, "keepalived.service", keepalived)
        yield answers_step(
            self.hosts[0],
            "one node has the shared address",
            self.without_owner,
            "keepalived.service",
            timeout_s=30,
        )

    def haproxy(self) -> str:
        servers = "\n".join(f"server {node.name} {node.address}:6443" for node in self.inventory.nodes)
        return render("haproxy/haproxy.cfg", port=str(self.api.port), servers=servers)

    def keepalived_files(self, node: Node) -> tuple[File, ...]:
        prefix = ipaddress.ip_network(self.inventory.node_network).prefixlen
        shared = f"{self.api.address}/{prefix}"
        config = render(
            "keepalived/keepalived.conf",
            interface=self.api.interface,
            router_id=str(self.api.router_id),
            priority=str(120 - 10 * self.inventory.nodes.index(node)),
            address=node.address,
            peers="\n".join(each.address for each in self.inventory.nodes if each != node),
            shared=shared,
        )
        unit = render("keepalived/keepalived-gardenos.conf", shared=shared, interface=self.api.interface)
        return (
            File("/etc/keepalived/keepalived.conf", lambda: config),
            File(CHECK, lambda: render("keepalived/gardenos-api-check"), mode="755"),
            File("/etc/systemd/system/keepalived.service.d/gardenos.conf", lambda: unit),
        )

    def owners(self) -> list[str]:
        """The nodes that have the shared address now; more than one is a fault."""
        command = f"ip -oneline address show dev {self.api.interface} | grep -F ' {self.api.address}/'"
        return [host.name for host in self.hosts if host.run(command).code == 0]

    def without_owner(self) -> str:
        owners = self.owners()
        return "" if len(owners) == 1 else f"{self.api.address} is on {', '.join(owners) or 'no node'}"


def reload(host: Host) -> None:
    host.must("systemctl reload haproxy.service")
