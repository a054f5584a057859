"""The LISTEN/NOTIFY channel layer, on a real PostgreSQL."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from crm.live.layer import RESYNC, PostgresChannelLayer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def layer() -> Iterator[PostgresChannelLayer]:
    layer = PostgresChannelLayer(capacity=20)
    yield layer
    layer.close()


async def next_of(layer: PostgresChannelLayer, channel: str, timeout_s: float = 10) -> dict[str, Any]:
    return await asyncio.wait_for(layer.receive(channel), timeout_s)


def in_thread(work: Callable[[], None]) -> None:
    """Run synchronous code as another thread of the process would, and wait for it."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def listeners() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'gardenos-live'"
            " AND datname = current_database()"
        )
        return [pid for (pid,) in cursor.fetchall()]


def terminate_listeners() -> int:
    pids = listeners()
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")  # the suite listens as the owner
        for pid in pids:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    return len(pids)


def test_a_group_message_reaches_every_member_and_nobody_else(layer):
    async def scenario() -> None:
        first, second, stranger = [await layer.new_channel() for _ in range(3)]
        await layer.group_add("leads", first)
        await layer.group_add("leads", second)
        await layer.group_send("leads", {"type": "look", "text": "größer"})
        await layer.send(stranger, {"type": "only.you"})
        assert await next_of(layer, first) == {"type": "look", "text": "größer"}
        assert await next_of(layer, second) == {"type": "look", "text": "größer"}
        assert await next_of(layer, stranger) == {"type": "only.you"}

    async_to_sync(scenario)()


def test_who_left_a_group_hears_nothing_more(layer):
    async def scenario() -> None:
        stays, leaves = await layer.new_channel(), await layer.new_channel()
        for channel in (stays, leaves):
            await layer.group_add("leads", channel)
        await layer.group_discard("leads", leaves)
        await layer.group_send("leads", {"type": "look"})
        await next_of(layer, stays)
        with pytest.raises(asyncio.TimeoutError):
            await next_of(layer, leaves, 0.2)

    async_to_sync(scenario)()


def test_two_processes_hear_each_other(layer):
    other_process = PostgresChannelLayer()

    async def scenario() -> None:
        channel = await layer.new_channel()
        await layer.group_add("leads", channel)
        await other_process.group_send("leads", {"type": "look"})
        assert await next_of(layer, channel) == {"type": "look"}

    async_to_sync(scenario)()


@pytest.mark.parametrize("size", [7_700, 7_900, 100_000])
def test_a_message_longer_than_a_notification_arrives_whole(layer, size):
    async def scenario() -> None:
        channel = await layer.new_channel()
        await layer.send(channel, {"type": "long", "text": "ä" * size})
        assert await next_of(layer, channel) == {"type": "long", "text": "ä" * size}

    async_to_sync(scenario)()


def test_messages_keep_their_order(layer):
    async def scenario() -> None:
        channel = await layer.new_channel()
        for number in range(15):
            await layer.send(channel, {"type": "count", "number": number})
        assert [(await next_of(layer, channel))["number"] for _ in range(15)] == list(range(15))

    async_to_sync(scenario)()


def test_a_full_mailbox_gives_way_to_one_resync(layer):
    async def scenario() -> None:
        slow, fast = await layer.new_channel(), await layer.new_channel()
        for channel in (slow, fast):
            await layer.group_add("leads", channel)
        for number in range(21):
            await layer.group_send("leads", {"type": "count", "number": number})
            await next_of(layer, fast)
        assert await next_of(layer, slow) == RESYNC

    async_to_sync(scenario)()


def test_a_message_is_sent_when_its_transaction_commits_and_not_before(layer):
    async def scenario() -> None:
        channel = await layer.new_channel()
        await layer.group_add("leads", channel)
        loop = asyncio.get_running_loop()
        during: list[bool] = []

        def save() -> None:
            with transaction.atomic():
                layer.notify_group("leads", {"type": "saved"})
                time.sleep(0.2)
                during.append(bool(layer._mailbox(channel)._messages))

        def save_and_roll_back() -> None:
            with transaction.atomic():
                layer.notify_group("leads", {"type": "never"})
                transaction.set_rollback(True)

        await loop.run_in_executor(None, in_thread, save_and_roll_back)
        await loop.run_in_executor(None, in_thread, save)
        assert await next_of(layer, channel) == {"type": "saved"}
        assert during == [False]

    async_to_sync(scenario)()


