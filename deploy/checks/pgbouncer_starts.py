"""Whether PgBouncer takes the shipped pgbouncer.ini: it has no switch for that, so it is started and stopped.

What the file names in /etc/gardenos is made anew in a temporary folder. Prints PgBouncer's own complaint.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from deploy.site_secrets import NAMES, certificates

CONFIG = Path(__file__).resolve().parents[1] / "k8s" / "base" / "postgres" / "pgbouncer.ini"
NOBODY = 65534
START_S = 10.0


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, text in certificates(NAMES).items():
            (place / name).write_text(text)
        (place / "userlist.txt").write_text('"gardenos_app" "x"\n')
        config = CONFIG.read_text()
        for mounted in ("/etc/gardenos/postgres", "/etc/gardenos/pgbouncer"):
            config = config.replace(mounted, folder)
        config = config.replace("listen_addr = *", "listen_addr = 127.0.0.1").replace("6432", "26432")
        (place / "pgbouncer.ini").write_text(config)
        for each in (place, *place.iterdir()):
            if os.geteuid() == 0:
                os.chown(each, NOBODY, NOBODY)
        return start(place / "pgbouncer.ini", place / "log")


def start(config: Path, log: Path) -> int:
    user = NOBODY if os.geteuid() == 0 else None
    with log.open("wb") as written:
        process = subprocess.Popen(  # noqa: S603
            ["/usr/sbin/pgbouncer", str(config)], stdout=written, stderr=written, user=user, group=user
        )
    until = time.monotonic() + START_S
    try:
        while time.monotonic() < until and process.poll() is None:
            if "process up" in log.read_text():
                return 0
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    sys.stdout.write(log.read_text())
    return 1


if __name__ == "__main__":
    sys.exit(main())
