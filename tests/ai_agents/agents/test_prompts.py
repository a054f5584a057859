"""A published prompt never changes; one that did is not used."""

from pathlib import Path

import pytest

from ai_agents.agents import AGENTS
from ai_agents.checks import prompts_are_as_published
from ai_agents.prompts import PromptRefused, complaints, load, publish, published, read

GOOD = "---\ntemperature: 0.3\nmax_tokens: 100\ncanary: wren-1\n---\nJudge.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test.v1.md").write_text(GOOD)
    publish(tmp_path)
    return tmp_path


def test_the_prompts_in_the_tree_are_published_and_unchanged():
    assert complaints() == []


@pytest.mark.parametrize("agent", list(AGENTS.values()), ids=list(AGENTS))
def test_every_agent_has_a_published_prompt(agent):
    prompt = load(agent.prompt)
    assert prompt.canary in prompt.text
    assert "JSON" in prompt.text  # json_object mode asks for the word
    assert 0 <= agent.temperature <= 1
    assert agent.max_tokens >= 300


def test_a_changed_prompt_is_refused(folder: Path):
    assert read("test.v1", folder).temperature == 0.3
    (folder / "test.v1.md").write_text(GOOD + "Be kind.\n")
    with pytest.raises(PromptRefused, match="changed after it was published"):
        read("test.v1", folder)
    assert len(complaints(folder)) == 1


def test_publishing_again_does_not_bless_a_change(folder: Path):
    before = published(folder)
    (folder / "test.v1.md").write_text(GOOD + "Be kind.\n")
    assert publish(folder) == []
    assert published(folder) == before


def test_a_change_is_a_new_version(folder: Path):
    (folder / "test.v2.md").write_text(GOOD + "Be kind.\n")
    with pytest.raises(PromptRefused, match="not published"):
        read("test.v2", folder)
    assert publish(folder) == ["test.v2.md"]
    assert complaints(folder) == []


def test_a_missing_version_is_noticed(folder: Path):
    (folder / "test.v1.md").unlink()
    assert complaints(folder) == ["test.v1.md is published but missing."]


@pytest.mark.parametrize("name", ["../settings", "test", "test.v0", "nobody.v1", "test.v1.md"])
def test_only_names_of_prompts_are_loaded(folder: Path, name: str):
    with pytest.raises(PromptRefused):
        read(name, folder)


def test_a_prompt_without_its_head_is_refused(folder: Path):
    (folder / "bare.v1.md").write_text("Judge.\n")
    publish(folder)
    with pytest.raises(PromptRefused, match="needs a head"):
        read("bare.v1", folder)


def test_the_project_check_names_a_changed_prompt(folder: Path, monkeypatch):
    monkeypatch.setattr("ai_agents.checks.complaints", lambda: complaints(folder))
    assert prompts_are_as_published() == []
    (folder / "test.v1.md").write_text(GOOD + "Be kind.\n")
    assert [error.id for error in prompts_are_as_published()] == ["ai_agents.E001"]
