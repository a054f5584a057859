"""Which leads a list shows: filters, sort and place, all of them in the address."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.db.models import F, Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _

from crm.actions.lead_lists import CUSTOM, PLAIN, SORTS, checked_filters, narrow_leads
from crm.errors import InvalidValue
from crm.models import Layout, Lead, LeadSource, LeadStatus, User
from crm.web.lead_columns import DEFAULT, read_columns

PAGE = 50
COUNT_CAP = 10_000
LOOK = ("columns", "layout")  # how the list is shown, not what
KNOWN = {*PLAIN, *LOOK, "sort", "after", "before"}


@dataclass(frozen=True, slots=True)
class Chip:
    """One active filter in words, with the address without it."""

    field: str
    value: str
    without: str


@dataclass(slots=True)
class LeadFilters:
    """The checked parameters. Unknown ones are an error, so that a typo never shows everything."""

    status: str = ""
    owner: str = ""
    source: str = ""
    score: str = ""
    created: str = ""
    tag: str = ""
    q: str = ""
    sort: str = "score"
    after: str = ""
    before: str = ""
    columns: str = ""  # "" the usual ones
    layout: str = ""  # "" a list
    customs: dict[str, str] = field(default_factory=dict)  # "custom:<key>" and what it must be

    @classmethod
    def read(cls, query: QueryDict) -> "LeadFilters":
        """Raises BadRequest naming what is wrong."""
        unknown = sorted(name for name in query if name not in KNOWN and not name.startswith(CUSTOM))
        if unknown:
            raise BadRequest(f"There is no filter {unknown[0][:40]!r}.")
        given = {name: str(query[name]).strip()[:200] for name in query}
        customs = {name: text for name, text in given.items() if text and name.startswith(CUSTOM)}
        plain = {name: text for name, text in given.items() if text and name not in customs}
        found = cls(customs=customs, **plain)  # type: ignore[arg-type]
        if found.sort not in SORTS:
            raise BadRequest(f"sort cannot be {found.sort[:40]!r}.")
        try:
            found.columns = ",".join(read_columns(",".join(query.getlist("columns"))[:400]))
        except ValueError as wrong:
            raise BadRequest(f"There is no column {str(wrong)[:40]!r}.") from None
        if found.layout not in {"", *Layout.values}:
            raise BadRequest(f"layout cannot be {found.layout[:40]!r}.")
        found.layout = "" if found.layout == Layout.LIST else found.layout
        try:
            checked_filters(found.filters)
        except InvalidValue as refused:
            raise BadRequest(str(refused)) from None
        return found

    @property
    def filters(self) -> dict[str, str]:
        """What narrows the list, as a saved view keeps it."""
        plain = {name: getattr(self, name) for name in PLAIN}
        return {name: text for name, text in (plain | self.customs).items() if text}

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(self.columns.split(",")) if self.columns else DEFAULT

    @property
    def look(self) -> dict[str, str]:
        """How the list is shown, where it is not as usual."""
        return {name: getattr(self, name) for name in LOOK if getattr(self, name)}

    @property
    def is_active(self) -> bool:
        return bool(self.filters)

    def url(self, **changes: str) -> str:
        """The address with some parameters changed; a new filter starts at the first page."""
        values = {**self.filters, **self.look, "sort": self.sort}
        values.update(changes)
        if values.get("sort") == "score":
            values.pop("sort")
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def narrow(self, leads: QuerySet[Lead], *, user: User, now: datetime) -> QuerySet[Lead]:
        """The leads that pass every filter."""
        return narrow_leads(leads, self.filters, user=user, now=now)

    def chips(self) -> list[Chip]:
        """The active filters in words. Two small queries at most, for names of an owner or a source."""
        chips = []
        if self.q:
            chips.append(Chip(_("Search"), f"“{self.q}”", self.url(q="")))
        if self.status:
            name = _("Open") if self.status == "open" else str(LeadStatus(self.status).label)
            chips.append(Chip(_("Status"), name, self.url(status="")))
        if self.score:
            words = {"hot": _("Hot"), "warm": _("Warm"), "cool": _("Cool"), "none": _("Not scored")}
            chips.append(Chip(_("Score"), words[self.score], self.url(score="")))
        if self.owner:
            chips.append(Chip(_("Owner"), self._owner_name(), self.url(owner="")))
        if self.source:
            source = LeadSource.objects.filter(code=self.source).values_list("name", flat=True).first()
            chips.append(Chip(_("Source"), source or self.source, self.url(source="")))
        if self.created:
            words = {"1d": _("last 24 hours"), "7d": _("last 7 days"), "30d": _("last 30 days")}
            chips.append(Chip(_("Came in"), words[self.created], self.url(created="")))
        if self.tag:
            chips.append(Chip(_("Tag"), self.tag, self.url(tag="")))
        for name, text in self.customs.items():
            chips.append(Chip(name.removeprefix(CUSTOM), text, self.url(**{name: ""})))
        return chips

    def _owner_name(self) -> str:
        if self.owner in {"me", "none"}:
            return {"me": _("Me"), "none": _("Nobody")}[self.owner]
        owner = User.objects.filter(public_id=self.owner).first()
        return str(owner) if owner else _("Unknown")


@dataclass(frozen=True, slots=True)
class LeadPage:
    leads: list[dict[str, Any]]
    newer: str  # cursor of the page before, "" on the first
    older: str  # cursor of the page after, "" on the last


def page_of(leads: QuerySet[Any, dict[str, Any]], filters: LeadFilters) -> LeadPage:
    """One page by keyset, forwards or backwards. One query, whatever the page.

    `leads` are dicts with at least id, score and created_at.

    Raises BadRequest for a cursor that is none.
    """
    backwards = bool(filters.before)
    cursor = (
        _decode(filters.before or filters.after, filters.sort) if filters.before or filters.after else None
    )
    if cursor is not None:
        leads = leads.filter(_beyond(filters.sort, cursor, backwards=backwards))
    found = list(leads.order_by(*_order(filters.sort, backwards=backwards))[: PAGE + 1])
    has_more, rows = len(found) > PAGE, found[:PAGE]
    if backwards:
        rows.reverse()
    has_newer = has_more if backwards else cursor is not None
    has_older = True if backwards else has_more
    return LeadPage(
        leads=rows,
        newer=_encode(rows[0], filters.sort) if rows and has_newer else "",
        older=_encode(rows[-1], filters.sort) if rows and has_older else "",
    )


def _order(sort: str, *, backwards: bool) -> list[Any]:
    if sort == "score":
        if backwards:
            return [F("score").asc(nulls_first=True), "id"]
        return [F("score").desc(nulls_last=True), "-id"]
    newest_first = (sort == "newest") != backwards
    return ["-created_at", "-id"] if newest_first else ["created_at", "id"]


def _beyond(sort: str, cursor: tuple[Any, int], *, backwards: bool) -> Q:
    """What lies after (before, when backwards) the cursor in this order."""
    value, pk = cursor
    if sort == "score":
        if backwards:
            if value is None:
                return Q(score=None, id__gt=pk) | Q(score__isnull=False)
            return Q(score__gt=value) | Q(score=value, id__gt=pk)
        if value is None:
            return Q(score=None, id__lt=pk)
        return Q(score__lt=value) | Q(score=value, id__lt=pk) | Q(score=None)
    if (sort == "newest") != backwards:
        return Q(created_at__lte=value) & (Q(created_at__lt=value) | Q(id__lt=pk))
    return Q(created_at__gte=value) & (Q(created_at__gt=value) | Q(id__gt=pk))


def _encode(lead: dict[str, Any], sort: str) -> str:
    value = lead["score"] if sort == "score" else lead["created_at"].isoformat()
    return base64.urlsafe_b64encode(json.dumps([value, lead["id"]]).encode()).decode().rstrip("=")


def _decode(text: str, sort: str) -> tuple[Any, int]:
    try:
        value, pk = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if sort != "score":
            value = datetime.fromisoformat(value)
        elif value is not None and not 0 <= int(value) <= 100:
            raise ValueError
        if not 0 < int(pk) < 2**63 or (sort != "score" and value.tzinfo is None):
            raise ValueError
    except (ValueError, TypeError, OverflowError, binascii.Error, UnicodeDecodeError, AttributeError):
        raise BadRequest("This page marker is not one of ours.") from None
    return value, int(pk)
