"""Making an archive: one snapshot of the database, then the files, into a file that only its owner reads."""

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from gardenos.archive.manifest import NAME, Manifest
from gardenos.archive.tables import archived_models, columns_of, copy_out
from gardenos.build import build_sha
from gardenos.migration_state import newest_migrations

PIECE = 1 << 20
PASSING = ("exports", "imports")  # folders of MEDIA_ROOT: downloads that expire, files that are being read

Progress = Callable[[str, int, int], None]  # (what, how far, of how many)


def write_archive(path: Path, *, progress: Progress = lambda what, done, total: None) -> Manifest:
    """Write the archive at `path`, whole or not at all. Raises OSError; FileExistsError when it is there."""
    if path.exists():
        raise FileExistsError(path)
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as target, tempfile.TemporaryDirectory(dir=path.parent) as spool:
            manifest = _write(target, Path(spool), progress)
            target.flush()
            os.fsync(target.fileno())
        os.link(partial, path)  # refuses what somebody else has put there meanwhile
    finally:
        os.unlink(partial)
    return manifest


def _write(target: Any, spool: Path, progress: Progress) -> Manifest:
    tables = _spool_tables(spool, progress)
    files = [_described(name, path) for name, path in stored_files()]
    manifest = Manifest(
        made_at=timezone.now().isoformat(),
        build=build_sha(),
        migrations=sorted(".".join(migration) for migration in newest_migrations()),
        tables=tables,
        files=files,
    )
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, NAME, io.BytesIO(manifest.as_bytes()), len(manifest.as_bytes()))
        for table in tables:
            path = spool / table["name"]
            with path.open("rb") as content:
                _add(tar, f"tables/{table['name']}.csv.gz", content, path.stat().st_size)
        for number, file in enumerate(files, 1):
            progress("files", number, len(files))
            with (Path(settings.MEDIA_ROOT) / file["name"]).open("rb") as content:
                _add(tar, f"files/{file['name']}", content, file["bytes"])
    return manifest


def _spool_tables(spool: Path, progress: Progress) -> list[dict[str, Any]]:
    """All tables as they are at one moment, whatever is written meanwhile."""
    models = archived_models()
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        written = []
        for number, model in enumerate(models, 1):
            progress("tables", number, len(models))
            written.append(_spool_table(model, spool))
    return written


def _spool_table(model: type[Model], spool: Path) -> dict[str, Any]:
    columns, digest = columns_of(model), hashlib.sha256()
    with gzip.open(spool / model._meta.db_table, "wb", compresslevel=5) as file:

        def write(block: bytes) -> None:
            digest.update(block)
            file.write(block)

        rows = copy_out(model, columns, write)
    return {
        "name": model._meta.db_table,
        "columns": columns,
        "rows": rows,
        "sha256": digest.hexdigest(),
    }


def stored_files() -> Iterator[tuple[str, Path]]:
    """(name below MEDIA_ROOT, path) of every file that belongs to a record."""
    root = Path(settings.MEDIA_ROOT)
    for path in sorted(root.rglob("*")) if root.is_dir() else ():
        name = path.relative_to(root)
        if path.is_file() and not path.is_symlink() and name.parts[0] not in PASSING:
            yield name.as_posix(), path


def _described(name: str, path: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return {"name": name, "bytes": size, "sha256": digest.hexdigest()}


def _add(tar: tarfile.TarFile, name: str, content: Any, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    tar.addfile(member, content)
