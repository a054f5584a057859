"""One browser's socket. Browsers only listen; they act over HTTP."""

import asyncio
import contextlib
import logging
import time
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import HASH_SESSION_KEY

from crm import feed
from crm.errors import InvalidValue
from crm.live.hub import SIGNED_OUT, Socket, get_hub

logger = logging.getLogger(__name__)

BAD_REQUEST, FOREIGN, TOO_BIG = 4400, 4403, 1009
FRAME_MOST = 64 * 1024  # bytes, of any frame from a client
PONG = b'{"type":"pong"}'
PONGS_A_SECOND = 20
WHITE_SPACE = b" \t\r\n"


class LiveConsumer(AsyncWebsocketConsumer):
    """`/ws/live/?topic=today&topic=lead:<public_id>&since=<seq>`: frames `{"seq", "type", "topic", "ids"}`.

    Refusals are closes, so that a browser sees the reason: 4400 a topic or cursor that is none, or any frame
    but a pong; 4401 signed out; 4403 somebody else's topic; 1009 a frame over 64 KiB; 1013 too slow.
    """

    channel_layer_alias = None  # only the hub hears the channel layer
    socket: Socket | None = None
    life: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(SIGNED_OUT)
            return
        try:
            topics, since = _asked(self.scope["query_string"])
        except (InvalidValue, ValueError):
            await self.close(BAD_REQUEST)
            return
        if not await database_sync_to_async(feed.may_follow)(user, topics):
            await self.close(FOREIGN)
            return
        session = self.scope["session"]
        self.socket = Socket(
            user_id=user.pk,
            session_key=session.session_key,
            session_hash=session.get(HASH_SESSION_KEY, ""),
            topics=topics,
        )
        self.pongs = (0, 0)  # the second, and how many in it
        await get_hub().join(self.socket, since)
        self.life = asyncio.create_task(self._live(self.socket))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A browser may say "pong" or nothing."""
        if self.socket is None:
            return
        data = text_data.encode() if text_data is not None else bytes_data or b""
        if len(data) > FRAME_MOST:
            self.socket.close(TOO_BIG)
        elif data.translate(None, WHITE_SPACE) not in {b"", PONG} or self._is_flooding():
            self.socket.close(BAD_REQUEST)

    async def disconnect(self, code: int) -> None:
        if self.socket is not None:
            get_hub().leave(self.socket)
        if self.life is not None:
            self.life.cancel()

    def _is_flooding(self) -> bool:
        second = int(time.monotonic())
        self.pongs = (second, self.pongs[1] + 1 if self.pongs[0] == second else 1)
        return self.pongs[1] > PONGS_A_SECOND

    async def _live(self, socket: Socket) -> None:
        """Write the queued frames until somebody closes the socket; then say why, and end."""
        writer = asyncio.create_task(self._write(socket))
        try:
            await socket.closed.wait()
        finally:
            writer.cancel()
        get_hub().leave(socket)
        with contextlib.suppress(RuntimeError, OSError):  # the browser was faster
            await self.close(socket.close_code)

    async def _write(self, socket: Socket) -> None:
        """The only one who writes. While the browser's line is full `base_send` waits and frames queue up."""
        try:
            while True:
                await self.base_send({"type": "websocket.send", "text": await socket.frames.get()})
        except (RuntimeError, OSError):
            logger.debug("live: a browser left in the middle of a frame")


def _asked(query_string: bytes) -> tuple[list[str], feed.Cursor | None]:
    """Topics and cursor of the address. Raises InvalidValue or ValueError."""
    query: dict[str, list[Any]] = parse_qs(
        query_string.decode("ascii"), keep_blank_values=True, max_num_fields=feed.MOST_TOPICS + 10
    )
    topics, since = query.pop("topic", []), query.pop("since", [""])
    if query or len(since) > 1:
        raise InvalidValue("unknown or repeated parameter")
    return feed.checked_topics(topics), feed.Cursor.parse(since[0]) if since[0] else None
