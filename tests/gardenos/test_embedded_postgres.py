"""The launcher of the embedded PostgreSQL, with real servers in temporary data directories."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from gardenos import embedded_postgres, pg_account
from gardenos.embedded_postgres import EmbeddedPostgres, ServerError, needs_database

REPOSITORY = Path(__file__).resolve().parents[2]
Start = Callable[[], EmbeddedPostgres]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers in one data directory; stops what is left at the end."""
    started: list[EmbeddedPostgres] = []

    def start() -> EmbeddedPostgres:
        server = EmbeddedPostgres(tmp_path / "data", is_disposable=True)
        server.acquire()
        started.append(server)
        return server

    yield start
    for server in started:
        server.release(everyone=True)


def login(server: EmbeddedPostgres, role: str, **options: str) -> psycopg.Connection:
    known = json.loads((server.directory / "connection.json").read_text())
    return psycopg.connect(
        host=known["host"],
        port=known["port"],
        dbname=known["database"],
        autocommit=True,
        **{**known[role], **options},
    )


def server_process(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().splitlines()[0])


def wait_until(question: Callable[[], bool], seconds: float = 10) -> None:
    give_up = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.05)


def test_a_first_start_makes_three_roles_with_their_rights_and_no_more(start: Start):
    server = start()
    with login(server, "owner") as owner:
        owner.execute("CREATE TABLE things (id int)")
        owner.execute("SET ROLE gardenos_app")
        owner.execute("RESET ROLE")
        owner.execute("CREATE DATABASE another")
        owner.execute("DROP DATABASE another")
        for extension in ("pg_trgm", "unaccent", "citext", "btree_gin"):
            owner.execute(f"CREATE EXTENSION {extension}")
    for role in ("app", "readonly"):
        with login(server, role) as connection:
            for forbidden in (
                "CREATE TABLE mine (id int)",
                "SELECT * FROM things",
                "CREATE DATABASE another",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)


