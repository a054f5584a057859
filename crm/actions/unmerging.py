"""Taking a merge back, within seven days: two records again, each with what it had.

What came after the merge stays with the winner, because nobody can say whose it is; `preview_undo_merge`
names it before, the result after.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection, models, transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import undoable
from crm.actions.card_search import find_cards_anew
from crm.actions.identity import lock_identities
from crm.actions.maintenance import maintenance
from crm.actions.merge_relations import MARKS, move_rows, moved_relations, relations, row_of
from crm.actions.merge_values import KINDS, Mergeable
from crm.actions.merging import keys_of
from crm.errors import UndoRefused
from crm.models import Actor, Lead, MatchKey, MergeLog, Score, Undo
from crm.permissions import Verb, may, require


@dataclass(frozen=True, slots=True)
class Unmerge:
    """What undoing a merge does, or did. `kept` are sentences: what stays with the winner."""

    log: MergeLog
    winner: Any
    loser: Any
    kept: list[str] = field(default_factory=list)


def preview_undo_merge(merge: int | UUID | str, *, by: Actor) -> Unmerge:
    """What undoing would keep; nothing is written.

    Raises MergeLog.DoesNotExist, PermissionRefused, UndoRefused naming why.
    """
    with transaction.atomic():
        log = find_merge(merge)
        kind = KINDS[log.target]
        winner, loser = _pair(kind, log, by=by, lock=False)
        _check(kind, log, winner, loser)
        return Unmerge(log, winner, loser, _kept(kind, log, winner))


@transaction.atomic
def undo_merge(merge: int | UUID | str, *, by: Actor) -> Unmerge:
    """Make two records of one again: every row goes back to where it was, dropped rows return, the winner
    gets its values back but for those that were edited since.

    Raises MergeLog.DoesNotExist (also for who may not see the winner), PermissionRefused, UndoRefused when
    the time is over, it was undone, or either was merged again. Publishes LeadChanged for both leads, and
    LeadFactsChanged for the winner when something of later stays with it.
    """
    log = find_merge(merge)
    kind = KINDS[log.target]
    winner_id, loser_id = _ids(log)
    lock_identities([*keys_of(kind, [winner_id, loser_id]), *_keys(log, "winner"), *_keys(log, "loser")])
    winner, loser = _pair(kind, log, by=by, lock=True)
    log = MergeLog.objects.select_for_update(of=("self",)).get(pk=log.pk)
    _check(kind, log, winner, loser)
    kept = _kept(kind, log, winner)
    with maintenance("undo", f"Took a merge of {kind.target.label} back", by=by, target=winner):
        _take_back(kind, log, winner_id, loser_id)
    _restore_values(kind, log, winner_id)
    winner.refresh_from_db()
    winner.save_changed()
    loser.merged_into = None
    loser.save_changed("merged_into")
    find_cards_anew(winner, loser)
    log.undone_at, log.undone_by = clock.now(), by.user
    log.save(update_fields=["undone_at", "undone_by", "updated_at"])
    if isinstance(winner, Lead):
        for lead in (winner, loser):
            events.publish(events.LeadChanged(lead.pk, fields=("merged_into",)))
        if kept:  # else both are what they were, scores included
            events.publish(events.LeadFactsChanged(winner.pk))
    return Unmerge(log, winner, loser, kept)


@undoable("merge")
def _undo_by_offer(row: Undo, by: Actor) -> None:
    undo_merge(row.before["merge"], by=by)


def find_merge(merge: int | UUID | str) -> MergeLog:
    """By key or by public id. Raises MergeLog.DoesNotExist."""
    if isinstance(merge, int):
        return MergeLog.objects.get(pk=merge)
    try:
        return MergeLog.objects.get(public_id=UUID(str(merge)))
    except ValueError:
        raise MergeLog.DoesNotExist from None


def _ids(log: MergeLog) -> tuple[int, int]:
    return getattr(log, f"winner_{log.target}_id"), getattr(log, f"loser_{log.target}_id")


def _keys(log: MergeLog, side: str) -> list[tuple[str, str]]:
    return [(kind, value) for kind, value in log.keys.get(side, ())]


def _pair(kind: Mergeable, log: MergeLog, *, by: Actor, lock: bool) -> tuple[Any, Any]:
    winner_id, loser_id = _ids(log)
    rows = kind.model._default_manager.filter(pk__in=[winner_id, loser_id]).order_by("pk")
    found: dict[int, Any] = {
        record.pk: record for record in (rows.select_for_update(of=("self",)) if lock else rows)
    }
    for record_id in (winner_id, loser_id):
        if record_id not in found or not may(by, Verb.SEE, found[record_id]):
            raise MergeLog.DoesNotExist
        require(by, Verb.MERGE, found[record_id])
    if log.by_id and (by.user is None or log.by_id != by.user.pk):
        require(by, Verb.UNDO_OTHERS)
    return found[winner_id], found[loser_id]


def _check(kind: Mergeable, log: MergeLog, winner: Any, loser: Any) -> None:
    """Raises UndoRefused with the reason."""
    if log.undone_at:
        raise UndoRefused(_("This merge was undone already."))
    if log.expires_at < clock.now():
        raise UndoRefused(_("The time to undo this merge is over: it was seven days."))
    if winner.merged_into_id:
        raise UndoRefused(
            _("“%(one)s” was itself merged into “%(other)s”; undo that first.")
            % {"one": winner, "other": winner.merged_into}
        )
    if loser.merged_into_id != winner.pk:
        raise UndoRefused(_("“%s” is no longer part of this record.") % loser)
    target = kind.target.value
    later = MergeLog.objects.filter(
        **{f"winner_{target}": winner}, undone_at=None, pk__gt=log.pk
    ).select_related(f"loser_{target}")
    newest = later.order_by("-pk").first()
    if newest:
        raise UndoRefused(
            _("“%s” was merged into the same record later; undo that first.")
            % getattr(newest, f"loser_{target}")
        )


# --- what stays ---------------------------------------------------------------------------------------------
def _kept(kind: Mergeable, log: MergeLog, winner: Any) -> list[str]:
    """Sentences: fields edited since, and rows that came since, by kind with their number."""
    edited = [
        str(getattr(kind.model._meta.get_field(name), "verbose_name", name))
        for name in _edited_since(kind, log, winner.pk)
        if name not in {"search_text", "score", "score_source"}  # they follow from the rest
    ]
    sentences = [_("changed since, so it stays: %s") % name for name in edited]
    for relation in moved_relations(kind.model):
        fields = {one.name for one in relation.model._meta.get_fields()}
        if "created_at" not in fields:
            continue
        rows = relation.model._default_manager.filter(
            **{relation.name: winner.pk}, created_at__gt=log.created_at
        ).exclude(pk__in=log.created.get(relation.label, ()))
        moved = log.moved.get(relation.label, {}).get(relation.name, ())
        count = rows.exclude(pk__in=moved).count()
        if count:
            name = (
                relation.model._meta.verbose_name if count == 1 else relation.model._meta.verbose_name_plural
            )
            sentences.append(
                _("came since, so it stays: %(count)s %(what)s") % {"count": count, "what": name}
            )
    return sentences


def _edited_since(kind: Mergeable, log: MergeLog, winner_id: int) -> list[str]:
    """The winner's columns that the merge changed and that have changed again."""
    now = row_of(kind.model, winner_id)
    return [name for name, value in log.winner_after.items() if now.get(name) != value]


