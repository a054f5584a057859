"""What people do meanwhile: they read pages and the API, and Kubernetes asks after the process's life."""

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass

HOST = "127.0.0.1"
READ_TIMEOUT_S = 60  # a person waits; what counts is what is answered in the end
PROBE_TIMEOUT_S = 5  # as the liveness probe in the manifest
PROBE_EVERY_S = 0.25


@dataclass(frozen=True)
class Answer:
    at: float  # monotonic, when it was there
    kind: str  # livez, read, write
    path: str
    status: int  # 0: none
    says_when: bool  # it has a Retry-After
    took_s: float
    why: str = ""  # there was none

    @property
    def is_fine(self) -> bool:
        return 200 <= self.status < 400 or self.status == 412

    @property
    def is_honest_no(self) -> bool:
        return self.status == 503 and self.says_when


class Record:
    """All answers, from whichever thread."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._lock = threading.Lock()

    def note(self, answer: Answer) -> None:
        with self._lock:
            self.answers.append(answer)

    def within(self, since: float, until: float, *kinds: str) -> list[Answer]:
        with self._lock:
            answers = list(self.answers)
        return [each for each in answers if since <= each.at <= until and (not kinds or each.kind in kinds)]


def wrong(answers: list[Answer]) -> Counter[str]:
    """What should not have come: anything but successes and 503 with Retry-After."""
    return Counter(
        f"{each.kind} {each.path.partition('?')[0]}: {each.status or each.why}"
        for each in answers
        if not each.is_fine and not (each.is_honest_no and each.kind != "livez")
    )


class Readers:
    """`threads` people who read in turn, each with a pause; one more who asks /livez. `pages`: what they
    read, an address and its headers each.
    """

    def __init__(
        self,
        port: int,
        record: Record,
        pages: list[tuple[str, dict[str, str]]],
        *,
        threads: int,
        pause_s: float,
    ) -> None:
        self.port, self.record, self.pages, self.pause_s = port, record, pages, pause_s
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(number,), daemon=True) for number in range(threads)
        ]
        self._threads.append(threading.Thread(target=self._probe, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(READ_TIMEOUT_S)

    def _read(self, number: int) -> None:
        turn = number
        while not self._is_over.wait(self.pause_s):
            path, headers = self.pages[turn % len(self.pages)]
            turn += 1
            self.record.note(get(self.port, "read", path, headers, READ_TIMEOUT_S))

    def _probe(self) -> None:
        while not self._is_over.wait(PROBE_EVERY_S):
            self.record.note(get(self.port, "livez", "/livez", {}, PROBE_TIMEOUT_S))


def get(port: int, kind: str, path: str, headers: dict[str, str], timeout_s: float) -> Answer:
    """One question. What fails is an answer too."""
    began = time.monotonic()
    client = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    status, says_when, why = 0, False, ""
    try:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        answer.read()
        status, says_when = answer.status, bool(answer.getheader("Retry-After"))
    except (OSError, http.client.HTTPException) as error:
        why = type(error).__name__
    finally:
        client.close()
    now = time.monotonic()
    return Answer(now, kind, path, status, says_when, now - began, why)
