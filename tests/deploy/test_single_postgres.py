"""The database of a site on one machine: started by the image's own script, backed up and restored."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gardenos.embedded_postgres import client_program
from gardenos.pg_account import this_account
from tests.deploy.site import REPOSITORY

pytestmark = pytest.mark.slow
SCRIPTS = REPOSITORY / "deploy" / "docker" / "postgres"
BACKUP = REPOSITORY / "deploy" / "docker" / "site_backup.py"
PASSWORDS = ("SUPERUSER", "OWNER", "APP", "READONLY")


class Server:
    """`single-postgres` with the shipped configuration, but for its socket and its address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.account = folder, this_account()
        programs = client_program("initdb", 17) or client_program("initdb", 15)
        if programs is None:
            pytest.skip("no programs of PostgreSQL 15 or 17 here")
        self.path = f"{programs.parent}:{SCRIPTS}:{os.environ['PATH']}"
        config = folder / "config"
        config.mkdir()
        shipped = REPOSITORY / "deploy" / "compose" / "postgres"
        text = (shipped / "postgresql.conf").read_text().replace("/var/run/postgresql", str(folder))
        (config / "postgresql.conf").write_text(text.replace("'*'", "''").replace("512MB", "16MB"))
        (config / "pg_hba.conf").write_text((shipped / "pg_hba.conf").read_text())
        self.environment = {"PATH": self.path, "PGDATA": str(folder / "data"), "POSTGRES_CONFIG": str(config)}
        for name in PASSWORDS:
            (folder / name).write_text(f"pond-of-{name.lower()}\n")
            prefix = "" if name == "SUPERUSER" else "POSTGRES_"
            self.environment[f"{prefix}{name}_PASSWORD_FILE"] = str(folder / name)
        self.account.own(folder)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.account.command(SCRIPTS / "single-postgres"),
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            **self.account.popen,
        )

    def wait(self) -> None:
        for _ in range(600):
            assert self.process is not None
            assert self.process.poll() is None, self.process.stderr.read()
            if (self.folder / ".s.PGSQL.5432").exists() and self.ask("SELECT 1", "APP")[0] == 0:
                return
            time.sleep(0.1)
        pytest.fail("it does not answer")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=60)

    def url(self, role: str, name: str = "gardenos") -> str:
        return (
            f"postgresql://gardenos_{role.lower()}:pond-of-{role.lower()}@localhost/{name}?host={self.folder}"
        )

    def ask(self, statement: str, role: str, name: str = "gardenos") -> tuple[int, str]:
        done = subprocess.run(
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(role, name)],
            env={"PATH": self.path},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, (done.stdout or done.stderr).strip()

    def backup(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, BACKUP, *words],
            env={"PATH": self.path, "DATABASE_OWNER_URL": self.url("OWNER"), "BACKUP_KEEP": "2"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("single")
    made = Server(folder)
    made.start()
    made.wait()
    yield made
    made.stop()


def test_the_first_start_makes_the_roles_and_the_empty_database(server: Server):
    assert server.ask("CREATE TABLE lead (name text); GRANT ALL ON lead TO gardenos_app", "OWNER") == (0, "")
    assert server.ask("INSERT INTO lead VALUES ('Pond') RETURNING name", "APP") == (0, "Pond")
    code, said = server.ask("CREATE TABLE other ()", "APP")
    assert (code, "permission denied" in said) == (1, True)
    assert server.ask("SHOW data_checksums", "APP") == (0, "on")


def test_the_next_start_keeps_what_is_there(server: Server):
    before = server.ask("SELECT count(*) FROM lead", "APP")
    server.stop()
    server.start()
    server.wait()
    assert server.ask("SELECT count(*) FROM lead", "APP") == before


def test_data_of_another_release_is_left_alone_and_named(server: Server):
    server.stop()
    written = server.folder / "data" / "PG_VERSION"
    kept = written.read_text()
    written.write_text("14\n")
    server.start()
    assert server.process is not None
    _, said = server.process.communicate(timeout=60)
    written.write_text(kept)
    assert (server.process.returncode, "the data is of PostgreSQL 14" in said) == (1, True)
    server.start()
    server.wait()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    place = tmp_path / "files"
    (place / "attachments").mkdir(parents=True)
    (place / "attachments" / "a.pdf").write_text("first")
    return place


def made_backup(server: Server, files: Path) -> Path:
    backups = files.parent / "backups"
    backups.mkdir(exist_ok=True)
    ledger = files.parent / "erasures.jsonl"
    ledger.write_text("{}\n")
    done = server.backup("make", "--backups", backups, "--files", files, "--ledger", ledger)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[-1])


