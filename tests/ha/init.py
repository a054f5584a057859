"""The first process of the suite's namespaces: makes the network, runs tests.ha.run in it, buries the dead.

Members of the cluster are killed on purpose; what they leave behind comes to this process, which must reap
it: Patroni takes a zombie for a PostgreSQL that still runs.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from tests.ha.places import ALIASES, RESOLV_CONF, network


def main(folder: Path, words: list[str]) -> int:
    Path("/run/netns").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)
    (folder / "resolv.conf").write_text(RESOLV_CONF)
    subprocess.run(["mount", "--bind", str(folder / "resolv.conf"), "/etc/resolv.conf"], check=True)
    pods = network()
    pods.up()
    for pod, address in ALIASES.items():
        subprocess.run(["ip", "-n", pods.name(pod), "address", "add", address, "dev", "eth0"], check=True)
    runner = subprocess.Popen(
        [*pods.inside("app"), sys.executable, "-m", "tests.ha.run", str(folder), *words]
    )
    while True:
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(-1, 0)
            if pid == runner.pid:
                return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(abs(main(Path(sys.argv[1]), sys.argv[2:])))
