"""Seals over the audit log: a chain of keyed hashes that shows when an entry was changed or taken away.

Each entry gets a hash of its own and each seal one over its entries' and the seal before, all keyed with
AUDIT_KEY, which is not in the database: whoever can write to the tables cannot make the seals fit again. Only
entries whose transaction no other can precede any more are sealed (xid below the oldest running one), so that
nothing slips in before what is sealed.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from django.db import connection, transaction
from django.db.models import Max

from crm.keyed_hash import keyed_hash
from crm.models import AuditLog, AuditSeal

SEAL_LOCK = 7_301_004  # advisory: one sealer at a time
AT_ONCE = 1_000  # entries a seal
LOOK_BACK = 10_000  # entries: how far a late commit may lie behind the newest sealed one
VERIFIED_AT_ONCE = 100  # seals
_UNSEALED = """
    SELECT id FROM crm_auditlog
    WHERE id > %(floor)s
      AND (xid < pg_snapshot_xmin(pg_current_snapshot()) OR xid >= pg_snapshot_xmax(pg_current_snapshot()))
      AND id NOT IN (SELECT unnest(row_ids) FROM crm_auditseal WHERE greatest(first, last) > %(floor)s)
    ORDER BY xid, id LIMIT %(most)s
"""  # a visible xid from the future was restored from another cluster


@transaction.atomic
def seal_audit_log() -> int:
    """Seal what can be sealed, AT_ONCE entries at most. Returns how many; 0 while somebody else seals."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEAL_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        newest = AuditSeal.objects.aggregate(at=Max("last"))["at"] or 0
        cursor.execute(_UNSEALED, {"floor": newest - LOOK_BACK, "most": AT_ONCE})
        ids = [row_id for (row_id,) in cursor.fetchall()]
    if not ids:
        return 0
    entries = AuditLog.objects.in_bulk(ids)
    hashes = [hash_of(entries[row_id]) for row_id in ids]
    before = AuditSeal.objects.order_by("-id").values_list("hash", flat=True).first() or ""
    AuditSeal.objects.create(
        first=ids[0],
        last=ids[-1],
        row_ids=ids,
        row_hashes=hashes,
        prev_hash=before,
        hash=_chained(before, ids, hashes),
    )
    return len(ids)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`trouble` names the first wrong entry or seal; empty when all fits. `tail` entries wait for a seal."""

    entries: int
    seals: int
    tail: int
    last_hash: str
    trouble: str = ""


def verify_audit_log() -> Verdict:
    """Read the whole log against its seals. Two queries for each VERIFIED_AT_ONCE seals."""
    entries = seals = 0
    before = ""
    for seal, sealed in _seals_with_entries():
        trouble = _trouble_of(seal, sealed, before)
        if trouble:
            return Verdict(entries, seals, _tail(), before, trouble)
        before = seal.hash
        entries += len(seal.row_ids)
        seals += 1
    return Verdict(entries, seals, _tail(), before)


def _seals_with_entries() -> Iterator[tuple[AuditSeal, dict[int, AuditLog]]]:
    seals = AuditSeal.objects.order_by("id").iterator(chunk_size=VERIFIED_AT_ONCE)
    while some := list(islice(seals, VERIFIED_AT_ONCE)):
        entries = AuditLog.objects.in_bulk([row_id for seal in some for row_id in seal.row_ids])
        for seal in some:
            yield seal, entries


def _trouble_of(seal: AuditSeal, entries: dict[int, AuditLog], before: str) -> str:
    if seal.prev_hash != before:
        return f"a seal is missing before seal {seal.pk}"
    if seal.hash != _chained(before, seal.row_ids, seal.row_hashes):
        return f"seal {seal.pk} was changed, or AUDIT_KEY is another one"
    for row_id, expected in zip(seal.row_ids, seal.row_hashes, strict=True):
        if row_id not in entries:
            return f"entry {row_id} is gone"
        if hash_of(entries[row_id]) != expected:
            return f"entry {row_id} was changed"
    return ""


def _tail() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM crm_auditlog WHERE id NOT IN (SELECT unnest(row_ids) FROM crm_auditseal)"
        )
        return int(cursor.fetchone()[0])


def hash_of(entry: AuditLog) -> str:
    """Of all columns but xid, which is another one after a restore."""
    values = [
        entry.pk,
        entry.public_id.hex,
        _utc(entry.at),
        _utc(entry.created_at),
        _utc(entry.updated_at),
        entry.action,
        entry.actor_kind,
        entry.actor_id,
        entry.actor_label,
        entry.target,
        entry.target_id,
        entry.summary,
        entry.data,
        entry.request_id,
    ]
    return keyed_hash("audit entry", json.dumps(values, sort_keys=True, separators=(",", ":")))


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _chained(before: str, ids: Iterable[int], hashes: Iterable[str]) -> str:
    return keyed_hash("audit seal", "\n".join([before, *map(str, ids), *hashes]))
