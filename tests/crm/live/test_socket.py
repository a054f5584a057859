"""/ws/live/ from a browser's side: real server process, real websockets, real PostgreSQL."""

import contextlib
import socket
import threading
import time
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session
from django.db import transaction
from websockets.exceptions import ConnectionClosed, InvalidStatus

from crm import events, feed
from crm.actions.set_up import update_user
from crm.models import Actor, LiveEpoch, OutboxEvent
from tests.crm.live.conftest import Browser, Server, happen, session_cookie
from tests.crm.live.test_feed import another_transaction
from tests.crm.live.test_layer import terminate_listeners
from tests.factories import make_admin, make_lead, make_team, make_user

PONG = '{"type":"pong"}'


# --- what is told ------------------------------------------------------------------------------------------
def test_an_event_arrives_on_today_and_on_the_leads_own_topic_with_ids_only(server: Server):
    user = make_user()
    lead = make_lead(owner=user, name="Ada Lovelace", email="ada@example.com")
    with (
        server.connect(user, "today").hello() as today,
        server.connect(user, f"lead:{lead.public_id}").hello() as page,
    ):
        happen(events.LeadScored(lead.pk, 81, "model"))
        heard = {browser: browser.event() for browser in (today, page)}
    ids = {"lead": str(lead.public_id)}
    assert heard[today] == {"seq": today.seq, "type": "lead.scored", "topic": "today", "ids": ids}
    assert heard[page] == {
        "seq": page.seq,
        "type": "lead.scored",
        "topic": f"lead:{lead.public_id}",
        "ids": ids,
    }


def test_events_arrive_fast(server: Server):
    user = make_user()
    lead = make_lead(owner=user)
    with server.connect(user, "today").hello() as browser:
        happen(events.LeadChanged(lead.pk))
        browser.event()
        took = []
        for _ in range(5):
            time.sleep(0.1)
            started = time.monotonic()
            happen(events.LeadChanged(lead.pk))
            browser.event()
            took.append(time.monotonic() - started)
    assert sorted(took)[2] < 0.5, took


def test_a_colleagues_lead_is_never_heard_of(server: Server):
    team = make_team()
    me, colleague, admin = make_user(team=team), make_user(team=team), make_admin()
    mine, theirs, pool = (
        make_lead(owner=me, team=team),
        make_lead(owner=colleague, team=team),
        make_lead(team=team),
    )
    with (
        server.connect(me, "today").hello() as my_today,
        server.connect(colleague, "today").hello() as their_today,
        server.connect(admin, "today").hello() as admins_today,
    ):
        for lead in (theirs, mine, pool):
            happen(events.LeadChanged(lead.pk))

        def heard(browser: Browser, count: int) -> list[str]:
            return [browser.event()["ids"]["lead"] for _ in range(count)]

        assert heard(my_today, 2) == [str(mine.public_id), str(pool.public_id)]
        assert heard(their_today, 2) == [str(theirs.public_id), str(pool.public_id)]
        assert heard(admins_today, 3) == [str(lead.public_id) for lead in (theirs, mine, pool)]
        assert my_today.hears_nothing(0.5)
        assert their_today.hears_nothing(0.1)


def test_a_lead_that_is_given_away_is_not_heard_of_any_more(server: Server):
    me, colleague = make_user(), make_user()
    lead = make_lead(owner=me)
    with server.connect(me, "today", f"lead:{lead.public_id}").hello() as browser:
        happen(events.LeadChanged(lead.pk))
        assert {browser.event()["topic"] for _ in range(2)} == {"today", f"lead:{lead.public_id}"}
        with transaction.atomic():
            type(lead).objects.filter(pk=lead.pk).update(owner=colleague)
            events.publish(events.LeadAssigned(lead.pk, colleague.pk, me.pk))
        happen(events.NoteAdded(lead.pk, 1))
        assert browser.hears_nothing(1)


def test_rows_held_back_by_an_older_transaction_arrive_after_it_in_order(server: Server):
    user = make_user()
    lead = make_lead(owner=user)
    with server.connect(user, "today").hello() as browser:
        with another_transaction(lambda: events.publish(events.LeadChanged(lead.pk))) as commit_older:
            happen(events.NoteAdded(lead.pk, 1))
            assert browser.hears_nothing(0.7)
            commit_older()
        assert [browser.event(2)["type"] for _ in range(2)] == ["lead.changed", "note.added"]


