"""gunicorn's worker class: uvicorn with the limits that live pages need."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn_worker import UvicornWorker

FRAME_MOST = 64 * 1024  # bytes a client may send in one message; more closes with 1009
SWALLOW_S = 2.0  # how long the rest of a refused frame is read and thrown away
ABORT_AFTER_S = 12.0  # after the application has ended; a reader that takes nothing never lets go by itself


class LiveProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websockets, made safe against readers that stand still and text that is none."""

    def data_received(self, data: bytes) -> None:
        """Answer a request that is none (a header of more than 8 KiB, more than 128 headers): uvicorn leaves
        its sender waiting and the connection open."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_text(self, event: Any) -> None:
        """Hand text on as bytes: the consumer decodes it; uvicorn logs a traceback for broken UTF-8."""
        self.handle_bytes(event)

    def handle_parser_exception(self) -> None:
        """Say why (1009 for a frame that is too big), then swallow the rest: closing at once would reset the
        connection before the client has read the reason."""
        if self.close_sent:
            return
        refused = self.conn.close_sent
        assert refused is not None
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": refused.code, "reason": refused.reason}
        )
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.read_paused = False
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(SWALLOW_S, self.transport.close)

    async def send(self, message: Any) -> None:
        """Let a close frame pass although the buffer is full."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(ABORT_AFTER_S, self.transport.abort)


class WebWorker(UvicornWorker):
    CONFIG_KWARGS = {
        "loop": "auto",
        "http": "auto",
        "ws": LiveProtocol,
        "ws_max_size": FRAME_MOST,
        "ws_per_message_deflate": False,  # frames are short; and no decompression bombs
        "ws_ping_interval": 25.0,
        "ws_ping_timeout": 20.0,
        "timeout_graceful_shutdown": 5,  # seconds; sockets are closed with 1012 at its start
        "server_header": False,
    }
