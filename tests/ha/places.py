"""Who has which address: three nodes with a member and an etcd each, and what stands before them."""

from tests.deploy.images.network import PodNetwork

NODES = ("postgres-0", "postgres-1", "postgres-2")
DOMAIN = "gardenos.svc.cluster.local"
ADDRESSES = {
    **{node: f"10.42.0.{11 + number}" for number, node in enumerate(NODES)},
    "router": "10.42.0.21",
    "pgbouncer": "10.42.0.22",
    "app": "10.42.0.53",  # web, workers, agents, mail, model, names, and this program
}
NODE_ADDRESSES = ("10.0.0.11", "10.0.0.12", "10.0.0.13")  # etcd runs on the nodes themselves
ALIASES = {node: f"{NODE_ADDRESSES[number]}/24" for number, node in enumerate(NODES)}
NAMES = {
    **{f"{node}.postgres.{DOMAIN}": ADDRESSES[node] for node in NODES},
    f"postgres-rw.{DOMAIN}": ADDRESSES["router"],
    f"postgres-ro.{DOMAIN}": ADDRESSES["router"],
    f"pgbouncer.{DOMAIN}": ADDRESSES["pgbouncer"],
}
# A Service maps a port to another one of its pods; here nothing does, so the port is named itself.
READ_ONLY_PORT = 5433
RESOLV_CONF = f"nameserver {ADDRESSES['app']}\nsearch {DOMAIN}\noptions ndots:5\n"  # as in a pod


def network() -> PodNetwork:
    """The suite has network namespaces to itself, so the names need not be unique on the machine."""
    return PodNetwork(ADDRESSES, prefix="ha")
