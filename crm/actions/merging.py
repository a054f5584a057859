"""Two records of one person or organisation become one: the winner keeps all that hung on either.

The loser stays in its table as it was, with `merged_into` set, out of every list. MergeLog holds what it
takes to undo the merge for UNDO_FOR (crm.actions.unmerging).
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, offer_undo, tell
from crm.actions.card_search import find_cards_anew
from crm.actions.identity import identify, lock_identities
from crm.actions.maintenance import maintenance
from crm.actions.merge_relations import Handover, inventory, row_of
from crm.actions.merge_values import ACCOUNTS, CONTACTS, LEADS, LOSER, POINTS, Mergeable
from crm.errors import InvalidValue, TransitionRefused
from crm.models import Actor, KeyKind, Lead, LeadStatusChange, MatchKey, MergeLog
from crm.permissions import Verb, may, require

UNDO_FOR = timedelta(days=7)
WRITTEN_HERE = frozenset(  # tables in which a merge leaves rows of its own; undo takes these away
    ("crm.timelineevent", "crm.leadstatuschange", "crm.score", "crm.matchkey")
)


def merge_leads(
    winner_id: int,
    loser_id: int,
    *,
    by: Actor,
    values: Mapping[str, Any] | None = None,
    reason: str = "",
    versions: Mapping[str, int] | None = None,
    lock_keys: bool = True,
) -> MergeLog:
    """Make one lead of two. `values` chooses by field: "winner", "loser", or a new value; what is not chosen
    is the winner's, or the loser's where the winner has none. `versions`: {"winner": 3, "loser": 1}, what the
    caller saw.

    A converted lead merges only with a converted one, and an open lead only into an open one, so that no work
    vanishes. A caller that holds row locks already (intake) passes `lock_keys=False`, because key locks come
    before rows.

    Raises Lead.DoesNotExist, PermissionRefused (both must be editable), InvalidValue naming the field,
    VersionConflict, TransitionRefused (merged or deleted already, or as above). Publishes LeadChanged for
    both and LeadFactsChanged. Undoable for seven days.
    """
    return _merge(LEADS, winner_id, loser_id, by, values, reason, versions, lock_keys)


def merge_contacts(
    winner_id: int,
    loser_id: int,
    *,
    by: Actor,
    values: Mapping[str, Any] | None = None,
    reason: str = "",
    versions: Mapping[str, int] | None = None,
    lock_keys: bool = True,
) -> MergeLog:
    """Make one contact of two. As `merge_leads`, without its rules about states."""
    return _merge(CONTACTS, winner_id, loser_id, by, values, reason, versions, lock_keys)


def merge_accounts(
    winner_id: int,
    loser_id: int,
    *,
    by: Actor,
    values: Mapping[str, Any] | None = None,
    reason: str = "",
    versions: Mapping[str, int] | None = None,
    lock_keys: bool = True,
) -> MergeLog:
    """Make one account of two. As `merge_leads`, without its rules about states."""
    return _merge(ACCOUNTS, winner_id, loser_id, by, values, reason, versions, lock_keys)


@transaction.atomic
def _merge(
    kind: Mergeable,
    winner_id: int,
    loser_id: int,
    by: Actor,
    values: Mapping[str, Any] | None,
    reason: str,
    versions: Mapping[str, int] | None,
    lock_keys: bool,
) -> MergeLog:
    values, reason = dict(values or {}), checked_reason(reason)
    if winner_id == loser_id:
        raise InvalidValue(_("Choose two different records."), field="loser")
    if lock_keys:
        lock_identities(keys_of(kind, [winner_id, loser_id]))
    winner, loser = locked_pair(kind, winner_id, loser_id, by=by)
    for side, record in (("winner", winner), ("loser", loser)):
        check_version(record, (versions or {}).get(side))
    changes = kind.chosen(winner, loser, values)
    before, loser_row = row_of(kind.model, winner_id), row_of(kind.model, loser_id)
    keys = {"winner": keys_of(kind, [winner_id]), "loser": keys_of(kind, [loser_id])}
    known = inventory(kind.model, winner_id)
    handover = Handover(kind.target.value, kind.model, winner_id, loser_id)
    words = _("merged “%(loser)s” into “%(winner)s”") % {"loser": loser, "winner": winner}
    with maintenance("merge", f"Merged two {kind.target.label}", by=by, target=winner):
        for point in POINTS:
            if values.get(point) == LOSER:
                handover.prefer(point)
        handover.run()
        handover.settle_candidates(decided_by=by.user and by.user.pk, at=clock.now())
    _write(winner, changes, by=by)
    loser.merged_into = winner
    loser.save_changed("merged_into")
    find_cards_anew(winner)
    tell(winner, f"{kind.target.value}.merged", words, by=by, merged=str(loser.public_id), reason=reason)
    _publish(winner, loser, changes)
    log = MergeLog.objects.create(
        target=kind.target,
        **{f"winner_{kind.target.value}": winner, f"loser_{kind.target.value}": loser},
        **_difference(before, row_of(kind.model, winner_id)),
        loser=loser_row,
        moved=handover.moved,
        removed=handover.removed,
        altered=handover.altered,
        created=_created(inventory(kind.model, winner_id), known, handover.moved),
        keys=keys,
        winner_version=winner.version,
        loser_version=loser.version,
        actor_kind=by.kind,
        by=by.user,
        reason=reason,
        expires_at=clock.now() + UNDO_FOR,
    )
    offer_undo("merge", by=by, label=words, before={"merge": log.pk}, rows=[], window=UNDO_FOR)
    return log


def keys_of(kind: Mergeable, ids: Iterable[int]) -> list[tuple[str, str]]:
    """The match keys of these records."""
    rows = MatchKey.objects.filter(**{f"{kind.target.value}__in": list(ids)}).order_by("pk")
    return list(rows.values_list("kind", "value"))


def locked_pair(kind: Mergeable, winner_id: int, loser_id: int, *, by: Actor) -> tuple[Any, Any]:
    """(winner, loser), locked in the order of their ids, fit to be merged by this actor.

    Raises the model's DoesNotExist, PermissionRefused, TransitionRefused.
    """
    rows = kind.model._default_manager.filter(pk__in=[winner_id, loser_id]).order_by("pk")
    found = {record.pk: record for record in rows.select_for_update(of=("self",))}
    for record_id in (winner_id, loser_id):
        record: Any = found.get(record_id)
        if record is None or not may(by, Verb.SEE, record):
            raise kind.model.DoesNotExist  # type: ignore[attr-defined]
        require(by, Verb.MERGE, record)
        if record.merged_into_id:
            raise TransitionRefused(
                _("“%(loser)s” is merged into “%(winner)s” already.")
                % {"loser": record, "winner": record.merged_into}
            )
        if record.deleted_at:
            raise TransitionRefused(_("“%s” is deleted; restore it first.") % record)
    return found[winner_id], found[loser_id]


def checked_reason(reason: str) -> str:
    """One line of at most 300 characters. Raises InvalidValue."""
    if "\0" in reason:
        raise InvalidValue(_("This text holds characters that cannot be stored."), field="reason")
    reason = " ".join(reason.split())
    if len(reason) > 300:
        raise InvalidValue(_("Use at most 300 characters."), field="reason")
    return reason


def _write(winner: Any, changes: dict[str, Any], *, by: Actor) -> None:
    """Store the chosen values; a changed status and a new name leave their marks as in any other act."""
    old_status = getattr(winner, "status", "")
    since = getattr(winner, "status_changed_at", None)
    for name, value in changes.items():
        setattr(winner, name, value)
    winner.save_changed(*(name.removesuffix("_id") for name in changes))
    if "status" in changes and since is not None:
        LeadStatusChange.objects.create(
            lead=winner,
            from_status=old_status,
            to_status=winner.status,
            at=clock.now(),
            actor_kind=by.kind,
            by=by.user,
            seconds_in_from=max(0, int((clock.now() - since).total_seconds())),
        )
    if isinstance(winner, Lead) and {"name", "company"} & set(changes):
        keys = identify(name=winner.name, company=winner.company).keys
        MatchKey.objects.bulk_create(
            [
                MatchKey(lead=winner, kind=kind, value=value)
                for kind, value in keys
                if kind == KeyKind.NAME_COMPANY
            ],
            ignore_conflicts=True,
        )


def _publish(winner: Model, loser: Model, changes: Mapping[str, Any]) -> None:
    if isinstance(winner, Lead):
        events.publish(events.LeadChanged(winner.pk, fields=tuple(sorted(changes))))
        events.publish(events.LeadChanged(loser.pk, fields=("merged_into",)))
        events.publish(events.LeadFactsChanged(winner.pk))


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The winner's columns that the merge changed, as they were and as they are; undo puts them back."""
    changed = [
        name for name in before if before[name] != after[name] and name not in {"version", "updated_at"}
    ]
    return {
        "winner_before": {name: before[name] for name in changed},
        "winner_after": {name: after[name] for name in changed},
    }


def _created(
    now: Mapping[str, set[int]], before: Mapping[str, set[int]], moved: Mapping[str, Mapping[str, list[int]]]
) -> dict[str, list[int]]:
    """Rows of the winner that neither had before: the line of the story, the score by rules."""
    found: dict[str, list[int]] = {}
    for path, ids in now.items():
        label, _dot, name = path.rpartition(".")
        new = ids - before.get(path, set()) - set(moved.get(label, {}).get(name, ()))
        if new and label in WRITTEN_HERE:
            found[label] = sorted(new)
    return found
