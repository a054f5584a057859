"""One port for everything: HTTP goes to Django's WSGI application, websockets to Channels.

Django under ASGI costs four times the CPU of WSGI for a plain request; this dispatcher costs nothing that can
be measured (ADR 0003). A request's body is taken in whole before one of the eight threads serves it: a slow
sender holds no thread, and an upload that breaks off never reaches a view.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from typing import IO, Any, cast

import orjson
from a2wsgi import WSGIMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gardenos.settings")

from gardenos.wsgi import (
    application as wsgi_application,
)  # sets Django up, so it comes before what uses models

from django.conf import settings  # isort: skip
from crm.live.hub import close_hub  # isort: skip
from crm.live.routing import live_application  # isort: skip
from gardenos.health import LIVEZ, alive  # isort: skip

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MIB = 1024 * 1024
BODY_MOST = 26 * MIB  # an attachment of 25 MiB and the form around it
BODY_IN_MEMORY = MIB  # what is longer waits in a temporary file
BODY_IDLE_S = 30.0  # a sender that is silent for this long is refused
CHUNK = 65_536
QUEUED_CHUNKS = 256  # of a response, so that a slow reader does not hold the thread


class BodyRefused(Exception):
    """The request's body cannot be taken in. `status` 0: the client is gone, nobody to answer."""

    def __init__(self, status: int, title: str = "") -> None:
        super().__init__(title)
        self.status, self.title = status, title


class Dispatcher:
    """The ASGI application of the web processes."""

    def __init__(self, *, http: Any, websocket: Any, on_shutdown: Callable[[], Awaitable[None]]) -> None:
        self._http = http
        self._websocket = websocket
        self._on_shutdown = on_shutdown

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await self._on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == LIVEZ:
            # Not through the threads: while a failover lasts all of them may wait for the database, and a
            # process that is ended for that helps nobody.
            await _say(send, 200, orjson.dumps(alive()), b"application/json")
            return
        # X_Forwarded_Proto would become the same WSGI variable as X-Forwarded-Proto
        headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
        names = dict(headers)
        if b"content-length" not in names and b"transfer-encoding" not in names:
            await self._http({**scope, "headers": headers}, _nothing, send)
            return
        try:
            body, length = await _take_in(receive, names, most=_most(scope["path"]))
        except BodyRefused as refused:
            await _answer(send, refused)
            return
        with body:
            headers = [(n, v) for n, v in headers if n not in {b"content-length", b"transfer-encoding"}]
            headers.append((b"content-length", str(length).encode()))
            await self._http({**scope, "headers": headers}, _replay(body, length), send)


def _most(path: str) -> int:
    """Bytes a body may have: only imports take big files."""
    return (settings.GARDENOS_IMPORT_MAX_MB + 1) * MIB if "/imports/" in path else BODY_MOST


async def _take_in(receive: Receive, headers: dict[bytes, bytes], *, most: int) -> tuple[IO[bytes], int]:
    """The whole body, rewound, and its length in bytes. Raises BodyRefused."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > most:
        raise BodyRefused(413, "Content Too Large")
    body = tempfile.SpooledTemporaryFile(max_size=BODY_IN_MEMORY)  # noqa: SIM115  the caller closes it
    length = 0
    try:
        while True:
            message = await asyncio.wait_for(receive(), BODY_IDLE_S)
            if message["type"] == "http.disconnect":
                raise BodyRefused(0)
            body.write(message.get("body", b""))
            length += len(message.get("body", b""))
            if length > most:
                raise BodyRefused(413, "Content Too Large")
            if not message.get("more_body", False):
                body.seek(0)
                return body, length
    except TimeoutError as error:
        body.close()
        raise BodyRefused(408, "Request Timeout") from error
    except BaseException:
        body.close()
        raise


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _replay(body: IO[bytes], length: int) -> Receive:
    async def receive() -> Message:
        chunk = body.read(CHUNK)
        return {"type": "http.request", "body": chunk, "more_body": body.tell() < length}

    return receive


async def _answer(send: Send, refused: BodyRefused) -> None:
    if not refused.status:
        return
    body = b'{"type":"about:blank","title":"%s","status":%d,"code":"body_refused","errors":[]}' % (
        refused.title.encode(),
        refused.status,
    )
    await _say(send, refused.status, body, b"application/problem+json", (b"connection", b"close"))


async def _say(send: Send, status: int, body: bytes, kind: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


application = Dispatcher(
    http=WSGIMiddleware(
        cast(Any, wsgi_application), workers=settings.WEB_THREADS, send_queue_size=QUEUED_CHUNKS
    ),
    websocket=live_application,
    on_shutdown=close_hub,
)
