"""An open page lives through what happens to its server."""

import os
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import NewPage, Stack
from tests.e2e.test_journeys import create_lead

pytestmark = pytest.mark.e2e
SOON_MS = 30_000


def web_workers(port: str) -> list[int]:
    """gunicorn's workers of the stack on this port: processes whose parent is its master."""
    parents: dict[int, int] = {}
    masters = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"gardenos.asgi:application" in command and f"GARDENOS_PORT={port}\0".encode() in environment:
            masters.add(int(entry.name))
    return [pid for pid in masters if parents[pid] in masters]


def is_live(page: Page) -> None:
    expect(page.locator("html")).to_have_attribute("data-live-state", "live", timeout=SOON_MS)


def test_a_page_catches_up_by_itself_after_its_web_process_was_killed(new_page: NewPage, stack: Stack):
    page = new_page("/")
    is_live(page)
    page.evaluate("window.neverReloaded = true")
    page.mouse.move(5, 5)
    for _ in range(2):
        workers = web_workers(stack.url.rpartition(":")[2])
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not set(web_workers(stack.url.rpartition(":")[2])) - set(workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    public_id = create_lead(stack, name="Edith Vane", email="edith@vane.example", message="A gate, please")
    expect(page.locator(f"#row-{public_id}")).to_be_visible(timeout=SOON_MS)
    is_live(page)
    expect(page.locator("[data-live-banner]")).to_be_hidden()
    assert page.evaluate("window.neverReloaded")


def test_somebody_who_signs_out_elsewhere_is_signed_out_here_too(new_page: NewPage, stack: Stack):
    page = new_page("/")
    is_live(page)
    other = page.context.new_page()
    other.goto("/me/")
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=SOON_MS)