# --- taking back --------------------------------------------------------------------------------------------
def _take_back(kind: Mergeable, log: MergeLog, winner_id: int, loser_id: int) -> None:
    _remove_own_rows(log)
    for relation in moved_relations(kind.model):
        ids = log.moved.get(relation.label, {}).get(relation.name)
        if ids:
            move_rows(relation, ids, loser_id, only_from=winner_id)
    for label, rows in log.removed.items():
        _insert_again(apps.get_model(label), rows)
    for label, values in log.altered.items():
        _restore_marks(kind, label, values)
    _restore_keys(kind, log, winner_id, loser_id)


def _remove_own_rows(log: MergeLog) -> None:
    """What the merge wrote: its line of the story, its score. A score that was graded since stays."""
    for label, ids in log.created.items():
        rows = apps.get_model(label)._default_manager.filter(pk__in=ids)
        if label == "crm.score":
            rows = rows.filter(outcomes=None, overrides=None)
        rows.delete()


def _insert_again(model: type[models.Model], rows: Iterable[Mapping[str, Any]]) -> None:
    """Put dropped rows back as they were, ids included."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"  # noqa: S608
            " ON CONFLICT DO NOTHING",
            [json.dumps(list(rows))],
        )


def _restore_marks(kind: Mergeable, label: str, values: Mapping[str, Mapping[str, Any]]) -> None:
    """Give rows back what the merge took: a mark only where no later row carries it."""
    model = apps.get_model(label)
    mark = MARKS.get(label, "")
    owner = next((one.name for one in relations(kind.model) if one.label == label), "")
    for row in model._default_manager.filter(pk__in=[int(key) for key in values]).order_by(
        *_unmarked_first(mark)
    ):
        wanted = values[str(row.pk)]
        sets_mark = mark and wanted.get(mark) not in (None, False, getattr(row, mark))
        if sets_mark and _is_taken(model, row, owner, mark, wanted[mark]):
            continue
        changes = {name: model._meta.get_field(name).to_python(value) for name, value in wanted.items()}
        model._default_manager.filter(pk=row.pk).update(**changes)


def _unmarked_first(mark: str) -> tuple[str, ...]:
    return (f"-{mark}", "pk") if mark else ("pk",)


def _is_taken(model: type[models.Model], row: Any, owner: str, mark: str, value: Any) -> bool:
    same = {owner: getattr(row, f"{owner}_id"), mark: value}
    if hasattr(row, "kind"):
        same["kind"] = row.kind
    return model._default_manager.filter(**same).exclude(pk=row.pk).exists()


def _restore_keys(kind: Mergeable, log: MergeLog, winner_id: int, loser_id: int) -> None:
    """Match keys are rebuilt when a record is edited: those of the loser that went with such an edit come
    back, and leave the winner, unless they were its own.
    """
    target = kind.target.value
    have = set(keys_of(kind, [loser_id]))
    gone = [key for key in _keys(log, "loser") if key not in have]
    MatchKey.objects.bulk_create(
        [MatchKey(**{f"{target}_id": loser_id}, kind=kind_, value=value) for kind_, value in gone],
        ignore_conflicts=True,
    )
    theirs = set(_keys(log, "winner"))
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind_, value in gone:
        if (kind_, value) not in theirs:
            by_kind[kind_].append(value)
    for kind_, taken in by_kind.items():
        MatchKey.objects.filter(**{target: winner_id}, kind=kind_, value__in=taken).delete()


def _restore_values(kind: Mergeable, log: MergeLog, winner_id: int) -> None:
    """Set the winner's columns back, but for those edited since. One statement."""
    edited = set(_edited_since(kind, log, winner_id))
    if (
        kind.model is Lead
        and Score.objects.filter(lead=winner_id, is_current=True, created_at__gt=log.created_at).exists()
    ):
        edited |= {"score", "score_source"}  # judged again since
    values = {name: value for name, value in log.winner_before.items() if name not in edited}
    if not values:
        return
    table = kind.model._meta.db_table
    columns = ", ".join(f"{name} = old.{name}" for name in map(connection.ops.quote_name, values))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} AS now SET {columns}"  # noqa: S608
            f" FROM jsonb_populate_record(NULL::{table}, %s::jsonb) AS old WHERE now.id = %s",
            [json.dumps(values), winner_id],
        )
