"""The rendered manifests of every site hold what schemas do not see; and each rule is seen to complain."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy import broken
from tests.deploy.invariants import INVARIANTS
from tests.deploy.site import OVERLAYS, RENDERED, REPOSITORY, Site, rendered


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("rule", INVARIANTS)
def test_a_site_holds(rule: str, name: str):
    assert list(INVARIANTS[rule](rendered(name))) == []


@pytest.mark.parametrize(("rule", "break_it", "complaint"), broken.WAYS, ids=broken.IDS)
def test_a_rule_complains_of_what_breaks_it(rule: str, break_it: Callable[[Site], Any], complaint: str):
    site = rendered("production")
    break_it(site)
    said = list(INVARIANTS[rule](site))
    assert any(complaint in each for each in said), said


def test_every_rule_is_broken_at_least_once():
    assert {rule for rule, _, _ in broken.WAYS} == INVARIANTS.keys()


def test_what_is_rendered_is_what_the_sources_say():
    folders = [REPOSITORY / "deploy" / "k8s" / name for name in ("base", "components", "overlays")]
    folders.append(REPOSITORY / "tests" / "deploy" / "everything")
    paths = [
        path.relative_to(REPOSITORY) for folder in folders for path in folder.rglob("*") if path.is_file()
    ]
    now = {str(path): hashlib.sha256((REPOSITORY / path).read_bytes()).hexdigest() for path in paths}
    lines = (RENDERED / "sources.sha256").read_text().splitlines()
    assert {path: digest for digest, path in (line.split("  ") for line in lines)} == now, "run make render"
