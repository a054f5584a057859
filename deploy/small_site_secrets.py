"""The secrets of a site on one machine: `python3 -m deploy.small_site_secrets FOLDER --for compose`.

One file per variable, with fresh random values: what settings read by `<NAME>_FILE`, and the passwords of
the database's roles. Files of what a site may do without (mail, a model provider, Valkey) are empty, which
counts as not set; write into them what you have. Folder 0700, files 0400, of the user that reads them
(`--for compose`, as root) or of whoever runs this (`--for systemd`). A folder that holds anything is left
alone: other keys would end every session and token, other passwords would not fit the database. Exit codes:
0 done, 1 failed, 2 wrong use.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path

from deploy.site_secrets import address

APP, DATABASE, VALKEY = 10001, 10999, 10998  # users of the images
PLACES = {"compose": "postgres:5432", "systemd": "127.0.0.1:5432"}
VALKEY_PLACES = {"compose": "valkey:6379", "systemd": "127.0.0.1:6379"}
LATER = ("EMAIL_URL", "DEEPINFRA_API_KEY", "OPENAI_API_KEY", "CHANNEL_LAYER_URL", "CACHE_URL")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Make the secrets of a site on one machine.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--for", dest="kind", choices=PLACES, required=True)
    parser.add_argument("--valkey", action="store_true", help="also those of Valkey")
    asked = parser.parse_args(argv)
    if asked.kind == "compose" and os.geteuid() != 0:
        sys.stderr.write("secrets: run this as root: the files belong to the containers' users\n")
        return 2
    if asked.folder.exists() and any(asked.folder.iterdir()):
        sys.stderr.write(f"secrets: {asked.folder} is not empty; change single files, or name a new folder\n")
        return 2
    try:
        write(asked.folder, values(asked.kind, valkey=asked.valkey), owned=asked.kind == "compose")
    except OSError as error:
        sys.stderr.write(f"secrets: {error.filename}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"secrets: made {asked.folder}; empty, for you to fill: {', '.join(LATER)}\n")
    return 0


def values(kind: str, *, valkey: bool = False) -> dict[str, tuple[str, int]]:
    """Each file's text, and the image's user that reads it."""
    owner, app, readonly, superuser, cache = (secrets.token_urlsafe(24) for _ in range(5))
    cache_at = f"valkey://:{cache}@{VALKEY_PLACES[kind]}"
    texts = {
        **{name: secrets.token_urlsafe(50) for name in ("SECRET_KEY", "AUDIT_KEY", "TOKEN_PEPPER")},
        "METRICS_TOKEN": secrets.token_urlsafe(24),
        "DATABASE_URL": address("app", app, PLACES[kind]),
        "DATABASE_OWNER_URL": address("owner", owner, PLACES[kind]),
        **dict.fromkeys(LATER, ""),
    }
    if valkey:
        texts |= {"CHANNEL_LAYER_URL": f"{cache_at}/0", "CACHE_URL": f"{cache_at}/1"}
    return {
        **{name: (text, APP) for name, text in texts.items()},
        "SUPERUSER_PASSWORD": (superuser, DATABASE),
        "OWNER_PASSWORD": (owner, DATABASE),
        "APP_PASSWORD": (app, DATABASE),
        "READONLY_PASSWORD": (readonly, DATABASE),
        "VALKEY_PASSWORD": (cache if valkey else "", VALKEY),
    }


def write(folder: Path, texts: dict[str, tuple[str, int]], *, owned: bool) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, (text, user) in texts.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if owned:
                os.fchown(file.fileno(), user, user)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
