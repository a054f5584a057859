"""Where the database is: DATABASE_URL, or the embedded server's connection.json."""

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gardenos.env import Env

POSTGRES = ("postgres", "postgresql")
OWNER_URL_HINT = "write postgresql://user:password@host:5432/name"
WEB_POOL = {"min_size": 2, "max_size": 12, "timeout": 10}  # a2wsgi's 8 threads and 4 more (ADR 0003)


def data_dir(env: Env, base: Path) -> Path:
    """GARDENOS_DATA_DIR, by default `.data` in the checkout."""
    return Path(env.text("GARDENOS_DATA_DIR", str(base / ".data"))).expanduser().absolute()


def parse_database_url(env: Env, name: str, url: str) -> dict[str, Any]:
    """One Django database of a `postgresql://user:password@host:port/name?option=value` address.

    Several hosts (`one:5432,two:5432`) are handed to libpq together, as in its own connection URIs.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    pairs = [
        item.rsplit(":", 1) if ":" in item.rsplit("]", 1)[-1] else [item, "5432"] for item in hosts.split(",")
    ]
    database = unquote(parts.path.removeprefix("/"))
    is_sound = parts.scheme in POSTGRES and database and "/" not in database
    if not is_sound or not all(port.isdigit() and 0 < int(port) < 65536 for _, port in pairs):
        env.refuse(name, f"is not a PostgreSQL address; {OWNER_URL_HINT}")
    if "\0" in unquote(url):
        env.refuse(name, "holds a NUL character")
    options = dict(parse_qsl(parts.query))
    if not _are_known(options):
        env.refuse(name, "has an option after ? that libpq does not know, or a wrong value of one")
    return _database(
        name=database,
        user=unquote(user),
        password=unquote(password),
        host=",".join(host.strip("[]") for host, _ in pairs),
        port=",".join(port for _, port in pairs),
        options=options,
    )


def _are_known(options: dict[str, str]) -> bool:
    if not options:
        return True
    from psycopg import Error, conninfo  # only now: gunicorn's master reads this module without a driver

    try:
        conninfo.make_conninfo("", **options)
    except Error:
        return False
    return options.get("connect_timeout", "5").isdecimal()


def _database(
    *, name: str, user: str, password: str, host: str, port: str, options: dict[str, str]
) -> dict[str, Any]:
    return {
        "ENGINE": "django_prometheus.db.backends.postgresql",
        "NAME": name,
        "USER": user,
        "PASSWORD": password,
        "HOST": host,
        "PORT": port,
        "OPTIONS": {"connect_timeout": 5, **options},
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }


def read_connection(directory: Path) -> dict[str, Any] | None:
    """The embedded server's connection.json, or None before its first start."""
    try:
        return json.loads((directory / "connection.json").read_text())
    except (OSError, ValueError):
        return None


def embedded_database(directory: Path, role: str) -> dict[str, Any]:
    """The embedded database for `owner`, `app` or `readonly`. Empty credentials before its first start."""
    known = read_connection(directory) or {}
    login = known.get(role, {})
    return _database(
        name=known.get("database", "gardenos"),
        user=login.get("user", f"gardenos_{role}"),
        password=login.get("password", ""),
        host=known.get("host", "127.0.0.1"),
        port=str(known.get("port", 1)),
        options={},
    )


def database_settings(env: Env, directory: Path) -> tuple[dict[str, Any], bool]:
    """(DATABASES, is the embedded server used). Migrations ask `owner_database` for their own role."""
    url = env.url("DATABASE_URL", schemes=POSTGRES, secret=True)
    database = parse_database_url(env, "DATABASE_URL", url) if url else embedded_database(directory, "app")
    if env.choice("DATABASE_POOL", "off", ["on", "off"]) == "on":  # gunicorn_conf.py turns it on for web
        database["OPTIONS"]["pool"] = WEB_POOL
        database["CONN_HEALTH_CHECKS"] = True
    return {"default": database}, not url


def owner_database(env: Env, directory: Path) -> dict[str, Any]:
    """The database as its owner, for DDL: DATABASE_OWNER_URL, else DATABASE_URL, else the embedded one."""
    url = env.url("DATABASE_OWNER_URL", schemes=POSTGRES, secret=True)
    if url:
        return parse_database_url(env, "DATABASE_OWNER_URL", url)
    url = env.url("DATABASE_URL", schemes=POSTGRES, secret=True)
    return parse_database_url(env, "DATABASE_URL", url) if url else embedded_database(directory, "owner")


def embedded_secret(directory: Path) -> str:
    """The embedded set-up's SECRET_KEY: made once, kept beside its data (0600)."""
    path = directory / "secret_key"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
        with contextlib.suppress(FileExistsError):  # the first of two starters wins
            os.link(fresh, path)
        fresh.unlink()
    return path.read_text().strip()