def test_a_backup_comes_back_and_what_was_there_stays_beside(server: Server, files: Path):
    server.ask("CREATE TABLE IF NOT EXISTS lead (name text)", "OWNER")
    server.ask("GRANT ALL ON lead TO gardenos_app; CREATE EXTENSION IF NOT EXISTS pg_trgm", "OWNER")
    server.ask("TRUNCATE lead; INSERT INTO lead VALUES ('Pond')", "OWNER")
    backup = made_backup(server, files)
    server.ask("INSERT INTO lead VALUES ('Later')", "APP")
    (files / "attachments" / "a.pdf").write_text("changed")
    done = server.backup("restore", backup, "--files", files)
    assert done.returncode == 0, done.stderr
    assert server.ask("SELECT string_agg(name, ',') FROM lead", "APP") == (0, "Pond")
    assert (files / "attachments" / "a.pdf").read_text() == "first"
    [before] = files.glob(".before-*")
    assert (before / "attachments" / "a.pdf").read_text() == "changed"
    _, name = server.ask("SELECT datname FROM pg_database WHERE datname LIKE 'gardenos_before_%'", "APP")
    assert server.ask("SELECT count(*) FROM lead", "OWNER", name) == (0, "2")
    assert (backup.parent / "erasures.jsonl").read_text() == "{}\n"
    assert backup.stat().st_mode & 0o077 == 0


def test_nothing_is_restored_while_somebody_is_connected(server: Server, files: Path):
    backup = made_backup(server, files)
    busy = subprocess.Popen(
        ["psql", "-Xq", "-c", "SELECT 1; SELECT pg_sleep(30)", server.url("APP")],
        env={"PATH": server.path},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            if server.ask("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'sleep'", "APP")[1] > "1":
                break
            time.sleep(0.1)
        done = server.backup("restore", backup, "--files", files)
    finally:
        busy.terminate()
        busy.wait()
    assert (done.returncode, "stop web, live, worker and agents first" in done.stderr) == (1, True)


def test_a_flipped_byte_in_a_backup_is_found_before_anything_changes(server: Server, files: Path):
    backup = made_backup(server, files)
    dump = bytearray((backup / "database.dump").read_bytes())
    dump[len(dump) // 2] ^= 1
    (backup / "database.dump").write_bytes(dump)
    done = server.backup("restore", backup, "--files", files)
    assert (done.returncode, "database.dump is damaged or missing" in done.stderr) == (1, True)
    assert list(files.glob(".before-*")) == []


def test_the_oldest_backups_go_and_a_broken_one_is_never_seen(server: Server, files: Path):
    backups = files.parent / "backups"
    for name in ("20200101T000000Z", "20200102T000000Z"):
        (backups / name).mkdir(parents=True)
        (backups / name / "backup.json").write_text("{}")
    (backups / ".20200103T000000Z.part").mkdir()
    made = made_backup(server, files)
    assert sorted(each.name for each in backups.iterdir() if each.is_dir()) == ["20200102T000000Z", made.name]
    assert json.loads((made / "backup.json").read_text())["contents"].keys() == {"database.dump", "files.tar"}


def test_a_password_is_in_no_list_of_processes(server: Server, files: Path, tmp_path: Path):
    seen = tmp_path / "seen"
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "pg_dump").write_text(f'#!/bin/sh\necho "$@" > {seen}\nexit 1\n')
    (fake / "pg_dump").chmod(0o755)
    server.path, real = f"{fake}:{server.path}", server.path
    try:
        done = server.backup("make", "--backups", tmp_path, "--files", files, "--ledger", tmp_path / "none")
    finally:
        server.path = real
    assert done.returncode == 1
    assert "gardenos_owner@localhost/gardenos" in seen.read_text()
    assert "pond" not in seen.read_text()
