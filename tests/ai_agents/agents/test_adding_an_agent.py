"""docs/ai/adding-an-agent.md is followed to the letter: its files are taken from the page and must work."""

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client

from ai_agents import agents, listeners, prompts
from ai_agents.actions import pools
from ai_agents.models import AgentTask
from crm import events
from crm.models import TimelineEvent
from tests.ai_agents.engine.conftest import Engine, _scripted_session, engine, scripted
from tests.factories import make_admin, make_lead

__all__ = ["_scripted_session", "engine", "scripted"]
PAGE = Path(django_settings.BASE_DIR) / "docs" / "ai" / "adding-an-agent.md"


def blocks() -> list[str]:
    """The page's indented blocks, as files."""
    found = re.findall(r"(?:^(?:    .*)?\n)+", PAGE.read_text(), re.MULTILINE)
    return [textwrap.dedent(block).strip() + "\n" for block in found if block.strip()]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The kind of the page, added as it says."""
    prompt, module, line, _try = blocks()
    for path in prompts.FOLDER.glob("*"):
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "lead_language.v1.md").write_text(prompt)
    assert prompts.publish(tmp_path) == ["lead_language.v1.md"]
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    monkeypatch.setattr(agents.base, "load", lambda name: prompts.read(name, tmp_path))
    new = ModuleType("ai_agents.agents.lead_language")
    monkeypatch.setitem(sys.modules, new.__name__, new)
    exec(compile(module, "lead_language.py", "exec"), new.__dict__)
    assert "LeadLanguageAgent()" in line
    agent = new.LeadLanguageAgent()
    monkeypatch.setitem(agents.AGENTS, agent.kind, agent)
    monkeypatch.setitem(agents.NAMES, agent.kind, type(agent).__name__)
    for event_type, asked_by in agent.starts_on.items():
        monkeypatch.setitem(events._durable, event_type, list(events._durable[event_type]))
        listeners._start(agent, event_type, asked_by)
    return agent.kind


def test_what_the_page_says_is_all_there_is_to_do(added: str, engine: Engine, settings: Any):
    pools.keep_pools()
    lead = make_lead(message="Guten Tag, wir hätten gern einen Teich.")
    with transaction.atomic():
        events.publish(events.InquiryReceived(lead.inquiries.get().pk, lead.pk, created=True))
    assert AgentTask.objects.get(kind=added).state == "queued"
    engine.run()
    line = TimelineEvent.objects.get(lead=lead, kind="lead.language_named")
    assert line.summary.startswith("writes in en: Guten Tag")
    assert line.actor_label == "LeadLanguageAgent"
    assert not AgentTask.objects.exclude(kind=added).exists(), "what it found asks no other agent again"
    client = Client()
    client.force_login(make_admin())
    assert "writes in en: Guten Tag" in client.get(f"/leads/{lead.public_id}/").content.decode()
    assert "names the language" in client.get("/agents/").content.decode()
    body = {"record": str(lead.public_id)}
    said = client.post("/api/v1/agents/lead_language/run/", body, content_type="application/json")
    assert said.json()["task"]["kind"] == added
