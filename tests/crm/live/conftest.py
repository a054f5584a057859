"""A real server process, real websockets, the real database of the test run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from crm import events
from crm.models import User
from gardenos.databases import database_settings
from gardenos.env import Env


class Server:
    """gunicorn with our worker, as `make run` starts it. `log` is all it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log_path = folder / "log"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def start(self) -> None:
        app = database_settings(Env(), settings.GARDENOS_DATA_DIR)[0]["default"]
        base = connection.settings_dict
        environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": os.environ.get("SERVER_SETTINGS_MODULE", "gardenos.settings"),
            "DATABASE_URL": f"postgresql://{quote(app['USER'])}:{quote(app['PASSWORD'])}"
            f"@{base['HOST']}:{base['PORT']}/{base['NAME']}",
            "SECRET_KEY": settings.SECRET_KEY,
            "GARDENOS_PORT": str(self.port),
            "GARDENOS_DATA_DIR": str(self.folder),
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "metrics"),
            "AI_PROVIDER": "off",
            "WEB_WORKERS": "1",
        }
        command = ["-m", "gunicorn", "-c", "python:gardenos.gunicorn_conf", "gardenos.asgi:application"]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], env=environ, stdout=log, stderr=log, cwd=settings.BASE_DIR
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, self.log
            time.sleep(0.1)
        raise AssertionError(f"the server did not start:\n{self.log}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=15)
            self.process = None

    def connect(
        self,
        user: User | None,
        *topics: str,
        since: str = "",
        origin: str | None = "http://127.0.0.1",
        cookie: str = "",
        path: str = "/ws/live/",
        **more: Any,
    ) -> "Browser":
        query = (
            [("topic", topic) for topic in topics] + ([("since", since)] if since else []) + [*more.items()]
        )
        cookie = cookie or (session_cookie(user) if user else "")
        return Browser(
            connect(
                f"ws://127.0.0.1:{self.port}{path}?{urlencode(query)}",
                origin=origin,  # type: ignore[arg-type]
                additional_headers={"Cookie": cookie} if cookie else None,
                compression=None,
                max_size=None,
                legacy=True,
            )
        )


def session_cookie(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


class Browser:
    """One socket. Frames about the line itself (hello, ping) are kept apart from events."""

    def __init__(self, line: ClientConnection) -> None:
        self.line = line
        self.seq = ""

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *exception: object) -> None:
        self.line.close()

    def frame(self, timeout_s: float = 10) -> dict[str, Any]:
        """The next frame of any kind. Raises TimeoutError, ConnectionClosed."""
        frame = json.loads(self.line.recv(timeout=timeout_s))
        assert set(frame) == {"seq", "type", "topic", "ids"}
        self.seq = frame["seq"]
        return frame

    def hello(self) -> "Browser":
        assert self.frame()["type"] == "hello"
        return self

    def event(self, timeout_s: float = 10) -> dict[str, Any]:
        while (frame := self.frame(timeout_s))["type"] in {"hello", "ping"}:
            pass
        return frame

    def hears_nothing(self, for_s: float = 1.0) -> bool:
        try:
            frame = self.event(for_s)
        except TimeoutError:
            return True
        raise AssertionError(f"heard {frame}")

    def close_code(self, timeout_s: float = 10) -> int:
        """Read until the server closes; its code."""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                self.line.recv(timeout=max(0.01, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


@pytest.fixture(scope="session")
def running_server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running_server: Server, transactional_db: None) -> Iterator[Server]:
    """The suite's one server. Whatever a test does to it, it must not log a traceback."""
    already = len(running_server.log)
    yield running_server
    written = running_server.log[already:]
    assert "Traceback" not in written
    assert " ERROR " not in written


def happen(*what: object) -> None:
    """Publish events in one transaction, as an action does."""
    with transaction.atomic():
        for event in what:
            events.publish(event)
