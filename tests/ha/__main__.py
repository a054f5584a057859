"""`python -m tests.ha [smoke|full] [--keep FOLDER] [--out FILE]`: the failover suite; see tests/ha/run.py.

Everything runs in namespaces of its own for mounts, processes and networks: whatever happens, even SIGKILL to
this program, the kernel ends all of it and nothing is left of the networks. Needs root. Exits with 2 when the
machine cannot do it, and says what is missing.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.deploy.site import REPOSITORY

PROGRAMS = ("unshare", "setpriv", "ip", "etcd", "etcdctl", "haproxy", "pgbouncer", "openssl")
PACKAGES_HINT = "run .ci/test-deps ha"
DATABASE_USER = "postgres"
NAMESPACES = (
    "unshare",
    *("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--net"),
)


def why_not() -> str:
    """Why the suite cannot run here, and what to do; empty when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root; run it as root"
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if missing or not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        return f"{', '.join(missing) or 'PostgreSQL'}: not installed; {PACKAGES_HINT}"
    try:
        pwd.getpwnam(DATABASE_USER)
    except KeyError:
        return f"there is no user {DATABASE_USER}, which Debian's postgresql brings; {PACKAGES_HINT}"
    tried = subprocess.run(
        [*NAMESPACES, "sh", "-c", "mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip netns add x"
         " && ip -n x link add br0 type bridge && ip -n x link add v0 type veth peer name v1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode:
        return f"this machine gives no namespaces, bridges or veth pairs: {tried.stderr.strip()}"
    return _unreadable()


def _unreadable() -> str:
    """PostgreSQL runs as a user of its own, which must get at Patroni and at deploy/."""
    as_database = ["setpriv", "--reuid", DATABASE_USER, "--regid", DATABASE_USER, "--clear-groups"]
    patroni = os.environ.get("HA_PATRONI", "")
    for command, what in (
        ([patroni, "--version"], "HA_PATRONI (make test-ha sets it)"),
        (["test", "-x", str(REPOSITORY / "deploy" / "docker" / "postgres" / "make-roles")], str(REPOSITORY)),
    ):
        try:
            said = subprocess.run([*as_database, *command], capture_output=True, check=False)
        except OSError as error:
            return f"{what}: {error}"
        if said.returncode:
            return f"the user {DATABASE_USER} cannot use {what}; put the clone where everybody may read it"
    return ""


def main() -> int:
    if trouble := why_not():
        print(f"test-ha: cannot run here: {trouble}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="gardenos-ha-"))
    folder.chmod(0o755)
    inside = [sys.executable, "-m", "tests.ha.init", str(folder), *sys.argv[1:]]
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", *NAMESPACES, *inside],
        cwd=REPOSITORY,
        start_new_session=True,  # Ctrl-C comes to us alone
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        process.kill()  # with it the first process of the namespace, and so all of them
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
