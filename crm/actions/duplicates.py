"""Which records may be the same person or organisation: found by what they are recognised by, and by names
that are written alike. People decide; what they have called "not the same" is never asked again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.identity import fold
from crm.actions.merge_values import KINDS
from crm.actions.merging import merge_accounts, merge_contacts, merge_leads
from crm.errors import InvalidValue, TransitionRefused
from crm.models import (
    Account,
    Actor,
    CandidateState,
    Contact,
    DuplicateCandidate,
    Heartbeat,
    KeyKind,
    Lead,
    MergeLog,
    MergeTarget,
)
from crm.permissions import Verb, may, require

MOST = 20  # candidates of one record
LOOKED_AT = 200  # records that share a key or are written alike, before they are ranked
ALIKE = 0.6  # trigram similarity of names, 0 to 1
SLICE = 200  # records of one step of the sweep
POINTS = {  # what a shared key is worth, 0 to 100
    KeyKind.EXTERNAL: 98,
    KeyKind.EMAIL: 95,
    KeyKind.PHONE: 90,
    KeyKind.NAME_COMPANY: 80,
    KeyKind.DOMAIN: 30,
}
_WEAK_ALONE = {"lead": {KeyKind.DOMAIN}, "contact": {KeyKind.DOMAIN}, "account": set()}
_NAME = {"lead": "name", "contact": "full_name", "account": "name"}
_MERGE = {"lead": merge_leads, "contact": merge_contacts, "account": merge_accounts}
EPOCH = "1970-01-01T00:00:00+00:00"
SWEEP = "duplicates"  # the sweep's row of Heartbeat: where it has come to


@dataclass(frozen=True, slots=True)
class Likeness:
    """A record that may be the same. `score` 0 to 100; `reasons` are sentences, the strongest first."""

    record_id: int
    score: int
    reasons: tuple[str, ...]


def find_duplicates_of(record: Lead | Contact | Account) -> list[Likeness]:
    """At most MOST live records that may be the same, the likeliest first. Two queries, both by index: one
    for shared keys, one for names written alike among the LOOKED_AT nearest.
    """
    target = str(record._meta.model_name)
    shared: dict[int, dict[str, int]] = {}
    for other, kind in _sharing(target, record.pk):
        shared.setdefault(other, {})[kind] = POINTS[KeyKind(kind)]
    alike = dict(_written_alike(target, record))
    found = []
    for other in shared.keys() | alike.keys():
        keys = shared.get(other, {})
        if not alike.get(other) and set(keys) <= _WEAK_ALONE[target]:
            continue  # colleagues share a domain
        found.append(_likeness(other, keys, alike.get(other, 0.0), target))
    return sorted(found, key=lambda one: (-one.score, one.record_id))[:MOST]


def _likeness(other: int, keys: dict[str, int], likeness: float, target: str) -> Likeness:
    words = {
        KeyKind.EXTERNAL: _("the same id at the same source"),
        KeyKind.EMAIL: _("the same e-mail address"),
        KeyKind.PHONE: _("the same phone number"),
        KeyKind.NAME_COMPANY: _("the same name and company"),
        KeyKind.DOMAIN: _("the same domain"),
    }
    weights = {words[KeyKind(kind)]: points for kind, points in keys.items()}
    if target == MergeTarget.ACCOUNT and KeyKind.DOMAIN in keys:
        weights[words[KeyKind.DOMAIN]] = 90  # organisations own their domain
    if likeness:
        weights[_("names written alike (%d %%)") % round(likeness * 100)] = round(likeness * 75)
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    score = min(100, ranked[0][1] + sum(points // 10 for _word, points in ranked[1:]))
    return Likeness(other, score, tuple(word for word, _points in ranked))


def _sharing(target: str, record_id: int) -> list[tuple[int, str]]:
    """(id, kind of key) of live records that share a match key. A key that very many share proves nothing."""
    table = KINDS[target].model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT other.{target}_id, other.kind FROM crm_matchkey AS mine"  # noqa: S608
            " CROSS JOIN LATERAL (SELECT * FROM crm_matchkey WHERE kind = mine.kind AND value = mine.value"
            "   LIMIT %(most)s) AS other"
            f" JOIN {table} AS record ON record.id = other.{target}_id"
            f" WHERE mine.{target}_id = %(id)s AND other.{target}_id <> %(id)s"
            " AND record.merged_into_id IS NULL AND record.deleted_at IS NULL LIMIT %(most)s",
            {"id": record_id, "most": LOOKED_AT},
        )
        return cursor.fetchall()


def _written_alike(target: str, record: Any) -> list[tuple[int, float]]:
    """(id, similarity) of live records whose name is written alike, by the trigram index of search_text."""
    table, name = KINDS[target].model._meta.db_table, _NAME[target]
    text = fold(getattr(record, name))
    if len(text) < 4:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pg_trgm.word_similarity_threshold', %s, true)", [str(ALIKE)])
        cursor.execute(
            f"SELECT id, likeness FROM (SELECT id, similarity(lower({name}), %(text)s) AS likeness"  # noqa: S608
            f"   FROM (SELECT id, {name} FROM {table} WHERE search_text %%> %(text)s AND id <> %(id)s"
            "     AND merged_into_id IS NULL AND deleted_at IS NULL LIMIT %(most)s) AS near) AS ranked"
            " WHERE likeness >= %(alike)s ORDER BY likeness DESC, id LIMIT 20",
            {"text": text, "id": record.pk, "most": LOOKED_AT, "alike": ALIKE},
        )
        return cursor.fetchall()


@transaction.atomic
def note_duplicates_of(record: Lead | Contact | Account) -> int:
    """Write down the pairs that are new; a pair that is known, dismissed ones included, stays as it is.
    Returns how many were new.
    """
    target = str(record._meta.model_name)
    pairs = []
    for one in find_duplicates_of(record):
        a, b = sorted((record.pk, one.record_id))
        pairs.append(
            DuplicateCandidate(
                target=target,
                **{f"{target}_a_id": a, f"{target}_b_id": b},
                score=one.score,
                reasons=list(one.reasons),
            )
        )
    before = _known(target, pairs)
    new = [pair for pair in pairs if _ends(pair) not in before]
    DuplicateCandidate.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def _ends(pair: DuplicateCandidate) -> tuple[int, int]:
    return getattr(pair, f"{pair.target}_a_id"), getattr(pair, f"{pair.target}_b_id")


def _known(target: str, pairs: Iterable[DuplicateCandidate]) -> set[tuple[int, int]]:
    ends = [_ends(pair) for pair in pairs]
    a, b = f"{target}_a_id", f"{target}_b_id"
    rows = DuplicateCandidate.objects.filter(
        target=target, **{f"{a}__in": [one for one, _two in ends], f"{b}__in": [two for _one, two in ends]}
    )
    return set(rows.values_list(a, b))


# --- the sweep ----------------------------------------------------------------------------------------------
def sweep_duplicates(*, limit: int = SLICE) -> tuple[int, int]:
    """Look at the next `limit` records of this sweep: those that have changed since the last one began.
    Returns (records looked at, new pairs); (0, 0) when the sweep is through.

    Records are walked by their ids, so a sweep reads each table once and needs no index of times. The place
    lies in Heartbeat: a sweep that was stopped goes on there; two at once only look twice.
    """
    progress, _made = Heartbeat.objects.get_or_create(name=SWEEP)
    info = progress.info
    if not info.get("began"):
        info = {"since": info.get("since", EPOCH), "began": clock.now().isoformat(), "last": {}}
    for target, kind in KINDS.items():
        last = info["last"].get(target, 0)
        if last is None:
            continue  # through
        changed: Any = kind.model._default_manager.live()  # type: ignore[attr-defined]
        since = datetime.fromisoformat(info["since"])
        rows = list(changed.filter(pk__gt=last, updated_at__gte=since).order_by("pk")[:limit])
        info["last"][target] = rows[-1].pk if rows else None
        if rows:
            new = sum(note_duplicates_of(row) for row in rows)
            _remember(info)
            return len(rows), new
    _remember({"since": info["began"], "began": "", "last": {}})
    return 0, 0


def _remember(info: dict[str, Any]) -> None:
    Heartbeat.objects.filter(name=SWEEP).update(info=info, at=clock.now())


# --- deciding -----------------------------------------------------------------------------------------------
@transaction.atomic
def dismiss_candidate(candidate_id: int, *, by: Actor) -> DuplicateCandidate:
    """These two are not the same; they are not offered again.

    Raises DuplicateCandidate.DoesNotExist, PermissionRefused, TransitionRefused when it is decided.
    """
    candidate = _open_candidate(candidate_id, by=by)
    candidate.state, candidate.decided_by, candidate.decided_at = (
        CandidateState.DISMISSED,
        by.user,
        clock.now(),
    )
    candidate.save_changed("state", "decided_by", "decided_at")
    return candidate


@transaction.atomic
def merge_candidate(
    candidate_id: int, *, by: Actor, winner: str = "a", values: dict[str, Any] | None = None
) -> MergeLog:
    """Make one of the pair; `winner` is "a" (the older) or "b". Raises as `merge_leads` and
    `dismiss_candidate` do.
    """
    if winner not in {"a", "b"}:
        raise InvalidValue(_("Choose which of the two stays: a or b."), field="winner")
    candidate = DuplicateCandidate.objects.get(pk=candidate_id)
    if candidate.state != CandidateState.OPEN:
        raise TransitionRefused(_("This pair is decided already."))
    a, b = _ends(candidate)
    pair = (a, b) if winner == "a" else (b, a)
    return _MERGE[candidate.target](*pair, by=by, values=values, reason="; ".join(candidate.reasons)[:300])


def _open_candidate(candidate_id: int, *, by: Actor) -> DuplicateCandidate:
    candidate = DuplicateCandidate.objects.select_for_update(of=("self",)).get(pk=candidate_id)
    for side in ("a", "b"):
        record = getattr(candidate, f"{candidate.target}_{side}")
        if not may(by, Verb.SEE, record):
            raise DuplicateCandidate.DoesNotExist
        require(by, Verb.MERGE, record)
    if candidate.state != CandidateState.OPEN:
        raise TransitionRefused(_("This pair is decided already."))
    return candidate
