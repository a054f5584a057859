"""What lists of leads, contacts, accounts and opportunities may be narrowed and ordered by, and what they
show: one definition for screens, saved views, bulk jobs and exports. Those of leads are in lead_lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from crm.actions import lead_lists
from crm.actions.custom_filters import custom_conditions, is_custom, narrow_by, unknown_customs
from crm.actions.lead_lists import DAYS, MOST_FILTERS, checked_filters, has_tag, narrow_leads
from crm.actions.search import matching
from crm.errors import InvalidValue
from crm.models import Actor, Layout, Lifecycle, OpportunityState

ORDERS = {"newest": ("-created_at", "-pk"), "oldest": ("created_at", "pk")}
_ALL = ("q", "owner", "tag", "created")
_WORDS: dict[str, set[str]] = {
    "created": set(DAYS),
    "state": set(OpportunityState.values),
    "lifecycle": set(Lifecycle.values),
}
_PATHS = {
    "state": "state",
    "lifecycle": "lifecycle",
    "stage": "stage__public_id",
    "pipeline": "stage__pipeline__public_id",
}


@dataclass(frozen=True, slots=True)
class RecordList:
    """Names of filters beside `custom:<key>`, of columns, of orders (the usual one first), and layouts."""

    filters: tuple[str, ...]
    columns: tuple[str, ...]
    sorts: tuple[str, ...] = tuple(ORDERS)
    layouts: tuple[str, ...] = (Layout.LIST.value,)


LISTS = {
    "lead": RecordList(
        lead_lists.PLAIN, lead_lists.COLUMNS, tuple(lead_lists.SORTS), tuple(Layout.values)
    ),
    "contact": RecordList(
        (*_ALL, "lifecycle"),
        ("name", "title", "account", "email", "phone", "country", "lifecycle", "owner", "tags", "created"),
    ),
    "account": RecordList(
        _ALL,
        ("name", "domain", "industry", "size_band", "website", "country", "owner", "tags", "created"),
    ),
    "opportunity": RecordList(
        (*_ALL, "state", "pipeline", "stage"),
        (
            "name", "account", "contact", "pipeline", "stage", "state", "amount", "currency", "forecast",
            "expected_close", "next_step", "owner", "tags", "created",
        ),
        layouts=tuple(Layout.values),
    ),
}  # fmt: skip


def checked_list_filters(target: str, filters: Any) -> dict[str, str]:
    """The filters, without empty ones. Raises InvalidValue naming `filters.<name>`, and `custom.<key>` for a
    value that an own field cannot have. Two queries with customs.
    """
    if target == "lead":
        return checked_filters(filters)
    if not isinstance(filters, Mapping) or len(filters) > MOST_FILTERS:
        raise InvalidValue(_("Write an object of at most %d filters.") % MOST_FILTERS, field="filters")
    checked = {name: value for name, value in filters.items() if _checked(target, name, value)}
    if missing := unknown_customs(checked, target):
        raise _no_filter(missing[0])
    custom_conditions(checked, target)
    return checked


def _checked(target: str, name: Any, value: Any) -> str:
    field = f"filters.{str(name)[:80]}"
    if name not in LISTS[target].filters and not is_custom(name):
        raise _no_filter(name)
    if not isinstance(value, str) or "\0" in value or len(value) > 200:
        raise InvalidValue(_("Write text of at most 200 characters."), field=field)
    if value and name in _WORDS and value not in _WORDS[name]:
        raise InvalidValue(
            _("%(name)s cannot be “%(value)s”.") % {"name": name, "value": value[:40]}, field=field
        )
    if value and (name in {"pipeline", "stage"} or (name == "owner" and value not in {"me", "none"})):
        try:
            UUID(value)
        except ValueError:
            raise InvalidValue(_("This is no id of ours."), field=field) from None
    return value


def _no_filter(name: Any) -> InvalidValue:
    shown = str(name)[:80]
    return InvalidValue(_("There is no filter “%s”.") % shown, field=f"filters.{shown}")


def unknown_list_filters(target: str, filters: Mapping[str, str]) -> list[str]:
    """Names among stored filters that mean nothing (any more), such as those of a field that was retired."""
    plain = LISTS[target].filters
    odd = [name for name in filters if name not in plain and not is_custom(name)]
    return sorted([*unknown_customs(filters, target), *odd])


def narrow(
    target: str, rows: QuerySet[Any], filters: Mapping[str, str], *, by: Actor, now: datetime
) -> QuerySet[Any]:
    """The records that pass checked filters, in no order. Search comes last, so that it counts what passes
    the rest.
    """
    if target == "lead":
        return narrow_leads(rows, filters, user=by.user, now=now)  # type: ignore[arg-type]
    owner = filters.get("owner")
    if owner:
        named = {"me": Q(owner=by.user), "none": Q(owner=None)}
        rows = rows.filter(named.get(owner) or Q(owner__public_id=owner))
    for name, path in _PATHS.items():
        if filters.get(name):
            rows = rows.filter(**{path: filters[name]})
    if filters.get("created"):
        rows = rows.filter(created_at__gte=now - timedelta(days=DAYS[filters["created"]]))
    if filters.get("tag"):
        rows = rows.filter(has_tag(target, filters["tag"]))
    rows = narrow_by(rows, filters, target)
    return matching(rows, filters["q"]) if filters.get("q") else rows


def checked_sort(target: str, sort: Any) -> str:
    """The order, the list's own for "". Raises InvalidValue (`sort`)."""
    known = LISTS[target].sorts
    if sort and sort not in known:
        raise InvalidValue(_("Choose an order among: %s.") % ", ".join(known), field="sort")
    return str(sort or known[0])


def ordered(rows: QuerySet[Any], sort: str) -> QuerySet[Any]:
    """The rows in the list's order; each row has its own place in it."""
    if sort == "score":
        return rows.hottest_first()  # type: ignore[attr-defined]
    return rows.order_by(*ORDERS[sort])
