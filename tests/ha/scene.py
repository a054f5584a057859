"""Everybody who uses the system while it is harmed, and what they saw."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from deploy.site_secrets import FAILOVER, TLS, address
from tests.deploy.site import REPOSITORY
from tests.ha.application import PORT, Application
from tests.ha.cluster import Cluster
from tests.ha.events import Event
from tests.ha.places import ADDRESSES, DOMAIN, NODES
from tests.ha.rows import RIGHTS, TABLE, acknowledged, longest_gap
from tests.ha.traffic import READ_TIMEOUT_S, Answer, Readers, Record, wrong
from tests.ha.waiting import until

LEADS_PER_S = 2.0
ROW_PAUSE_S = 0.05
CALM_S = 2.0  # before an event
BACK_S, AGENTS_BACK_S, SETTLE_S = 90, 120, 300
LEADS = "/api/v1/leads/"
_NUMBER = re.compile(rb"^To:.*?ada(\d+)@", re.MULTILINE)


@dataclass
class Played:
    """One event and what it cost. Outages in seconds: the longest pause between acknowledged writes."""

    name: str
    goal_s: float
    rows_by_haproxy_s: float = 0
    rows_by_hosts_s: float = 0
    leads_s: float = 0
    agents_s: float = 0  # from the first write after the outage to the first mail for a lead made after it
    whole_s: float = 0  # from mending until all members are back
    refused: int = 0  # 503 with Retry-After
    answered: int = 0
    slowest_s: float = 0
    wrong: Counter[str] = field(default_factory=Counter)
    primary: str = ""


@dataclass(frozen=True)
class Crowd:
    """Who reads, and what: `pages` to `light` addresses (API, sign-in). More people than web has threads."""

    port: int = PORT
    readers: int = 24
    pause_s: float = 6.0
    pages: int = 1
    light: int = 1


class Scene:
    def __init__(
        self, cluster: Cluster, application: Application, folder: Path, crowd: Crowd | None = None
    ) -> None:
        self.cluster, self.application, self.folder = cluster, application, folder
        self.crowd = crowd or Crowd()
        self.record = Record()
        self.writers: dict[str, subprocess.Popen[bytes]] = {}
        self._isolated = 0
        self._may_write = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    # --- beginning and end ---------------------------------------------------------------------------------
    def begin(self) -> None:
        from tests.chaos.work import Work

        self._make_table()
        self.application.enter()
        token, cookie = self.application.people()
        bearer, signed_in = {"Authorization": f"Bearer {token}"}, {"Cookie": cookie}
        pages = [
            *[("/", signed_in), ("/leads/", signed_in)] * self.crowd.pages,
            *[(f"{LEADS}?limit=20", bearer), ("/accounts/login/", {})] * self.crowd.light,
        ]
        self.readers = Readers(
            self.crowd.port, self.record, pages, threads=self.crowd.readers, pause_s=self.crowd.pause_s
        )
        self.work = Work([self.crowd.port], token, 10**9, seen=self._seen, answer_s=READ_TIMEOUT_S)
        hosts = ",".join(f"{node}.postgres.{DOMAIN}:5432" for node in NODES)
        self._start_writer("haproxy", "postgres-rw:5432", f"{TLS}&{FAILOVER}")
        self._start_writer("hosts", hosts, f"{TLS}&{FAILOVER}&target_session_attrs=read-write")
        self._may_write.set()
        self._ticker.start()
        self.work.start()
        self.readers.start()
        until(lambda: self._mails_after(0), "the first mail of all", AGENTS_BACK_S)

    def settle(self) -> None:
        """Write no more, and wait until nothing moves."""
        from django.db import connection

        from tests.chaos.verdict import is_settled

        self._may_write.clear()
        self.readers.stop()
        for name in list(self.writers):
            self._stop_writer(name)
        self.work.total = self.work.allowed
        connection.close()
        until(
            lambda: bool(self.work.trouble) or is_settled(self.work, waits_for_leases=False),
            "all leads are analysed, drafted and answered",
            SETTLE_S,
        )
        self.work.stop()
        self.cluster.wait_until_whole()

    def end(self) -> None:
        (self.folder / "answers.json").write_text(json.dumps([asdict(a) for a in self.record.answers]))
        self._may_write.clear()
        self.work.is_over.set()
        for name in list(self.writers):
            self._stop_writer(name)

    # --- an event ------------------------------------------------------------------------------------------
    def play(self, event: Event) -> Played:
        time.sleep(CALM_S)
        played, since = Played(event.name, event.goal_s), time.monotonic()
        mend = event.act(self.cluster, self._isolate)
        harmed = time.monotonic()
        until(lambda: self._is_written_since(harmed), "writes are acknowledged again", BACK_S)
        back, count = time.monotonic(), len(self.work.accepted)
        mend()
        mended = time.monotonic()
        until(lambda: self._mails_after(count), "agents work again", AGENTS_BACK_S)
        played.agents_s = time.monotonic() - back
        self.cluster.wait_until_whole()
        played.whole_s = time.monotonic() - mended
        self._stop_writer("isolated")
        until_ = time.monotonic()
        played.rows_by_haproxy_s = longest_gap(self._acked("haproxy"), since, until_)
        played.rows_by_hosts_s = longest_gap(self._acked("hosts"), since, until_)
        leads = [each.at for each in self.record.within(0, until_, "write") if is_new_lead(each)]
        played.leads_s = longest_gap(leads, since, until_)
        answers = self.record.within(since, until_)
        played.answered, played.wrong = len(answers), wrong(answers)
        played.refused = sum(each.is_honest_no for each in answers)
        played.slowest_s = max(each.took_s for each in answers)
        played.primary = self.cluster.primary()
        return played

    def _is_written_since(self, moment: float) -> bool:
        if self.work.trouble:
            raise RuntimeError(f"a writer broke: {self.work.trouble[0]}")
        rows = all(self._acked(name)[-1:] > [moment] for name in ("haproxy", "hosts"))
        return rows and any(map(is_new_lead, self.record.within(moment, time.monotonic(), "write")))

    # --- writers -------------------------------------------------------------------------------------------
    def ledger(self, name: str) -> Path:
        return self.folder / f"{name}.ledger"

    def ledgers(self) -> dict[str, dict[int, float]]:
        """What was acknowledged to each writer."""
        return {path.stem: acknowledged(path) for path in sorted(self.folder.glob("*.ledger"))}

    def _acked(self, name: str) -> list[float]:
        return list(acknowledged(self.ledger(name)).values())

    def _start_writer(self, name: str, hosts: str, options: str, *, namespace: str = "") -> None:
        dsn = address("app", self.cluster.secrets["postgres-secrets"]["APP_PASSWORD"], hosts, options)
        dsn = dsn.replace("/etc/gardenos", f"{self.application.web.root}/etc/gardenos")
        where = self.cluster.network.inside(namespace) if namespace else []
        command = [sys.executable, "-m", "tests.ha.rows", name, str(self.ledger(name)), str(ROW_PAUSE_S)]
        environment = {**os.environ, "ROWS_DSN": dsn, "PYTHONPATH": str(REPOSITORY)}
        key = "isolated" if namespace else name
        self.writers[key] = subprocess.Popen([*where, *command], cwd=REPOSITORY, env=environment)

    def _stop_writer(self, name: str) -> None:
        if process := self.writers.pop(name, None):
            process.kill()
            process.wait()

    def _isolate(self, node: str) -> None:
        """A client beside the primary, on its node; it goes on when the node is cut off."""
        self._isolated += 1
        name = f"isolated{self._isolated}"
        self._start_writer(name, f"{ADDRESSES[node]}:5432", "sslmode=require", namespace=node)
        until(lambda: len(self._acked(name)) > 10, "the client on the primary's node writes", 20)

    def _make_table(self) -> None:
        with psycopg.connect(self.cluster.owner_dsn("postgres-rw:5432"), autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(RIGHTS)

    # --- people --------------------------------------------------------------------------------------------
    def _tick(self) -> None:
        while self._may_write.wait(1 / LEADS_PER_S):
            time.sleep(1 / LEADS_PER_S)
            if self._may_write.is_set():
                self.work.allowed = min(self.work.allowed + 1, len(self.work.accepted) + 5)

    def _seen(self, path: str, status: int, headers: dict[str, str], began: float) -> None:
        now = time.monotonic()
        says_when = any(name.lower() == "retry-after" for name in headers)
        why = "" if status else "no answer"
        kind = "write" if path == LEADS or path.endswith("/approve/") else "read"
        plain = re.sub(r"[0-9a-f-]{36}", "ID", path)
        self.record.note(Answer(now, kind, plain, status, says_when, now - began, why))

    def _mails_after(self, number: int) -> bool:
        """Whether a mail came for a lead of that number or a later one."""
        paths = sorted(self.application.sink.folder.glob("*.eml"))[-20:]
        for path in paths:
            with contextlib.suppress(OSError):
                found = _NUMBER.search(path.read_bytes()[:4000])
                if found and int(found[1]) >= number:
                    return True
        return False


def is_new_lead(answer: Answer) -> bool:
    return answer.path == LEADS and answer.status == 201


def stored(dsn: str) -> Counter[tuple[str, int]]:
    """(writer, number) of the rows, and how often."""
    with psycopg.connect(dsn) as connection:
        rows: list[Any] = connection.execute("SELECT writer, number FROM ha_rows").fetchall()
    return Counter((str(writer), int(number)) for writer, number in rows)
