"""What a row of an export may show, and how a value is written.

A column's name is its header, the same in every language, so that programs find it and an import knows its
own files again.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from crm.errors import InvalidValue
from crm.models import ContactPoint, CustomField, PointKind, Tagging, acting

ROW_ID = "gardenos_id"
MARK = "export_row"  # always last: from which export, and which row of it, a line was taken
CUSTOM = "custom:"
_POINT, _TAGS = "(point)", "(tags)"
_COLUMNS: dict[str, dict[str, str]] = {
    "lead": {
        ROW_ID: "public_id",
        "name": "name",
        "company": "company",
        "title": "title",
        "email": _POINT,
        "phone": _POINT,
        "country": "country",
        "mailing_address": "mailing_address",
        "physical_address": "physical_address",
        "interest": "interest",
        "est_value": "est_value",
        "currency": "currency",
        "status": "status",
        "disqualify_reason": "disqualify_reason",
        "outcome": "outcome",
        "outcome_at": "outcome_at",
        "owner": "owner__email",
        "team": "team__name",
        "source": "source__name",
        "score": "score",
        "score_source": "score_source",
        "next_action_at": "next_action_at",
        "next_action_kind": "next_action_kind",
        "snoozed_until": "snoozed_until",
        "last_inbound_at": "last_inbound_at",
        "last_outbound_at": "last_outbound_at",
        "converted_at": "converted_at",
        "tags": _TAGS,
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
    "contact": {
        ROW_ID: "public_id",
        "name": "full_name",
        "title": "title",
        "account": "account__name",
        "email": _POINT,
        "phone": _POINT,
        "country": "country",
        "locale": "locale",
        "time_zone": "time_zone",
        "lifecycle": "lifecycle",
        "do_not_contact": "do_not_contact",
        "owner": "owner__email",
        "team": "team__name",
        "tags": _TAGS,
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
    "account": {
        ROW_ID: "public_id",
        "name": "name",
        "domain": "domain",
        "industry": "industry",
        "size_band": "size_band",
        "website": "website",
        "address": "address",
        "country": "country",
        "owner": "owner__email",
        "team": "team__name",
        "tags": _TAGS,
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
    "opportunity": {
        ROW_ID: "public_id",
        "name": "name",
        "account": "account__name",
        "contact": "primary_contact__full_name",
        "pipeline": "stage__pipeline__name",
        "stage": "stage__name",
        "state": "state",
        "amount": "amount",
        "currency": "currency",
        "probability_override": "probability_override",
        "forecast": "forecast",
        "expected_close": "expected_close",
        "closed_at": "closed_at",
        "lost_reason": "lost_reason",
        "next_action_at": "next_action_at",
        "next_action_kind": "next_action_kind",
        "source": "source__name",
        "owner": "owner__email",
        "team": "team__name",
        "tags": _TAGS,
        "created_at": "created_at",
        "updated_at": "updated_at",
    },
}
_OF_VIEWS = {  # columns of lists that show more than one value
    "value": ("est_value", "currency"),
    "next_step": ("next_action_kind", "next_action_at"),
    "created": ("created_at",),
}


def offered_columns(target: str) -> list[str]:
    """Every column that records of this kind have, own fields in use that whoever acts may read at the end.
    One query.
    """
    fields = CustomField.objects.filter(target=target, is_active=True).visible_to(acting())
    keys = fields.values_list("key", flat=True)
    return [*_COLUMNS[target], *(f"{CUSTOM}{key}" for key in keys)]


def known_headers(target: str = "lead") -> set[str]:
    """The headers that an export of these records may have, own fields left out."""
    return {*_COLUMNS[target], MARK}


def checked_columns(target: str, columns: Iterable[Any] | None) -> list[str]:
    """The columns, once each, the row's id first; all of them for None or none.

    Raises InvalidValue (`columns`) naming one that there is not. One query.
    """
    offered = offered_columns(target)
    wanted = list(columns or ())
    if not wanted:
        return offered
    spread = [one for name in wanted for one in _OF_VIEWS.get(str(name), (name,))]
    for name in spread:
        if name not in offered:
            raise InvalidValue(
                _("There is no column “%(name)s”. Choose among: %(columns)s.")
                % {"name": str(name)[:80], "columns": ", ".join(offered)},
                field="columns",
            )
    return list(dict.fromkeys([ROW_ID, *spread]))


class RowReader:
    """Reads the rows of one kind as texts, in the order of their keys; at most three statements a slice."""

    def __init__(self, target: str, columns: Sequence[str]) -> None:
        self.target, self.columns = target, columns
        paths = [_COLUMNS[target].get(name, "custom") for name in columns]
        self._paths = paths
        self._values = list(dict.fromkeys(["pk", *(path for path in paths if path[0] != "(")]))

    def read(self, rows: Any, ids: Sequence[int]) -> list[list[str]]:
        """Those of `ids` that are among `rows` (a queryset: what may be read now), in the order of `ids`."""
        found = {row["pk"]: row for row in rows.filter(pk__in=ids).values(*self._values)}
        points = self._points(ids) if _POINT in self._paths else {}
        tags = self._tags(ids) if _TAGS in self._paths else {}
        return [
            [
                self._cell(name, path, found[pk], points, tags)
                for name, path in zip(self.columns, self._paths, strict=True)
            ]
            for pk in ids
            if pk in found
        ]

    def _cell(
        self,
        name: str,
        path: str,
        row: dict[str, Any],
        points: dict[tuple[int, str], str],
        tags: dict[int, list[str]],
    ) -> str:
        if path == _POINT:
            return points.get((row["pk"], name), "")
        if path == _TAGS:
            return ", ".join(tags.get(row["pk"], ()))
        if path == "custom":
            return as_text(row["custom"].get(name.removeprefix(CUSTOM)))
        return as_text(row[path])

    def _points(self, ids: Sequence[int]) -> dict[tuple[int, str], str]:
        """The primary address as it was given, the primary number with its country (E.164)."""
        rows = ContactPoint.objects.filter(**{f"{self.target}__in": ids}, is_primary=True)
        return {
            (pk, kind): norm if kind == PointKind.PHONE else raw
            for pk, kind, raw, norm in rows.values_list(f"{self.target}_id", "kind", "raw", "norm")
        }

    def _tags(self, ids: Sequence[int]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        rows = Tagging.objects.filter(**{f"{self.target}__in": ids}).order_by("tag__name")
        for pk, name in rows.values_list(f"{self.target}_id", "tag__name"):
            found.setdefault(pk, []).append(name)
        return found


def as_text(value: Any) -> str:
    """Times in UTC (RFC 3339), numbers with a point and without an exponent, yes or no."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case float():
            return format(Decimal(repr(value)), "f")
    return str(value)
