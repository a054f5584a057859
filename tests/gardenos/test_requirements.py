"""Every package is pinned with hashes, and those the product is built on are used."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT_ON = {  # package: where it does its work, and the words that show it
    "django": ("gardenos/wsgi.py", "from django.core.wsgi import get_wsgi_application"),
    "djangorestframework": ("crm/api/base.py", "rest_framework"),
    "channels": ("crm/live/layer.py", "from channels.layers import"),
    "django-q2": ("crm/tasks.py", "from django_q import tasks"),
    "psycopg": ("gardenos/embedded_postgres.py", "import psycopg"),
    "openai": ("ai_agents/llm/client.py", "openai"),
    "django-prometheus": ("gardenos/health.py", "from django_prometheus.exports import"),
    "gunicorn": ("gardenos/management/commands/up.py", '"-m", "gunicorn"'),
    "uvicorn": ("gardenos/gunicorn_conf.py", "worker_class ="),
    "pytest-django": ("tests/conftest.py", "django_db_setup"),
}


def wanted(name: str) -> dict[str, Requirement]:
    """The packages an .in file asks for, by their canonical names."""
    lines = [line.split("#")[0].strip() for line in (REPOSITORY / name).read_text().splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def pinned(name: str) -> dict[str, tuple[str, str]]:
    """Of a .txt file: package -> (version, the block of its hashes and origin)."""
    blocks = re.split(r"^(?=[a-z0-9])", (REPOSITORY / name).read_text(), flags=re.MULTILINE)
    found = {}
    for block in filter(None, blocks):
        head = re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", block)
        if head:
            found[canonicalize_name(head[1])] = (head[2], block)
    return found


@pytest.mark.parametrize("kind", ["requirements", "requirements-dev"])
def test_what_is_asked_for_is_pinned_and_what_is_pinned_is_asked_for(kind: str):
    asked, pins = wanted(f"{kind}.in"), pinned(f"{kind}.txt")
    assert asked.keys() <= pins.keys(), "run make lock"
    direct = {name for name, (_, block) in pins.items() if f"-r {kind}.in" in block}
    assert direct == asked.keys(), "run make lock"
    for name, requirement in asked.items():
        assert requirement.specifier.contains(Version(pins[name][0])), f"{name}: run make lock"


@pytest.mark.parametrize("kind", ["requirements", "requirements-dev"])
def test_every_pin_has_a_hash(kind: str):
    without = [name for name, (_, block) in pinned(f"{kind}.txt").items() if "--hash=sha256:" not in block]
    assert not without


def test_both_files_pin_the_same_versions():
    run, dev = pinned("requirements.txt"), pinned("requirements-dev.txt")
    assert {name: run[name][0] for name in run.keys() & dev.keys()} == {
        name: dev[name][0] for name in run.keys() & dev.keys()
    }


@pytest.mark.parametrize("package", BUILT_ON)
def test_what_the_product_is_built_on_is_pinned_and_used(package: str):
    path, words = BUILT_ON[package]
    assert package in pinned("requirements.txt") | pinned("requirements-dev.txt")
    assert words in (REPOSITORY / path).read_text()
