"""The way in, as an ingress is one: HAProxy before the web processes, told who is ready as Endpoints are."""

import socket
import subprocess
from pathlib import Path

from tests.deploy.images.network import PodNetwork

PORT = 8080
PLACES = 4
CONFIG = """\
global
    maxconn 1000
    stats socket {socket} level admin
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    retries 0
frontend all
    bind 127.0.0.1:{port}
    default_backend web
backend web
    balance leastconn
"""


class Front:
    """Sends requests to whoever is let in; a process that is let out finishes what it has."""

    def __init__(self, folder: Path, network: PodNetwork, namespace: str) -> None:
        self._socket = folder / "front.sock"
        config = folder / "front.cfg"
        servers = "".join(f"    server place{n} 127.0.0.1:1 disabled\n" for n in range(PLACES))
        config.write_text(CONFIG.format(socket=self._socket, port=PORT) + servers)
        self._free = list(range(PLACES))
        self._place: dict[int, int] = {}
        with (folder / "front.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*network.inside(namespace), "/usr/sbin/haproxy", "-db", "-f", str(config)],
                stdout=log,
                stderr=log,
            )

    def let_in(self, port: int) -> None:
        place = self._place[port] = self._free.pop(0)
        self._say(f"set server web/place{place} addr 127.0.0.1 port {port}")
        self._say(f"set server web/place{place} state ready")

    def let_out(self, port: int) -> None:
        place = self._place.pop(port)
        self._say(f"set server web/place{place} state maint")
        self._free.append(place)

    def _say(self, words: str) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._socket))
            line.sendall(words.encode() + b"\n")
            answer = line.recv(1000).decode().strip()
        if answer and not answer.startswith(("no need", "port changed", "IP changed", "nothing changed")):
            raise RuntimeError(f"HAProxy: {words}: {answer}")
