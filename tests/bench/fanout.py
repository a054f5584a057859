"""One event to 1,000 open pages: from just before the commit until a page has the frame."""

import asyncio
import http.client
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async
from django.db import connection, transaction

from crm import events
from crm.models import Lead
from gardenos.running_alone import free_port
from tests.bench.harness import Row, product, serving
from tests.bench.pages import session_headers
from tests.bench.surroundings import cluster, prepare

CLIENTS = 1_000
EVENTS = 6
EVERY_S = 1.0
AT_ONCE = 50  # sockets opened together
OPEN_S = 60


@dataclass
class Audience:
    """What all the sockets heard."""

    opened: int = 0
    sent_at: float = 0.0
    delays_ms: list[float] = field(default_factory=list)


class Page(asyncio.Protocol):
    """The cheapest websocket client there is: it counts frames by a word that each holds once."""

    def __init__(self, audience: Audience, request: bytes) -> None:
        self.audience, self.request = audience, request
        self.waiting = b""
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        if not self.is_open:
            head, end, rest = self.waiting.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(f"a socket was refused: {head[:200]!r}")
            self.is_open, self.waiting = True, rest
            self.audience.opened += 1
        frames = self.waiting.count(b'"lead.changed"')
        if frames:
            self.audience.delays_ms += [(time.monotonic() - self.audience.sent_at) * 1000] * frames
            self.waiting = b""


def fanout_1000_vs_raw() -> Row:
    """p99 delay of 1,000 signed-in pages on Today, beside uvicorn alone."""
    prepare()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, most), most))
    port, raw_port = free_port(), free_port()
    command, environment = product(port)
    cookie = session_headers()["Cookie"]
    lead_id = Lead.objects.values_list("pk", flat=True).first()

    def change() -> None:
        with transaction.atomic():
            events.publish(events.LeadChanged(lead_id=lead_id))
        connection.close()

    def fire() -> None:
        client = http.client.HTTPConnection("127.0.0.1", raw_port, timeout=30)
        client.request("POST", "/fire")
        client.getresponse().read()
        client.close()

    with serving(command, port, cluster(), **environment):
        address = f"/ws/live/?topic=today HTTP/1.1\r\nOrigin: http://127.0.0.1:{port}\r\nCookie: {cookie}"
        ours = asyncio.run(_measure(port, address, change))
    raw = [sys.executable, "-m", "uvicorn", "--log-level", "error", "--port", str(raw_port)]
    with serving([*raw, "--backlog", "2048", "tests.bench.raw_sockets:application"], raw_port, cluster()):
        limit = asyncio.run(_measure(raw_port, "/ws HTTP/1.1", fire))
    return Row("fanout_1000_vs_raw", "ms p99", _p99(ours), _p99(limit), len(ours))


async def _measure(port: int, address: str, tell: Callable[[], None]) -> list[float]:
    """The delays of all frames but those of the first event. Raises RuntimeError when one is missing."""
    request = (
        f"GET {address}\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    audience, loop = Audience(), asyncio.get_running_loop()
    transports: list[asyncio.BaseTransport] = []
    for _ in range(0, CLIENTS, AT_ONCE):
        made = [
            loop.create_connection(lambda: Page(audience, request), "127.0.0.1", port) for _ in range(AT_ONCE)
        ]
        transports += [transport for transport, _page in await asyncio.gather(*made)]
    await _until(lambda: audience.opened == CLIENTS, OPEN_S, lambda: f"{audience.opened} sockets opened")
    await asyncio.sleep(1)
    for number in range(EVENTS + 1):
        heard = len(audience.delays_ms)
        audience.sent_at = time.monotonic()
        await sync_to_async(tell)()
        await _until(
            lambda heard=heard: len(audience.delays_ms) >= heard + CLIENTS,
            20,
            lambda: f"{len(audience.delays_ms)} frames heard",
        )
        if number == 0:
            audience.delays_ms.clear()
        await asyncio.sleep(max(0, audience.sent_at + EVERY_S - time.monotonic()))
    for transport in transports:
        transport.close()
    return audience.delays_ms


async def _until(question: Callable[[], bool], within_s: float, say: Callable[[], str]) -> None:
    give_up = time.monotonic() + within_s
    while not question():
        if time.monotonic() > give_up:
            raise RuntimeError(say())
        await asyncio.sleep(0.01)


def _p99(delays_ms: list[float]) -> float:
    return sorted(delays_ms)[int(len(delays_ms) * 0.99)]


JOBS = (fanout_1000_vs_raw,)
