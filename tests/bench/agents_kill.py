# ruff: noqa: E402  Django is set up before what uses settings
"""`python -m tests.bench.agents_kill [IN_FLIGHT] [CALLS]`: a real cluster, undisturbed and then killed
half-way.
"""

import os
import subprocess
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")
django.setup()

from tests.bench.agents import own_database
from tests.bench.harness import REPOSITORY

if __name__ == "__main__":
    in_flight, calls = (sys.argv[1:] + ["64", "1000"][len(sys.argv) - 1 :])[:2]
    command = [sys.executable, "-m", "tests.bench.agents_run", "kill", in_flight, calls]
    sys.exit(subprocess.run(command, cwd=REPOSITORY, env=own_database(), check=False).returncode)