def test_nobody_gets_in_without_the_password(start: Start):
    server = start()
    for role in ("superuser", "owner", "app", "readonly"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            login(server, role, password="wrong")


def test_passwords_lie_in_a_file_only_its_owner_reads(start: Start):
    server = start()
    assert stat.S_IMODE((server.directory / "connection.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(server.cluster.stat().st_mode) == 0o700


def test_the_text_order_does_not_depend_on_the_machine(start: Start):
    with login(start(), "app") as connection:
        ordered = connection.execute(
            "SELECT string_agg(x, '' ORDER BY x) FROM unnest(ARRAY['b', 'a', 'B', 'ä', 'Z']) x"
        )
        assert ordered.fetchone() == ("BZabä",)
        assert connection.execute("SELECT lower('ÄÖ')").fetchone() == ("äö",)


def test_a_second_user_finds_the_server_and_the_last_one_stops_it(start: Start, tmp_path: Path):
    first, second = start(), EmbeddedPostgres(tmp_path / "data")
    assert not second.acquire()
    process = server_process(first)
    first.release()
    assert second.is_ready()
    assert server_process(second) == process
    second.release()
    assert not second.is_ready()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_the_next_start_keeps_data_passwords_and_port(start: Start):
    server = start()
    before = json.loads((server.directory / "connection.json").read_text())
    with login(server, "owner") as connection:
        connection.execute("CREATE TABLE kept (id int)")
    server.release()
    again = start()
    assert json.loads((again.directory / "connection.json").read_text()) == before
    with login(again, "owner") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_taken_port_is_left_for_another(start: Start):
    server = start()
    port = json.loads((server.directory / "connection.json").read_text())["port"]
    server.release()
    with socket.create_server(("127.0.0.1", port)):
        assert json.loads((start().directory / "connection.json").read_text())["port"] != port


def test_a_killed_server_starts_again_with_what_was_committed(start: Start):
    server = start()
    with login(server, "owner") as connection:
        connection.execute("CREATE TABLE kept (id int)")
        os.kill(server_process(server), signal.SIGKILL)
    wait_until(lambda: not server.is_ready())
    again = start()
    with login(again, "owner") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(start: Start):
    server = start()
    content = (server.cluster / "postmaster.pid").read_text().splitlines()
    server.release()
    content[0] = str(os.getpid())  # what a reboot leaves: the number belongs to somebody else now
    (server.cluster / "postmaster.pid").write_text("\n".join(content) + "\n")
    server.account.own(server.cluster)
    assert start().is_ready()


def test_a_lost_connection_file_costs_no_data(start: Start):
    server = start()
    with login(server, "owner") as connection:
        connection.execute("CREATE TABLE kept (id int)")
    server.release()
    (server.directory / "connection.json").unlink()
    with login(start(), "owner") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_removed_cluster_is_made_anew_beside_an_old_connection_file(start: Start):
    server = start()
    server.release()
    subprocess.run(["rm", "-r", server.cluster], check=True)
    with login(start(), "owner") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_data_of_another_major_version_is_refused_in_one_line(start: Start):
    server = start()
    server.release()
    (server.cluster / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match=r"was made by PostgreSQL 9, found is \d+; set GARDENOS_PG_BIN"):
        start()


def test_programs_that_are_not_there_are_refused_in_one_line(tmp_path: Path):
    with pytest.raises(ServerError, match="set GARDENOS_PG_BIN"):
        EmbeddedPostgres(tmp_path / "data", programs=str(tmp_path)).acquire()


def test_the_server_goes_when_the_process_it_was_started_for_is_killed(tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from gardenos.embedded_postgres import *\n"
        "server = EmbeddedPostgres(Path(sys.argv[1]), is_disposable=True)\n"
        "server.acquire(dies_with_parent=True); print('up', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "data"], stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    server = EmbeddedPostgres(tmp_path / "data")
    assert server.is_ready()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not server.is_ready())


def run_beside_a_server(data: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    return subprocess.run(
        [sys.executable, "-m", "gardenos.embedded_postgres", "--disposable", *command],
        env={**clean, "GARDENOS_DATA_DIR": str(data), **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )


def test_commands_that_start_together_share_one_server(tmp_path: Path):
    ask = "import sys; from gardenos.embedded_postgres import *; print(configured_server().is_ready())"
    command = [sys.executable, "-m", "gardenos.embedded_postgres", "--disposable", sys.executable, "-c", ask]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    several = [
        subprocess.Popen(
            command,
            env={**clean, "GARDENOS_DATA_DIR": str(tmp_path / "data")},
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for _ in range(4)
    ]
    assert [process.communicate()[0] for process in several] == ["True\n"] * 4
    assert not EmbeddedPostgres(tmp_path / "data").is_ready()


def test_sigterm_stops_the_server_a_command_started(tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from gardenos.embedded_postgres import *\n"
        "with running(EmbeddedPostgres(Path(sys.argv[1]), is_disposable=True)):\n"
        "    print('up', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "data"], stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(timeout=10) == 128 + signal.SIGTERM
    process.stdout.close()
    assert not EmbeddedPostgres(tmp_path / "data").is_ready()


def test_a_named_database_leaves_the_launcher_out_of_it(tmp_path: Path):
    done = run_beside_a_server(tmp_path / "data", "true", DATABASE_URL="postgresql://u:p@db.example/x")
    assert done.returncode == 0
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = run_beside_a_server(tmp_path / "file" / "data", "true")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "set GARDENOS_DATA_DIR" in done.stderr


@pytest.mark.parametrize(
    "argv", [[], ["help"], ["migrate", "--help"], ["config"], ["check", "--deploy"], ["up"], ["scripted_llm"]]
)
def test_commands_without_a_database_start_none(argv: list[str]):
    assert not needs_database(argv)


@pytest.mark.parametrize("argv", [["migrate"], ["check", "--database", "default"], ["doctor"], ["shell"]])
def test_commands_with_a_database_have_one(argv: list[str]):
    assert needs_database(argv)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_root_without_namespaces_runs_it_as_nobody_elsewhere(start: Start, monkeypatch: pytest.MonkeyPatch):
    elsewhere = Path("/tmp") / f"gardenos-test-{os.getpid()}"  # reachable, as pytest's own folder is not
    monkeypatch.setattr(pg_account, "STATE_DIR", elsewhere)
    monkeypatch.setattr(pg_account, "_may_use_namespaces", lambda: False)
    monkeypatch.setattr(pg_account.Account, "can_reach", lambda account, path: elsewhere in path.parents)
    try:
        server = start()
        assert server.cluster.is_relative_to(elsewhere)
        program = Path(f"/proc/{server_process(server)}/exe").readlink()
        assert program.is_relative_to(elsewhere)
        assert server.cluster.stat().st_uid == pg_account.NOBODY
        assert Path(f"/proc/{server_process(server)}").stat().st_uid == pg_account.NOBODY
        with login(server, "app") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server.release()
    finally:
        subprocess.run(["rm", "-rf", elsewhere], check=True)


def test_debians_programs_serve_too(tmp_path: Path):
    folders = [path for path in embedded_postgres._program_folders("") if path.is_relative_to("/usr/lib")]
    if not folders:
        pytest.skip("no PostgreSQL of Debian here")
    server = EmbeddedPostgres(tmp_path / "data", programs=str(folders[0]), is_disposable=True)
    server.acquire()
    try:
        with login(server, "app") as connection:
            assert connection.execute(
                "SELECT lower('Ä') || current_setting('server_encoding')"
            ).fetchone() == ("äUTF8",)
    finally:
        server.release(everyone=True)