def test_a_thousand_events_reach_everybody_although_the_listener_is_killed_twice(server: Server):
    users = [make_user() for _ in range(3)]
    leads = [make_lead(owner=user) for user in users for _ in range(2)]
    browsers = [server.connect(user, "today").hello() for user in users for _ in range(2)]
    heard: dict[Browser, list[tuple[str, str]]] = {browser: [] for browser in browsers}

    def read(browser: Browser, count: int) -> None:
        while len(heard[browser]) < count:
            frame = browser.event(20)
            heard[browser].append((frame["seq"], frame["ids"]["lead"]))

    threads = [threading.Thread(target=read, args=(browser, 332)) for browser in browsers]
    for thread in threads:
        thread.start()
    killed = 0
    for number in range(166):
        if number in (50, 110):
            killed += terminate_listeners()
        for lead in leads:
            happen(events.LeadChanged(lead.pk))
    for thread in threads:
        thread.join(30)
    rows = OutboxEvent.objects.filter(topic="today").order_by("xid", "id")
    assert killed == 2
    assert rows.count() == 996
    epoch = feed.current().epoch
    for browser, user in zip(browsers, [user for user in users for _ in range(2)], strict=True):
        own = {str(lead.public_id) for lead in leads if lead.owner_id == user.pk}
        expected = [(f"{epoch}-{r.xid}-{r.id}", r.ids["lead"]) for r in rows if r.ids["lead"] in own]
        assert heard[browser] == expected
        browser.line.close()


# --- coming back -------------------------------------------------------------------------------------------
def test_who_comes_back_with_its_cursor_gets_what_it_missed_once(server: Server):
    user, colleague = make_user(), make_user()
    lead, foreign = make_lead(owner=user), make_lead(owner=colleague)
    with server.connect(user, "today").hello() as browser:
        happen(events.LeadChanged(lead.pk))
        browser.event()
        since = browser.seq
    happen(
        events.LeadScored(lead.pk, 50, "rules"), events.LeadChanged(foreign.pk), events.NoteAdded(lead.pk, 1)
    )
    with server.connect(user, "today", since=since) as browser:
        assert [browser.frame()["type"] for _ in range(3)] == ["lead.scored", "note.added", "hello"]
        assert browser.hears_nothing(0.5)
        happen(events.LeadChanged(lead.pk))
        assert browser.event()["type"] == "lead.changed"


def test_a_page_that_was_rendered_before_an_event_hears_of_it_when_it_connects(server: Server):
    user = make_user()
    lead = make_lead(owner=user)
    rendered = feed.current_seq()
    happen(events.LeadChanged(lead.pk))
    with server.connect(user, "today", since=rendered) as browser:
        assert browser.frame()["type"] == "lead.changed"


@pytest.mark.parametrize("why", ["epoch", "too much"])
def test_a_cursor_that_cannot_be_followed_gets_a_resync(server: Server, why: str):
    user = make_user()
    lead = make_lead(owner=user)
    since = feed.current_seq()
    if why == "epoch":
        since = "0" + since if since[0] != "0" else "1" + since[1:]
    else:
        happen(*[events.LeadChanged(lead.pk) for _ in range(200)])
    with server.connect(user, "today", since=since) as browser:
        frame = browser.frame()
        assert (frame["type"], frame["topic"], frame["ids"]) == ("resync", "", {})
        browser.hello()
        happen(events.NoteAdded(lead.pk, 1))
        assert browser.event()["type"] == "note.added"


def test_after_the_database_was_restored_open_pages_are_told_to_start_over(server: Server):
    user = make_user()
    with server.connect(user, "today").hello() as browser:
        LiveEpoch.objects.update(epoch="feedc0de")
        assert browser.event()["type"] == "resync"
        assert browser.seq.startswith("feedc0de-")


# --- who may listen ----------------------------------------------------------------------------------------
def test_an_anonymous_socket_is_closed_with_4401(server: Server):
    for cookie in ("", "sessionid=forged", "sessionid=", "sessionid=\xff;;;=", "a" * 4000):
        with server.connect(None, "today", cookie=cookie) as browser:
            assert browser.close_code() == 4401


def test_somebody_elses_lead_closes_with_4403_as_one_that_does_not_exist(server: Server):
    me, foreign = make_user(), make_lead(owner=make_user())
    for topic in (f"lead:{foreign.public_id}", f"lead:{uuid4()}", f"import:{uuid4()}", f"job:{uuid4()}"):
        with server.connect(me, "today", topic) as browser:
            assert browser.close_code() == 4403


@pytest.mark.parametrize(
    ("topics", "more"),
    [
        ([], {}),
        (["everything"], {}),
        (["lead:1"], {}),
        (["lead:' OR 1=1 --"], {}),
        (["to\0day"], {}),
        (["today", *[f"lead:{uuid4()}" for _ in range(20)]], {}),
        (["today"] * 200, {}),
        (["today"], {"since": "yesterday"}),
        (["today"], {"since": "ab-1-99999999999999999999999"}),
        (["today"], {"token": "x"}),
    ],
)
def test_a_request_that_makes_no_sense_is_closed_with_4400(server: Server, topics, more):
    with server.connect(make_user(), *topics, **more) as browser:
        assert browser.close_code() == 4400


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1.evil.example",
        "null",
        None,
        "http://[",
        "javascript:1",
        "\xff",
    ],
)
def test_a_foreign_or_missing_origin_is_refused_with_403(running_server: Server, transactional_db, origin):
    with pytest.raises(InvalidStatus) as refused:
        running_server.connect(make_user(), "today", origin=origin)
    assert refused.value.response.status_code == 403
    assert "Traceback" not in running_server.log


