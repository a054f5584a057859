"""Who may talk to whom, computed from the NetworkPolicies as Kubernetes defines them.

A connection is allowed when the sender's egress and the receiver's ingress both allow it. A pod that no
policy of a direction selects is open in it
(https://kubernetes.io/docs/concepts/services-networking/network-policies/).
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.deploy.site import Object, Pod, Site, matches


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod by its namespace and labels, or an address outside of the cluster."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    address: str = ""


def end_of(pod: Pod) -> End:
    return End(pod.app, pod.namespace, pod.labels, pod.port_names())


def pod_elsewhere(name: str, namespace: str, label: str, value: str) -> End:
    return End(name, namespace, {label: value})


def may_reach(site: Site, sender: End, receiver: End, port: int) -> bool:
    return _lets(site, sender, receiver, port, "egress") and _lets(site, receiver, sender, port, "ingress")


def _lets(site: Site, subject: End, other: End, port: int, direction: str) -> bool:
    if subject.address or not _is_ours(site, subject.namespace):
        return True  # not our policies' business
    policies = list(_policies(site, subject, direction.capitalize()))
    if not policies:
        return True
    receiver = other if direction == "egress" else subject
    peers = "to" if direction == "egress" else "from"
    return any(
        (peers not in rule or any(_is_peer(site, policy, peer, other) for peer in rule[peers]))
        and ("ports" not in rule or any(_is_port(each, receiver, port) for each in rule["ports"]))
        for policy in policies
        for rule in policy["spec"].get(direction, [])
    )


def _is_ours(site: Site, namespace: str) -> bool:
    return namespace in {each["metadata"]["name"] for each in site.of("Namespace")}


def _policies(site: Site, subject: End, direction: str) -> Iterator[Object]:
    for policy in site.of("NetworkPolicy"):
        spec = policy["spec"]
        if (
            policy["metadata"]["namespace"] == subject.namespace
            and direction in spec["policyTypes"]
            and matches(spec["podSelector"], subject.labels)
        ):
            yield policy


def _is_peer(site: Site, policy: Object, peer: dict[str, Any], other: End) -> bool:
    if block := peer.get("ipBlock"):
        if not other.address:
            return False
        address = ipaddress.ip_address(other.address)
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(each) for each in block.get("except", [])
        )
    if other.address:
        return False
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != policy["metadata"]["namespace"]:
        return False
    return matches(peer.get("podSelector", {}), other.labels)


def _is_port(rule: dict[str, Any], receiver: End, port: int) -> bool:
    wanted = rule.get("port", port)
    return (receiver.ports.get(wanted) if isinstance(wanted, str) else wanted) == port
