"""A site's inventory: which nodes, networks and versions. YAML, read by PyYAML (Debian's python3-yaml)."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
MISSING = object()


class WrongInventory(Exception):
    """The inventory cannot be used; the message names the field and says what belongs there."""


@dataclass(frozen=True)
class Program:
    """Where a program comes from: Debian packages, or one file whose checksum is known."""

    packages: tuple[str, ...] = ()
    url: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Ssh:
    user: str = "root"
    port: int = 22
    key: str = ""  # path of a private key; empty: as ssh itself finds one
    known_hosts: str = ""  # path; empty: the user's own


@dataclass(frozen=True)
class Node:
    name: str
    address: str  # in the private network
    ssh_address: str  # where ssh reaches it
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Api:
    """The address that the API servers share, on each node's HAProxy."""

    address: str
    port: int
    interface: str
    router_id: int  # VRRP, 1 to 255; unique in the network


@dataclass(frozen=True)
class Inventory:
    path: Path
    name: str
    nodes: tuple[Node, ...]
    node_network: str
    pod_network: str
    service_network: str
    admin_networks: tuple[str, ...]  # from where ssh and the API are reached
    storage_classes: tuple[str, ...]
    app_host: str
    api_host: str
    ssh: Ssh
    secrets: Path  # folder on the operator's machine: authority, keys, tokens
    embedded: bool  # K3s keeps an etcd of its own
    etcd: Program
    snapshot_recipients: tuple[str, ...]  # age's public keys; nobody: snapshots are not encrypted
    snapshot_target: str  # path or host:path for rsync; empty: snapshots stay on their node
    k3s: Program
    api: Api | None
    overlay: str

    def node(self, name: str) -> Node:
        """Raises WrongInventory for a name that is not there."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(each.name for each in self.nodes)
        raise WrongInventory(f"there is no node {name}; there are {names}")


class Fields:
    """One mapping of the file, taken apart field by field; what nobody took is refused by `done`."""

    def __init__(self, given: Any, where: str = "") -> None:
        if not isinstance(given, dict):
            raise WrongInventory(f"{where or 'the file'}: must be a mapping of names to values")
        self.given, self.where = dict(given), where

    def name(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def take(self, key: str, kind: type, default: Any = MISSING) -> Any:
        value = self.given.pop(key, default)
        if value is MISSING:
            raise WrongInventory(f"{self.name(key)}: is required")
        if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
            raise WrongInventory(f"{self.name(key)}: must be {KINDS[kind]}, not {value!r}")
        return value

    def inner(self, key: str) -> "Fields":
        return Fields(self.given.pop(key, {}), self.name(key))

    def texts(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        values = self.take(key, list, MISSING if default is None else default)
        for value in values:
            if not isinstance(value, str):
                raise WrongInventory(f"{self.name(key)}: must hold texts, not {value!r}")
        return tuple(values)

    def address(self, key: str, default: Any = MISSING) -> str:
        value = self.take(key, str, default)
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise WrongInventory(f"{self.name(key)}: {value!r} is no IP address") from None

    def network(self, key: str) -> str:
        return network(self.take(key, str), self.name(key))

    def done(self) -> None:
        if self.given:
            raise WrongInventory(f"{self.name(next(iter(self.given)))}: no such field")


KINDS: dict[type, str] = {str: "a text", int: "a whole number", list: "a list", dict: "a mapping"}


def network(value: str, where: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise WrongInventory(f"{where}: {value!r} is no network (10.0.0.0/24)") from None


def read(path: Path) -> Inventory:
    """Raises WrongInventory, also when the file or PyYAML is missing."""
    try:
        import yaml
    except ImportError:
        raise WrongInventory("PyYAML is missing: apt-get install python3-yaml") from None
    try:
        given = yaml.safe_load(path.read_text())
    except OSError as error:
        raise WrongInventory(f"{path} cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise WrongInventory(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    return parse(given, path)


def parse(given: Any, path: Path) -> Inventory:
    """What the file holds; `path` is what its relative paths start from. Raises WrongInventory."""
    top = Fields(given)
    name = top.take("name", str)
    networks, hosts, k3s, etcd = (top.inner(key) for key in ("networks", "hosts", "k3s", "etcd"))
    datastore = k3s.take("datastore", str, "external")
    if datastore not in ("external", "embedded"):
        raise WrongInventory(f"k3s.datastore: must be external or embedded, not {datastore!r}")
    ssh, node_network = top.inner("ssh"), networks.network("nodes")
    has_api = "api" in top.given
    api = top.inner("api")
    admin = top.texts("admin_networks", [node_network])
    found = Inventory(
        path=path,
        name=name,
        nodes=nodes_of(top.take("nodes", list), node_network),
        node_network=node_network,
        pod_network=networks.network("pods"),
        service_network=networks.network("services"),
        admin_networks=tuple(network(each, f"admin_networks[{at}]") for at, each in enumerate(admin)),
        storage_classes=top.texts("storage_classes"),
        app_host=hosts.take("app", str),
        api_host=hosts.take("api", str),
        ssh=Ssh(
            user=ssh.take("user", str, "root"),
            port=ssh.take("port", int, 22),
            key=beside(path, ssh.take("key", str, "")),
            known_hosts=beside(path, ssh.take("known_hosts", str, "")),
        ),
        secrets=path.parent / top.take("secrets", str, f"secrets-{name}"),
        embedded=datastore == "embedded",
        snapshot_recipients=etcd.texts("snapshot_recipients", []),
        snapshot_target=etcd.take("snapshot_target", str, ""),
        etcd=program(etcd, ("etcd-server", "etcd-client")),
        k3s=program(k3s, ()),
        api=api_of(api, node_network) if has_api else None,
        overlay=top.take("overlay", str, name),
    )
    for fields in (networks, hosts, k3s, etcd, ssh, api, top):
        fields.done()
    return found


def beside(path: Path, value: str) -> str:
    return str(path.parent / Path(value).expanduser()) if value else ""


def program(fields: Fields, packages: tuple[str, ...]) -> Program:
    url, sha256 = fields.take("url", str, ""), fields.take("sha256", str, "")
    if bool(url) != bool(sha256) or (sha256 and not SHA256.fullmatch(sha256)):
        raise WrongInventory(f"{fields.where}: url and sha256 (64 hexadecimal digits) belong together")
    return Program(packages=() if url else fields.texts("packages", list(packages)), url=url, sha256=sha256)


def api_of(fields: Fields, node_network: str) -> Api:
    address = fields.address("address")
    if ipaddress.ip_address(address) not in ipaddress.ip_network(node_network):
        raise WrongInventory(f"api.address: {address} is not in networks.nodes ({node_network})")
    router_id = fields.take("router_id", int, 51)
    if not 1 <= router_id <= 255:
        raise WrongInventory(f"api.router_id: must be 1 to 255, not {router_id}")
    port = fields.take("port", int, 7443)
    if port == 6443 or not 1 <= port <= 65535:
        raise WrongInventory(f"api.port: must be a free port (6443 is K3s's own), not {port}")
    return Api(address=address, port=port, interface=fields.take("interface", str), router_id=router_id)


def nodes_of(given: list[Any], node_network: str) -> tuple[Node, ...]:
    nodes = []
    for at, each in enumerate(given):
        fields = Fields(each, f"nodes[{at}]")
        name, address = fields.take("name", str), fields.address("address")
        if not NAME.fullmatch(name):
            raise WrongInventory(f"nodes[{at}].name: {name!r} is no host name")
        if ipaddress.ip_address(address) not in ipaddress.ip_network(node_network):
            raise WrongInventory(f"nodes[{at}].address: {address} is not in networks.nodes ({node_network})")
        if fields.take("taints", list, []):
            raise WrongInventory(f"nodes[{at}].taints: must be empty; every node also runs pods")
        labels = fields.take("labels", dict, {})
        nodes.append(
            Node(
                name=name,
                address=address,
                ssh_address=fields.take("ssh_address", str, address),
                labels=tuple((str(key), str(value)) for key, value in labels.items()),
            )
        )
        fields.done()
    if len(nodes) != 3:
        raise WrongInventory(f"nodes: must be three (etcd needs two of three), not {len(nodes)}")
    for field in ("name", "address"):
        if len({getattr(node, field) for node in nodes}) != 3:
            raise WrongInventory(f"nodes: two have the same {field}")
    return tuple(nodes)
