"""What a list of leads may be narrowed and ordered by: one definition for screens, saved views and bulk jobs.

Filters are texts by name, as an address carries them. Those of own fields are in custom_filters, lists of
other records in record_lists.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.actions.custom_filters import CUSTOM, custom_conditions, is_custom, narrow_by, unknown_customs
from crm.actions.search import matching
from crm.errors import InvalidValue
from crm.models import OPEN_STATUSES, Lead, LeadStatus, Tagging, User

SORTS = {"score": gettext_lazy("Hottest"), "newest": gettext_lazy("Newest"), "oldest": gettext_lazy("Oldest")}
SCORES: dict[str, Q] = {
    "hot": Q(score__gte=75),
    "warm": Q(score__range=(50, 74)),
    "cool": Q(score__lt=50),
    "none": Q(score=None),
}
DAYS = {"1d": 1, "7d": 7, "30d": 30}
PLAIN = ("q", "status", "owner", "source", "score", "created", "tag")
COLUMNS = (
    "score", "name", "company", "status", "owner", "source", "value", "next_step", "created", "email",
    "phone", "country", "tags",
)  # fmt: skip
MOST_FILTERS = 30


def checked_filters(filters: Any) -> dict[str, str]:
    """The filters, without empty ones. Raises InvalidValue naming `filters.<name>`. A query with customs."""
    if not isinstance(filters, Mapping) or len(filters) > MOST_FILTERS:
        raise InvalidValue(_("Write an object of at most %d filters.") % MOST_FILTERS, field="filters")
    allowed = {
        "status": {"open", *LeadStatus.values},
        "score": set(SCORES),
        "created": set(DAYS),
    }
    checked: dict[str, str] = {}
    for name, value in filters.items():
        shown = str(name)[:80]
        if not isinstance(value, str) or "\0" in value or len(value) > 200:
            raise InvalidValue(_("Write text of at most 200 characters."), field=f"filters.{shown}")
        if name not in PLAIN and not shown.startswith(CUSTOM):
            raise InvalidValue(_("There is no filter “%s”.") % shown, field=f"filters.{shown}")
        if not value:
            continue
        if name in allowed and value not in allowed[name]:
            raise InvalidValue(
                _("%(name)s cannot be “%(value)s”.") % {"name": name, "value": value[:40]},
                field=f"filters.{shown}",
            )
        if name == "owner" and value not in {"me", "none"} and not _is_uuid(value):
            raise InvalidValue(_("owner must be me, none or an id."), field="filters.owner")
        checked[name] = value
    missing = unknown_filters(checked)
    if missing:
        raise InvalidValue(
            _("There is no filter “%s”.") % missing[0][:80], field=f"filters.{missing[0][:80]}"
        )
    custom_conditions(checked)
    return checked


def unknown_filters(filters: Mapping[str, str]) -> list[str]:
    """Names among stored filters that mean nothing (any more), such as those of a field that was retired."""
    odd = [name for name in filters if name not in PLAIN and not is_custom(name)]
    return sorted([*unknown_customs(filters), *odd])


def narrow_leads(
    leads: QuerySet[Lead], filters: Mapping[str, str], *, user: User, now: datetime
) -> QuerySet[Lead]:
    """The leads that pass checked filters. Search comes last, so that it counts what passes the rest."""
    status, owner = filters.get("status"), filters.get("owner")
    if status == "open":
        leads = leads.filter(status__in=OPEN_STATUSES)
    elif status:
        leads = leads.filter(status=status)
    if owner == "me":
        leads = leads.filter(owner=user)
    elif owner == "none":
        leads = leads.filter(owner=None)
    elif owner:
        leads = leads.filter(owner__public_id=owner)
    if filters.get("source"):
        leads = leads.filter(source__code=filters["source"])
    if filters.get("score"):
        leads = leads.filter(SCORES[filters["score"]])
    if filters.get("created"):
        leads = leads.filter(created_at__gte=now - timedelta(days=DAYS[filters["created"]]))
    if filters.get("tag"):
        leads = leads.filter(has_tag("lead", filters["tag"]))
    leads = narrow_by(leads, filters)
    return matching(leads, filters["q"]) if filters.get("q") else leads


def narrow_by_customs(leads: QuerySet[Lead], filters: Mapping[str, str]) -> QuerySet[Lead]:
    """The leads whose own fields are so. Raises InvalidValue naming `filters.custom:<key>`."""
    return narrow_by(leads, checked_filters(filters))


def has_tag(target: str, name: str) -> Exists:
    """Records with a tag of this name, whatever its case."""
    return Exists(Tagging.objects.filter(tag__name__iexact=name, **{target: OuterRef("pk")}))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
