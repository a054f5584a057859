"""What people do with GardenOS, from the first sign-in to a mail that arrives, in a real browser."""

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.crm.mail.smtp_server import text_of
from tests.e2e.conftest import NewPage, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
SOON_MS = 20_000  # scored and drafted by agents of another process, on a busy machine


def create_lead(stack: Stack, **fields: str) -> str:
    """A lead by the API, as a website would; its public id."""
    request = urllib.request.Request(
        f"{stack.url}/api/v1/leads/",
        data=json.dumps(fields).encode(),
        headers={
            "Authorization": f"Bearer {stack.token('read', 'write')}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"{time.time_ns()}",
        },
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 201
        return json.load(answer)["id"]


def wait_for_live(page: Page) -> None:
    expect(page.locator("html")).to_have_attribute("data-live-state", "live", timeout=SOON_MS)


def test_somebody_signs_in_and_out(new_page: NewPage, stack: Stack) -> None:
    page = new_page("/", sign_in=False)
    expect(page).to_have_url(re.compile("/accounts/login/"))
    page.get_by_label("Email").fill(stack.email)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill(stack.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Today", level=1)).to_be_visible()
    page.goto("/me/")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/accounts/login/"))


def test_a_lead_of_the_website_is_scored_drafted_approved_and_sent_without_a_reload(
    new_page: NewPage, stack: Stack
) -> None:
    page = new_page("/")
    wait_for_live(page)
    page.evaluate("window.neverReloaded = true")
    before = len(stack.mails.raw())
    public_id = create_lead(
        stack,
        name="Rosalind Thorne",
        company="Thorne & Daughters",
        email="rosalind@thorne.example",
        phone="+44 20 7946 0991",
        message="Could you quote for a terrace and a small pond? Our budget is 18,000, we start in May.",
    )
    row = page.locator(f"#row-{public_id}")
    expect(row).to_be_visible(timeout=SOON_MS)
    expect(row.locator(".score")).to_have_attribute(
        "aria-label", re.compile(r"Score \d+ of 100"), timeout=SOON_MS
    )
    expect(row.get_by_text("Draft ready")).to_be_visible(timeout=SOON_MS)

    row.locator(".hit").click()
    box = page.locator(f"#draft-{public_id}")
    expect(box.get_by_text("Draft by FollowUpAgent")).to_be_visible(timeout=SOON_MS)
    approved = box.locator(".mail .txt").evaluate("element => element.textContent")
    subject = box.locator(".mail .line").nth(1).locator("b").inner_text()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Sending to Rosalind Thorne in 8 s")).to_be_visible()

    deadline = time.monotonic() + 60
    while len(stack.mails.raw()) == before and time.monotonic() < deadline:
        page.wait_for_timeout(250)
    expect(box.get_by_text("Sent", exact=True)).to_be_visible(timeout=SOON_MS)
    page.wait_for_timeout(3_000)  # a second copy would have had its chance
    arrived = stack.mails.mails()[before:]
    assert len(arrived) == 1
    assert arrived[0]["To"] == "rosalind@thorne.example"
    assert arrived[0]["Subject"] == subject
    assert text_of(arrived[0]).rstrip("\n") == approved.rstrip("\n")
    assert page.evaluate("window.neverReloaded") is True


def test_an_approval_can_be_taken_back_by_keyboard_and_nothing_leaves(
    new_page: NewPage, stack: Stack
) -> None:
    page = new_page("/")
    before = len(stack.mails.raw())
    public_id = create_lead(
        stack, name="Hugo Marsh", email="hugo@marsh.example", message="Can you price a hedge for us?"
    )
    page.goto(f"/leads/{public_id}/")
    box = page.locator(f"#draft-{public_id}")
    if not box.get_by_role("button", name="Approve and send").is_visible():
        expect(
            box.get_by_role("button", name=re.compile("Approve and send|Draft a follow-up")).first
        ).to_be_visible(timeout=SOON_MS)
    if box.get_by_role("button", name="Draft a follow-up").is_visible():
        page.keyboard.press("d")
    expect(box.get_by_role("button", name="Approve and send")).to_be_visible(timeout=SOON_MS)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Sending to Hugo Marsh")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("Undone")).to_be_visible()
    expect(box.get_by_role("button", name="Approve and send")).to_be_visible(timeout=SOON_MS)
    page.wait_for_timeout(10_000)
    assert len(stack.mails.raw()) == before


def test_a_draft_is_edited_by_keyboard_and_the_edited_text_is_what_arrives(
    new_page: NewPage, stack: Stack
) -> None:
    before = len(stack.mails.raw())
    page = new_page("/")
    public_id = create_lead(
        stack, name="Ines Duarte", email="ines@duarte.example", message="Do you plant olive trees?"
    )
    page.goto(f"/leads/{public_id}/")
    box = page.locator(f"#draft-{public_id}")
    box.get_by_role("link", name="Write").or_(box.get_by_role("link", name="Edit")).first.wait_for(
        timeout=SOON_MS
    )
    if box.get_by_role("link", name="Edit").is_visible():
        page.keyboard.press("e")
    else:
        box.get_by_role("link", name="Write").click()
    area = box.get_by_role("textbox", name="Message")
    expect(area).to_be_focused()
    box.get_by_role("textbox", name="Subject").fill("Olive trees, yes")
    area.fill("Hello Ines,\n\nwe do, from April on. Grüße – and no “quotes” lost.\n\nThe Studio")
    area.press("Control+Enter")
    expect(page.get_by_text("Sending to Ines Duarte")).to_be_visible()
    deadline = time.monotonic() + 60
    while len(stack.mails.raw()) == before and time.monotonic() < deadline:
        page.wait_for_timeout(250)
    (mail,) = stack.mails.mails()[before:]
    assert mail["Subject"] == "Olive trees, yes"
    assert text_of(mail).startswith("Hello Ines,\n\nwe do, from April on. Grüße – and no “quotes” lost.")


def test_leads_are_filtered_searched_and_opened_by_keyboard(new_page: NewPage, stack: Stack) -> None:
    create_lead(stack, name="Winifred Ash", company="Ash Nurseries", email="win@ash.example")
    page = new_page("/leads/")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Search leads")
    expect(search).to_be_focused()
    search.type("winifred")
    expect(page.locator("#lead-table .rowlink")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=winifred"))
    page.reload()
    expect(page.locator("#lead-table .rowlink")).to_have_count(1)
    page.get_by_role("link", name="Remove the filter Search").click()
    page.locator("summary", has_text="Filter").click()
    page.get_by_role("combobox", name="Status").select_option("disqualified")
    page.get_by_role("button", name="Show leads").click()
    expect(page).to_have_url(re.compile("status=disqualified"))
    expect(page.get_by_text("No lead matches")).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("winif")
    expect(page.get_by_role("option", name=re.compile("Winifred Ash"))).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Winifred Ash", level=2)).to_be_visible()


def test_a_value_is_changed_in_place_escape_reverts_and_z_takes_it_back(
    new_page: NewPage, stack: Stack
) -> None:
    public_id = create_lead(stack, name="Otto Lindgren", email="otto@lindgren.example", interest="A hedge")
    page = new_page(f"/leads/{public_id}/")
    value = page.get_by_role("link", name="Interest: A hedge, edit")
    value.click()
    field = page.get_by_role("textbox", name="Interest")
    expect(field).to_be_focused()
    field.fill("Something else")
    field.press("Escape")
    expect(value).to_be_focused()
    value.press("Enter")
    field.fill("A pond")
    field.press("Enter")
    changed = page.get_by_role("link", name="Interest: A pond, edit")
    expect(changed).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_role("link", name="Interest: A hedge, edit")).to_be_visible()


def test_snooze_opens_over_the_page_and_gives_the_focus_back(new_page: NewPage, stack: Stack) -> None:
    public_id = create_lead(stack, name="Petra Vance", email="petra@vance.example")
    page = new_page(f"/leads/{public_id}/")
    page.get_by_role("link", name="Snooze").first.focus()
    page.keyboard.press("s")
    expect(page.get_by_role("button", name=re.compile("Tomorrow"))).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Snooze").first).to_be_focused()
    page.keyboard.press("s")
    page.get_by_role("button", name=re.compile("Tomorrow")).click()
    expect(page.get_by_text("Petra Vance sleeps")).to_be_visible()
    expect(page.locator(".stepper .now")).to_contain_text("Nurturing")


def test_the_pages_work_without_javascript(browser, stack: Stack) -> None:
    public_id = create_lead(
        stack, name="Nora Noscript", email="nora@example.com", message="A gravel path, please."
    )
    context = browser.new_context(base_url=stack.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(stack.email)
    page.get_by_label("Password").fill(stack.password)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#today-list .hit", has_text="Nora Noscript").click()
    expect(page).to_have_url(re.compile(f"/leads/{public_id}/"))
    page.get_by_role("textbox", name="Note").fill("Called, wants it by June.")
    page.locator("#composer").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Called, wants it by June.")).to_be_visible()
    page.get_by_role("link", name=re.compile("^Company: ")).click()
    page.get_by_role("textbox", name="Company").fill("Noscript Ltd")
    page.locator("#details").get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="Company: Noscript Ltd, edit")).to_be_visible()
    page.get_by_role("link", name="Snooze").first.click()
    page.get_by_role("button", name=re.compile("Next Monday")).click()
    expect(page.get_by_text("Nora Noscript sleeps")).to_be_visible()
    context.close()


def test_j_and_k_walk_and_letters_can_be_switched_off(new_page: NewPage, stack: Stack) -> None:
    for name in ("Jasper Kay", "Katya Jones"):
        create_lead(stack, name=name, email=f"{name.split()[0].lower()}@example.com", message="Hello")
    page = new_page("/")
    wait_for_live(page)
    under_way = page.locator("#today-list .tag .live")
    page.wait_for_timeout(1_000)
    expect(under_way).to_have_count(0, timeout=SOON_MS)  # scores move rows
    page.goto("/")
    listed = page.locator("#today-list .lead").evaluate_all("rows => rows.map(row => row.dataset.lead)")
    first, second = (page.locator(f"#row-{public_id}") for public_id in listed[:2])
    is_chosen = re.compile(r"\bon\b")
    expect(first).to_have_class(is_chosen)
    page.keyboard.press("j")
    expect(second).to_have_class(is_chosen)
    expect(page.locator(f'[data-peek-of="{listed[1]}"]')).to_be_visible()
    page.keyboard.press("k")
    expect(first).to_have_class(is_chosen)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(page.get_by_role("heading", name="Leads", level=1)).to_be_visible()
    page.goto("/me/")
    page.get_by_label("Single-letter shortcuts").uncheck()
    page.get_by_role("button", name="Save").click()
    page.goto("/leads/")
    page.keyboard.press("c")
    page.wait_for_timeout(300)
    expect(page).to_have_url(re.compile("/leads/$"))
    page.goto("/me/")
    page.get_by_label("Single-letter shortcuts").check()
    page.get_by_role("button", name="Save").click()


def test_a_file_is_brought_in_and_its_progress_shown_without_a_reload(
    new_page: NewPage, stack: Stack, tmp_path: Path
) -> None:
    lines = ["Row ID,Name,E-mail,Value,Shoe size"]
    lines += [f"F{n},Fair Visitor {n},visitor{n}@fair.example,{900 + n},{36 + n % 9}" for n in range(1_200)]
    lines += ["F9001,Lena Fischer,lena.fischer@,900,40"]
    file = tmp_path / "autumn-fair.csv"
    file.write_text("\n".join(lines))
    page = new_page("/")
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.get_by_label("A CSV file of leads").set_input_files(file)
    page.get_by_label("Where do they come from?").fill("Autumn fair")
    page.get_by_role("button", name="Upload the file").click()
    expect(page.get_by_label("E-mail becomes")).to_have_value("email")
    expect(page.get_by_label("Row ID becomes")).to_have_value("external_id")
    page.get_by_label("Shoe size becomes").select_option("")
    page.get_by_role("button", name="Check 1,201 rows").click()
    wait_for_live(page)
    start = page.get_by_role("button", name="Import 1,200 leads")
    expect(start).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_role("cell", name="lena.fischer@", exact=True)).to_have_class("bad")
    with page.expect_download() as download:
        page.get_by_role("link", name="Problem rows").click()
    assert "lena.fischer@" in Path(download.value.path()).read_text()
    page.get_by_label("None, rules only").check()
    start.click()
    expect(page.get_by_role("link", name="Look at the leads")).to_be_visible(timeout=SOON_MS)
    expect(page.locator(".steps .now")).to_contain_text("Done")
    page.get_by_role("link", name="Look at the leads").click()
    expect(page.locator("#lead-table .rowlink")).to_have_count(50)
    expect(page.locator("#lead-count")).to_have_text("1,200")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("link", name="Previous")).to_be_visible()
