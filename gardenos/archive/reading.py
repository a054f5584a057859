"""Rebuilding a database and its files from an archive: all of it, proven equal, or nothing."""

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from django.conf import settings
from django.core.management.color import no_style
from django.db import Error, connection, models, transaction

from gardenos.archive.manifest import NAME, ArchiveRefused, Manifest
from gardenos.archive.tables import archived_models, columns_of, copy_in, digest_of
from gardenos.archive.writing import PIECE, Progress
from gardenos.migration_state import newest_migrations, unapplied_migrations

MANIFEST_MOST = 16 << 20
# Rows here were made by people or by work on their behalf; what `migrate` itself fills in may be there.
HOLD_WORK = ("crm_user", "crm_lead", "crm_contact", "crm_account", "crm_opportunity", "crm_inquiry")
NEW_EPOCH = "DELETE FROM crm_outboxevent; DELETE FROM crm_liveepoch"


def read_manifest(path: Path) -> Manifest:
    """What the archive says of itself. Raises ArchiveRefused."""
    with _opened(path) as tar:
        return _manifest(tar)


def read_archive(path: Path, *, progress: Progress = lambda what, done, total: None) -> Manifest:
    """Fill the empty, migrated database with the archive's rows, and MEDIA_ROOT with its files.

    The connection must be the tables' owner's. One transaction: raises ArchiveRefused, naming the table or
    file, and leaves database and files as they were.
    """
    with _opened(path) as tar:
        manifest = _manifest(tar)
        known = _fitting(manifest)
        _refuse_work()
        placed: list[Path] = []
        try:
            with transaction.atomic():
                _load(tar, manifest, known, progress)
                _place(tar, manifest, placed, progress)
        except BaseException:
            for file in placed:
                file.unlink(missing_ok=True)
            raise
    return manifest


# --- checks ------------------------------------------------------------------------------------------------
def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, mode="r:")
    except tarfile.TarError:
        raise ArchiveRefused("it is no archive of GardenOS, or is cut off") from None
    except OSError as error:
        raise ArchiveRefused(f"it cannot be read ({error.strerror})") from None


def _manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    if first is None or first.name != NAME or not first.isreg() or first.size > MANIFEST_MOST:
        raise ArchiveRefused("it is no archive of GardenOS: manifest.json is not its first member")
    content = tar.extractfile(first)
    assert content is not None
    return Manifest.parse(content.read())


def _fitting(manifest: Manifest) -> dict[str, type[models.Model]]:
    """The models by table, when code, database and archive are of one age."""
    if missing := unapplied_migrations():
        raise ArchiveRefused(f"the database lacks {missing[0]}: run manage.py migrate first")
    ours = sorted(".".join(migration) for migration in newest_migrations())
    if manifest.migrations != ours:
        odd = sorted(set(manifest.migrations) ^ set(ours))
        raise ArchiveRefused(
            f"it was made by another release (build {manifest.build[:12]}; {odd[0]} differs): "
            "read it with that release, then upgrade"
        )
    known = {model._meta.db_table: model for model in archived_models()}
    for table in manifest.tables:
        model = known.get(table["name"])
        if model is None or table["columns"] != columns_of(model):
            raise ArchiveRefused(f"its table {table['name']} has other columns than this release")
    if lacking := sorted(set(known) - {table["name"] for table in manifest.tables}):
        raise ArchiveRefused(f"it lacks the table {lacking[0]}")
    return known


def _refuse_work() -> None:
    for table in HOLD_WORK:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")  # noqa: S608  from the list above
            if cursor.fetchone()[0]:
                raise ArchiveRefused(
                    f"the database is not empty ({table} has rows): use one on which only migrate was run"
                )


# --- rows --------------------------------------------------------------------------------------------------
def _load(
    tar: tarfile.TarFile, manifest: Manifest, known: dict[str, type[models.Model]], progress: Progress
) -> None:
    """Triggers of ours are off meanwhile: the rows are history already, counted and approved."""
    quote = connection.ops.quote_name
    tables = [quote(table["name"]) for table in manifest.tables]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        cursor.execute("; ".join(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables))
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    for number, table in enumerate(manifest.tables, 1):
        progress("tables", number, len(manifest.tables))
        _load_table(tar, table, known[table["name"]])
    with connection.cursor() as cursor:
        _check_constraints(cursor)
        cursor.execute("; ".join(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables))
        for statement in connection.ops.sequence_reset_sql(no_style(), list(known.values())):
            cursor.execute(statement)
        cursor.execute(NEW_EPOCH)
    for number, table in enumerate(manifest.tables, 1):
        progress("proof", number, len(manifest.tables))
        if (table["rows"], table["sha256"]) != digest_of(known[table["name"]], table["columns"]):
            raise ArchiveRefused(f"{table['name']} reads otherwise in this database than in the archive")


def _load_table(tar: tarfile.TarFile, table: dict[str, Any], model: type[models.Model]) -> None:
    digest = hashlib.sha256()
    try:
        member = tar.getmember(f"tables/{table['name']}.csv.gz")
        rows = copy_in(model, table["columns"], _unpacked(tar, member, digest))
    except (KeyError, EOFError, OSError, zlib.error, tarfile.TarError):
        raise ArchiveRefused(f"its table {table['name']} is damaged or missing") from None
    except Error as error:
        reason = str(error).splitlines()[0][:120]
        raise ArchiveRefused(f"its table {table['name']} does not fit: {reason}") from None
    if (rows, digest.hexdigest()) != (table["rows"], table["sha256"]):
        raise ArchiveRefused(f"its table {table['name']} is not what its manifest says: the file is damaged")


def _unpacked(tar: tarfile.TarFile, member: tarfile.TarInfo, digest: Any) -> Iterator[bytes]:
    content = tar.extractfile(member)
    assert content is not None
    with gzip.GzipFile(fileobj=content) as unpacked:  # type: ignore[call-overload]
        while piece := unpacked.read(PIECE):
            digest.update(piece)
            yield piece


def _check_constraints(cursor: Any) -> None:
    try:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except Error as error:
        raise ArchiveRefused(f"its rows do not belong together: {str(error).splitlines()[0]}") from None


# --- files -------------------------------------------------------------------------------------------------
def _place(tar: tarfile.TarFile, manifest: Manifest, placed: list[Path], progress: Progress) -> None:
    for number, file in enumerate(manifest.files, 1):
        progress("files", number, len(manifest.files))
        path = Path(settings.MEDIA_ROOT) / _safe(file["name"])
        if path.exists():
            raise ArchiveRefused(f"the file {file['name']} is there already, in {settings.MEDIA_ROOT}")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _copy_file(tar, file, path, placed)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise ArchiveRefused(f"it wants to write outside of the files' folder: {name[:80]!r}")
    return path


def _copy_file(tar: tarfile.TarFile, file: dict[str, Any], path: Path, placed: list[Path]) -> None:
    digest = hashlib.sha256()
    try:
        content = tar.extractfile(tar.getmember(f"files/{file['name']}"))
    except (KeyError, tarfile.TarError):
        content = None
    if content is None:
        raise ArchiveRefused(f"its file {file['name']} is missing")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        placed.append(path)
        while piece := content.read(PIECE):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != file["sha256"]:
        raise ArchiveRefused(f"its file {file['name']} is damaged")
