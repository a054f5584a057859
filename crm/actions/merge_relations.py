"""What hangs on a lead, contact or account, read from the models themselves, and how it changes hands.

Every foreign key that points at one of the three is a `Relation`. It is moved, unless KEPT names it with the
reason. Where a row of the loser would clash with one of the winner's, the loser's is dropped (LIKES) or loses
its mark (`settle_marks`); the merge remembers both, so that undo can put them back.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from crm.models import (
    CandidateState,
    ContactPoint,
    DuplicateCandidate,
    Enrollment,
    EnrollmentState,
    Score,
)

_LOG = "the log of the merge itself"
_PAIR = "rewritten or closed pair by pair: settle_candidates"
KEPT: dict[str, str] = {
    **{
        f"crm.mergelog.{side}_{kind}": _LOG
        for side in ("winner", "loser")
        for kind in ("lead", "contact", "account")
    },
    **{
        f"crm.duplicatecandidate.{kind}_{side}": _PAIR
        for side in "ab"
        for kind in ("lead", "contact", "account")
    },
}
LIKES: dict[str, tuple[str, ...]] = {  # of two rows that agree in these, the winner's stays
    "crm.contactpoint": ("kind", "norm"),
    "crm.matchkey": ("kind", "value"),
    "crm.tagging": ("tag_id",),
}
# Unique among the rows of one owner only while a mark is set; `settle_marks` takes the loser's marks away.
MARKS = {"crm.contactpoint": "is_primary", "crm.score": "is_current", "crm.enrollment": "state"}


@dataclass(frozen=True, slots=True)
class Relation:
    """A foreign key that points at a lead, contact or account."""

    model: type[models.Model]
    name: str

    @property
    def label(self) -> str:
        return self.model._meta.label_lower

    @property
    def path(self) -> str:
        return f"{self.label}.{self.name}"

    @property
    def column(self) -> str:
        return str(self.model._meta.get_field(self.name).column)  # type: ignore[union-attr]


@cache
def relations(model: type[models.Model]) -> tuple[Relation, ...]:
    """Every foreign key to this model, in the order of tables, which is the order of locks.

    Tables of field history are left out: they hold what a row said at a time, and that stays true.
    """
    found = {
        Relation(relation.related_model, relation.field.name)  # type: ignore[arg-type, union-attr]
        for relation in model._meta.get_fields(include_hidden=True)
        if relation.auto_created
        and not relation.concrete
        and not relation.related_model._meta.proxy  # type: ignore[union-attr]
        and not hasattr(relation.related_model, "pgh_tracked_model")
    }
    return tuple(sorted(found, key=lambda one: (one.model._meta.db_table, one.name)))


def moved_relations(model: type[models.Model]) -> list[Relation]:
    return [relation for relation in relations(model) if relation.path not in KEPT]


def inventory(model: type[models.Model], record_id: int) -> dict[str, set[int]]:
    """Ids of all rows that point at a record, by relation. One query."""
    quote = connection.ops.quote_name
    parts = [
        f"SELECT '{one.path}', id FROM {quote(one.model._meta.db_table)}"  # noqa: S608
        f" WHERE {quote(one.column)} = %(id)s"
        for one in moved_relations(model)
    ]
    found: dict[str, set[int]] = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), {"id": record_id})
        for path, row_id in cursor:
            found[path].add(row_id)
    return found


def row_of(model: type[models.Model], record_id: int) -> dict[str, Any]:
    """A row as it lies in the table: every column, times to the microsecond."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT to_jsonb(old)::text FROM {model._meta.db_table} AS old WHERE id = %s",  # noqa: S608
            [record_id],
        )
        return json.loads(cursor.fetchone()[0])


