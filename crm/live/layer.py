"""A Channels layer on PostgreSQL's LISTEN/NOTIFY: no other server is needed for live pages.

One connection per process listens, in a thread of its own; so any event loop and any plain thread of the
process may use the layer. Each channel has a bounded mailbox. A message is a hint, never the truth: whatever
may have been missed (a lost connection, a full mailbox) is told as one `layer.resync`, upon which the reader
looks at the tables again. See ADR 0004 for what was tried instead.
"""

import asyncio
import json
import logging
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
from channels.db import database_sync_to_async
from channels.layers import BaseChannelLayer
from django.conf import settings
from django.db import Error as DjangoDatabaseError
from django.db import connections, transaction

logger = logging.getLogger(__name__)

NOTIFY_CHANNEL = "gardenos_layer"
RESYNC: dict[str, Any] = {"type": "layer.resync"}
CHUNK_CHARS = 7_800  # PostgreSQL refuses payloads of 8,000 bytes and more; ours are ASCII
PART_KEPT_S = 30.0  # an unfinished chunked message is forgotten after this
PROBE_EVERY_S = 10.0  # a quiet connection is asked whether it still lives
BACKOFF_S = (0.05, 5.0)  # first and longest pause before the next try to connect
FIRST_LISTEN_S = 3.0  # how long joining a group waits for the first LISTEN
KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


