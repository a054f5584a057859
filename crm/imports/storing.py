"""Uploaded files on their way in: a random name under MEDIA_ROOT, readable by us alone, deleted when done."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.utils.translation import gettext as _

from crm.errors import ImportRefused

PIECE_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class StoredFile:
    name: str  # under MEDIA_ROOT
    size_bytes: int
    sha256: str


def store(file: Any) -> StoredFile:
    """Copy a file that is open for reading, piece by piece.

    Raises ImportRefused above GARDENOS_IMPORT_MAX_MB; nothing is left behind then.
    """
    name = f"imports/{uuid4().hex}.csv"
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    most, size, digest = settings.GARDENOS_IMPORT_MAX_MB * 1024 * 1024, 0, hashlib.sha256()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
            for piece in _pieces(file):
                size += len(piece)
                if size > most:
                    raise ImportRefused(
                        _("The file is larger than %d MB.") % settings.GARDENOS_IMPORT_MAX_MB, field="file"
                    )
                digest.update(piece)
                copy.write(piece)
    except BaseException:
        remove(name)
        raise
    return StoredFile(name, size, digest.hexdigest())


def path_of(name: str) -> Path:
    return Path(settings.MEDIA_ROOT) / name


def remove(name: str) -> None:
    """Delete a stored file; one that is gone is no error."""
    if name:
        with contextlib.suppress(FileNotFoundError):
            path_of(name).unlink()


def _pieces(file: Any) -> Iterator[bytes]:
    if hasattr(file, "chunks"):  # Django's uploads
        yield from file.chunks(PIECE_BYTES)
        return
    while piece := file.read(PIECE_BYTES):
        yield piece
