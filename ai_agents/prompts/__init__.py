"""Prompts as files, `<agent>.v<N>.md`. A published version never changes: a change is a new N.

`versions.sha256` (the format of sha256sum) lists every published file. A file that differs from its line, or
has none, is refused when it is loaded and by `manage.py check`. `python -m ai_agents.prompts` publishes new
files; it never rewrites a line.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
LIST = "versions.sha256"
_NAME = re.compile(r"[a-z_]+\.v[1-9]\d*")


class PromptRefused(Exception):
    """The prompt is unknown, unpublished, changed after publication, or malformed; the text says which."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of an agent's instructions. `canary` stands in the text sent and must never come back."""

    name: str  # "lead_analysis.v1", kept as AgentTask.prompt_version
    text: str
    temperature: float
    max_tokens: int
    canary: str


@cache
def load(name: str) -> Prompt:
    """The published prompt `name`, e.g. "lead_analysis.v1". Raises PromptRefused."""
    return read(name, FOLDER)


def read(name: str, folder: Path) -> Prompt:
    """The prompt from a folder, checked against the folder's list. Raises PromptRefused."""
    path = folder / f"{name}.md"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise PromptRefused(f"There is no prompt {name}.")
    if complaint := _complaint(path, published(folder)):
        raise PromptRefused(complaint)
    return _parsed(name, path.read_text(encoding="utf-8"))


def published(folder: Path = FOLDER) -> dict[str, str]:
    """File name -> SHA-256 of every published version."""
    path = folder / LIST
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines if line.strip())}


def complaints(folder: Path = FOLDER) -> list[str]:
    """What is wrong with the folder: changed, unpublished, missing or malformed versions."""
    known = published(folder)
    files = sorted(folder.glob("*.md"))
    found = [complaint for path in files if (complaint := _complaint(path, known))]
    found += [
        f"{name} is published but missing." for name in sorted(known.keys() - {path.name for path in files})
    ]
    for path in files:
        try:
            _parsed(path.stem, path.read_text(encoding="utf-8"))
        except PromptRefused as refused:
            found.append(str(refused))
    return found


def publish(folder: Path = FOLDER) -> list[str]:
    """Add the files that have no line yet, and return their names. Existing lines stay as they are."""
    known = published(folder)
    new = {path.name: _sha256(path) for path in sorted(folder.glob("*.md")) if path.name not in known}
    lines = [f"{sha256}  {name}\n" for name, sha256 in sorted((known | new).items())]
    (folder / LIST).write_text("".join(lines), encoding="ascii")
    return sorted(new)


def _complaint(path: Path, known: Mapping[str, str]) -> str:
    if path.name not in known:
        return f"{path.name} is not published: run python -m ai_agents.prompts."
    if known[path.name] != _sha256(path):
        return f"{path.name} was changed after it was published: restore it, put the change in a new version."
    return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _parsed(name: str, content: str) -> Prompt:
    """The head between two lines of --- holds `key: value` lines, the rest is the text."""
    match = re.fullmatch(r"---\n(.{1,2000}?)\n---\n(.+)", content, re.DOTALL)
    try:
        head = dict(line.split(": ", 1) for line in match[1].splitlines()) if match else {}
        return Prompt(
            name=name,
            # The canary is a line of its own in what is sent, so that an answer that leaks the text shows it.
            text=f"{match[2].strip()}\n\nReference: {head['canary']}" if match else "",
            temperature=float(head.pop("temperature")),
            max_tokens=int(head.pop("max_tokens")),
            canary=head.pop("canary"),
        )
    except (KeyError, ValueError) as error:
        raise PromptRefused(f"{name}.md needs a head with temperature, max_tokens and canary.") from error
