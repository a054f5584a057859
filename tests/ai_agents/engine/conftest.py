"""The scripted model over real HTTP on a port of its own, and pumps that ask it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvicorn

from ai_agents.actions.pools import keep_pools
from ai_agents.actions.requests import request_analysis_batch
from ai_agents.llm.providers import SCRIPTED_MODEL, Provider
from ai_agents.llm.scripted import Script, ScriptedModel
from ai_agents.models import AgentPool, AgentTask
from ai_agents.pump import Pump
from ai_agents.timing import Timing
from crm.models import Actor, Channel, Inquiry, InquiryState, Lead
from tests.factories import make_source


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


FAST = Timing(linger_s=0.1, poll_s=0.02, control_s=0.2, claim_for_s=20)


@dataclass(slots=True)
class Engine:
    """The queue with leads on it, and pumps that serve it in this process."""

    server: ScriptedServer

    def leads(self, n: int, *, text: str = "") -> list[Lead]:
        """Leads with one inquiry each, whose facts all differ."""
        source = make_source("web")
        leads = Lead.objects.bulk_create(
            Lead(name=f"Lead {i}", source=source, search_text=f"lead {i}") for i in range(n)
        )
        Inquiry.objects.bulk_create(
            Inquiry(
                source=source,
                channel=Channel.FORM,
                state=InquiryState.CREATED,
                lead=lead,
                message=text or f"We are thinking about a terrace, it is number {lead.pk}.",
            )
            for lead in leads
        )
        return leads

    def queue(self, n: int, **more: Any) -> list[int]:
        """Queue analyses of `n` new leads. Returns their ids in order."""
        leads = [lead.pk for lead in self.leads(n)]
        assert request_analysis_batch(leads, by=Actor.system(), **more) == n
        return leads

    def target(self, analyses: int, drafts: int = 0) -> None:
        """Concurrency of the two pools. Drafts are off unless wanted."""
        pools = {"lead_analysis": analyses, "follow_up": drafts}
        for kind, target in pools.items():
            AgentPool.objects.filter(kind=kind).update(target=target, is_auto=False)

    def pump(self, **timing: Any) -> Pump:
        """A pump that has its slot."""
        pump = Pump(self.server.provider, replace(FAST, **timing), on_slot_free=lambda: None)
        assert pump.take_slot(wait_s=2)
        return pump

    def run(self, **timing: Any) -> Pump:
        """Serve the queue until it is empty or the slice is over."""
        pump = self.pump(**timing)
        pump.run()
        return pump

    @contextmanager
    def running(self, **timing: Any) -> Iterator[Pump]:
        """A pump at work in a thread, joined at the end."""
        pump = self.pump(**timing)
        thread = threading.Thread(target=pump.run)
        thread.start()
        try:
            yield pump
        finally:
            thread.join(60)
            assert not thread.is_alive()

    def states(self, kind: str = "lead_analysis") -> Counter[str]:
        return Counter(AgentTask.objects.filter(kind=kind).values_list("state", flat=True))


@pytest.fixture
def engine(scripted: ScriptedServer, settings: Any, transactional_db: None) -> Engine:
    """The engine on the scripted model, with the pools of a fresh install."""
    settings.AI_PROVIDER, settings.SCRIPTED_LLM_URL = "scripted", scripted.url
    keep_pools()
    return Engine(scripted)


def until(condition: Callable[[], Any], *, within_s: float = 20, every_s: float = 0.05) -> None:
    """Wait for a condition, and fail when it does not come."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(every_s)
