"""Acts that people do to one record or to thousands, by the same code.

Such an act is a function that holds its rules: it changes a locked record in memory and says so with a Step,
or refuses. `take` writes any number of steps with a fixed number of statements. The action for one record is
one step; a bulk act locks some hundred records and takes their steps together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from django.apps import apps
from django.db import connection, models
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from crm import clock, events
from crm.actions.base import (
    UNDO_WINDOW,
    Subject,
    line_of,
    moved_on,
    record_for_change,
    refuse_if_over,
    undo_of,
    undoable,
)
from crm.errors import CRMError
from crm.models import Actor, Opportunity, TeamMember, TimelineEvent, Undo, User
from crm.permissions import Verb, require

Row = TypeVar("Row", bound=models.Model)
GONE = gettext_lazy("Gone, or no longer yours to see.")


@dataclass(slots=True)
class Step:
    """What an act does to one record, not written yet. The record holds its new values already."""

    record: Any
    fields: tuple[str, ...]  # of the record, to save
    kind: str  # of the line in the story
    summary: str
    label: str = ""  # of the undo
    undo: str = ""  # name of the undo; empty: none is offered
    before: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # of the line in the story
    story: Sequence[Subject] = ()  # in whose stories it is read; empty: the record's
    added: Sequence[models.Model] = ()  # rows to insert
    gone: Sequence[models.Model] = ()  # rows to delete
    happened: Sequence[object] = ()


@dataclass(slots=True)
class Taken:
    """What came of many, by their keys: the offer to undo it, nothing to do, or why it was refused."""

    done: dict[int, Undo | None] = field(default_factory=dict)
    same: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)


Decide = Callable[[Any], Step | None]  # the locked record -> its step, None when nothing is to be done
TakeBack = Callable[[Undo, Any, Actor, Any], Step | None]  # (offer, locked record, by, what was prepared)
Prepare = Callable[[Sequence[Undo], Sequence[int]], Any]  # what the ways back of these records share
Hold = Callable[[Sequence[int]], None]  # locks what comes before records of these keys


def take(steps: Iterable[Step | None], *, by: Actor, window: timedelta = UNDO_WINDOW) -> None:
    """Write the steps; None is a record that is as it should be already. The records are locked.

    Offers their undo for so long, and publishes what happened.
    """
    taken = [step for step in steps if step is not None]
    if not taken:
        return
    _insert(row for step in taken for row in step.added)
    _delete(row for step in taken for row in step.gone)
    lines = [
        line_of(step.story or [step.record], step.kind, step.summary, by=by, data=step.data) for step in taken
    ]
    for step in taken:
        if isinstance(step.record, Opportunity):  # `line_of` noted the time
            step.fields = (*step.fields, "last_event_at")
    _store(taken)
    TimelineEvent.objects.bulk_create(lines)
    offers = [_offer(step, by, window) for step in taken if step.undo and by.user is not None]
    Undo.objects.bulk_create(offers)
    told: dict[type, list[object]] = defaultdict(list)
    for step in taken:
        for event in step.happened:
            told[type(event)].append(event)
    for happened in told.values():
        events.publish_all(happened)


def _insert(rows: Iterable[models.Model]) -> None:
    for model, of_model in _by_model(rows).items():
        model._default_manager.bulk_create(of_model)


def _delete(rows: Iterable[models.Model]) -> None:
    for model, of_model in _by_model(rows).items():
        model._default_manager.filter(pk__in=[row.pk for row in of_model]).delete()


def _by_model(rows: Iterable[Row]) -> dict[type[Row], list[Row]]:
    found: dict[type[Row], list[Row]] = defaultdict(list)
    for row in rows:
        found[type(row)].append(row)
    return found


def _store(steps: Sequence[Step]) -> None:
    """Save the records with their next versions: one by itself, more in one statement."""
    if len(steps) == 1:
        steps[0].record.save_changed(*steps[0].fields)
        return
    records = [step.record for step in steps]
    for record in records:
        record.version += 1
        record.updated_at = clock.now()
    names = dict.fromkeys(name for step in steps for name in step.fields)
    write_rows(records, [*names, "version", "updated_at"])


def write_rows(records: Sequence[models.Model], names: Sequence[str]) -> None:
    """UPDATE these fields of records of one model to what they are in memory, in one statement.

    Some ten times quicker than `bulk_update`, whose CASE for each field and row is long to plan.
    """
    meta = records[0]._meta
    fields: list[Any] = [meta.pk, *(meta.get_field(name) for name in names)]
    columns = [connection.ops.quote_name(one.column) for one in fields]
    arrays = ", ".join(f"%s::{one.cast_db_type(connection)}[]" for one in fields)
    statement = (
        f"UPDATE {meta.db_table} SET "  # noqa: S608 names of our own
        + ", ".join(f"{column} = new.{column}" for column in columns[1:])
        + f" FROM unnest({arrays}) AS new ({', '.join(columns)})"
        + f" WHERE {meta.db_table}.{columns[0]} = new.{columns[0]}"
    )
    values = [
        [one.get_db_prep_save(getattr(record, one.attname), connection) for record in records]
        for one in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _offer(step: Step, by: Actor, window: timedelta) -> Undo:
    rows = [step.record]
    return undo_of(step.undo, by=by, label=step.label, before=step.before, rows=rows, window=window)


class Memberships:
    """Who is in which teams (keys, oldest first), asked once a person."""

    def __init__(self) -> None:
        self._known: dict[int, list[int]] = {}

    def of(self, user: User | None) -> list[int]:
        if user is None:
            return []
        if user.pk not in self._known:
            teams = TeamMember.objects.filter(user=user).order_by("team").values_list("team", flat=True)
            self._known[user.pk] = list(teams)
        return self._known[user.pk]


def act_on_many(
    records: QuerySet[Any],
    keys: Sequence[int],
    decide: Decide,
    *,
    by: Actor,
    verb: Verb = Verb.EDIT,
    window: timedelta = UNDO_WINDOW,
    hold: Hold | None = None,
) -> Taken:
    """Lock these records, decide for each, and take the steps together. What `by` may not see is refused as
    gone. `hold` locks what comes before the records.
    """
    if hold:
        hold(keys)
    taken, steps = Taken(refused=dict.fromkeys(keys, str(GONE))), []
    teams = Memberships().of(by.user)
    visible = records.visible_to(by).filter(pk__in=keys)  # type: ignore[attr-defined]
    for record in visible.order_by("pk").select_for_update(of=("self",)):
        try:
            require(by, verb, record, teams=teams)
            step = decide(record)
        except CRMError as refused:
            taken.refused[record.pk] = str(refused)
            continue
        del taken.refused[record.pk]
        if step is None:
            taken.same.add(record.pk)
        else:
            steps.append(step)
    take(steps, by=by, window=window)
    taken.done = {step.record.pk: step.record.undo_offer for step in steps}
    return taken


@dataclass(frozen=True, slots=True)
class _WayBack:
    step: TakeBack
    verb: Verb | None
    related: tuple[str, ...]
    hold: Hold | None
    prepare: Prepare | None


_ways_back: dict[str, _WayBack] = {}


def undoable_step(
    *actions: str,
    verb: Verb | None = Verb.EDIT,
    related: tuple[str, ...] = (),
    hold: Hold | None = None,
    prepare: Prepare | None = None,
) -> Callable[[TakeBack], TakeBack]:
    """Register how acts on one record are taken back, for one as for many.

    `verb` None: whoever did it may, also when the record has gone out of their sight by it. `related` is read
    with the records, `hold` locks what comes before them, and what `prepare` returns is handed to each step.
    """

    def register(step: TakeBack) -> TakeBack:
        def undo_one(row: Undo, by: Actor) -> None:
            record = record_for_change(
                _model(row), _key(row), by=by if verb else Actor.system(), verb=verb or Verb.EDIT
            )
            given = prepare([row], [record.pk]) if prepare else None
            take([_without_undo(step(row, record, by, given))], by=by)

        for action in actions:
            _ways_back[action] = _WayBack(step, verb, related, hold, prepare)
            undoable(action)(undo_one)
        return step

    return register


def undo_many(action: str, offers: Sequence[int], *, by: Actor) -> Taken:
    """`undo` for offers (by key) that one act on many made. Of each: done, or why it stays as it is."""
    way = _ways_back[action]
    rows = list(Undo.objects.select_for_update().filter(pk__in=offers, by=by.user, action=action))
    taken = Taken(refused=dict.fromkeys(offers, str(GONE)))
    if not rows:
        return taken
    everything = _model(rows[0])._default_manager.select_related(*way.related)
    keys = {row.pk: _key(row) for row in rows}
    if way.hold:
        way.hold(list(keys.values()))
    locked = everything.filter(pk__in=keys.values()).order_by("pk").select_for_update(of=("self",))
    records = {record.pk: record for record in locked}
    visible = everything.visible_to(by if way.verb else Actor.system()).filter(pk__in=records)
    seen, teams = set(visible.values_list("pk", flat=True)), Memberships().of(by.user)
    given = way.prepare(rows, list(records)) if way.prepare else None
    steps = []
    for row in rows:
        record = records.get(keys[row.pk])
        try:
            refuse_if_over(row)
            if record is None or record.version != _version(row):
                raise moved_on(str(record or keys[row.pk]))
            if record.pk not in seen:
                continue
            if way.verb:
                require(by, way.verb, record, teams=teams)
            steps.append(_without_undo(way.step(row, record, by, given)))
        except CRMError as refused:
            taken.refused[row.pk] = str(refused)
            continue
        del taken.refused[row.pk]
        taken.done[row.pk] = None
    take(steps, by=by)
    Undo.objects.filter(pk__in=taken.done).update(undone_at=clock.now())
    return taken


def _without_undo(step: Step | None) -> Step | None:
    if step is not None:
        step.undo = ""
    return step


def _model(row: Undo) -> Any:
    return apps.get_model(next(iter(row.versions)))


def _key(row: Undo) -> int:
    """The key of the one record that the act changed."""
    return int(next(iter(next(iter(row.versions.values())))))


def _version(row: Undo) -> int:
    return next(iter(next(iter(row.versions.values())).values()))
