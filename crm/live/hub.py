"""One reader of the feed per process, which fans out to the sockets of this process.

The hub is the process's only member of the channel layer's group. Woken, it reads what is new once, asks once
who may read it, encodes each frame once and puts it into the queues of the sockets that follow its topic. A
wake-up that gets lost costs IDLE_LOOK_S, nothing else.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import orjson
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.contrib.sessions.models import Session
from django.db import Error as DatabaseError
from django.utils.crypto import constant_time_compare

from crm import clock, feed
from crm.live.broadcast import GROUP
from crm.models import User

logger = logging.getLogger(__name__)

HELD_BACK_LOOK_S = 0.25  # while committed rows wait for an older transaction
IDLE_LOOK_S = 5.0  # the hub looks by itself this often, should a wake-up be lost
LOOK_APART_S = 0.03  # bursts are read together
RECHECK_S = 2.0  # people and their sessions are looked up again
PING_S = 25.0
RETRY_S = 1.0  # after the database or the layer failed
QUEUE_MOST = 100  # frames a socket may be behind
REPLAY_MOST = 80  # missed frames that are sent one by one; more become one resync

SIGNED_OUT, TOO_SLOW = 4401, 1013
Result = TypeVar("Result")


class Socket:
    """One browser: who it is, what it follows, and the frames on their way to it."""

    __slots__ = ("at", "close_code", "closed", "frames", "session_hash", "session_key", "topics", "user_id")

    def __init__(self, *, user_id: int, session_key: str, session_hash: str, topics: Iterable[str]) -> None:
        self.user_id = user_id
        self.session_key = session_key
        self.session_hash = session_hash
        self.topics = frozenset(topics)
        self.at = feed.Position(0, 0)  # frames up to here were queued
        self.frames: asyncio.Queue[str] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.close_code = 1000

    def offer(self, frame: str) -> None:
        """Queue a frame. A reader that is too far behind is closed: it comes back and catches up."""
        if self.frames.qsize() >= QUEUE_MOST:
            self.close(TOO_SLOW)
        elif not self.closed.is_set():
            self.frames.put_nowait(frame)

    def close(self, code: int) -> None:
        if not self.closed.is_set():
            self.close_code = code
            self.closed.set()


class Hub:
    """Lives in one event loop. Reads while it has sockets, rests without."""

    def __init__(self) -> None:
        self._sockets: set[Socket] = set()
        self._by_topic: dict[str, set[Socket]] = defaultdict(set)
        self._users: dict[int, User] = {}  # everybody who has a socket here
        self._cursor: feed.Cursor | None = None  # sent up to here; None while at rest
        self._turn = asyncio.Lock()  # a socket that joins and the fan-out must not pass each other
        self._look = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # --- sockets come and go -------------------------------------------------------------------------------
    async def join(self, socket: Socket, since: feed.Cursor | None) -> None:
        """Let a socket follow its topics, from `since` on. Its last frame of the past is `hello`.

        Raises a database error when the feed cannot be read.
        """
        async with self._turn:
            if self._cursor is None or not self._sockets:
                self._cursor = await _db(feed.current)
            await self._know({socket.user_id})
            cursor = self._cursor if since is None else await self._catch_up(socket, since)
            socket.at = cursor.at
            socket.offer(_notice("hello", cursor))
            self._sockets.add(socket)
            for topic in socket.topics:
                self._by_topic[topic].add(socket)
        self._start()
        self._look.set()

    def leave(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        for topic in socket.topics & self._by_topic.keys():
            self._by_topic[topic].discard(socket)
            if not self._by_topic[topic]:
                del self._by_topic[topic]

    async def _catch_up(self, socket: Socket, since: feed.Cursor) -> feed.Cursor:
        """Queue what the socket missed between `since` and the hub's own place. The cursor it has then."""
        assert self._cursor is not None
        if since.epoch == self._cursor.epoch and since.at >= self._cursor.at:
            return since
        page = await _db(feed.read, since, topics=list(socket.topics), limit=REPLAY_MOST)
        if page.is_gap or page.is_full:
            socket.offer(_notice("resync", self._cursor))
            return self._cursor
        missed = [event for event in page.events if event.at <= self._cursor.at]
        heard_by = await _db(feed.audience, missed, self._known({socket.user_id}))
        for event in missed:
            if socket.user_id in heard_by[event.at]:
                socket.offer(_encoded(event.frame(self._cursor.epoch)))
        return self._cursor

    # --- reading and fanning out ---------------------------------------------------------------------------
    async def _read_and_tell(self) -> None:
        while True:
            self._look.clear()
            try:
                async with self._turn:
                    pause = await self._tell_next()
            except DatabaseError as error:
                logger.warning("live: the feed cannot be read (%s)", type(error).__name__)
                pause = RETRY_S
            if pause == 0:
                continue
            await asyncio.sleep(LOOK_APART_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), pause)

    async def _tell_next(self) -> float | None:
        """Send what is new. How many seconds to wait for a wake-up, None without end."""
        if not self._sockets:
            self._cursor = None
            return None
        assert self._cursor is not None
        page = await _db(feed.read, self._cursor)
        if page.is_gap:  # the database was restored: nobody's picture can be trusted
            self._tell_all("resync", page.cursor)
        wanted = [event for event in page.events if event.topic in self._by_topic]
        if wanted:
            user_ids = {s.user_id for topic in {e.topic for e in wanted} for s in self._by_topic[topic]}
            heard_by = await _db(feed.audience, wanted, self._known(user_ids))
            for event in wanted:
                self._fan_out(event, heard_by[event.at], page.cursor.epoch)
        self._cursor = page.cursor
        return 0 if page.is_full else HELD_BACK_LOOK_S if page.is_held_back else IDLE_LOOK_S

    def _fan_out(self, event: feed.Event, heard_by: set[int], epoch: str) -> None:
        frame = _encoded(event.frame(epoch))
        for socket in self._by_topic.get(event.topic, ()):
            if socket.user_id in heard_by and event.at > socket.at:
                socket.offer(frame)

    def _tell_all(self, kind: str, cursor: feed.Cursor) -> None:
        frame = _notice(kind, cursor)
        for socket in self._sockets:
            socket.at = cursor.at
            socket.offer(frame)

    async def _listen(self) -> None:
        """Be the process's one member of the layer's group. Any message, `layer.resync` too, means: look."""
        while True:
            try:
                layer = get_channel_layer()
                channel = await layer.new_channel("hub")
                await layer.group_add(GROUP, channel)
                while True:
                    self._look.set()
                    await layer.receive(channel)
            except Exception as error:  # a Redis that is away, for example
                logger.warning("live: the channel layer fails (%s)", type(error).__name__)
                await asyncio.sleep(RETRY_S)

    # --- who is still here ---------------------------------------------------------------------------------
    async def _know(self, user_ids: set[int]) -> None:
        if not user_ids <= self._users.keys():
            self._users.update(await _db(User.objects.in_bulk, user_ids - self._users.keys()))

    def _known(self, user_ids: set[int]) -> list[User]:
        return [self._users[pk] for pk in sorted(user_ids) if pk in self._users]

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_S)
            try:
                await self._sign_out_strangers()
            except DatabaseError as error:
                logger.warning("live: sessions cannot be checked (%s)", type(error).__name__)

    async def _sign_out_strangers(self) -> None:
        """Close the sockets of who was deactivated, has signed out or got a new password. Two statements."""
        async with self._turn:
            user_ids = {socket.user_id for socket in self._sockets}
            self._users = await _db(User.objects.in_bulk, user_ids)
            sessions = await _db(_open_sessions, {socket.session_key for socket in self._sockets})
            hashes = {pk: user.get_session_auth_hash() for pk, user in self._users.items() if user.is_active}
            for socket in self._sockets:
                is_valid = socket.session_key in sessions and constant_time_compare(
                    socket.session_hash, hashes.get(socket.user_id, "")
                )
                if not is_valid:
                    socket.close(SIGNED_OUT)

    async def _ping(self) -> None:
        """Tell every browser now and then that the line is alive, and how far the feed is."""
        while True:
            await asyncio.sleep(PING_S)
            async with self._turn:
                if self._cursor is not None:
                    frame = _notice("ping", self._cursor)
                    for socket in self._sockets:
                        socket.offer(frame)

    # --- life ----------------------------------------------------------------------------------------------
    def _start(self) -> None:
        if not self._tasks:
            work = (self._listen, self._read_and_tell, self._recheck, self._ping)
            self._tasks = [asyncio.create_task(run(), name=f"live{run.__name__}") for run in work]

    async def close(self) -> None:
        """End of the process."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _notice(kind: str, cursor: feed.Cursor) -> str:
    """A frame that is about the line itself: hello, ping, resync."""
    return _encoded({"seq": str(cursor), "type": kind, "topic": "", "ids": {}})


def _encoded(frame: dict[str, Any]) -> str:
    return orjson.dumps(frame).decode()


def _open_sessions(keys: set[str]) -> set[str]:
    rows = Session.objects.filter(session_key__in=keys, expire_date__gt=clock.now())
    return set(rows.values_list("session_key", flat=True))


async def _db(question: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """Ask the database in a thread of its own, not in the one that all sign-ins share."""
    return await database_sync_to_async(question, thread_sensitive=False)(*arguments, **named)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """The hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


async def close_hub() -> None:
    """Stop the running loop's hub, if it ever started."""
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        await hub.close()
