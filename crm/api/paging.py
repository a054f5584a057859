"""Keyset pages: every page costs the same, at any depth, and nothing is counted.

A cursor holds the position of the row at the page's edge, (value of the ordering column, id), and the way to
go from there. It is signed, so that it is only ever what we wrote.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core import signing
from django.db.models import BooleanField, Expression, F, Func, Q, QuerySet, Value
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
LIMIT, CURSOR, ORDERING = "limit", "cursor", "ordering"
_signer = signing.Signer(salt="crm.api.paging")


@dataclass(frozen=True, slots=True)
class Ordering:
    """One offered order: a column, made total by the id in the same direction; an index must carry it.

    Nulls come last going down and first going up, as in an index `(column DESC NULLS LAST, id DESC)`.
    """

    field: str
    descending: bool = False
    nullable: bool = False

    @property
    def name(self) -> str:
        return f"-{self.field}" if self.descending else self.field

    def clauses(self, *, backwards: bool) -> tuple[Expression | str, str]:
        goes_down = self.descending is not backwards
        column: Expression | str = f"-{self.field}" if goes_down else self.field
        if self.nullable:
            column = F(self.field).desc(nulls_last=True) if goes_down else F(self.field).asc(nulls_first=True)
        return column, "-id" if goes_down else "id"


class RowComparison(Func):
    """`(column, id) < (value, id)` as PostgreSQL compares rows, which an index on both answers directly."""

    output_field = BooleanField()

    def __init__(self, *expressions: Any, operator: str = "<") -> None:
        super().__init__(*expressions)
        self.operator = operator

    def as_sql(self, compiler: Any, connection: Any, **_context: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        parts, parameters = [], []
        for expression in self.source_expressions:
            sql, values = compiler.compile(expression)
            parts.append(sql)
            parameters.extend(values)
        return f"({parts[0]}, {parts[1]}) {self.operator} ({parts[2]}, {parts[3]})", parameters


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page starts: beyond (or, if `inclusive`, at) this row, forwards or backwards."""

    ordering: str
    value: Any
    id: int
    backwards: bool = False
    inclusive: bool = False

    def encode(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        return _signer.sign_object([self.ordering, value, self.id, int(self.backwards), int(self.inclusive)])

    @classmethod
    def decode(cls, text: str, ordering: Ordering, queryset: QuerySet) -> "Cursor":
        """Raises ValidationError for what we did not write, and for a cursor of another ordering."""
        try:
            name, value, row_id, backwards, inclusive = _signer.unsign_object(text)
        except (signing.BadSignature, ValueError) as error:
            raise ValidationError({CURSOR: _("This cursor is not one of ours.")}) from error
        if name != ordering.name:
            raise ValidationError({CURSOR: _("This cursor belongs to another ordering.")})
        value = queryset.model._meta.get_field(ordering.field).to_python(value)
        return cls(name, value, row_id, bool(backwards), bool(inclusive))

    def segments(self, queryset: QuerySet, ordering: Ordering) -> Iterator[QuerySet]:
        """What lies beyond, in order. One index range each: an OR over both would scan from the start."""
        goes_down = ordering.descending is not self.backwards
        clauses = ordering.clauses(backwards=self.backwards)
        operator = ("<" if goes_down else ">") + ("=" if self.inclusive else "")
        nulls = Q(**{f"{ordering.field}__isnull": True})
        if self.value is None:
            edge = f"id__{'lt' if goes_down else 'gt'}{'e' if self.inclusive else ''}"
            yield queryset.filter(nulls, **{edge: self.id}).order_by(*clauses)
            if not goes_down:  # going up from the nulls, the values follow
                yield queryset.exclude(nulls).order_by(*clauses)
            return
        column = queryset.model._meta.get_field(ordering.field)
        beyond = RowComparison(
            F(ordering.field),
            F("id"),
            Value(self.value, output_field=column),
            Value(self.id),
            operator=operator,
        )
        yield queryset.filter(beyond).order_by(*clauses)
        if ordering.nullable and goes_down:
            yield queryset.filter(nulls).order_by(*clauses)


class KeysetPagination(BasePagination):
    """`{"next", "previous", "results"}`; `?limit=` 1 to 200; the view offers `orderings`.

    Rows may be model instances or the dicts of `.values()`; those need `id` and the ordering's column.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.limit = read_limit(request.query_params.get(LIMIT))
        self.ordering = _ordering(request.query_params.get(ORDERING), view.orderings)
        text = request.query_params.get(CURSOR)
        self.cursor = Cursor.decode(text, self.ordering, queryset) if text is not None else None
        rows = self._fetch(queryset)
        self.has_more, rows = len(rows) > self.limit, rows[: self.limit]
        if self.cursor and self.cursor.backwards:
            rows.reverse()
        self.rows = rows
        return rows

    def _fetch(self, queryset: QuerySet) -> list[Any]:
        """The page's rows and one more, which tells whether there is another page."""
        wanted = self.limit + 1
        if self.cursor is None:
            return list(queryset.order_by(*self.ordering.clauses(backwards=False))[:wanted])
        rows: list[Any] = []
        for segment in self.cursor.segments(queryset, self.ordering):
            rows += segment[: wanted - len(rows)]
            if len(rows) == wanted:
                break
        return rows

    def links(self) -> dict[str, str | None]:
        """Addresses of the pages beside this one, or None."""
        backwards = self.cursor is not None and self.cursor.backwards
        has_next = True if backwards else self.has_more
        has_previous = self.has_more if backwards else self.cursor is not None
        return {
            "next": self._link(backwards=False) if has_next else None,
            "previous": self._link(backwards=True) if has_previous else None,
        }

    def _link(self, *, backwards: bool) -> str:
        if self.rows:
            value, row_id = self._position(self.rows[0] if backwards else self.rows[-1])
            cursor = Cursor(self.ordering.name, value, row_id, backwards)
        else:  # everything beyond the cursor has gone: turn round at the cursor's own row
            assert self.cursor is not None  # without a cursor an empty page has no neighbours
            cursor = Cursor(self.ordering.name, self.cursor.value, self.cursor.id, backwards, inclusive=True)
        return replace_query_param(self.request.build_absolute_uri(), CURSOR, cursor.encode())

    def _position(self, row: Any) -> tuple[Any, int]:
        if isinstance(row, dict):
            return row[self.ordering.field], row["id"]
        return getattr(row, self.ordering.field), row.pk

    def get_paginated_response(self, data: Any) -> Response:
        return Response({**self.links(), "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        names = [ordering.name for ordering in view.orderings]
        return [
            _parameter(
                LIMIT, {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
            ),
            _parameter(CURSOR, {"type": "string"}, "From `next` or `previous` of another page."),
            _parameter(ORDERING, {"type": "string", "enum": names, "default": names[0]}),
        ]


def _parameter(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def read_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT):
        raise ValidationError({LIMIT: _("A whole number from 1 to %(most)d.") % {"most": MAX_LIMIT}})
    return int(text)


def _ordering(text: str | None, offered: Sequence[Ordering]) -> Ordering:
    if text is None:
        return offered[0]
    for ordering in offered:
        if ordering.name == text:
            return ordering
    names = ", ".join(ordering.name for ordering in offered)
    raise ValidationError({ORDERING: _("One of: %(names)s.") % {"names": names}})
