"""Settings come from the environment; a wrong one ends every command with exit code 2 and one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OUTSIDE = {"DATABASE_URL": "postgresql://app:canary@db.example/x", "SECRET_KEY": "k" * 50}


def manage(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=REPOSITORY,
        env=plain | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "canary"),
        ("DATABASE_URL", "mysql://canary@x/y"),
        ("DATABASE_URL", "postgresql://a:canary@host:99999/x"),
        ("DATABASE_URL", "postgresql://a:canary@host/x y"),
        ("DATABASE_URL", "postgresql://a:canary@host/"),
        ("DATABASE_URL", "postgresql://a:canary@host/x?nope=1"),
        ("DATABASE_URL", "postgresql://a:b@host/x?pool=canary"),
        ("DATABASE_URL", "postgresql://a:b@host/x?connect_timeout=canary"),
        ("DATABASE_URL", "postgresql://a:canary%00@host/x"),
        ("GARDENOS_PORT", "canary"),
        ("GARDENOS_PORT", "0"),
        ("GARDENOS_PORTS", "canary"),
        ("SECRET_KEY", "canary"),
        ("ALLOWED_HOSTS", "*"),
        ("SITE_URL", "canary"),
        ("AI_PROVIDER", "canary"),
        ("AI_DAILY_BUDGET_USD", "nan"),
        ("WEB_WORKERS", "-1"),
        ("QUEUE_STALE_S", "29"),
        ("QUEUE_BEAT_S", "0"),
        ("LOG_FORMAT", "canary"),
        ("EMAIL_URL", "canary://x"),
        ("TIME_ZONE", "Mars/canary"),
        ("TIME_ZONE", "../canary"),
        ("STATIC_URL", "canary"),
        ("TRUSTED_PROXIES", "10.0.0.1,canary"),
        ("DEFAULT_FROM_EMAIL", "canary"),
        ("DEFAULT_FROM_EMAIL", "a@b.example\nBcc: canary@b.example"),
    ],
)
def test_a_wrong_value_is_exit_code_2_and_one_line_without_the_value(name: str, value: str, tmp_path: Path):
    done = manage("config", **(OUTSIDE | {"GARDENOS_DATA_DIR": str(tmp_path), name: value}))
    assert done.returncode == 2
    assert done.stderr.startswith(f"gardenos: configuration: {name}")
    assert done.stderr.count("\n") == 1
    assert "canary" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"DATABASE_URL": OUTSIDE["DATABASE_URL"]}, "SECRET_KEY"),
        ({"AI_PROVIDER": "deepinfra"}, "DEEPINFRA_API_KEY"),
        ({"AI_PROVIDER": "openai_compatible", "OPENAI_BASE_URL": "http://x/v1"}, "OPENAI_API_KEY"),
        ({"SECRET_KEY": "k" * 50, "SECRET_KEY_FILE": "/dev/null"}, "SECRET_KEY"),
        ({"SECRET_KEY_FILE": "/nowhere"}, "SECRET_KEY_FILE"),
    ],
)
def test_a_missing_value_is_named(environment: dict[str, str], name: str, tmp_path: Path):
    done = manage("config", GARDENOS_DATA_DIR=str(tmp_path), **environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f"gardenos: configuration: {name}")


def test_a_data_directory_that_cannot_be_made_is_named():
    done = manage("config", GARDENOS_DATA_DIR="/dev/null/canary")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("gardenos: configuration: GARDENOS_DATA_DIR")
    assert "canary" not in done.stderr


def test_config_masks_secrets_and_names_sources(tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("s" * 50 + "\n")
    environment = {
        "DATABASE_URL": OUTSIDE["DATABASE_URL"],
        "SECRET_KEY_FILE": str(key),
        "GARDENOS_PORT": "8123",
    }
    done = manage("config", "--json", **environment, DATABASE_OWNER_URL="postgresql://o:canary@db.example/x")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["SECRET_KEY"] == {"name": "SECRET_KEY", "value": "********", "source": "file"}
    assert rows["GARDENOS_PORT"] == {"name": "GARDENOS_PORT", "value": "8123", "source": "environment"}
    assert rows["LOG_FORMAT"]["source"] == "default"
    assert rows["DATABASE_OWNER_URL"]["value"] == "********"
    table = manage("config", **environment)
    assert "canary" not in done.stdout + table.stdout
    assert "sssss" not in done.stdout + table.stdout


def test_config_starts_no_server_and_needs_none(tmp_path: Path):
    assert manage("config", GARDENOS_DATA_DIR=str(tmp_path / "data")).returncode == 0
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_database_that_is_not_there_is_one_line():
    there = OUTSIDE | {"DATABASE_URL": "postgresql://app:canary@127.0.0.1:1/x"}
    done = manage("migrate", "--skip-checks", **there)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "check DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_embedded_key_is_made_once_and_kept(tmp_path: Path):
    for _ in range(2):
        assert manage("config", GARDENOS_DATA_DIR=str(tmp_path)).returncode == 0
    kept = tmp_path / "secret_key"
    first = kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    manage("config", GARDENOS_DATA_DIR=str(tmp_path))
    assert kept.read_text() == first


ASK_LAYER_AND_CACHE = """
import asyncio
from channels.layers import get_channel_layer
from django.core.cache import cache

for ask in (lambda: asyncio.run(get_channel_layer().send("x", {"type": "x"})), lambda: cache.get("x")):
    try:
        ask()
    except Exception as error:
        print(error)
"""


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_layer_and_a_cache_elsewhere_need_nothing_more_than_their_address(scheme: str, tmp_path: Path):
    """The packages are there, and both spellings are understood: all that is missing is the server."""
    there = {"CHANNEL_LAYER_URL": f"{scheme}://127.0.0.1:1/0", "CACHE_URL": f"{scheme}://127.0.0.1:2/0"}
    done = manage(
        "shell", "-c", ASK_LAYER_AND_CACHE, **(OUTSIDE | {"GARDENOS_DATA_DIR": str(tmp_path)} | there)
    )
    assert "connecting to 127.0.0.1:1." in done.stdout, done.stderr
    assert "connecting to 127.0.0.1:2." in done.stdout, done.stderr


def test_output_that_nobody_reads_any_more_ends_a_command_quietly(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-u", "manage.py", "config"],
        cwd=REPOSITORY,
        env=os.environ | OUTSIDE | {"GARDENOS_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout
        command.stdout.close()
        assert command.stderr
        assert command.stderr.read() == ""
    assert command.returncode == 141
