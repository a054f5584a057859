"""The dispatcher: HTTP to WSGI, sockets to Channels, bodies taken in before a thread is."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware

from gardenos import asgi
from gardenos.asgi import MIB, Dispatcher

Environ = dict[str, Any]
served: list[Environ] = []


def wsgi_application(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Tells what arrived."""
    served.append(environ)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    start_response("200 OK", [("Content-Type", "application/json")])
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    yield json.dumps(
        {**told, "sha256": hashlib.sha256(body).hexdigest(), "length": len(body), "declared": length}
    ).encode()


async def socket_application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close", "code": 1000})


@pytest.fixture
def closed() -> list[str]:
    return []


@pytest.fixture
def dispatcher(closed: list[str]) -> Dispatcher:
    async def on_shutdown() -> None:
        closed.append("hub")

    served.clear()
    return Dispatcher(
        http=WSGIMiddleware(wsgi_application, workers=2),
        websocket=socket_application,
        on_shutdown=on_shutdown,
    )


def scope(path: str = "/", *, method: str = "POST", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("__", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"a=1",
        "headers": pairs,
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
    }


async def ask(dispatcher: Dispatcher, scope: dict[str, Any], *messages: Any) -> tuple[int, Any]:
    """The status and JSON body of the answer; 0 and None without one. A float waits so many seconds."""
    waiting, sent = list(messages), []

    async def receive() -> Any:
        while waiting and isinstance(waiting[0], float):
            await asyncio.sleep(waiting.pop(0))
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(dispatcher(scope, receive, send), 10)
    if not sent:
        return 0, None
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_request_without_a_body_goes_straight_through(dispatcher: Dispatcher):
    status, told = asyncio.run(ask(dispatcher, scope("/leads/", method="GET", accept="text/html")))
    assert (status, told["PATH_INFO"], told["QUERY_STRING"]) == (200, "/leads/", "a=1")
    assert told["HTTP_ACCEPT"] == "text/html"


@pytest.mark.parametrize("size", [1, 65_536, MIB - 1, MIB + 1, 5 * MIB])
def test_a_body_arrives_whole_however_it_is_cut(dispatcher: Dispatcher, size: int):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    cuts = [part(body[start : start + 50_000], more=True) for start in range(0, size, 50_000)]
    status, told = asyncio.run(ask(dispatcher, scope(**{"content__length": str(size)}), *cuts, part(b"")))
    assert status == 200
    assert (told["length"], told["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_a_chunked_body_gets_its_length(dispatcher: Dispatcher):
    _status, told = asyncio.run(
        ask(dispatcher, scope(**{"transfer__encoding": "chunked"}), part(b"ab", more=True), part(b"cd"))
    )
    assert (told["length"], told["declared"]) == (4, 4)
    assert "HTTP_TRANSFER_ENCODING" not in told


def test_livez_answers_while_every_thread_waits_for_something_else(closed: list[str]):
    waits, may_go_on = threading.Event(), threading.Event()

    def stuck(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        waits.set()
        may_go_on.wait(10)
        start_response("200 OK", [])
        yield b"{}"

    dispatcher = Dispatcher(
        http=WSGIMiddleware(stuck, workers=1), websocket=socket_application, on_shutdown=socket_application
    )

    async def both() -> tuple[int, Any]:
        waiting = asyncio.create_task(ask(dispatcher, scope("/leads/", method="GET")))
        await asyncio.to_thread(waits.wait, 10)
        answer = await ask(dispatcher, scope("/livez", method="GET"))
        may_go_on.set()
        await waiting
        return answer

    status, told = asyncio.run(both())
    assert (status, told["status"], len(told["build"])) == (200, "ok", 40)


def test_an_upload_that_breaks_off_never_reaches_a_view(dispatcher: Dispatcher):
    answer = asyncio.run(
        ask(
            dispatcher,
            scope(**{"content__length": "10"}),
            part(b"half", more=True),
            {"type": "http.disconnect"},
        )
    )
    assert answer == (0, None)
    assert served == []


def test_a_body_that_says_it_is_too_big_is_refused_before_it_is_read(dispatcher: Dispatcher):
    status, told = asyncio.run(ask(dispatcher, scope(**{"content__length": str(26 * MIB + 1)})))
    assert (status, told["code"]) == (413, "body_refused")
    assert served == []


def test_a_body_that_does_not_say_so_is_refused_when_it_gets_too_big(dispatcher: Dispatcher):
    chunks = [part(b"x" * MIB, more=True) for _ in range(27)]
    status, _told = asyncio.run(ask(dispatcher, scope(**{"transfer__encoding": "chunked"}), *chunks))
    assert status == 413
    assert served == []


def test_an_import_may_be_bigger(dispatcher: Dispatcher):
    chunks = [part(b"x" * MIB, more=True) for _ in range(27)]
    status, told = asyncio.run(
        ask(dispatcher, scope("/imports/", **{"content__length": str(27 * MIB)}), *chunks, part(b""))
    )
    assert (status, told["length"]) == (200, 27 * MIB)


def test_a_sender_that_falls_silent_is_refused(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asgi, "BODY_IDLE_S", 0.1)
    status, _told = asyncio.run(ask(dispatcher, scope(**{"content__length": "4"}), part(b"a", more=True)))
    assert status == 408
    assert served == []


def test_ten_slow_senders_do_not_stop_the_others(dispatcher: Dispatcher):
    async def scenario() -> tuple[int, Any]:
        slow = [
            asyncio.create_task(
                ask(dispatcher, scope(**{"content__length": "4"}), part(b"a", more=True), 2.0, part(b"bcd"))
            )
            for _ in range(10)
        ]
        await asyncio.sleep(0.05)
        quick = await asyncio.wait_for(ask(dispatcher, scope(method="GET")), 1)
        assert [status for status, _ in await asyncio.gather(*slow)] == [200] * 10
        return quick

    assert asyncio.run(scenario())[0] == 200


def test_a_header_with_an_underscore_cannot_pose_as_the_proxys(dispatcher: Dispatcher):
    headers = {"x_forwarded_proto": "https", "x__forwarded__for": "10.0.0.1"}
    _status, told = asyncio.run(ask(dispatcher, scope(method="GET", **headers)))
    assert "HTTP_X_FORWARDED_PROTO" not in told
    assert told["HTTP_X_FORWARDED_FOR"] == "10.0.0.1"


def test_the_end_of_the_process_closes_the_hub(dispatcher: Dispatcher, closed: list[str]):
    sent: list[str] = []

    async def scenario() -> None:
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await dispatcher({"type": "lifespan"}, receive, send)

    asyncio.run(scenario())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert closed == ["hub"]
