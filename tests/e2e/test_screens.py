"""The six screens: looked at by axe, wide and narrow, light and dark; and pictured for the docs on request.

`SCREENSHOTS_TO=docs/img` keeps the pictures there (`make screenshots`).
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import NewPage, Stack, sign_in_on

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
SCREENS = ("sign-in", "today", "lead", "leads", "import", "agents")
WIDTHS, THEMES = (1440, 390), ("light", "dark")


FAIR = """Name,E-mail,Phone,Value,Interest
Lena Fischer,lena.fischer@,+49 30 901820,4200,Roof terrace
Mei Chen,mei@chenfoods.example,555-01,2900,Courtyard
Raj Patel,raj@patelprint.example,+44 20 7946 0161,1250,Hedge
Sofia Lund,sofia@lund.example,+47 22 225555,7300,Pond and planting
"""


@dataclass(frozen=True)
class Garden:
    """Where the pictured screens are."""

    lead: str
    today: str
    file: str


@pytest.fixture(scope="module")
def garden(stack: Stack, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garden]:
    """Sample leads, one of which has a draft, and a file that was checked."""
    stack.manage("seed_demo", "--leads", "60", timeout_s=300)
    context = browser.new_context(base_url=stack.url)
    page = context.new_page()
    sign_in_on(page, stack)
    drafted = page.locator("#today-list .lead", has_text="Draft ready").first
    lead = drafted.locator(".hit").get_attribute("href") or ""
    today = f"/?lead={drafted.get_attribute('data-lead')}"
    file = tmp_path_factory.mktemp("fair") / "autumn-fair.csv"
    file.write_text(FAIR + "".join(f"Visitor {n},v{n}@fair.example,,{900 + n},Garden\n" for n in range(96)))
    page.goto("/imports/")
    page.get_by_label("A CSV file of leads").set_input_files(file)
    page.get_by_role("button", name="Upload the file").click()
    page.get_by_role("button", name="Check 100 rows").click()
    expect(page.get_by_role("button", name="Import 98 leads")).to_be_visible(timeout=30_000)
    yield Garden(lead, today, page.url.removeprefix(stack.url))
    page.get_by_role("button", name="Throw away").click()
    context.close()
    stack.manage("seed_demo", "--clear")


def open_screen(name: str, new_page: NewPage, garden: Garden, *, width: int, theme: str) -> Page:
    if name == "sign-in":
        return new_page("/accounts/login/", width=width, theme=theme, sign_in=False)
    paths = {
        "today": garden.today,
        "lead": garden.lead,
        "leads": "/leads/",
        "import": garden.file,
        "agents": "/agents/",
    }
    page = new_page("/", width=width, theme=theme)
    page.goto(paths[name])
    expect(page.locator("main > :last-child")).to_be_visible()
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
    name: str, width: int, theme: str, new_page: NewPage, garden: Garden
) -> None:
    page = open_screen(name, new_page, garden, width=width, theme=theme)
    page.wait_for_load_state("networkidle")
    picture(page, name, width=width, theme=theme)
    found = Axe().run(page, options=RULES).response["violations"]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]


@pytest.mark.parametrize("name", SCREENS)
def test_no_screen_scrolls_sideways_at_320(name: str, new_page: NewPage, garden: Garden) -> None:
    page = open_screen(name, new_page, garden, width=320, theme="light")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate("document.querySelector('main').scrollWidth") <= 320


@pytest.mark.parametrize("name", SCREENS)
def test_every_target_is_at_least_24_pixels(name: str, new_page: NewPage, garden: Garden) -> None:
    page = open_screen(name, new_page, garden, width=1440, theme="light")
    small = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, summary, textarea")]
            .filter((element) => element.checkVisibility({ visibilityProperty: true }))
            .filter((element) => !element.matches(".skip, .link, .rowlink, .hit, [type=hidden]"))
            .map((box) => (box.matches(".check, [type=radio]") && box.closest("label")) || box)
            .map((element) => [element.getBoundingClientRect(), element.outerHTML.slice(0, 120)])
            .filter(([box]) => box.width && (box.width < 24 || box.height < 24))
            .map(([box, html]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)"""
    )
    assert not small, small


def test_the_palette_and_an_open_form_have_no_barrier_either(new_page: NewPage, garden: Garden) -> None:
    page = new_page("/")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_be_visible()
    picture(page, "palette", width=1440, theme="light")
    assert not Axe().run(page, options=RULES).response["violations"]
    page.keyboard.press("Escape")
    page.goto(garden.lead)
    page.get_by_role("link", name=re.compile("^Interest: ")).click()
    expect(page.get_by_role("textbox", name="Interest")).to_be_focused()
    assert not Axe().run(page, options=RULES).response["violations"]
