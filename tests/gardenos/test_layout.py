"""The top level of the repository holds what newcomers expect there, and no more."""

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = {"gardenos", "crm", "ai_agents", "deploy", "templates", "static", "tests", "docs", "locale"}
FILES = {"manage.py", "requirements.txt", "requirements.in", "requirements-dev.in", "requirements-dev.txt"}
READING = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"}
TOOLS = {"Makefile", "pyproject.toml", ".ci", ".github", ".gitignore"}


def top_level() -> set[str]:
    """What git keeps; what a user has lying about is no business of ours."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={REPOSITORY}", "ls-files"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return {path.split("/")[0] for path in listed.stdout.splitlines() if (REPOSITORY / path).exists()}


def test_the_top_level_holds_exactly_these_names():
    assert top_level() == FOLDERS | FILES | READING | TOOLS
