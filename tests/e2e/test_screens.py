"""The six screens: looked at by axe, wide and narrow, light and dark; and pictured for the docs on request.

`SCREENSHOTS_TO=docs/img` keeps the pictures there (`make screenshots`).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import NewPage, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
SCREENS = ("sign-in", "today", "lead", "leads", "import", "agents")
WIDTHS, THEMES = (1440, 390), ("light", "dark")


@pytest.fixture(scope="module")
def garden(stack: Stack) -> Iterator[str]:
    """Sample data, and the public id of the lead that is pictured."""
    stack.manage("seed_demo", "--leads", "60", timeout_s=300)
    yield ""
    stack.manage("seed_demo", "--clear")


def open_screen(name: str, new_page: NewPage, *, width: int, theme: str) -> Page:
    if name == "sign-in":
        return new_page("/accounts/login/", width=width, theme=theme, sign_in=False)
    paths = {"today": "/", "lead": "/", "leads": "/leads/", "import": "/imports/", "agents": "/agents/"}
    page = new_page(paths[name], width=width, theme=theme)
    if name == "today" and width > WIDTHS[1]:  # with the draft beside it: that is what the page is for
        page.locator("#today-list .lead", has_text="Draft ready").first.locator(".hit").click()
        expect(page.get_by_role("button", name="Approve")).to_be_visible()
    if name == "lead":
        page.goto(page.locator("#today-list .hit").first.get_attribute("href") or "/")
        expect(page.locator(".leadpage")).to_be_visible()
    return page


def picture(page: Page, name: str, *, width: int, theme: str) -> None:
    folder = os.environ.get("SCREENSHOTS_TO")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}-{theme}-{width}.png")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_has_no_barrier_that_axe_knows(
    name: str, width: int, theme: str, new_page: NewPage, garden: str
) -> None:
    page = open_screen(name, new_page, width=width, theme=theme)
    page.wait_for_load_state("networkidle")
    picture(page, name, width=width, theme=theme)
    found = Axe().run(page, options=RULES).response["violations"]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]


@pytest.mark.parametrize("name", SCREENS)
def test_no_screen_scrolls_sideways_at_320(name: str, new_page: NewPage, garden: str) -> None:
    page = open_screen(name, new_page, width=320, theme="light")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate("document.querySelector('main').scrollWidth") <= 320


@pytest.mark.parametrize("name", SCREENS)
def test_every_target_is_at_least_24_pixels(name: str, new_page: NewPage, garden: str) -> None:
    page = open_screen(name, new_page, width=1440, theme="light")
    small = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, summary, textarea")]
            .filter((element) => element.checkVisibility({ visibilityProperty: true }))
            .filter((element) => !element.matches(".skip, .link, .rowlink, .hit, [type=hidden]"))
            .map((element) => element.matches(".check") ? element.closest("label") || element : element)
            .map((element) => [element.getBoundingClientRect(), element.outerHTML.slice(0, 120)])
            .filter(([box]) => box.width && (box.width < 24 || box.height < 24))
            .map(([box, html]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)"""
    )
    assert not small, small


def test_the_palette_and_an_open_form_have_no_barrier_either(new_page: NewPage, garden: str) -> None:
    page = new_page("/")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("option").first).to_be_visible()
    picture(page, "palette", width=1440, theme="light")
    assert not Axe().run(page, options=RULES).response["violations"]
    page.keyboard.press("Escape")
    page.goto(page.locator("#today-list .hit").first.get_attribute("href") or "/")
    page.get_by_role("link", name=re.compile("^Interest: ")).click()
    expect(page.get_by_role("textbox", name="Interest")).to_be_focused()
    assert not Axe().run(page, options=RULES).response["violations"]