@pytest.mark.parametrize("path", ["/", "/ws/", "/ws/live", "/ws/live//", "/ws/other/"])
def test_other_addresses_take_no_socket(server: Server, path):
    with pytest.raises(InvalidStatus) as refused:
        server.connect(make_user(), "today", path=path)
    assert refused.value.response.status_code == 403


def deactivate(user, cookie):
    type(user).objects.filter(pk=user.pk).update(is_active=False)


def deactivate_by_an_admin(user, cookie):
    update_user(user.pk, by=Actor.of(make_admin()), is_active=False)


def sign_out(user, cookie):
    Session.objects.filter(session_key=cookie.split("=")[1]).delete()


def change_password(user, cookie):
    user.set_password("another password altogether")
    user.save()


@pytest.mark.parametrize("revoke", [deactivate, deactivate_by_an_admin, sign_out, change_password])
def test_revoked_access_ends_the_socket_within_5_seconds(server: Server, revoke):
    user, other = make_user(), make_user()
    cookie = session_cookie(user)
    lead = make_lead(owner=other)
    with (
        server.connect(user, "today", cookie=cookie).hello() as browser,
        server.connect(other, "today").hello() as stays,
    ):
        started = time.monotonic()
        revoke(user, cookie)
        assert browser.close_code(5) == 4401
        assert time.monotonic() - started < 5
        happen(events.LeadChanged(lead.pk))
        assert stays.event()["type"] == "lead.changed"


def test_a_deactivated_person_hears_nothing_from_that_moment(server: Server):
    user = make_user()
    lead = make_lead(owner=user)
    with server.connect(user, "today").hello() as browser:
        deactivate(user, "")
        time.sleep(2.5)
        happen(events.LeadChanged(lead.pk))
        with pytest.raises(ConnectionClosed):
            browser.event(5)


# --- what a browser may say --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "frame",
    [
        "hello",
        '{"type":"ping"}',
        '{"type":"pong","more":1}',
        '{"type":"subscribe","topic":"today"}',
        "{",
        "[" * 10_000 + "]" * 10_000,
        "null",
        "\x00",
        b"\xff\xfe\x00",
        b"\x00" * 1000,
        "x" * 60_000,
    ],
)
def test_any_frame_but_a_pong_closes_with_4400(server: Server, frame):
    with server.connect(make_user(), "today").hello() as browser:
        browser.line.send(frame)
        assert browser.close_code() == 4400


def test_text_that_is_no_utf_8_closes_with_4400(server: Server):
    with server.connect(make_user(), "today").hello() as browser:
        browser.line.send(b"\xff\xfe\xfd", text=True)
        assert browser.close_code() == 4400


@pytest.mark.parametrize("size", [65_537, 10 * 1024 * 1024])
def test_an_oversized_frame_closes_with_1009(server: Server, size):
    with server.connect(make_user(), "today").hello() as browser:
        with contextlib.suppress(ConnectionClosed):  # closed while we were still sending
            browser.line.send("x" * size)
        assert browser.close_code() == 1009


def test_a_pong_is_welcome_and_a_flood_of_them_is_not(server: Server):
    user = make_user()
    lead = make_lead(owner=user)
    with server.connect(user, "today").hello() as browser:
        for pong in (PONG, "", ' {"type": "pong"}\n', PONG.encode()):
            browser.line.send(pong)
        happen(events.LeadChanged(lead.pk))
        assert browser.event()["type"] == "lead.changed"
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                browser.line.send(PONG)
        assert browser.close_code() == 4400


@pytest.mark.parametrize(
    "request_lines",
    [
        b"GET /ws/live/?topic=today HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /ws/live/?topic=today HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"GET /ws/live/?topic=\xff HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"POST /ws/live/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ],
)
def test_a_broken_handshake_gets_a_refusal(server: Server, request_lines):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(request_lines)
        answer = line.recv(4096)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403", b"HTTP/1.1 426", b"HTTP/1.1 405"))


def test_a_browser_that_vanishes_leaves_nothing_behind(server: Server):
    user = make_user()
    lead = make_lead(owner=user)
    for _ in range(20):
        browser = server.connect(user, "today").hello()
        browser.line.socket.shutdown(socket.SHUT_RDWR)
    happen(events.LeadChanged(lead.pk))
    with server.connect(user, "today").hello() as browser:
        happen(events.LeadChanged(lead.pk))
        assert browser.event()["type"] == "lead.changed"


def test_a_server_that_stops_says_so_with_1012(server: Server):
    user = make_user()
    browsers = [server.connect(user, "today").hello() for _ in range(5)]
    codes: list[int] = []
    readers = [threading.Thread(target=lambda b=b: codes.append(b.close_code())) for b in browsers]
    for reader in readers:
        reader.start()
    started = time.monotonic()
    server.stop()
    took = time.monotonic() - started
    for reader in readers:
        reader.join()
    server.start()
    assert codes == [1012] * 5
    assert took < 6


def test_pages_are_served_beside_sockets_on_the_same_port(server: Server):
    with server.connect(make_user(), "today").hello():
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
            line.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: line.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
