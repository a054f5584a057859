"""Idempotency-Key: a POST that is sent again gets its first answer again, and does nothing again.

The answer is stored in the transaction of the write, so there is never one without the other. Refusals are
not stored: a corrected request may use its key again.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from crm.actions.housekeeping import IDEMPOTENCY_KEPT
from crm.api.strict_json import dumps
from crm.models import IdempotencyKey

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_HEADERS = ("ETag", "Location")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class KeyInFlight(APIException):
    """The first request with this key is still running."""

    status_code = 409
    default_code = "idempotency_in_flight"
    default_detail = gettext_lazy("A request with this Idempotency-Key is being worked on. Ask again soon.")


class KeyReused(APIException):
    """The same key came with another body."""

    status_code = 422
    default_code = "idempotency_key_reused"
    default_detail = gettext_lazy("This Idempotency-Key was used for another request.")


def key_of(request: Request) -> str:
    """The key, or nothing. Raises ParseError (400) for one that is no key."""
    key = request.headers.get(HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        raise ParseError(_("Idempotency-Key must be 1 to 255 printable ASCII characters without spaces."))
    return key


def answer_once(request: Request, key: str, respond: Callable[[], Response]) -> Response:
    """Answer as the first time, or answer now and remember it. Call it inside the write's transaction.

    Raises KeyInFlight (409) and KeyReused (422).
    """
    row = {"user": request.user, "token": request.auth, "route": request.path, "key": key}
    _lock(row)
    fingerprint = fingerprint_of(request)
    stored = IdempotencyKey.objects.filter(**row).first()
    if stored is not None and stored.created_at < timezone.now() - IDEMPOTENCY_KEPT:
        stored.delete()
        stored = None
    if stored is not None:
        if stored.body_sha256 != fingerprint:
            raise KeyReused
        return _replay(stored)
    response = respond()
    if response.status_code < 400:
        response.data = dumps(response.data) if response.data is not None else None
        IdempotencyKey.objects.create(
            **row,
            body_sha256=fingerprint,
            status=response.status_code,
            answer=response.data,
            headers={name: response[name] for name in KEPT_HEADERS if name in response},
        )
    return response


def lock_number_of(row: dict[str, Any]) -> int:
    """The advisory lock of one caller's key: a signed 64-bit number."""
    name = f"{row['user'].pk}/{row['token'].pk if row['token'] else ''}/{row['route']}/{row['key']}"
    return int.from_bytes(hashlib.sha256(b"idempotency " + name.encode()).digest()[:8], "big", signed=True)


def _lock(row: dict[str, Any]) -> None:
    """One request a key at a time, until its transaction ends. A unique constraint stands behind this."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock_number_of(row)])
        if not cursor.fetchone()[0]:
            raise KeyInFlight


def fingerprint_of(request: Request) -> str:
    """SHA-256 of what the body says: equal for equal JSON, whatever its spacing; files by their content."""
    digest = hashlib.sha256()
    if request.FILES:
        for name, values in sorted(request.data.lists()):  # type: ignore[union-attr]
            digest.update(repr((name, [v for v in values if isinstance(v, str)])).encode())
        for name, file in sorted(request.FILES.items()):
            digest.update(repr((name, file.name, file.size)).encode())
            for chunk in file.chunks():
                digest.update(chunk)
            file.seek(0)
        return digest.hexdigest()
    data = request.data if not hasattr(request.data, "lists") else dict(request.data.lists())
    digest.update(orjson.dumps(data, option=orjson.OPT_SORT_KEYS, default=str))
    return digest.hexdigest()


def _replay(stored: IdempotencyKey) -> Response:
    answer = bytes(stored.answer) if stored.answer is not None else None
    return Response(answer, status=stored.status, headers={**stored.headers, REPLAYED: "true"})
