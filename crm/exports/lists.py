"""Which records an export holds: a list's filters and order, for all four kinds."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from crm.actions.record_lists import checked_list_filters, checked_sort, narrow, ordered
from crm.errors import InvalidValue
from crm.models import Account, Actor, Contact, Lead, Opportunity
from crm.permissions import Reach, Verb, reach

__all__ = ["checked_sort", "chosen", "exportable", "list_filters", "ordered"]

MODELS: dict[str, Any] = {"lead": Lead, "contact": Contact, "account": Account, "opportunity": Opportunity}
PLURALS = {"lead": "leads", "contact": "contacts", "account": "accounts", "opportunity": "opportunities"}


def list_filters(target: str, filters: Any, *, by: Actor) -> dict[str, str]:
    """The filters as they are kept. Raises InvalidValue naming `filters.<name>`."""
    if isinstance(filters, Mapping) and filters.get("owner") == "me" and by.user is None:
        raise InvalidValue(_("“me” means nobody here; name the person's id."), field="filters.owner")
    return checked_list_filters(target, filters)


def exportable(target: str, *, by: Actor) -> QuerySet[Any]:
    """What `by` sees and may take out: a rep what is theirs, not what the pool holds."""
    rows = MODELS[target].objects.visible_to(by)
    return rows.filter(owner=by.user) if reach(by, Verb.EXPORT) == Reach.OWN else rows


def chosen(target: str, filters: Mapping[str, str], *, by: Actor, now: datetime) -> QuerySet[Any]:
    """The records that `by` may take out and that pass these checked filters, in no order."""
    return narrow(target, exportable(target, by=by), filters, by=by, now=now)
