"""uvicorn's websockets with our limits, against readers that stand still."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from crm.live.hub import QUEUE_MOST, TOO_SLOW, Socket
from gardenos import worker
from gardenos.worker import LiveProtocol

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Application:
    """Writes until the line is full, then closes with 1013. `was_blocked` tells that it came so far."""

    was_blocked = False
    ended = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with contextlib.suppress(TimeoutError):
            while True:
                await asyncio.wait_for(send({"type": "websocket.send", "text": "x" * 60_000}), 0.3)
        self.was_blocked = True
        await asyncio.wait_for(send({"type": "websocket.close", "code": TOO_SLOW}), 1)
        self.ended += 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[uvicorn.Server, Application]]:
    monkeypatch.setattr(worker, "ABORT_AFTER_S", 0.5)
    application = Application()
    config = uvicorn.Config(application, port=0, ws=LiveProtocol, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield server, application
    server.should_exit = True
    thread.join(10)


def wait_until(question: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_reader_that_takes_nothing_is_let_go_of(server):
    running, application = server
    port = running.servers[0].sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(HANDSHAKE)
        wait_until(lambda: application.was_blocked)
        wait_until(lambda: application.ended == 1)
        wait_until(lambda: not running.server_state.connections)


def test_a_reader_that_wakes_up_in_time_reads_why_it_was_closed(server, monkeypatch):
    monkeypatch.setattr(worker, "ABORT_AFTER_S", 10)
    running, application = server
    port = running.servers[0].sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(HANDSHAKE)
        wait_until(lambda: application.ended == 1)
        line.settimeout(10)
        received = b""
        while not received.endswith(b"\x88\x02" + TOO_SLOW.to_bytes(2, "big")):
            chunk = line.recv(1_000_000)
            assert chunk
            received = received[-3:] + chunk


@pytest.mark.parametrize(
    ("header", "status"),
    [(b"X: " + b"a" * 9_000 + b"\r\n", b"431"), (b"X: a\r\n" * 200, b"431")],
)
def test_a_handshake_with_too_much_in_it_is_answered_and_let_go_of(server, header, status):
    running, _application = server
    port = running.servers[0].sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(5)
        line.sendall(HANDSHAKE.removesuffix(b"\r\n") + header + b"\r\n")
        assert line.recv(1_000).startswith(b"HTTP/1.1 " + status)
        wait_until(lambda: not running.server_state.connections)


def test_a_socket_that_is_a_hundred_frames_behind_is_closed_as_too_slow():
    browser = Socket(user_id=1, session_key="k", session_hash="h", topics=["today"])
    for _ in range(QUEUE_MOST):
        browser.offer("{}")
    assert not browser.closed.is_set()
    browser.offer("{}")
    assert browser.closed.is_set()
    assert browser.close_code == TOO_SLOW
    assert browser.frames.qsize() == QUEUE_MOST
