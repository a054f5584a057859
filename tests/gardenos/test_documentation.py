"""The documentation says what is true: each variable is in its table, each decision in its place."""

import re
from pathlib import Path

from django.core.management import get_commands
from django.test import Client

from gardenos.databases import owner_database
from gardenos.settings import GARDENOS_DATA_DIR, env
from tests.bench.harness import GOALS, MORE_IS_BETTER

REPOSITORY = Path(__file__).parents[2]
DECISIONS = sorted((REPOSITORY / "docs" / "adr").glob("[0-9]*.md"))


def test_the_table_of_settings_holds_every_variable_that_is_read_and_no_other():
    owner_database(env, GARDENOS_DATA_DIR)
    page = (REPOSITORY / "docs" / "operations" / "settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)) == set(env.readings)


def test_what_the_readme_points_at_is_there():
    text = (REPOSITORY / "README.md").read_text()
    local = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert any(target.endswith(".png") for target in local)
    assert [target for target in local if not (REPOSITORY / target).is_file()] == []


def test_the_commands_of_the_readme_exist():
    text = (REPOSITORY / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)`", text)) <= targets
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= set(get_commands())


def test_the_page_of_commands_holds_every_command_of_ours_once_and_no_other():
    page = (REPOSITORY / "docs" / "operations" / "commands.md").read_text()
    ours = {name for name, app in get_commands().items() if app in {"gardenos", "crm", "ai_agents"}}
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(ours)


def test_every_folder_of_code_is_in_the_table_of_the_architecture():
    page = (REPOSITORY / "docs" / "development" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:gardenos|crm|ai_agents)/[a-z_]+)/", page)) | set(
        re.findall(r"`([a-z_]+)/`", page)
    )
    for app in ("gardenos", "crm"):
        for folder in (REPOSITORY / app).iterdir():
            if (folder / "__init__.py").exists() and folder.name not in {"management", "migrations"}:
                assert {f"{app}/{folder.name}", folder.name} & named, folder


def test_the_table_of_measurements_is_that_of_the_program():
    page = (REPOSITORY / "docs" / "development" / "testing.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| at (most|least) ([\d.]+) \|", page, re.MULTILINE)
    assert {job: float(goal) for job, _way, goal in rows} == GOALS
    assert {job for job, way, _goal in rows if way == "least"} == MORE_IS_BETTER


def test_decisions_are_numbered_without_gaps_and_titled_with_their_number():
    for number, path in enumerate(DECISIONS, start=1):
        assert path.name.startswith(f"{number:04d}-")
        assert path.read_text().startswith(f"# {number:04d}. ")


def test_every_decision_gives_its_reason_and_what_was_rejected():
    for path in DECISIONS:
        text = path.read_text()
        for part in ("**Context.**", "**Decision.**", "**Consequences.**", "**Rejected.**"):
            assert part in text, f"{path.name} lacks {part}"


def test_decisions_that_the_code_names_exist():
    known = {path.name[:4] for path in DECISIONS}
    for folder in ("gardenos", "crm", "ai_agents"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for number in re.findall(r"(?:ADR |docs/adr/)(\d{4})", path.read_text()):
                assert number in known, f"{path.relative_to(REPOSITORY)} names ADR {number}"


def test_only_the_admin_is_without_a_content_security_policy(db: None):
    client = Client()
    assert "script-src 'self'" in client.get("/accounts/login/").headers["Content-Security-Policy"]
    assert "Content-Security-Policy" not in client.get("/admin/login/").headers


def test_the_tests_of_the_page_on_bad_inputs_exist():
    page = (REPOSITORY / "docs" / "development" / "bad-inputs.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) == page.count("| `tests/") > 40
    gone = [name for path, name in named if f"def {name}(" not in (REPOSITORY / path).read_text()]
    assert gone == []
