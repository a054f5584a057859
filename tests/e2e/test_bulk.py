"""Many leads at once, by the keyboard, in a real browser: chosen, given to nobody, taken back."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import NewPage, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
SOON_MS = 20_000  # worked on by another process, on a busy machine


def test_rows_are_chosen_snoozed_together_and_taken_back(new_page: NewPage, stack: Stack) -> None:
    stack.manage("seed_demo", "--leads", "60")
    page = new_page("/leads/")
    rows, bar = page.locator("#picks tbody tr"), page.get_by_role("toolbar")
    boxes = page.locator("#picks td .check")
    expect(bar).to_be_hidden()
    rows.first.locator(".rowlink").focus()
    page.keyboard.press("x")
    expect(bar.get_by_role("status")).to_have_text("1 selected")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    expect(bar.get_by_role("status")).to_have_text("3 selected")
    expect(page.locator("#picks td .check:checked")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()

    boxes.nth(1).click()
    boxes.nth(3).click(modifiers=["Shift"])
    expect(bar.get_by_role("status")).to_have_text("3 selected")
    expect(page).to_have_url(re.compile("/leads/"))  # a box is no link
    page.get_by_label("Select all on this page").check()
    page.get_by_label(re.compile("All .* that match")).check()
    expect(bar.get_by_role("status")).to_have_text(re.compile("All .* selected"))
    page.get_by_role("button", name="Clear the selection").click()

    boxes.nth(0).click()
    boxes.nth(1).click()
    page.keyboard.press("s")
    sheet = page.get_by_role("dialog", name="Form")
    expect(sheet.get_by_role("heading", name="Let 2 leads sleep until")).to_be_visible()
    sheet.get_by_role("button", name="Tomorrow").click()
    expect(sheet.get_by_text("Finished.")).to_be_visible(timeout=SOON_MS)
    expect(sheet.locator("dd").first).to_have_text("2")
    expect(bar).to_be_hidden()
    sheet.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(re.compile("/bulk/"))
    expect(page.get_by_text("Taken back.")).to_be_visible(timeout=SOON_MS)
    page.goto("/leads/bulk/?act=disqualify&status=disqualified&all=1")  # as a page of its own
    page.get_by_role("button", name="Spam").click()
    expect(page).to_have_url(re.compile("/bulk/"))
    expect(page.get_by_text("Refused")).to_be_visible(timeout=SOON_MS)
    stack.manage("seed_demo", "--clear")
