"""The database cluster of the suite, and every way to harm and to mend it."""

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from deploy.site_secrets import address, all_secrets
from tests.deploy.site import rendered
from tests.ha.etcd import PASSWORD, USER, Etcd
from tests.ha.places import ADDRESSES, NODES, network
from tests.ha.pods import Pods, Prepared
from tests.ha.waiting import until

SITE = "production"
NAMESPACE_OF = {"postgres-router": "router", "pgbouncer": "pgbouncer"}
REST_PORT = 8008
ASK_S = 2.0
BOOTSTRAP_S, REJOIN_S = 180, 180


def newest_postgres() -> Path:
    """Debian's programs of the highest version that is installed."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class Cluster:
    """Three etcd, three members under Patroni, HAProxy and PgBouncer, with the files of deploy/."""

    def __init__(self, folder: Path, patroni: Path, app_path: str) -> None:
        self.folder, self.network = folder, network()
        self.etcd = Etcd(folder, self.network)
        made = all_secrets(etcd=self.etcd.files, etcd_user=USER, etcd_password=PASSWORD)
        self.secrets = {name: values for _, name, values in made}
        programs = newest_postgres()
        path = ":".join([str(patroni.parent), str(programs), "/usr/sbin:/usr/bin:/sbin:/bin"])
        site = rendered(SITE)
        self.database = Pods(site, self.secrets, folder, path, self.network)
        self.app = Pods(site, self.secrets, folder, app_path, self.network)
        self.members: dict[str, Prepared] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for node in NODES:
            self.members[node] = member = self.database.prepare("postgres", node, node)
            member.env["PATRONI_POSTGRESQL_BIN_DIR"] = str(programs)  # the image says it

    def start(self) -> None:
        """Until there is a primary that HAProxy leads to; the others join meanwhile. Raises TimeoutError."""
        with (self.folder / "names.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.ha.names"]
            self.processes["names"] = subprocess.Popen(command, stdout=log, stderr=log)
        self.etcd.start()
        self.etcd.make_user()
        for node in NODES:
            self.start_member(node)
        for app, namespace in NAMESPACE_OF.items():
            prepared = self.database.prepare(app, app, namespace)
            self.processes[app] = self.database.start(prepared, namespace)
        until(self.primary, "a first primary", BOOTSTRAP_S)
        until(self.takes_writers, "HAProxy leads to it", BOOTSTRAP_S)

    # --- what is so ----------------------------------------------------------------------------------------
    def status(self, node: str, path: str) -> int:
        """What a member's REST API answers; 0 when nobody does."""
        client = http.client.HTTPConnection(ADDRESSES[node], REST_PORT, timeout=ASK_S)
        with contextlib.suppress(OSError, http.client.HTTPException):
            client.request("GET", path)
            return client.getresponse().status
        return 0

    def owner_dsn(self, place: str) -> str:
        """As the owner of the tables, at this host:port."""
        return address("owner", self.secrets["postgres-secrets"]["OWNER_PASSWORD"], place, "sslmode=require")

    def takes_writers(self) -> bool:
        try:
            with psycopg.connect(self.owner_dsn("postgres-rw:5432"), connect_timeout=2) as connection:
                return connection.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,)
        except psycopg.Error:
            return False

    def primary(self) -> str:
        """The one member that says it is; empty when none or several do. (An isolated member's /cluster
        shows what was; only its own /primary counts.)"""
        found = [node for node in NODES if self.status(node, "/primary") == 200]
        return found[0] if len(found) == 1 else ""

    def whole(self) -> bool:
        """One primary, two streaming standbys, and a commit waits for one of both."""
        primary = self.primary()
        if not primary:
            return False
        state = self.ask(primary, "GET", "/patroni")
        replicas = [each for each in state.get("replication", []) if each.get("state") == "streaming"]
        are_near = [self.status(node, "/replica?lag=1MB") for node in NODES if node != primary]
        are_counted = [each.get("sync_state") for each in replicas]
        return len(replicas) == 2 and are_near == [200, 200] and are_counted == ["quorum", "quorum"]

    def wait_until_whole(self, within_s: float = REJOIN_S) -> float:
        return until(self.whole, "three members, two of them streaming and counted", within_s)

    def ask(self, node: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A member's answer as JSON; empty when there is none."""
        login = f"patroni:{self.secrets['postgres-secrets']['RESTAPI_PASSWORD']}"
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        client = http.client.HTTPConnection(ADDRESSES[node], REST_PORT, timeout=60)
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            client.request(method, path, json.dumps(body) if body else None, headers)
            answer = client.getresponse()
            text = answer.read().decode()
            return json.loads(text) if text.startswith("{") else {"status": answer.status, "said": text}
        return {}

    # --- harm and mending ----------------------------------------------------------------------------------
    def start_member(self, node: str) -> None:
        self.processes[node] = self.database.start(self.members[node], node)

    def switch_over(self, primary: str) -> str:
        """Planned: Patroni hands over to whichever standby it likes. What it said."""
        return str(self.ask(primary, "POST", "/switchover", {"leader": primary}).get("said", ""))

    def kill(self, node: str, *, patroni: bool) -> None:
        """SIGKILL to all of PostgreSQL on a node, and to Patroni first if asked."""
        pids = self._pids(node)
        if patroni:
            self.processes[node].kill()
        for pid in (pid for pid, name in pids.items() if name == "postgres"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if patroni:
            self.processes[node].wait()

    def cut(self, node: str) -> None:
        """The node's cable is out: member and etcd reach nobody, and nobody reaches them."""
        self.network.cut(node)

    def mend(self, node: str) -> None:
        self.network.mend(node)

    def _pids(self, node: str) -> dict[int, str]:
        """Processes in a node's network, with their short names."""
        said = subprocess.run(
            ["ip", "netns", "pids", self.network.name(node)], capture_output=True, text=True, check=True
        )
        names: dict[int, str] = {}
        for pid in map(int, said.stdout.split()):
            with contextlib.suppress(OSError):
                names[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        return names
