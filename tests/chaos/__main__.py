# ruff: noqa: E402  Django is set up before what uses settings
"""`python -m tests.chaos [kills|shipped|rotate] [--kills N] [--seed S]`: makes an empty database, and runs
tests/chaos/run.py on it. Beside a server, as `make test-chaos` starts one."""

import os
import subprocess
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")
django.setup()

from tests.bench.harness import REPOSITORY
from tests.bench.surroundings import database_from_empty, environment_of

DATABASE = "gardenos_chaos"

if __name__ == "__main__":
    database_from_empty(DATABASE)
    environment = {**os.environ, **environment_of(DATABASE), "DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}
    command = [sys.executable, "-m", "tests.chaos.run", *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode)
