"""The short form of `make test-chaos`."""

import subprocess
import sys

import pytest
from django.conf import settings

from tests.processes import environment


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos.run", *words],
        cwd=settings.BASE_DIR,
        env=environment(DJANGO_SETTINGS_MODULE="tests.chaos.settings"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(420)
def test_kills_beside_work_lose_nothing_and_double_nothing():
    done = run("kills", "--kills", "5", "--gap", "1", "--short")
    assert done.returncode == 0, done.stdout
    assert "0 lost, 0 doubled sends, 0 double results" in done.stdout


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(1_500)
def test_killed_idle_workers_and_monitors_are_recovered_from_at_the_shipped_limits():
    done = run("shipped", "--times", "5")
    assert done.returncode == 0, done.stdout
