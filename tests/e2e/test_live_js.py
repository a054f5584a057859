"""static/js/live.js in a real Chromium. The server's side is played, so that each moment can be chosen."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

pytestmark = pytest.mark.e2e
JS = Path(settings.BASE_DIR) / "static"
ROW = (
    '<li id="row" data-live="lead:a1" hx-get="/row" hx-trigger="live" hx-swap="outerHTML">'
    '%s <input id="name"></li>'
)
LIST = (
    '<ul id="list" data-live="today" data-live-rows data-live-types="lead.assigned"'
    ' hx-get="/list" hx-trigger="live" hx-swap="outerHTML">'
    '<button data-live-new hidden data-live-new-one="1 new" data-live-new-many="%%n new"></button>%s</ul>'
)
PAGE = f"""<!doctype html><html><head><title>Live</title>
<meta name="htmx-config" content='{{"includeIndicatorStyles":false,"allowEval":false}}'>
<script src="/htmx.js" defer></script><script src="/live.js" defer></script></head>
<body data-live-topics="today lead:a1" data-live-seq="e-1-0"><p data-live-banner hidden>Connection lost</p>
{LIST % (ROW % "old")}
<p id="score" data-live="lead:a1" data-live-types="lead.scored" hx-get="/score" hx-trigger="live">-</p>
<p id="draft" data-live="lead:a1" data-live-types="follow_up.*" hx-get="/draft" hx-trigger="live">-</p>
<p id="other" data-live="lead:b2" hx-get="/other" hx-trigger="live">-</p>
<p id="edited" data-live="lead:a1" hx-get="/edited" hx-trigger="live" data-live-hold>-</p></body></html>"""


class Site:
    """One page, its pieces and its socket. `asked` is every path that was fetched."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.sockets: list[WebSocketRoute] = []
        self.refuse_with = 0  # the code that closes each new socket
        self.is_down = False  # nor does the feed answer
        self.frame = 1
        self.feed: list[dict[str, Any]] = []
        self.slow = ""  # the path whose answers are kept in `kept`
        self.kept: list[Route] = []
        page.route("**/*", self._answer)
        page.route_web_socket("**/ws/live/**", self._accept)

    def open(self) -> "Site":
        self.page.goto("http://gardenos.test/")
        expect(self.page.locator("html")).to_have_attribute("data-live-state", "live")
        self.asked.clear()
        return self

    def _answer(self, route: Route) -> None:
        path = route.request.url.split("gardenos.test/")[1]
        files = {"htmx.js": next(JS.glob("vendor/htmx/htmx*.min.js")), "live.js": JS / "js/live.js"}
        if path in files:
            route.fulfill(body=files[path].read_text(), content_type="text/javascript")
            return
        self.asked.append(path)
        if path.startswith("api/v1/events/"):
            if self.is_down:
                route.abort()
                return
            body = {"results": self.feed, "seq": "e-9-9", "more": False, "resync": False}
            route.fulfill(body=json.dumps(body), content_type="application/json")
            return
        if self.slow and path == self.slow:
            self.kept.append(route)
            return
        bodies = {"": PAGE, "row": ROW % "new", "list": LIST % (ROW % "listed")}
        headers = {"Content-Security-Policy": "default-src 'self'; script-src 'self'"}
        route.fulfill(body=bodies.get(path, f"fresh {path}"), content_type="text/html", headers=headers)

    def _accept(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        if self.refuse_with:
            socket.close(code=self.refuse_with)
            return
        self._send("hello", "", {})

    def tell(self, event: str, topic: str = "today", **ids: str) -> None:
        self._send(event, topic, ids)

    def _send(self, event: str, topic: str, ids: dict[str, str]) -> None:
        self.frame += 1
        self.sockets[-1].send(
            json.dumps({"seq": f"e-{self.frame}-0", "type": event, "topic": topic, "ids": ids})
        )

    def settle(self, ms: int = 700) -> list[str]:
        """What was fetched meanwhile."""
        self.page.wait_for_timeout(ms)
        asked, self.asked[:] = list(self.asked), []
        return asked


@pytest.fixture
def site(browser: Browser) -> Iterator[Site]:
    page = browser.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield Site(page)
    page.close()
    assert [error for error in errors if "net::ERR_FAILED" not in error] == []


def test_the_page_follows_its_topics_from_where_it_was_rendered(site: Site):
    site.open()
    assert site.sockets[0].url.endswith("/ws/live/?topic=today&topic=lead%3Aa1&since=e-1-0")


def test_an_event_fetches_the_pieces_it_concerns_and_no_others(site: Site):
    site.open()
    site.tell("lead.scored", lead="a1")
    assert sorted(site.settle()) == ["row", "score"]
    site.tell("follow_up.changed", "lead:a1", lead="a1")
    assert sorted(site.settle()) == ["draft", "row"]
    site.tell("lead.scored", lead="c3")
    assert site.settle() == []
    site.tell("lead.assigned", lead="a1")
    assert "list" in site.settle()


def test_a_burst_costs_one_fetch_a_piece(site: Site):
    site.open()
    for _ in range(50):
        site.tell("lead.scored", lead="a1")
    assert sorted(site.settle()) == ["row", "score"]


def test_scripts_of_the_page_hear_each_event(site: Site):
    site.open()
    site.page.evaluate("document.addEventListener('live:lead.scored', e => window.heard = e.detail.ids.lead)")
    site.tell("lead.scored", lead="a1")
    site.page.wait_for_function("window.heard === 'a1'")


def test_nothing_moves_under_the_pointer(site: Site):
    site.open()
    site.page.hover("#row")
    site.tell("lead.scored", lead="a1")
    assert site.settle() == ["score"]
    expect(site.page.locator("#row")).to_have_class("is-live-stale")
    site.page.mouse.move(600, 500)
    assert site.settle() == ["row"]
    expect(site.page.locator("#row")).to_contain_text("new")


def test_nothing_moves_under_the_focus(site: Site):
    site.open()
    site.page.fill("#name", "half a sen")
    site.page.mouse.move(600, 500)
    site.tell("lead.changed", lead="a1")
    assert site.settle() == []
    assert site.page.input_value("#name") == "half a sen"
    site.page.evaluate("document.activeElement.blur()")
    assert site.settle() == ["row"]


def test_an_answer_that_comes_after_the_focus_waits_as_well(site: Site):
    site.slow = "row"
    site.open().tell("lead.changed", topic="lead:a1", lead="a1")
    assert "row" in site.settle()
    site.slow = ""
    site.page.locator("#name").focus()
    site.kept.pop().fulfill(body=ROW % "late", content_type="text/html")
    site.settle()
    expect(site.page.locator("#row")).to_contain_text("old")
    expect(site.page.locator("#name")).to_be_focused()
    site.page.locator("#name").blur()
    expect(site.page.locator("#row")).to_contain_text("new")


def test_a_piece_that_is_held_is_left_alone(site: Site):
    site.open()
    site.tell("note.added", "lead:a1", lead="a1")
    assert "edited" not in site.settle()
    site.page.evaluate("document.getElementById('edited').removeAttribute('data-live-hold')")
    assert site.settle() == ["edited"]


def test_new_rows_come_in_by_themselves_when_nobody_is_looking(site: Site):
    site.open()
    site.tell("lead.created", lead="d4")
    assert site.settle() == ["list"]


def test_new_rows_are_counted_and_wait_for_a_click_when_somebody_is_at_the_list(site: Site):
    site.open()
    site.page.hover("#row")
    button = site.page.locator("[data-live-new]")
    site.tell("lead.created", lead="d4")
    expect(button).to_have_text("1 new")
    site.tell("lead.created", lead="d5")
    site.tell("lead.created", lead="d5")
    expect(button).to_have_text("2 new")
    assert site.settle() == []
    button.click()
    assert site.settle() == ["list"]
    expect(site.page.locator("[data-live-new]")).to_be_hidden()


def test_after_an_import_the_list_is_fetched(site: Site):
    site.open()
    site.tell("import.finished")
    assert site.settle() == ["list"]


def test_a_resync_fetches_everything(site: Site):
    site.open()
    site.tell("resync", "")
    assert sorted(site.settle()) == ["draft", "list", "other", "row", "score"]


def test_a_lost_line_shows_the_banner_comes_back_from_its_cursor_and_fetches_everything(site: Site):
    site.open()
    site.refuse_with, site.is_down = 1013, True
    site.sockets[-1].close(code=1012)
    banner = site.page.locator("[data-live-banner]")
    expect(banner).to_be_visible(timeout=4000)
    site.refuse_with, site.is_down = 0, False
    expect(banner).to_be_hidden(timeout=20_000)
    assert site.sockets[-1].url.endswith(f"since=e-{site.frame - 1}-0")
    assert {"draft", "score", "other"} <= set(site.settle(2500))


def test_without_a_socket_the_page_asks_the_feed(site: Site):
    site.refuse_with = 1013
    site.feed = [{"seq": "e-8-1", "type": "lead.scored", "topic": "today", "ids": {"lead": "a1"}}]
    site.page.goto("http://gardenos.test/")
    expect(site.page.locator("#score")).to_have_text("fresh score", timeout=20_000)
    expect(site.page.locator("html")).to_have_attribute("data-live-state", "polling")
    expect(site.page.locator("[data-live-banner]")).to_be_hidden()


def test_signed_out_the_page_tries_once_more_and_then_reloads_once(site: Site):
    site.open()
    site.refuse_with = 4401
    site.sockets[-1].close(code=4401)
    assert site.settle(8000).count("") == 1


def test_a_refused_topic_is_not_asked_for_again(site: Site):
    site.open()
    site.refuse_with = 4403
    site.sockets[-1].close(code=4403)
    site.settle(3000)
    assert len(site.sockets) == 1
    expect(site.page.locator("[data-live-banner]")).to_be_visible()
