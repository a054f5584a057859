"""Finding records by what people type: parts of names, companies, addresses and phone numbers, mistyped too.

How it looks, and at what cost, is in crm/actions/search_stages.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BooleanField, Expression, F, Func, Model, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from crm.actions.search_stages import EXACT, PART, SLIP, WORD_START, search_words, shown_text, stages_of
from crm.errors import InvalidValue
from crm.models import Account, Actor, Contact, Lead, Opportunity

REASONS: dict[int, Promise] = {
    EXACT: _("this very address or number"),
    WORD_START: _("a word begins like this"),
    PART: _("contains this"),
    SLIP: _("spelt almost like this"),
}
Rows = TypeVar("Rows", bound=QuerySet[Any])


class _Relates(Func):
    """Two expressions with an operator between them, as a condition."""

    output_field = BooleanField()

    def __init__(self, *expressions: Any, operator: str) -> None:
        super().__init__(*expressions, template="(%(expressions)s)", arg_joiner=f" {operator} ")


class _AnyOf(Expression):
    """The rows of a finished statement as an array."""

    output_field = BooleanField()

    def __init__(self, sql: str, parameters: Iterable[Any]) -> None:
        super().__init__()
        self.sql, self.parameters = f"(ARRAY({sql}))", tuple(parameters)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return self.sql, self.parameters


@dataclass(frozen=True, slots=True)
class Hit:
    """One record that was found, and why."""

    record: Any
    rank: int

    @property
    def reason(self) -> str:
        return str(REASONS[self.rank])


@dataclass(frozen=True, slots=True)
class Group:
    """The hits of one kind (lead, contact, account, opportunity), best first."""

    kind: str
    label: str
    hits: list[Hit]


def matching(rows: Rows, text: str) -> Rows:
    """Those of `rows` that the stages find; leads, contacts, accounts or opportunities, kept in their order.

    Apply it last: the limits must count only rows that `rows` allows. It adds no statement.
    """
    try:
        statement, parameters = stages_of(rows, text)
    except EmptyResultSet:  # nothing typed, or nothing that `rows` could hold
        return rows.none()
    some = _AnyOf(f"{statement} SELECT id FROM found", parameters)  # noqa: S608 constants and placeholders
    # by the primary key, always: for IN the planner may read the whole table, not knowing how few there are
    return rows.filter(_Relates(F("pk"), some, operator="= ANY"))


def best_of(rows: QuerySet[Any], text: str, limit: int) -> list[Hit]:
    """The best `limit` of `rows` for this text, with their ranks. Two statements, or none."""
    try:
        statement, parameters = stages_of(rows, text)
    except EmptyResultSet:
        return []
    table, whole = rows.model._meta.db_table, " ".join(search_words(text))
    ranked = f"""{statement}
        SELECT found.id, min(found.stage) FROM found JOIN {table} AS shown USING (id) GROUP BY found.id
         ORDER BY min(found.stage),
                  min(CASE WHEN found.stage = {SLIP} THEN 1 - word_similarity(%s, {shown_text("shown")})
                           WHEN starts_with({shown_text("shown")}, %s) THEN 0 ELSE 1 END),
                  found.id DESC LIMIT %s"""  # noqa: S608 table names and constants
    with connection.cursor() as cursor:
        cursor.execute(ranked, [*parameters, whole, whole, limit])
        stages: dict[int, int] = dict(cursor.fetchall())
    records = rows.model._default_manager.filter(pk__in=stages)
    by_id = _with_names(records).in_bulk()
    return [Hit(by_id[pk], stage) for pk, stage in stages.items() if pk in by_id]


def _with_names(records: QuerySet[Any]) -> QuerySet[Any]:
    related = {Contact: ("account",), Opportunity: ("account", "stage")}.get(records.model, ())
    return records.select_related(*related) if related else records


def search_everything(text: str, *, by: Actor, limit: int = 6) -> list[Group]:
    """The best `limit` (1 to 50) of each kind that `by` may see, with reasons; kinds without hits left out.

    At most two statements a kind. Raises InvalidValue (`limit`).
    """
    if not 1 <= limit <= 50:
        raise InvalidValue(str(_("Ask for 1 to 50 of each kind.")), field="limit")
    kinds: tuple[tuple[type[Model], Any], ...] = (
        (Lead, _("Leads")),
        (Contact, _("Contacts")),
        (Account, _("Accounts")),
        (Opportunity, _("Opportunities")),
    )
    groups = []
    for model, label in kinds:
        visible: QuerySet[Any] = model._default_manager.visible_to(by)  # type: ignore[attr-defined]
        hits = best_of(visible, text, limit)
        if hits:
            groups.append(Group(str(model._meta.model_name), str(label), hits))
    return groups
