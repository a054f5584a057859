"""The scripted model over real HTTP, on a port of its own."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from ai_agents.llm.providers import SCRIPTED_MODEL, Provider
from ai_agents.llm.scripted import Script, ScriptedModel


@dataclass(slots=True)
class ScriptedServer:
    """A running scripted model: `script` sets its behaviour and tells what it saw."""

    script: Script
    url: str

    @property
    def provider(self) -> Provider:
        return Provider("scripted", self.url, "scripted", (SCRIPTED_MODEL,))

    def fail(self, mode: str, **more: Any) -> None:
        """From now on, requests fail in this way (see ai_agents.llm.scripted)."""
        self.script.set({"faults": [{"mode": mode, **more}]})

    def seen(self) -> dict[str, Any]:
        return self.script.seen()


def serve(script: Script) -> tuple[uvicorn.Server, threading.Thread, int]:
    """Run the application in a thread on a free loopback port."""
    config = uvicorn.Config(ScriptedModel(script), port=0, log_level="critical", access_log=False)
    config.timeout_graceful_shutdown = 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    return server, thread, server.servers[0].sockets[0].getsockname()[1]


@pytest.fixture(scope="session")
def _scripted_session() -> Iterator[ScriptedServer]:
    script = Script()
    server, thread, port = serve(script)
    yield ScriptedServer(script, f"http://127.0.0.1:{port}/v1")
    server.should_exit = True
    thread.join(5)


@pytest.fixture
def scripted(_scripted_session: ScriptedServer) -> Iterator[ScriptedServer]:
    """The scripted model with a clean memory and no faults."""
    _scripted_session.script.forget()
    yield _scripted_session
    _scripted_session.script.forget()
