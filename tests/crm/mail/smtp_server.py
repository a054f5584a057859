"""A real SMTP server as a process of its own, with faults on request.

Run as `python smtp_server.py FOLDER`: prints its port, then keeps each mail it took as FOLDER/<n>.eml,
exactly as the bytes came. The recipient's name orders a fault: reject@ 550, later@ 451, greylist@ 451 once,
late-reject@ 554 after the final dot, drop@ loses the connection after it with the mail kept, lost@ the same
with the mail thrown away, slow@ answers it after 0.1 s, hang@ and keep-and-hang@ after 30 s, cut@ loses the
connection as DATA begins.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


class Handler:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[str] = set()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        word = address.partition("@")[0]
        if word == "reject":
            return "550 5.1.1 no such mailbox secret-address@example.com"
        if word == "later" or (word == "greylist" and address not in self.seen):
            self.seen.add(address)
            return "451 4.7.1 try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        word = envelope.rcpt_tos[0].partition("@")[0]
        if word == "late-reject":
            return "554 5.7.1 not wanted"
        if word == "hang":
            await asyncio.sleep(30)
        if word != "lost":
            count = len(list(self.folder.glob("*.eml")))
            unfinished = self.folder / f"{count:04d}.part"
            unfinished.write_bytes(envelope.original_content)
            unfinished.rename(self.folder / f"{count:04d}.eml")
        if word == "keep-and-hang":
            await asyncio.sleep(30)
        if word == "slow":
            await asyncio.sleep(0.1)
        if word in {"drop", "lost"}:
            server.transport.abort()
        return "250 OK"


class CuttingSMTP(SMTP):
    """For cut@: gone as soon as DATA begins."""

    async def smtp_DATA(self, arg: str) -> None:
        if self.envelope.rcpt_tos and self.envelope.rcpt_tos[0].startswith("cut@"):
            await self.push("354 go on")
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


class Sink:
    """What the tests see of the server: where it listens and what it took."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder

    def raw(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.folder.glob("*.eml"))]

    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(raw, policy=policy.default) for raw in self.raw()]

    def wait_for(self, count: int, timeout_s: float = 10) -> list[EmailMessage]:
        """The mails once there are `count`; fails after the time."""
        end = time.monotonic() + timeout_s
        while len(self.raw()) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.raw()) == count
        return self.mails()


def text_of(mail: EmailMessage) -> str:
    """What the reader's program shows: decoded, CRLF as LF."""
    return mail.get_payload(decode=True).decode("utf-8").replace("\r\n", "\n")


@contextmanager
def running_server(folder: Path) -> Iterator[Sink]:
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield Sink(int(process.stdout.readline()), folder)
    finally:
        process.terminate()
        process.wait(10)


async def serve(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    handler = Handler(folder)
    server = await loop.create_server(
        lambda: CuttingSMTP(handler, hostname="sink.example", enable_SMTPUTF8=False), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