@dataclass(slots=True)
class Handover:
    """Moves what hangs on the loser to the winner, and remembers how to take it back.

    The caller holds both records' locks and has declared maintenance.
    """

    kind: str  # lead, contact or account
    model: type[models.Model]
    winner_id: int
    loser_id: int
    moved: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    removed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    altered: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def run(self) -> None:
        for label, like in LIKES.items():
            self._drop_likes(label, like)
        self._settle_marks()
        self._move(inventory(self.model, self.loser_id))

    def prefer(self, point_kind: str) -> None:
        """Make the loser's primary address or number of this kind the one to use."""
        points = ContactPoint.objects.filter(kind=point_kind)
        chosen = points.filter(**{self.kind: self.loser_id}, is_primary=True).first()
        if chosen is None:
            return
        self.alter(points.filter(**{self.kind: self.winner_id}, is_primary=True), is_primary=False)
        like = points.filter(**{self.kind: self.winner_id}, norm=chosen.norm)
        self.alter(like, is_primary=True)

    def alter(self, rows: QuerySet, **changes: Any) -> None:
        """Change columns of some rows; what they held before is remembered the first time."""
        label, ids = rows.model._meta.label_lower, []
        for row in list(rows.values("pk", *changes)):
            ids.append(row.pop("pk"))
            was = self.altered.setdefault(label, {}).setdefault(str(ids[-1]), {})
            for name, value in row.items():
                was.setdefault(name, json.loads(json.dumps(value, cls=DjangoJSONEncoder)))
        rows.model._default_manager.filter(pk__in=ids).update(**changes)

    def remove(self, rows: QuerySet) -> None:
        """Delete rows, whole copies of which are kept."""
        for row_id in list(rows.values_list("pk", flat=True)):
            copy = row_of(rows.model, row_id)
            self.removed.setdefault(rows.model._meta.label_lower, []).append(copy)
            rows.model._default_manager.filter(pk=row_id).delete()

    def settle_candidates(self, *, decided_by: Any, at: Any) -> None:
        """Close the pair that was merged; carry the loser's other pairs over, never a pair twice.

        What somebody called "not the same" stays so.
        """
        a, b = f"{self.kind}_a_id", f"{self.kind}_b_id"
        pairs = DuplicateCandidate.objects.filter(target=self.kind)
        for pair in pairs.filter(Q(**{a: self.loser_id}) | Q(**{b: self.loser_id})).order_by("pk"):
            this = DuplicateCandidate.objects.filter(pk=pair.pk)
            other = getattr(pair, b) if getattr(pair, a) == self.loser_id else getattr(pair, a)
            if other == self.winner_id:
                self.alter(this, state=CandidateState.MERGED, decided_by_id=decided_by, decided_at=at)
                continue
            first, second = sorted((other, self.winner_id))
            same = pairs.filter(**{a: first, b: second})
            if not same.exists():
                self.alter(this, **{a: first, b: second})
                continue
            if pair.state == CandidateState.DISMISSED:
                self.alter(same.filter(state=CandidateState.OPEN), state=CandidateState.DISMISSED)
            self.remove(this)

    def _drop_likes(self, label: str, like: Iterable[str]) -> None:
        relation = next((one for one in relations(self.model) if one.label == label), None)
        if relation is None:
            return  # accounts have no contact points
        column, table = relation.column, relation.model._meta.db_table
        agree = " AND ".join(f"lost.{name} = won.{name}" for name in like)
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {table} AS lost USING {table} AS won"  # noqa: S608
                f" WHERE lost.{column} = %s AND won.{column} = %s AND {agree} RETURNING to_jsonb(lost)::text",
                [self.loser_id, self.winner_id],
            )
            rows = [json.loads(row) for (row,) in cursor]
        if rows:
            self.removed[label] = rows

    def _settle_marks(self) -> None:
        """One primary address a kind, current scores of one of the two, one running sequence."""
        if self.kind == "lead":
            current = Score.objects.filter(is_current=True)
            ours = current.filter(lead_id=self.winner_id)
            for score_id in current.filter(lead_id__in=(self.winner_id, self.loser_id)).values_list(
                "pk", flat=True
            ):
                self.altered.setdefault("crm.score", {})[str(score_id)] = {"is_current": True}
            if ours.exists():  # a judgement of half a person is out of date
                current.filter(lead_id=self.loser_id).update(is_current=False)
        if self.kind in {"lead", "contact"}:
            primary = ContactPoint.objects.filter(is_primary=True)
            same = primary.filter(**{self.kind: self.winner_id}, kind=OuterRef("kind"))
            self.alter(primary.filter(Exists(same), **{self.kind: self.loser_id}), is_primary=False)
        if self.kind == "contact":
            active = Enrollment.objects.filter(state=EnrollmentState.ACTIVE)
            if active.filter(contact_id=self.winner_id).exists():
                self.alter(
                    active.filter(contact_id=self.loser_id),
                    state=EnrollmentState.STOPPED,
                    stopped_because=_("merged with a contact that is in a sequence"),
                    next_step_at=None,
                )

    def _move(self, rows: Mapping[str, set[int]]) -> None:
        for relation in moved_relations(self.model):
            ids = sorted(rows.get(relation.path, ()))
            if not ids:
                continue
            move_rows(relation, ids, self.winner_id)
            self.moved.setdefault(relation.label, {})[relation.name] = ids


def move_rows(relation: Relation, ids: list[int], to: int, *, only_from: int | None = None) -> None:
    """Point these rows at another record. Nothing else of them changes, their times and versions included."""
    rows = relation.model._default_manager.filter(pk__in=ids)
    if only_from is not None:
        rows = rows.filter(**{relation.name: only_from})
    rows.update(**{relation.name: to})
