"""Files beside a record: at most 25 MiB, under a random name, of the type that their content says."""

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from crm.actions.base import Subject, tell
from crm.actions.notes import locked_subject
from crm.errors import InvalidValue
from crm.models import Actor, Attachment
from crm.permissions import Verb, require

MOST_BYTES = 25 * 1024 * 1024
FOLDER = "attachments"
_PIECE = 262_144
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# How files of the types that people send begin. Whatever else it is, is served as bytes.
_BEGINNINGS = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
)
UNKNOWN = "application/octet-stream"


@transaction.atomic
def add_attachment(about: Subject, *, by: Actor, file: Any, file_name: str) -> Attachment:
    """Store a file (open for reading, or an upload of Django's) beside a record that `by` may edit.

    Raises DoesNotExist of the record, PermissionRefused, InvalidValue (`file`: empty or above MOST_BYTES); no
    file is left behind then.
    """
    require(by, Verb.CREATE)
    name = _shown_name(file_name)
    record = locked_subject(about, by=by)
    stored_as = f"{FOLDER}/{uuid4().hex}"
    try:
        size, digest, kind = _store(file, path_of(stored_as))
        attachment = Attachment(
            file_name=name, stored_as=stored_as, content_type=kind, size_bytes=size, sha256=digest
        )
        attachment.uploaded_by = by.user
        setattr(attachment, str(record._meta.model_name), record)
        attachment.save()
        tell(record, "attachment.added", _("attached %s") % name, by=by)
    except BaseException:
        _remove(stored_as)
        raise
    return attachment


@transaction.atomic
def remove_attachment(attachment_id: int, *, by: Actor) -> None:
    """Delete a file of a record that `by` may edit. Raises Attachment.DoesNotExist, PermissionRefused."""
    attachment = Attachment.objects.visible_to(by).get(pk=attachment_id)
    about = attachment.lead or attachment.contact or attachment.account or attachment.opportunity
    assert about is not None  # crm_attachment_exactly_one_owner
    record = locked_subject(about, by=by)
    attachment.delete()
    tell(record, "attachment.removed", _("removed %s") % attachment.file_name, by=by)
    transaction.on_commit(lambda: _remove(attachment.stored_as), robust=True)


def path_of(stored_as: str) -> Path:
    return Path(settings.MEDIA_ROOT) / stored_as


def _shown_name(file_name: str) -> str:
    """The last part of the name, without what could steer a terminal or a file system; at most 255 long."""
    last = _UNSAFE.sub("", file_name).replace("\\", "/").rsplit("/", 1)[-1].strip(" .")
    return last[-255:] or _("file")


def _store(file: Any, path: Path) -> tuple[int, str, str]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    size, digest, beginning = 0, hashlib.sha256(), b""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
        while piece := file.read(_PIECE):
            beginning = beginning or piece[:4096]
            size += len(piece)
            if size > MOST_BYTES:
                raise InvalidValue(_("The file is larger than 25 MB."), field="file")
            digest.update(piece)
            copy.write(piece)
    if not size:
        raise InvalidValue(_("The file is empty."), field="file")
    return size, digest.hexdigest(), _type_of(beginning)


def _type_of(beginning: bytes) -> str:
    """What the content says it is. Text is plain text, HTML and SVG too: nothing of it runs."""
    for start, kind in _BEGINNINGS:
        if beginning.startswith(start):
            return kind
    with contextlib.suppress(UnicodeDecodeError):
        if "\0" not in beginning[:4000].decode("utf-8", errors="strict"):
            return "text/plain"
    return UNKNOWN


def _remove(stored_as: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        path_of(stored_as).unlink()
