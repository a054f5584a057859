"""From a websocket's address to its consumer, past origin and sign-in. Nothing here may leave a traceback."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.security.websocket import AllowedHostsOriginValidator

from crm.live.consumers import LiveConsumer

logger = logging.getLogger(__name__)

LIVE_PATH = "/ws/live/"
INTERNAL_ERROR = 1011
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_checked = AllowedHostsOriginValidator(AuthMiddlewareStack(LiveConsumer.as_asgi()))


async def live_application(scope: Message, receive: Receive, send: Send) -> None:
    """The websocket half of the web process. Other paths and foreign origins get 403 before the handshake."""
    try:
        if scope["path"] == LIVE_PATH:
            await _checked(scope, receive, send)
        else:
            await send({"type": "websocket.close"})
    except Exception as error:  # the database is away, an Origin header is garbage
        logger.error("live: a socket failed (%s)", type(error).__name__)
        try:
            await send({"type": "websocket.close", "code": INTERNAL_ERROR})
        except (RuntimeError, OSError):
            logger.debug("live: it was closed already")
