"""K3s on the three nodes, each a server that also runs pods; one after the other."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from deploy.ops.etcd import Etcd
from deploy.ops.hosts import Host, Trouble
from deploy.ops.inventory import Inventory, Node, WrongInventory
from deploy.ops.steps import HERE, File, Step, answers_step, download_step, files_step, service_step, until
from deploy.ops.templates import HOSTS, render

UNIT = "k3s.service"
PROGRAM = "/usr/local/bin/k3s"
CLIENT = "/etc/gardenos/k3s-etcd"
START_S = 300  # a first start pulls images


@dataclass(frozen=True)
class K3s:
    inventory: Inventory
    hosts: tuple[Host, ...]

    def steps(self) -> Iterator[Step]:
        """Raises WrongInventory if the program is not named."""
        program = self.inventory.k3s
        if not program.url:
            raise WrongInventory(
                "k3s.url: is required, with k3s.sha256 (the program itself, of K3s's releases)"
            )
        yield self._token()
        for host in self.hosts:
            yield download_step(host, program.url, program.sha256, PROGRAM)
            files = self.files(host.node)
            yield files_step(host, "K3s: configuration, unit", files)
            yield service_step(host, UNIT, files, restart=self._restart)
            yield answers_step(host, "the API server answers", partial(silent, host), UNIT, timeout_s=START_S)
        yield answers_step(self.hosts[0], "three nodes are ready", self.unready, UNIT, timeout_s=START_S)

    def _token(self) -> Step:
        authority = Etcd(self.inventory, self.hosts).authority

        def check() -> str:
            return "" if authority.text("../k3s-token") else "missing"

        def apply() -> None:
            authority.keep("../k3s-token", secrets.token_hex(32) + "\n")

        return Step(HERE, "the token by which nodes join", check, apply)

    def files(self, node: Node) -> tuple[File, ...]:
        authority = Etcd(self.inventory, self.hosts).authority
        clients = {"ca.crt": "ca.crt", "tls.crt": "k3s.crt", "tls.key": "k3s.key"}
        return (
            File("/etc/rancher/k3s/config.yaml", lambda: self.config(node), mode="600"),
            File("/etc/rancher/k3s/token", lambda: authority.text("../k3s-token"), mode="600"),
            File("/etc/rancher/k3s/audit-policy.yaml", (HOSTS / "k3s" / "audit-policy.yaml").read_text),
            File(f"/etc/systemd/system/{UNIT}", lambda: render("k3s/k3s.service")),
            *(
                File(f"{CLIENT}/{name}", partial(authority.text, source), mode="600")
                for name, source in clients.items()
                if not self.inventory.embedded
            ),
        )

    def config(self, node: Node) -> str:
        site = self.inventory
        addresses = [each.address for each in site.nodes] + ([site.api.address] if site.api else [])
        return render(
            "k3s/config.yaml",
            name=node.name,
            address=node.address,
            names="\n".join(f"- {each}" for each in [*addresses, *(each.name for each in site.nodes)]),
            pods=site.pod_network,
            services=site.service_network,
            labels="\n".join(
                f"- {key}={value}" for key, value in (*node.labels, ("gardenos.local/site", site.name))
            ),
            datastore=self._datastore(node),
        )

    def _datastore(self, node: Node) -> str:
        first = self.inventory.nodes[0]
        if self.inventory.embedded:
            return "cluster-init: true" if node == first else f"server: https://{first.address}:6443"
        endpoints = ",".join(f"https://{each.address}:2379" for each in self.inventory.nodes)
        return (
            f"datastore-endpoint: {endpoints}\ndatastore-cafile: {CLIENT}/ca.crt\n"
            f"datastore-certfile: {CLIENT}/tls.crt\ndatastore-keyfile: {CLIENT}/tls.key"
        )

    def _restart(self, host: Host) -> None:
        """One at a time, and only while the other two answer."""
        if silence := [other.name for other in self.hosts if other != host and silent(other)]:
            raise Trouble(f"not restarted, because the API server of {', '.join(silence)} does not answer")
        host.must(f"systemctl restart --no-block {UNIT}")
        until(partial(silent, host), timeout_s=START_S)

    def unready(self) -> str:
        """Which nodes of the inventory are not ready; nothing if all are. Asks the first node."""
        said = self.hosts[0].run(f"{PROGRAM} kubectl get nodes --output json")
        if said.code:
            return f"the nodes could not be listed: {said.last}"
        ready = {
            node["metadata"]["name"]
            for node in json.loads(said.out)["items"]
            for condition in node["status"]["conditions"]
            if (condition["type"], condition["status"]) == ("Ready", "True")
        }
        missing = [node.name for node in self.inventory.nodes if node.name not in ready]
        return f"not ready: {', '.join(missing)}" if missing else ""


def silent(host: Host) -> str:
    """Why the API server of this node does not answer; nothing if it does."""
    said = host.run(f"{PROGRAM} kubectl --server https://127.0.0.1:6443 get --raw /readyz", timeout_s=30)
    return "" if said.code == 0 else f"the API server does not answer: {said.last}"
