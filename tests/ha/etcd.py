"""Three etcd on the nodes: TLS for clients and peers, a user for Patroni that is limited to its prefix."""

import json
import subprocess
from pathlib import Path

from deploy.site_secrets import certificates
from tests.deploy.images.network import PodNetwork
from tests.ha.places import NODE_ADDRESSES, NODES
from tests.ha.waiting import until

USER, PASSWORD = "patroni", "only-for-this-suite"
CLIENT, PEER = 2379, 2380
FILES = {"cert-file": "tls.crt", "key-file": "tls.key", "trusted-ca-file": "ca.crt"}
TUNING = ("--heartbeat-interval", "100", "--election-timeout", "1000")  # etcd's own defaults, named


class Etcd:
    """The members by node. `files`: what the Secret etcd-client holds."""

    def __init__(self, folder: Path, network: PodNetwork) -> None:
        self.folder, self.network = folder / "etcd", network
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # etcd's gateway, which Patroni talks to, refuses client certificates with a CommonName.
        self.files = certificates(NODE_ADDRESSES, use="serverAuth,clientAuth", subject="/O=patroni")
        self._login: list[str] = []  # once authentication is on
        self.folder.mkdir()
        for name, text in self.files.items():
            (self.folder / name).write_text(text)

    def start(self, *nodes: str) -> None:
        for node in nodes or NODES:
            own = NODE_ADDRESSES[NODES.index(node)]
            cluster = ",".join(
                f"{each}=https://{address}:{PEER}"
                for each, address in zip(NODES, NODE_ADDRESSES, strict=True)
            )
            tls = [
                (f"--{side}{option}", str(self.folder / name))
                for side in ("", "peer-")
                for option, name in FILES.items()
            ]
            with (self.folder / f"{node}.log").open("ab") as log:
                self.processes[node] = subprocess.Popen(
                    [
                        *(*self.network.inside(node), "etcd", "--name", node, *TUNING),
                        *("--data-dir", str(self.folder / node), "--initial-cluster", cluster),
                        *("--listen-client-urls", f"https://{own}:{CLIENT}"),
                        *("--advertise-client-urls", f"https://{own}:{CLIENT}"),
                        *("--listen-peer-urls", f"https://{own}:{PEER}"),
                        *("--initial-advertise-peer-urls", f"https://{own}:{PEER}"),
                        *(word for each in tls for word in each),
                        *("--client-cert-auth", "--peer-client-cert-auth"),
                    ],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def kill(self, *nodes: str) -> None:
        for node in nodes or NODES:
            self.processes[node].kill()
            self.processes[node].wait()

    def make_user(self) -> None:
        """Once, when the cluster answers: authentication on, and Patroni may touch /patroni/ alone."""
        until(lambda: self._ask(NODES[0], "endpoint", "health") is not None, "etcd is healthy", 60)
        for words in (
            ("user", "add", f"root:{PASSWORD}"),
            ("role", "add", USER),
            ("role", "grant-permission", USER, "--prefix=true", "readwrite", "/patroni/"),
            ("user", "add", f"{USER}:{PASSWORD}"),
            ("user", "grant-role", USER, USER),
            ("auth", "enable"),
        ):
            if self._ask(NODES[0], *words) is None:
                raise RuntimeError(f"etcdctl {' '.join(words[:2])} failed")
        self._login = ["--user", f"root:{PASSWORD}"]

    def leader(self) -> str:
        """The node whose etcd leads. Raises TimeoutError when there is none."""
        found = ""

        def look() -> bool:
            nonlocal found
            for node in NODES:
                said = self._ask(node, "endpoint", "status", "--write-out", "json")
                status = json.loads(said)[0]["Status"] if said else {}
                if status and status["leader"] == status["header"]["member_id"]:
                    found = node
                    return True
            return False

        until(look, "etcd has a leader", 30)
        return found

    def _ask(self, node: str, *words: str) -> str | None:
        endpoint = f"https://{NODE_ADDRESSES[NODES.index(node)]}:{CLIENT}"
        client = ["etcdctl", "--endpoints", endpoint, "--command-timeout", "3s", *self._login]
        for option, name in (("--cacert", "ca.crt"), ("--cert", "tls.crt"), ("--key", "tls.key")):
            client += [option, str(self.folder / name)]
        said = subprocess.run(
            [*self.network.inside(node), "env", "ETCDCTL_API=3", *client, *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return said.stdout if said.returncode == 0 else None
