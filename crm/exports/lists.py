"""Which records an export holds: a list's filters and order, for all four kinds."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from crm.actions.lead_lists import DAYS, SORTS, checked_filters, has_tag, narrow_leads
from crm.actions.search import matching
from crm.errors import InvalidValue
from crm.models import Account, Actor, Contact, Lead, Lifecycle, Opportunity, OpportunityState
from crm.permissions import Reach, Verb, reach

MODELS: dict[str, Any] = {"lead": Lead, "contact": Contact, "account": Account, "opportunity": Opportunity}
PLURALS = {"lead": "leads", "contact": "contacts", "account": "accounts", "opportunity": "opportunities"}
_ALL = ("q", "owner", "tag", "created")
_OTHERS: dict[str, tuple[str, ...]] = {
    "contact": (*_ALL, "lifecycle"),
    "account": _ALL,
    "opportunity": (*_ALL, "state", "pipeline", "stage"),
}
_WORDS: dict[str, set[str]] = {
    "created": set(DAYS),
    "state": set(OpportunityState.values),
    "lifecycle": set(Lifecycle.values),
}
_ORDERS = {"newest": ("-created_at", "-pk"), "oldest": ("created_at", "pk")}


def list_filters(target: str, filters: Any, *, by: Actor) -> dict[str, str]:
    """The filters as they are kept. Raises InvalidValue naming `filters.<name>`."""
    if isinstance(filters, Mapping) and filters.get("owner") == "me" and by.user is None:
        raise InvalidValue(_("“me” means nobody here; name the person's id."), field="filters.owner")
    if target == "lead":
        return checked_filters(filters)
    if not isinstance(filters, Mapping):
        raise InvalidValue(_("Write an object of filters."), field="filters")
    return {name: value for name, value in filters.items() if _checked(target, name, value)}


def _checked(target: str, name: Any, value: Any) -> str:
    shown = str(name)[:80]
    field = f"filters.{shown}"
    if name not in _OTHERS[target]:
        raise InvalidValue(_("There is no filter “%s”.") % shown, field=field)
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


def checked_sort(target: str, sort: Any) -> str:
    """The order, the list's own for "". Raises InvalidValue (`sort`)."""
    known = list(SORTS) if target == "lead" else list(_ORDERS)
    if sort and sort not in known:
        raise InvalidValue(_("Choose an order among: %s.") % ", ".join(known), field="sort")
    return str(sort or known[0])


def exportable(target: str, *, by: Actor) -> QuerySet[Any]:
    """What `by` sees and may take out: a rep what is theirs, not what the pool holds."""
    rows = MODELS[target].objects.visible_to(by)
    return rows.filter(owner=by.user) if reach(by, Verb.EXPORT) == Reach.OWN else rows


def chosen(target: str, filters: Mapping[str, str], *, by: Actor, now: datetime) -> QuerySet[Any]:
    """The records that `by` may take out and that pass these checked filters, in no order."""
    rows = exportable(target, by=by)
    if target == "lead":
        return narrow_leads(rows, filters, user=by.user, now=now)  # type: ignore[arg-type]
    owner = filters.get("owner")
    if owner:
        named = {"me": Q(owner=by.user), "none": Q(owner=None)}
        rows = rows.filter(named.get(owner) or Q(owner__public_id=owner))
    for name, path in {
        "state": "state",
        "lifecycle": "lifecycle",
        "stage": "stage__public_id",
        "pipeline": "stage__pipeline__public_id",
    }.items():
        if filters.get(name):
            rows = rows.filter(**{path: filters[name]})
    if filters.get("created"):
        rows = rows.filter(created_at__gte=now - timedelta(days=DAYS[filters["created"]]))
    if filters.get("tag"):
        rows = rows.filter(has_tag(target, filters["tag"]))
    return matching(rows, filters["q"]) if filters.get("q") else rows


def ordered(rows: QuerySet[Any], sort: str) -> QuerySet[Any]:
    """The rows in the list's order; each row has its own place in it."""
    if sort == "score":
        return rows.hottest_first()  # type: ignore[attr-defined]
    return rows.order_by(*_ORDERS[sort])
