#!/usr/bin/env python3
"""Backups of a site on one machine: `site-backup make|check|restore`, with PostgreSQL's own programs.

A backup is a folder BACKUPS/<UTC time>/ of mode 0700: `database.dump` (pg_dump's custom format),
`files.tar` (uploaded files) and `backup.json` (`made_at`, and of each file `bytes` and `sha256`). It
appears whole or not at all. The ledger of erasures is copied beside the backups and never into one: an
older one must not come back. DATABASE_OWNER_URL (or DATABASE_OWNER_URL_FILE) says which database; its
password reaches the programs by the environment, so that no list of processes shows it. BACKUP_KEEP is
how many backups stay (default 14). Exit codes: 0 done, 1 failed, 2 wrong use.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

DUMP, FILES, NOTE = "database.dump", "files.tar", "backup.json"
BEFORE = ".before-"


class Refused(Exception):
    """Why nothing was done, or no more, and what to do. `code` is the exit code."""

    def __init__(self, why: str, code: int = 1) -> None:
        super().__init__(why)
        self.code = code


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="site-backup", description="Backups of a site on one machine.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("make", help="make one, then forget the oldest (BACKUP_KEEP)")
    make.add_argument("--backups", type=Path, required=True, help="folder of the backups")
    make.add_argument("--files", type=Path, required=True, help="folder of uploaded files")
    make.add_argument("--ledger", type=Path, required=True, help="the ledger of erasures (ERASURE_LEDGER)")
    check = verbs.add_parser("check", help="say whether one is whole")
    check.add_argument("backup", type=Path)
    restore = verbs.add_parser("restore", help="put one in place of what is there, which is kept beside")
    restore.add_argument("backup", type=Path)
    restore.add_argument("--files", type=Path, required=True, help="folder of uploaded files")
    asked = parser.parse_args(argv)
    os.umask(0o077)
    try:
        if asked.verb == "make":
            say(f"made {make_backup(asked.backups, asked.files, asked.ledger, database())}")
        elif asked.verb == "check":
            check_backup(asked.backup)
            say(f"{asked.backup} is whole")
        else:
            restore_backup(asked.backup, asked.files, database())
    except Refused as error:
        sys.stderr.write(f"site-backup: {error}\n")
        return error.code
    except OSError as error:
        sys.stderr.write(f"site-backup: {error.filename}: {error.strerror}\n")
        return 1
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"site-backup: {line}\n")


def now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


class Database:
    """One address, given to PostgreSQL's programs without its password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
            raise Refused("DATABASE_OWNER_URL is no address as postgresql://user:password@host:5432/name", 2)
        self._parts = parts
        self.name = unquote(parts.path.strip("/"))
        self._environment = {**os.environ, "PGPASSWORD": unquote(parts.password or "")}

    def url(self, name: str = "") -> str:
        login, _, hosts = self._parts.netloc.rpartition("@")
        netloc = f"{login.partition(':')[0]}@{hosts}" if login else hosts
        path = f"/{name}" if name else self._parts.path
        return urlunsplit((self._parts.scheme, netloc, path, self._parts.query, ""))

    def run(self, program: str, *words: str | Path) -> str:
        """What it printed. Raises Refused with its last line when it fails, or is not there."""
        try:
            done = subprocess.run(  # noqa: S603
                [program, *map(str, words)],
                env=self._environment,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise Refused(
                f"the program {program} is missing: apt-get install postgresql-client tar", 2
            ) from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
            raise Refused(f"{program}: {lines[-1]}")
        return done.stdout

    def sql(self, statement: str, name: str = "template1") -> str:
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "--dbname", self.url(name), "-c", statement)


def database() -> Database:
    url, file = os.environ.get("DATABASE_OWNER_URL"), os.environ.get("DATABASE_OWNER_URL_FILE")
    if not url and file:
        url = Path(file).read_text().strip()
    if not url:
        raise Refused("DATABASE_OWNER_URL is not set, and no DATABASE_OWNER_URL_FILE either", 2)
    return Database(url)


def make_backup(backups: Path, files: Path, ledger: Path, source: Database) -> Path:
    """The new backup's folder. The files come after the rows, so that no row lacks its file."""
    keep = os.environ.get("BACKUP_KEEP") or "14"
    if not keep.isdecimal() or int(keep) < 1:
        raise Refused("BACKUP_KEEP must be a whole number from 1", 2)
    for left in backups.glob(".*.part"):  # of a run that was cut short
        shutil.rmtree(left)
    made = backups / now()
    part = backups / f".{made.name}.part"
    part.mkdir()
    try:
        source.run("pg_dump", "--format=custom", "--file", part / DUMP, "--dbname", source.url())
        with tarfile.open(part / FILES, "w") as archive:
            archive.add(files, arcname=".", filter=without_what_was_before)
        contents = {name: facts(part / name) for name in (DUMP, FILES)}
        (part / NOTE).write_text(json.dumps({"made_at": made.name, "contents": contents}, indent=1) + "\n")
        for each in part.iterdir():
            flush(each)
        part.rename(made)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if ledger.exists():
        copy = backups / f".{ledger.name}.part"
        shutil.copyfile(ledger, copy)
        flush(copy)
        copy.rename(backups / ledger.name)
    for old in sorted(backups.glob(f"[0-9]*Z/{NOTE}"))[: -int(keep)]:
        shutil.rmtree(old.parent)
    return made


def without_what_was_before(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.startswith(f"./{BEFORE}") else member


def flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def facts(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def check_backup(backup: Path) -> None:
    """Raises Refused when a file is missing or is not what was written."""
    try:
        contents = json.loads((backup / NOTE).read_text())["contents"]
    except (OSError, ValueError, KeyError):
        raise Refused(f"{backup} is no backup: it has no readable {NOTE}", 2) from None
    for name, wanted in contents.items():
        if not (backup / name).is_file() or facts(backup / name) != wanted:
            raise Refused(f"{backup / name} is damaged or missing; take another backup")


def restore_backup(backup: Path, files: Path, target: Database) -> None:
    """Database and files as in the backup. What was there stays beside, under a name with the time."""
    check_backup(backup)
    ask = f"SELECT count(*) FROM pg_stat_activity WHERE datname = {literal(target.name)}"  # noqa: S608
    busy = target.sql(ask).strip()
    if busy != "0":
        raise Refused(
            f"{busy} connections to {target.name} are open: stop web, live, worker and agents first"
        )
    at = now()
    fresh, before = f"{target.name}_restored", f"{target.name}_before_{at.lower()}"
    target.sql(f"DROP DATABASE IF EXISTS {identifier(fresh)}")
    target.sql(f"CREATE DATABASE {identifier(fresh)} TEMPLATE template0")
    target.run("pg_restore", "--exit-on-error", "--dbname", target.url(fresh), backup / DUMP)
    kept = files / f"{BEFORE}{at}"
    there = [each for each in files.iterdir() if not each.name.startswith(BEFORE)]
    kept.mkdir()
    for each in there:
        each.rename(kept / each.name)
    target.run("tar", "--extract", "--no-same-owner", "--directory", files, "--file", backup / FILES)
    target.sql(f"ALTER DATABASE {identifier(target.name)} RENAME TO {identifier(before)}")
    target.sql(f"ALTER DATABASE {identifier(fresh)} RENAME TO {identifier(target.name)}")
    say(f"{target.name} and {files} are as in {backup}; what was there is {before} and {kept}")
    say("now `manage.py privacy replay` with the newest ledger, before anybody uses it; then start the rest")


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