def test_several_event_loops_and_plain_threads_share_one_listening_connection(layer):
    heard: list[dict[str, Any]] = []
    ready = threading.Barrier(4)

    def reader() -> None:
        async def read() -> None:
            channel = await layer.new_channel()
            await layer.group_add("leads", channel)
            await asyncio.get_running_loop().run_in_executor(None, ready.wait)
            heard.append(await next_of(layer, channel))

        asyncio.run(read())

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    layer.notify_group("leads", {"type": "look"})
    async_to_sync(layer.group_send)("leads", {"type": "look"})
    for thread in threads:
        thread.join(timeout=10)
    assert heard == [{"type": "look"}] * 3
    assert len(listeners()) == 1


def test_after_its_connection_is_killed_the_layer_listens_again_and_resyncs_everybody(layer):
    async def scenario() -> None:
        channels = [await layer.new_channel() for _ in range(3)]
        for channel in channels:
            await layer.group_add("leads", channel)
        loop = asyncio.get_running_loop()
        for _ in range(2):
            killed = []
            await loop.run_in_executor(
                None, in_thread, lambda killed=killed: killed.append(terminate_listeners())
            )
            assert killed == [1]
            assert [await next_of(layer, channel) for channel in channels] == [RESYNC] * 3
            await layer.group_send("leads", {"type": "look"})
            assert [await next_of(layer, channel) for channel in channels] == [{"type": "look"}] * 3

    async_to_sync(scenario)()


def test_it_comes_back_after_the_database_was_away(layer):
    with Relay() as relay:
        parameters = connection.get_connection_params()
        layer._dsn = psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=relay.port,
            **{key: parameters[key] for key in ("dbname", "user", "password")},
        )

        async def scenario() -> None:
            channel = await layer.new_channel()
            await asyncio.get_running_loop().run_in_executor(None, relay.cut)
            await asyncio.sleep(1)  # several tries fail
            relay.restore()
            assert await next_of(layer, channel) == RESYNC
            await layer.send(channel, {"type": "look"})
            assert await next_of(layer, channel) == {"type": "look"}

        async_to_sync(scenario)()


def test_a_notify_that_fails_is_logged_and_does_not_fail_the_save(layer, caplog, monkeypatch):
    monkeypatch.setattr("crm.live.layer.NOTIFY_CHANNEL", "x" * 64)  # PostgreSQL: channel name too long
    with transaction.atomic():
        layer.notify_group("leads", {"type": "look"})
    assert "NOTIFY failed" in caplog.text


def test_a_foreign_notification_is_skipped(layer):
    async def scenario() -> None:
        channel = await layer.new_channel()
        for payload in ("", "hello", "a:b:c:d", "a:0:1:{}", "a:0:1:[]", json.dumps({"group": 1})):
            await asyncio.to_thread(in_thread, lambda payload=payload: notify(payload))
        await layer.send(channel, {"type": "look"})
        assert await next_of(layer, channel) == {"type": "look"}

    async_to_sync(scenario)()


def notify(payload: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('gardenos_layer', %s)", [payload])


@pytest.mark.parametrize("name", ["", "has space", "ä", "x" * 101])
def test_names_outside_the_channels_rules_are_refused(layer, name):
    with pytest.raises(TypeError):
        layer.notify_group(name, {"type": "look"})


class Relay:
    """A TCP relay before the database that can be cut, as a restart or a failover would."""

    def __enter__(self) -> "Relay":
        settings = connection.settings_dict
        self._target = (settings["HOST"] or "127.0.0.1", int(settings["PORT"] or 5432))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._is_cut = False
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        self._is_cut = True
        for side in self._sockets:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def restore(self) -> None:
        self._is_cut = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
        except OSError:
            pass
        finally:
            target.close()