class _Mailbox:
    """The messages waiting for one channel. Filled by any thread, emptied by one reader in one event loop."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._messages: deque[dict[str, Any]] = deque()
        self._lock = threading.Lock()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def put(self, message: dict[str, Any]) -> None:
        """Add a message. When full, all give way to one `layer.resync`: the reader must look for itself."""
        with self._lock:
            if len(self._messages) >= self._capacity:
                self._messages.clear()
                message = RESYNC
            self._messages.append(message)
            waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        loop, future = waiter
        try:
            loop.call_soon_threadsafe(_wake, future)
        except RuntimeError:  # that loop is closed, so is its reader
            logger.debug("live: a reader's event loop is gone")

    async def get(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if self._messages:
                    return self._messages.popleft()
                future = loop.create_future()
                self._waiter = (loop, future)
            await future


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class PostgresChannelLayer(BaseChannelLayer):
    """Channels' layer API plus `notify_group`, for synchronous callers.

    `capacity`: messages a mailbox holds. `dsn`: where to LISTEN; else DATABASE_LISTEN_URL, else the database.
    Messages must be JSON. A channel lives in the process that made it.
    """

    extensions = ("groups",)

    def __init__(self, *, capacity: int = 100, dsn: str = "", database: str = "default") -> None:
        super().__init__(capacity=capacity)
        self._dsn = dsn
        self._database = database
        self._process = uuid4().hex[:12]
        self._lock = threading.RLock()
        self._mailboxes: dict[str, _Mailbox] = {}
        self._groups: dict[str, set[str]] = defaultdict(set)
        self._parts: dict[str, tuple[float, dict[int, str]]] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None

    # --- sending -------------------------------------------------------------------------------------------
    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self.require_valid_channel_name(channel)
        await database_sync_to_async(self._publish)({"channel": channel, "message": message})

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.require_valid_group_name(group)
        await database_sync_to_async(self._publish)({"group": group, "message": message})

    def notify_group(self, group: str, message: dict[str, Any]) -> None:
        """`group_send` for synchronous code: one `pg_notify` on the caller's own connection."""
        self.require_valid_group_name(group)
        self._publish({"group": group, "message": message})

    def _publish(self, envelope: dict[str, Any]) -> None:
        """NOTIFY now, or after the running transaction's commit. Never raises for the database's sake."""
        payloads = list(_chunks(json.dumps(envelope, separators=(",", ":"))))
        if connections[self._database].in_atomic_block:
            transaction.on_commit(lambda: self._notify(payloads), using=self._database, robust=True)
            return
        self._notify(payloads)

    def _notify(self, payloads: list[str]) -> None:
        try:
            with connections[self._database].cursor() as cursor:
                cursor.execute(
                    "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload",
                    [NOTIFY_CHANNEL, payloads],
                )
        except DjangoDatabaseError as error:  # the rows are saved; readers find them a little later
            logger.warning("live: NOTIFY failed (%s); readers will look by themselves", type(error).__name__)

    # --- receiving -----------------------------------------------------------------------------------------
    async def new_channel(self, prefix: str = "specific") -> str:
        channel = f"{prefix}.{self._process}!{uuid4().hex}"
        self._mailbox(channel)
        await self._ensure_listening()
        return channel

    async def receive(self, channel: str) -> dict[str, Any]:
        """The channel's next message. A reader that is cancelled has left: its channel is forgotten."""
        self.require_valid_channel_name(channel)
        mailbox = self._mailbox(channel)
        await self._ensure_listening()
        try:
            return await mailbox.get()
        except asyncio.CancelledError:
            self.forget(channel)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        with self._lock:
            self._mailbox(channel)
            self._groups[group].add(channel)
        await self._ensure_listening()

    async def group_discard(self, group: str, channel: str) -> None:
        self.require_valid_group_name(group)
        with self._lock:
            self._groups[group].discard(channel)
            if not self._groups[group]:
                del self._groups[group]

    def forget(self, channel: str) -> None:
        """Drop a channel's mailbox and memberships."""
        with self._lock:
            self._mailboxes.pop(channel, None)
            for group in [group for group, members in self._groups.items() if channel in members]:
                self._groups[group].discard(channel)
                if not self._groups[group]:
                    del self._groups[group]

    def _mailbox(self, channel: str) -> _Mailbox:
        with self._lock:
            if channel not in self._mailboxes:
                self._mailboxes[channel] = _Mailbox(self.get_capacity(channel))
            return self._mailboxes[channel]

    def _deliver(self, payload: str) -> None:
        text = self._joined(payload)
        if text is None:
            return
        envelope = json.loads(text)
        with self._lock:
            channels = (
                self._groups.get(envelope["group"], ()) if "group" in envelope else [envelope["channel"]]
            )
            mailboxes = [self._mailboxes[channel] for channel in channels if channel in self._mailboxes]
        for mailbox in mailboxes:
            mailbox.put(envelope["message"])

    def _joined(self, payload: str) -> str | None:
        """The whole text once its last chunk is here, else None."""
        name, index, count, chunk = payload.split(":", 3)
        if count == "1":
            return chunk
        now = time.monotonic()
        self._parts = {key: kept for key, kept in self._parts.items() if now - kept[0] < PART_KEPT_S}
        _, parts = self._parts.setdefault(name, (now, {}))
        parts[int(index)] = chunk
        if len(parts) < int(count):
            return None
        del self._parts[name]
        return "".join(parts[number] for number in range(int(count)))

    def _resync_everybody(self) -> None:
        with self._lock:
            self._parts.clear()
            mailboxes = list(self._mailboxes.values())
        for mailbox in mailboxes:
            mailbox.put(RESYNC)

    # --- the listening thread ------------------------------------------------------------------------------
    async def _ensure_listening(self) -> None:
        """Start the listener; wait for it up to FIRST_LISTEN_S. If it comes later, everybody is resynced."""
        self.start()
        if not self._listening.is_set():
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, partial(self._listening.wait, FIRST_LISTEN_S))

    def start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stop.clear()
                self._thread = threading.Thread(target=self._listen, name="live-listen", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop listening (about a second at most). The next reader starts it again."""
        thread = self._thread
        self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=2)
        self._thread = None

    def _listen(self) -> None:
        """Connect, listen, deliver; on any loss connect again, ever slower, and resync everybody."""
        pause, is_gap = BACKOFF_S[0], False
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    self._connection = connection
                    connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                    self._listening.set()
                    if is_gap:
                        logger.info("live: listening again")
                        self._resync_everybody()
                    pause = BACKOFF_S[0]
                    self._pass_on(connection)
            except psycopg.Error as error:
                logger.warning("live: the listening connection is lost (%s)", type(error).__name__)
            finally:
                self._connection = None
                self._listening.clear()
            is_gap = True
            self._stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
            pause = min(pause * 2, BACKOFF_S[1])

    def _connect(self) -> psycopg.Connection[Any]:
        dsn = self._dsn or getattr(settings, "DATABASE_LISTEN_URL", "")
        if dsn:
            return psycopg.connect(
                dsn, autocommit=True, connect_timeout=5, application_name="gardenos-live", **KEEPALIVE
            )
        parameters = connections[self._database].get_connection_params()
        parameters.update(KEEPALIVE, autocommit=True, application_name="gardenos-live")
        parameters.pop("cursor_factory", None)
        return psycopg.connect(**parameters)

    def _pass_on(self, connection: psycopg.Connection[Any]) -> None:
        """Deliver until told to stop. A bad payload is somebody's NOTIFY by hand: skipped, said once each."""
        quiet_since = time.monotonic()
        while not self._stop.is_set():
            for notification in connection.notifies(timeout=1.0):
                quiet_since = time.monotonic()
                try:
                    self._deliver(notification.payload)
                except (ValueError, KeyError, TypeError):
                    logger.warning("live: a notification that is not ours was skipped")
            if time.monotonic() - quiet_since > PROBE_EVERY_S:
                connection.execute("SELECT 1")
                quiet_since = time.monotonic()


def _chunks(text: str) -> Iterator[str]:
    """`<name>:<index>:<count>:<part>`, each short enough for one NOTIFY. `text` is ASCII."""
    name = uuid4().hex[:12]
    count = max(1, -(-len(text) // CHUNK_CHARS))
    for index in range(count):
        yield f"{name}:{index}:{count}:{text[index * CHUNK_CHARS : (index + 1) * CHUNK_CHARS]}"
