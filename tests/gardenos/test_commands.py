"""Every `manage.py` command of ours under bad conditions: it says what is wrong in a line, ends with the
documented exit code (0 done, 1 failed, 2 wrong use), changes nothing it should not and shows no traceback.
A new command fails here until it has its lines.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, get_commands
from django.db import connection, connections

from crm import clock
from crm.actions.intake import default_source
from crm.models import Channel, DuplicateCandidate, Job, Lead
from gardenos.databases import database_settings
from gardenos.env import Env
from tests.factories import make_admin, make_lead
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
OURS = sorted(name for name, app in get_commands().items() if app in {"gardenos", "crm", "ai_agents"})
NO_ID = "7c7c51a4-52c4-4c3c-9d6c-7f6fb2a4f9a1"
CSV = "name,email\nAda,ada@example.com\n"
RATES = "date,base,quote,rate\n2026-01-05,EUR,USD,1.1\n"

# What each command needs to do its work at all. None: it runs for good, or is tried elsewhere.
LINES: dict[str, list[str] | None] = {
    "access_report": [],
    "agents": ["status"],
    "asleep_report": [],
    "audit_verify": [],
    "config": [],
    "create_api_token": ["--email", "ida@example.com", "--name", "Sync"],
    "deal_out": [],
    "doctor": [],
    "export_leads": ["{folder}/out.csv"],
    "export_all": ["{folder}/all.tar"],
    "find_duplicates": [],
    "import_all": ["{folder}/none.tar"],
    "import_exchange_rates": ["{folder}/rates.csv", "--by", "ida@example.com"],
    "import_leads": ["{folder}/leads.csv", "--analyse", "none"],
    "import_legacy": None,
    "invite_user": ["--email", "jo@example.com", "--role", "rep"],
    "lint_migrations": [],
    "merge_leads": ["1", "2"],
    "migrate": ["--check"],
    "privacy": ["erase", NO_ID],
    "prune": [],
    "qcluster": None,
    "qcluster_watch": ["--check"],
    "rebuild_match_keys": [],
    "recount_dashboard": [],
    "replay_lab": ["prompts"],
    "score_evaluate": None,
    "score_model": ["status"],
    "score_sample": ["--rows", "3"],
    "scripted_llm": None,
    "seed_bench": ["--leads", "1"],
    "seed_demo": [],
    "undo_import": [NO_ID],
    "up": None,
}
# They answer, or say it in their own words.
WITHOUT_DATABASE = {"config", "doctor", "lint_migrations", "score_sample"}

# Lines that cannot be meant, and how each ends.
WRONG = [
    (["agents", "scale", "no_such_pool", "2"], 2),
    (["agents", "scale", "lead_analysis", "-1"], 2),
    (["agents", "scale", "lead_analysis", "99999999999999999999"], 2),
    (["agents", "pause", "no_such_pool"], 2),
    (["agents", "pause", ""], 2),
    (["deal_out", "--team", "No such team"], 2),
    (["deal_out", "--limit", "-1"], 2),
    (["create_api_token", "--email", "nobody@example.com", "--name", "x"], 2),
    (["create_api_token", "--email", "ida@example.com", "--name", ""], 2),
    (["create_api_token", "--email", "ida@example.com", "--name", "x", "--expires", "2026-02-31"], 2),
    (["create_api_token", "--email", "ida@example.com", "--name", "x", "--expires", "1999-01-01"], 2),
    (["export_all", "{folder}/no/such/folder/a.tar"], 2),
    (["export_all", "{folder}/leads.csv"], 2),
    (["export_leads", "{folder}/leads.csv"], 2),
    (["export_leads", "{folder}/no/such/folder/a.csv"], 2),
    (["export_leads", "{folder}/a.csv", "--filter", "status"], 2),
    (["export_leads", "{folder}/a.csv", "--columns", "no_such_column"], 2),
    (["import_all", "{folder}/none.tar"], 1),
    (["import_all", "{folder}"], 1),
    (["import_all", "{folder}/leads.csv"], 1),
    (["import_exchange_rates", "{folder}/none.csv", "--by", "ida@example.com"], 2),
    (["import_exchange_rates", "{folder}", "--by", "ida@example.com"], 2),
    (["import_exchange_rates", "{folder}/leads.csv", "--by", "ida@example.com"], 1),
    (["import_exchange_rates", "{folder}/rates.csv", "--by", "nobody@example.com"], 2),
    (["import_leads", "{folder}/none.csv"], 2),
    (["import_leads", "{folder}"], 2),
    (["import_leads", "{folder}/leads.csv", "--analyse", "-5"], 2),
    (["import_leads", "{folder}/leads.csv", "--analyse", "many"], 2),
    (["import_leads", "{folder}/leads.csv", "--map", "name"], 2),
    (["import_leads", "{folder}/leads.csv", "--map", "name=no_such_field"], 2),
    (["import_leads", "{folder}/leads.csv", "--encoding", "klingon"], 1),
    (["import_leads", "{folder}/leads.csv", "--errors", "{folder}/no/such/errors.csv"], 2),
    (["import_legacy", "--dsn", "postgresql://x", "--mapping", "{folder}/none.toml"], 2),
    (["invite_user", "--email", "jo", "--role", "rep"], 2),
    (["invite_user", "--email", "jo@example.com", "--role", "rep", "--team", "none"], 2),
    (["merge_leads", NO_ID, NO_ID], 1),
    (["merge_leads", "999999999", "999999998"], 1),
    (["merge_leads", "-1", "2"], 2),
    (["merge_leads", "x", "y"], 2),
    (["privacy", "export", NO_ID, "--out", "{folder}/p.zip"], 2),
    (["privacy", "erase", "nobody@example.org", "--yes"], 2),
    (["privacy", "replay", "--ledger", "{folder}/none.jsonl"], 2),
    (["scripted_llm", "--latency", "-1"], 2),
    (["scripted_llm", "--latency", "nan"], 2),
    (["scripted_llm", "--port", "0"], 2),
    (["qcluster", "--stop-within", "nan"], 2),
    (["qcluster_watch", "--check", "--stop-within", "-1"], 2),
    (["qcluster_watch", "--check", "--stop-within", "nan"], 2),
    (["seed_bench", "--leads", "-1"], 2),
    (["seed_bench", "--leads", "99999999999"], 2),
    (["seed_demo", "--leads", "0"], 2),
    (["seed_demo", "--leads", "-3"], 2),
    (["seed_demo", "--leads", "1000000"], 2),
    (["undo_import", NO_ID], 1),
    (["undo_import", "999999999999999999"], 1),
    (["undo_import", "-1"], 2),
    (["undo_import", "x"], 2),
]
WRONG_IDS = [" ".join(line)[:60] for line, _code in WRONG]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "leads.csv").write_text(CSV)
    (tmp_path / "rates.csv").write_text(RATES)
    return tmp_path


def filled(line: list[str], folder: Path) -> list[str]:
    return [word.replace("{folder}", str(folder)) for word in line]


def ended(line: list[str]) -> tuple[int, str]:
    """Exit code and what was said about it, of a command called in this process."""
    out, err = StringIO(), StringIO()
    try:
        call_command(line[0], *line[1:], stdout=out, stderr=err)
    except CommandError as refused:
        # called as a function, argparse's own refusals come without their exit code
        code = 2 if str(refused).startswith("Error: ") and refused.returncode == 1 else refused.returncode
        return code, str(refused)
    except SystemExit as left:
        return int(left.code or 0), err.getvalue()
    return 0, out.getvalue()


def test_every_command_has_its_line_here():
    assert set(OURS) == set(LINES)


@pytest.mark.parametrize(("line", "code"), WRONG, ids=WRONG_IDS)
def test_a_line_that_cannot_be_meant_is_refused_in_one_line_and_changes_nothing(
    line: list[str], code: int, folder: Path
):
    make_admin(email="ida@example.com")
    before = state_of_tables()
    got, said = ended(filled(line, folder))
    assert got == code, said
    assert said.strip() != ""
    assert "\n" not in said.strip()
    assert state_of_tables() == before


def test_the_same_commands_do_their_work_when_they_are_meant(folder: Path):
    make_admin(email="ida@example.com")
    loser, winner = make_lead(name="Ada"), make_lead(name="Bo")
    for name, more in {
        "create_api_token": LINES["create_api_token"],
        "import_leads": LINES["import_leads"],
        "import_exchange_rates": LINES["import_exchange_rates"],
        "invite_user": LINES["invite_user"],
        "merge_leads": [str(winner.pk), str(loser.pk)],
        "privacy": ["erase", str(winner.public_id), "--yes"],
        "seed_demo": ["--leads", "2"],
    }.items():
        before = state_of_tables()
        code, said = ended(filled([name, *(more or [])], folder))
        assert (code, state_of_tables() != before) == (0, True), (name, said)


@pytest.mark.parametrize(
    "line",
    [
        ["import_leads", "{folder}/leads.csv", "--analyse", "none"],
        ["merge_leads", "{winner}", "{loser}"],
        ["privacy", "erase", "{winner}", "--yes"],
        ["prune"],
    ],
    ids=lambda line: line[0],
)
def test_a_dry_run_writes_nothing_and_the_real_run_does(line: list[str], folder: Path):
    winner, loser, old = make_lead(name="Ada"), make_lead(name="Bo"), make_lead(name="Old")
    Lead.objects.filter(pk=old.pk).update(deleted_at=clock.now() - timedelta(days=60))
    ids = {"{winner}": str(winner.public_id), "{loser}": str(loser.public_id)}
    words = [ids.get(word, word) for word in filled(line, folder)]
    before = state_of_tables()
    code, said = ended([*words, "--dry-run"])
    assert (code, state_of_tables() == before) == (0, True), said
    code, said = ended(words)
    assert (code, state_of_tables() != before) == (0, True), said


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "name", ["find_duplicates", "prune", "rebuild_match_keys --write", "recount_dashboard", "audit_verify"]
)
def test_two_at_once_do_the_work_once(name: str):
    for _number in range(3):
        make_lead(name="Ada Byron", company="Engines Ltd", email="ada@example.com")
    codes: list[int] = []

    def one() -> None:
        try:
            codes.append(ended(name.split())[0])
        finally:
            connections.close_all()

    both = [threading.Thread(target=one) for _number in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert codes == [0, 0]
    pairs = list(DuplicateCandidate.objects.values_list("lead_a", "lead_b"))
    assert len(pairs) == len(set(pairs))
    before = state_of_tables()
    assert ended(name.split())[0] == 0
    assert state_of_tables() == before, "a third run found something left to do"


# --- as processes ------------------------------------------------------------------------------------------


def url_of(*, port: int | None = None, name: str = "") -> str:
    app: dict[str, Any] = database_settings(Env(), settings.GARDENOS_DATA_DIR)[0]["default"]
    base = connection.settings_dict
    return (
        f"postgresql://{quote(app['USER'])}:{quote(app['PASSWORD'])}"
        f"@{base['HOST']}:{port or base['PORT']}/{name or base['NAME']}"
    )


def run_all(lines: list[list[str]], folder: Path, *, database: str, **environ: str) -> list[Any]:
    """`[exit code, output, errors]` of each command line."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("DATABASE_")},
        "DJANGO_SETTINGS_MODULE": "gardenos.settings",
        "DATABASE_URL": database,
        "DATABASE_OWNER_URL": database,
        "SECRET_KEY": settings.SECRET_KEY,
        "GARDENOS_DATA_DIR": str(folder),
        "AI_PROVIDER": "off",
        **environ,
    }
    done = subprocess.run(
        [sys.executable, "tests/gardenos/command_lines.py"],
        input=json.dumps([filled(line, folder) for line in lines]),
        capture_output=True,
        text=True,
        env=environment,
        cwd=settings.BASE_DIR,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_every_command_explains_itself_also_without_a_database(folder: Path, closed_port: int):
    answers = run_all([[name, "--help"] for name in OURS], folder, database=url_of(port=closed_port))
    for name, (code, out, err) in zip(OURS, answers, strict=True):
        assert (code, err) == (0, ""), name
        assert len(out.split("\n\n", 1)[1]) > 40, name


def test_without_a_database_a_command_says_so_in_one_line_and_ends_with_1(folder: Path, closed_port: int):
    names = [name for name in OURS if LINES[name] is not None and name not in WITHOUT_DATABASE]
    names.remove("import_all")  # it looks at its file first
    lines = [[name, *(LINES[name] or [])] for name in names]
    for name, (code, out, err) in zip(
        names, run_all(lines, folder, database=url_of(port=closed_port)), strict=True
    ):
        assert (code, out) == (1, ""), (name, out, err)
        assert len(err.strip().splitlines()) == 1, (name, err)
        assert err.startswith("gardenos: database: "), name


def test_with_migrations_pending_a_command_says_so_in_one_line(folder: Path):
    names = [name for name in OURS if LINES[name] is not None and name not in {*WITHOUT_DATABASE, "migrate"}]
    names.remove("import_all")  # it looks at its file first
    lines = [[name, *(LINES[name] or [])] for name in names]
    empty = run_all(lines, folder, database=url_of(name="postgres"))
    for name, (code, out, err) in zip(names, empty, strict=True):
        assert (code, out) == (1, ""), (name, out, err)
        assert len(err.strip().splitlines()) == 1, (name, err)
        assert "run manage.py migrate" in err, name


@pytest.mark.django_db(transaction=True)
def test_a_reader_that_went_away_leaves_no_traceback(folder: Path):
    make_admin()
    names = ["access_report", "audit_verify", "config", "find_duplicates", "prune", "lint_migrations"]
    lines = [[name, *(LINES[name] or [])] for name in names]
    for name, (code, _out, err) in zip(names, run_all(lines, folder, database=url_of()), strict=True):
        assert (code, err) == (0, ""), name
    for name, (code, _out, err) in zip(
        names, run_all(lines, folder, database=url_of(), CLOSED_STDOUT="1"), strict=True
    ):
        assert code == 141, (name, err)
        assert err == "", name


@pytest.mark.django_db(transaction=True)
def test_closed_input_is_no_consent(folder: Path):
    lead = make_lead(name="Ada")
    before = state_of_tables()
    ((code, _out, err),) = run_all([["privacy", "erase", str(lead.public_id)]], folder, database=url_of())
    assert (code, err.strip()) == (2, "CommandError: Nobody is there to ask: add --yes.")
    assert state_of_tables() == before


LONG = {  # each with a statement in the midst of its work
    "import_leads": 'INSERT INTO "crm_lead"',
    "find_duplicates": 'INSERT INTO "crm_duplicatecandidate"',
    "export_all": "SET LOCAL TimeZone",  # before the rows of each table
}


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_in_the_midst_of_a_long_command_leaves_no_traceback_and_no_half_of_anything(folder: Path):
    rows = "".join(f"Person {n},p{n}@example.com\n" for n in range(500))
    (folder / "leads.csv").write_text(f"name,email\n{rows}")
    for _number in range(3):
        make_lead(name="Ada Byron", company="Engines Ltd", email="ada@example.com")
    default_source(Channel.CSV)
    lines = [[name, *(LINES[name] or [])] for name in LONG]
    before = state_of_tables()
    cut_off = run_all(lines, folder, database=url_of(), INTERRUPT_AT=json.dumps(LONG))
    for (code, _out, err), name in zip(cut_off, LONG, strict=True):
        assert (code, err) == (130, ""), name
    assert state_of_tables() == before
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"leads.csv", "rates.csv"}
    Job.objects.update(updated_at=clock.now() - timedelta(minutes=1))  # silent: a person may go on
    for name, line in zip(LONG, lines, strict=True):
        code, said = ended(filled(line, folder))
        assert code == 0, (name, said)
    assert Lead.objects.filter(name__startswith="Person ").count() == 500
    assert DuplicateCandidate.objects.exists()
    assert (folder / "all.tar").exists()
