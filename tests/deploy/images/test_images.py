"""The images, built and run for real as Kubernetes would run them: `make test-images`.

Without root, a read-only root, no capability: etcd with TLS and a user limited to its prefix, a database
that Patroni bootstraps, HAProxy and PgBouncer before it, the migration, web and a queue cluster.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.site_secrets import all_secrets, certificates
from tests.deploy.images.containers import APP, BASE, POSTGRES, Containers, why_not
from tests.deploy.images.network import PodNetwork
from tests.deploy.site import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "can be run"),
]
SHA = "0123456789abcdef0123456789abcdef01234567"
PLACE = Path(os.environ.get("IMAGES_DIR", REPOSITORY / ".data-images"))
DOMAIN = "gardenos.svc.cluster.local"
CONFIG = REPOSITORY / "deploy" / "k8s" / "base"
DATABASE_UID, APP_UID = 10999, 10001
ADDRESSES = {
    "etcd": "10.42.0.5",
    "postgres": "10.42.0.10",
    "router": "10.42.0.20",
    "pgbouncer": "10.42.0.30",
    "app": "10.42.0.40",
}
HOSTS = {
    "etcd-1": "etcd",
    f"postgres-0.postgres.{DOMAIN}": "postgres",
    "postgres-rw": "router",
    "postgres-ro": "router",
    "pgbouncer": "pgbouncer",
}


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    """With IMAGES_DIR, a folder that stays, images are built only where they are missing."""
    made = Containers(PLACE)
    keeps = "IMAGES_DIR" in os.environ
    if not (keeps and made.has(BASE)):
        made.build_base()
    if not (keeps and made.has(APP)):
        made.build("app", APP, BUILD_SHA=SHA)
    if not (keeps and made.has(POSTGRES)):
        made.build("postgres", POSTGRES, PG_MAJOR="15", PG_REPO="debian")
    yield made
    made.stop_all()
    if not keeps:
        shutil.rmtree(PLACE, ignore_errors=True)


@pytest.mark.parametrize(("image", "uid"), [(APP, APP_UID), (POSTGRES, DATABASE_UID)])
def test_an_image_runs_without_root_capabilities_or_a_writable_root(
    containers: Containers, image: str, uid: int
):
    look = (
        "id -u; sed -n 's/^CapEff:[[:space:]]*//p; s/^NoNewPrivs:[[:space:]]*//p' /proc/self/status; "
        "touch /usr/x 2>/dev/null && echo writable; find / -xdev -perm /6000 -type f 2>/dev/null | wc -l"
    )
    said = containers.run(image, "sh", "-c", look).split()
    assert said == [str(uid), "0000000000000000", "1", "0"]


@pytest.mark.parametrize("image", [APP, POSTGRES])
def test_an_image_lists_its_parts(containers: Containers, image: str):
    parts = json.loads(containers.run(image, "cat", "/usr/share/parts.cdx.json"))
    names = {part["name"] for part in parts["components"]}
    assert {"libc6"} < names
    assert ({"Django", "gunicorn"} if image == APP else {"patroni", "postgresql-15"}) <= names


def test_the_apps_image_is_without_the_embedded_server(containers: Containers):
    assert "embedded" not in containers.run(APP, "sh", "-c", "ls /opt/venv/lib/python3*/site-packages")


class Site:
    """One of each, in namespaces that stand for pods."""

    def __init__(self, containers: Containers, folder: Path) -> None:
        self.containers, self.folder = containers, folder
        self.network = PodNetwork(ADDRESSES)
        self.others: list[subprocess.Popen[bytes]] = []
        etcd = certificates(("etcd-1", ADDRESSES["etcd"]))
        made = all_secrets(etcd=etcd, etcd_user="patroni", etcd_password="only-for-this-test")
        self.secrets = {name: values for _, name, values in made}

    def mounted(self, name: str, files: dict[str, str], gid: int) -> str:
        """A folder as Kubernetes mounts a Secret: root's, readable by the pod's group."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        for each, text in files.items():
            (place / each).write_text(text)
            os.chown(place / each, 0, gid)
            (place / each).chmod(0o440)
        return str(place)

    def owned(self, name: str, uid: int) -> str:
        place = self.folder / name
        place.mkdir()
        os.chown(place, uid, uid)
        return str(place)

    def options(
        self, pod: str, *, env: dict[str, str], mounts: dict[str, str], scratch: tuple[str, ...]
    ) -> list[str]:
        said = ["--network", f"ns:{self.network.path(pod)}"]
        said += [
            word for host, where in HOSTS.items() for word in ("--add-host", f"{host}:{ADDRESSES[where]}")
        ]
        said += [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        said += [
            word for inside, outside in mounts.items() for word in ("--volume", f"{outside}:{inside}:ro")
        ]
        return said + [word for inside in scratch for word in ("--tmpfs", f"{inside}:rw,mode=1777")]

    def start_etcd(self) -> None:
        place = self.folder / "etcd-server"
        place.mkdir()
        for name, text in self.secrets["etcd-client"].items():
            (place / name).write_text(text)
        url = "https://10.42.0.5:2379"
        with (self.folder / "etcd.log").open("wb") as log:
            self.others.append(
                subprocess.Popen(
                    [
                        *(*self.network.inside("etcd"), "etcd", "--data-dir", str(place / "data")),
                        *("--listen-client-urls", url, "--advertise-client-urls", url),
                        *("--cert-file", str(place / "tls.crt"), "--key-file", str(place / "tls.key")),
                    ],
                    stdout=log,
                    stderr=log,
                )
            )
        client = ["etcdctl", "--endpoints", url, "--cacert", str(place / "ca.crt")]
        ask = [*self.network.inside("etcd"), "env", "ETCDCTL_API=3", *client]
        until(
            lambda: subprocess.run([*ask, "endpoint", "health"], capture_output=True).returncode == 0, "etcd"
        )
        for words in (
            ("user", "add", "root:only-for-this-test"),
            ("role", "add", "patroni"),
            ("role", "grant-permission", "patroni", "--prefix=true", "readwrite", "/patroni/"),
            ("user", "add", "patroni:only-for-this-test"),
            ("user", "grant-role", "patroni", "patroni"),
            ("auth", "enable"),
        ):
            subprocess.run([*ask, *words], check=True, capture_output=True)

    def start_postgres(self) -> None:
        secrets = self.secrets["postgres-secrets"]
        member = f"postgres-0.postgres.{DOMAIN}"
        env = {
            "PATRONI_NAME": "postgres-0",
            "PATRONI_SCOPE": "gardenos-images-1",
            "PATRONI_ETCD3_HOSTS": "etcd-1:2379",
            "PATRONI_ETCD3_USERNAME": secrets["ETCD_USERNAME"],
            "PATRONI_ETCD3_PASSWORD": secrets["ETCD_PASSWORD"],
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"{member}:8008",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"{member}:5432",
            "PATRONI_SUPERUSER_PASSWORD": secrets["SUPERUSER_PASSWORD"],
            "PATRONI_REPLICATION_PASSWORD": secrets["REPLICATION_PASSWORD"],
            "PATRONI_REWIND_PASSWORD": secrets["REWIND_PASSWORD"],
            "PATRONI_RESTAPI_USERNAME": "patroni",
            "PATRONI_RESTAPI_PASSWORD": secrets["RESTAPI_PASSWORD"],
            "POSTGRES_OWNER_PASSWORD": secrets["OWNER_PASSWORD"],
            "POSTGRES_APP_PASSWORD": secrets["APP_PASSWORD"],
            "POSTGRES_READONLY_PASSWORD": secrets["READONLY_PASSWORD"],
        }
        mounts = {
            "/etc/gardenos/patroni": self.config("patroni", "patroni.yml"),
            "/etc/gardenos/etcd": self.mounted("etcd", self.secrets["etcd-client"], DATABASE_UID),
            "/etc/gardenos/postgres": self.mounted("tls", self.secrets["postgres-tls"], DATABASE_UID),
        }
        options = self.options("postgres", env=env, mounts=mounts, scratch=("/tmp", "/var/run/postgresql"))
        options += ["--volume", f"{self.owned('data', DATABASE_UID)}:/var/lib/postgresql/data"]
        self.containers.start(POSTGRES, "patroni", options=options, log=self.folder / "patroni.log")

    def config(self, name: str, file: str) -> str:
        return self.mounted(name, {file: (CONFIG / "postgres" / file).read_text()}, DATABASE_UID)

    def start_proxies(self) -> None:
        env = {
            "POSTGRES_0": ADDRESSES["postgres"],
            "POSTGRES_1": "10.42.0.11",
            "POSTGRES_2": "10.42.0.12",
            "HAPROXY_STATS_BIND": ADDRESSES["router"],
            "HAPROXY_STATS_PASSWORD": self.secrets["postgres-secrets"]["HAPROXY_STATS_PASSWORD"],
        }
        mounts = {"/etc/gardenos/haproxy": self.config("haproxy", "haproxy.cfg")}
        options = self.options("router", env=env, mounts=mounts, scratch=())
        self.containers.start(POSTGRES, "haproxy", options=options, log=self.folder / "haproxy.log")
        users = self.mounted("users", self.secrets["pgbouncer-users"], DATABASE_UID)
        mounts = {
            "/etc/gardenos/pgbouncer-config": self.config("pgbouncer", "pgbouncer.ini"),
            "/etc/gardenos/pgbouncer": users,
            "/etc/gardenos/postgres": str(self.folder / "tls"),
        }
        options = self.options("pgbouncer", env={}, mounts=mounts, scratch=())
        self.containers.start(POSTGRES, "pgbouncer", options=options, log=self.folder / "pgbouncer.log")

    def app_options(self, **more: str) -> list[str]:
        settings = dict(
            line.split("=", 1) for line in (CONFIG / "app" / "app.env").read_text().splitlines() if line
        )
        ca = {"ca.crt": self.secrets["postgres-tls"]["ca.crt"]}
        mounts = {"/etc/gardenos/postgres": self.mounted("ca", ca, APP_UID)}
        env = settings | self.secrets["app-secrets"] | {"AI_PROVIDER": "off"} | more
        scratch = ("/tmp", *(f"/var/lib/gardenos/{name}" for name in ("files", "ledger", "metrics")))
        return self.options("app", env=env, mounts=mounts, scratch=scratch)

    def get(self, path: str, port: int = 8000, host: str = ADDRESSES["app"]) -> tuple[int, str]:
        """Status and body, asked from the namespace of the router; 0 when nobody answers."""
        said = subprocess.run(
            [
                *self.network.inside("router"),
                "curl",
                "-s",
                "-m",
                "5",
                "-w",
                "\n%{http_code}",
                f"http://{host}:{port}{path}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        body, _, status = said.stdout.rpartition("\n")
        return int(status or 0), body

    def stop(self) -> None:
        self.containers.stop_all()
        for process in self.others:
            process.terminate()
            process.wait()
        self.network.down()


def until(holds, what: str, within_s: float = 600) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def site(containers: Containers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    for each in (folder, *folder.parents):
        if each != Path("/") and each.stat().st_uid == os.geteuid() and "pytest" in str(each):
            each.chmod(0o755)
    made = Site(containers, folder)
    made.network.up()
    try:
        made.start_etcd()
        made.start_postgres()
        made.start_proxies()
        yield made
    finally:
        made.stop()


def test_patroni_bootstraps_and_haproxy_finds_the_primary(site: Site):
    until(lambda: site.get("/primary", 8008, ADDRESSES["postgres"])[0] == 200, "a primary")
    until(lambda: site.get("/healthz", 8404, ADDRESSES["router"])[0] == 200, "HAProxy")
    state = json.loads(site.get("/patroni", 8008, ADDRESSES["postgres"])[1])
    assert (state["role"], state["patroni"]["scope"]) == ("primary", "gardenos-images-1")
    assert "haproxy_server_status" in site.get("/metrics", 8404, ADDRESSES["router"])[1]
    assert site.get("/", 8404, ADDRESSES["router"])[0] == 401


def test_the_migration_makes_the_tables_and_then_finds_nothing_to_do(site: Site):
    until(lambda: site.get("/primary", 8008, ADDRESSES["postgres"])[0] == 200, "a primary")
    options = site.app_options(**site.secrets["owner-secrets"])
    first = site.containers.run(APP, "migrate", options=options)
    assert "Applying crm.0001_initial" in first
    assert "No migrations to apply" in site.containers.run(APP, "migrate", options=options)


def test_web_serves_through_pgbouncer_and_says_which_build_it_is(site: Site):
    site.containers.start(APP, "web", options=site.app_options(), log=site.folder / "web.log")
    until(lambda: site.get("/readyz")[0] == 200, "web")
    assert json.loads(site.get("/livez")[1])["status"] == "ok"
    assert len(json.loads(site.get("/livez")[1])["build"]) == 40


def test_a_queue_cluster_makes_progress_and_the_probe_sees_it(site: Site):
    site.containers.start(APP, "worker", options=site.app_options(), log=site.folder / "worker.log")
    command = site.containers.command(
        APP, site.app_options(), ("manage", "qcluster_watch", "--check", "--cluster", "default")
    )

    def worked() -> bool:
        from tests.deploy.images.containers import IN_OWN_MOUNTS

        return subprocess.run([*IN_OWN_MOUNTS, *command], capture_output=True, check=False).returncode == 0

    until(worked, "the cluster")


def test_web_stays_alive_without_a_database_and_says_that_it_is_not_ready(site: Site):
    database = site.containers.running[0]
    database.terminate()
    database.wait(60)
    until(lambda: site.get("/readyz")[0] == 503, "not ready")
    assert site.get("/livez")[0] == 200
