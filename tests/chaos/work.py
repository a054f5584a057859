"""What goes on while processes are killed: inquiries come in, somebody approves each draft. Over the API."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any

TRY_AGAIN_S = 0.2
LOOK_S = 0.5
ANSWER_S = 10
FOR_GOOD = {400, 401, 403, 404, 422}  # answers that no second try changes: a fault of this program


Seen = Callable[[str, int, dict[str, str], float], object]


class Client:
    """One program on the API that takes no failed connection for an answer: it sends again, with the key of
    the first time. `seen` is told each answer: path, status (0: none came), its headers, when it was asked
    (monotonic)."""

    def __init__(
        self, ports: list[int], token: str, *, seen: Seen | None = None, answer_s: float = ANSWER_S
    ) -> None:
        self.ports, self.token, self.seen, self.answer_s = ports, token, seen, answer_s
        self.failed = 0
        self._turn = 0

    def ask(
        self, method: str, path: str, body: Any = None, *, key: str = "", version: str = ""
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        if version:
            headers["If-Match"] = version
        while True:
            self._turn += 1
            port = self.ports[self._turn % len(self.ports)]
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=self.answer_s)
            began, got, said = time.monotonic(), 0, {}
            try:
                client.request(method, path, None if body is None else json.dumps(body), headers)
                answer = client.getresponse()
                text = answer.read()
                got, said = answer.status, dict(answer.getheaders())
                if answer.status < 300 or answer.status == 412:
                    return answer.status, json.loads(text)
                if answer.status in FOR_GOOD:
                    raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
                if answer.status == 409 and b"idempotency_in_flight" not in text:
                    return 409, json.loads(text)
            except (OSError, http.client.HTTPException):
                pass
            finally:
                client.close()
                if self.seen:
                    self.seen(path, got, said, began)
            self.failed += 1
            time.sleep(TRY_AGAIN_S)


class Work:
    """`total` inquiries, as many of them at a time as `allow` says, and the approvals of what is drafted."""

    def __init__(
        self,
        ports: list[int],
        token: str,
        total: int,
        *,
        seen: Seen | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.total = total
        self.allowed = 0
        self.accepted: dict[str, str] = {}  # name -> the lead's public id
        self.approved: set[str] = set()  # public ids of follow-ups
        self.refused: list[str] = []
        self.trouble: list[BaseException] = []
        self.is_over = threading.Event()
        self._customers, self._approver = (
            Client(ports, token, seen=seen, answer_s=answer_s) for _ in range(2)
        )
        self.threads = [
            threading.Thread(target=self._guarded, args=(run,), daemon=True)
            for run in (self._send_inquiries, self._approve_drafts)
        ]

    @property
    def failed(self) -> int:
        """Requests that were sent again."""
        return self._customers.failed + self._approver.failed

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join(30)

    def _guarded(self, run) -> None:  # type: ignore[no-untyped-def]
        try:
            run()
        except BaseException as error:
            self.trouble.append(error)

    def _send_inquiries(self) -> None:
        for number in range(self.total):
            while number >= self.allowed and not self.is_over.is_set():
                time.sleep(0.05)
            if self.is_over.is_set():
                return
            name = f"Ada Person{number:05d}"
            body = {
                "name": name,
                "email": f"ada{number:05d}@example.com",
                "message": f"We would like a terrace of {number + 10} square metres; please tell us a price.",
            }
            _status, lead = self._customers.ask("POST", "/api/v1/leads/", body, key=f"chaos-lead-{number}")
            self.accepted[name] = lead["id"]

    def _approve_drafts(self) -> None:
        while not self.is_over.is_set():
            _status, page = self._approver.ask("GET", "/api/v1/follow-ups/?state=generated&limit=50")
            for draft in page["results"]:
                number, version = draft["id"], f'"{draft["version"]}"'
                key = f"chaos-approve-{number}-{draft['version']}"
                path = f"/api/v1/follow-ups/{number}/approve/"
                status, said = self._approver.ask("POST", path, {}, key=key, version=version)
                if status < 300:
                    self.approved.add(number)
                elif status == 409:
                    self.refused.append(f"{number}: {said.get('detail')}")
            if not page["results"]:
                time.sleep(LOOK_S)
