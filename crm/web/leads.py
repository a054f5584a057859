"""The list of leads, and making a new one."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from crm import clock
from crm.actions.custom_fields import MAX_TEXT, required_fields, value_from_text
from crm.actions.intake import receive_inquiry
from crm.actions.lead_lists import COLUMNS, DAYS, SCORES, SORTS
from crm.errors import CRMError
from crm.imports.values import typed_amount
from crm.models import (
    OPEN_STATUSES,
    Channel,
    CustomField,
    FieldType,
    Layout,
    Lead,
    LeadSource,
    LeadStatus,
    NextActionKind,
    Tag,
    User,
)
from crm.permissions import Verb, may
from crm.web import words
from crm.web.base import NAV_CAP, by, nav_counts, person, piece, say, screen
from crm.web.lead_columns import HEADS, NAME, needed_by
from crm.web.lead_filters import COUNT_CAP, LeadFilters, page_of

_COLUMNS = (
    "id", "public_id", "name", "company", "score", "status", "est_value", "currency", "next_action_at",
    "next_action_kind", "created_at", "owner__name", "owner__email", "source__name",
)  # fmt: skip


class ListRow(TypedDict):
    """One row of the table, as text. A dict, because a template reads those fastest."""

    url: str
    public_id: str
    name: str
    company: str
    score: int | None
    status: str
    status_label: str
    owner: str
    source: str
    value: str
    step: str
    is_late: bool
    came: str
    came_exact: str
    tags: list[dict[str, str]]  # name, colour
    email: str
    phone: str
    country: str


@screen
@require_GET
def lead_list(request: HttpRequest) -> HttpResponse:
    """The list; for htmx only the part that changes with a filter."""
    user: User = person(request)  # type: ignore[assignment]
    filters, now = LeadFilters.read(request.GET), clock.now()
    visible = filters.narrow(Lead.objects.visible_to(user), user=user, now=now)
    page = page_of(visible.values(*_COLUMNS, **needed_by(filters.shown)), filters)
    if not page.newer and not page.older:
        count = words.whole(len(page.leads))
    elif filters.is_active:
        count = words.capped(visible.order_by()[: COUNT_CAP + 1].count(), COUNT_CAP)
    else:
        count = words.capped(nav_counts(request)[0], NAV_CAP)  # the sidebar counts the same
    context = {
        "filters": filters,
        "chips": filters.chips(),
        "rows": (rows := _rows(page.leads, now)),
        "lanes": _lanes(rows) if filters.layout == Layout.BOARD else [],
        "columns": [(name, *HEADS[name]) for name in filters.shown],
        "offered": [(name, HEADS[name][0], name in filters.shown) for name in COLUMNS if name != NAME],
        "list_url": filters.url(layout=""),
        "board_url": filters.url(layout=Layout.BOARD),
        "count": count,
        "newer_url": filters.url(before=page.newer) if page.newer else "",
        "older_url": filters.url(after=page.older) if page.older else "",
        "sorts": [
            (key, str(label), filters.url(sort=key), key == filters.sort) for key, label in SORTS.items()
        ],
        "may_pick": may(user, Verb.EDIT),
        "has_more": bool(page.newer or page.older),
        "may_create": may(user, Verb.CREATE),
        "may_import": may(user, Verb.IMPORT),
        "may_export": may(user, Verb.EXPORT),
    }
    if request.htmx and not request.htmx.boosted:  # type: ignore[attr-defined]
        return piece(request, "crm/partials/lead_table.html", context)
    return render(request, "crm/lead_list.html", context)


@screen
@require_GET
def lead_filter_form(request: HttpRequest) -> HttpResponse:
    """The filters to choose from: in the menu for htmx, as a page of its own without."""
    filters = LeadFilters.read(request.GET)
    context = {"filters": filters, "choices": _choices(filters)}
    if request.htmx:  # type: ignore[attr-defined]
        return piece(request, "crm/partials/filter_form.html", context)
    return render(request, "crm/lead_filter.html", context)


def _rows(leads: list[dict[str, Any]], now: datetime) -> list[ListRow]:
    """Values as text. What is the same for all rows is looked up once."""
    base = reverse("crm:lead_list")  # a lead's own page lies under it
    statuses = {status.value: str(status.label) for status in LeadStatus}
    steps = {kind.value: str(kind.label) for kind in NextActionKind}
    rows = []
    for lead in leads:
        at, step = lead["next_action_at"], ""
        is_past = at is not None and at < now
        if at is not None:
            when = words.lateness(at, now) if is_past else words.day_and_time(at, now)
            step = f"{steps[lead['next_action_kind']]}, {when}"
        rows.append(
            ListRow(
                url=f"{base}{lead['public_id']}/",
                public_id=str(lead["public_id"]),
                name=lead["name"],
                company=lead["company"],
                score=lead["score"],
                status=lead["status"],
                status_label=statuses[lead["status"]],
                owner=lead["owner__name"] or lead["owner__email"] or "",
                source=lead["source__name"],
                value=words.money(lead["est_value"], lead["currency"]),
                step=step,
                is_late=is_past and lead["status"] != LeadStatus.NURTURING,
                came=words.ago(lead["created_at"], now),
                came_exact=words.stamp(lead["created_at"]),
                tags=lead["tags"],
                email=lead.get("email") or "",
                phone=lead.get("phone") or "",
                country=lead.get("nation") or "",
            )
        )
    return rows


def _lanes(rows: list[ListRow]) -> list[tuple[str, str, list[ListRow]]]:
    """The page's rows for the board: status, its words, its rows. A closed status only if it has any."""
    lanes = []
    for status in LeadStatus:
        there = [row for row in rows if row["status"] == status]
        if there or status in OPEN_STATUSES:
            lanes.append((status.value, str(status.label), there))
    return lanes


def _choices(filters: LeadFilters) -> list[tuple[str, str, list[tuple[str, str, bool]]]]:
    """What the filter form offers: name, label, options. Two queries, for sources and tags."""
    scores = {
        "hot": _("Hot, 75 and more"),
        "warm": _("Warm, 50 to 74"),
        "cool": _("Cool, below 50"),
        "none": _("Not scored"),
    }
    days = {"1d": _("Last 24 hours"), "7d": _("Last 7 days"), "30d": _("Last 30 days")}
    sources = [(code, name) for code, name in LeadSource.objects.values_list("code", "name")[:100]]
    offered = [
        ("status", _("Status"), [("open", _("Open")), *[(s.value, str(s.label)) for s in LeadStatus]]),
        ("score", _("Score"), [(key, scores[key]) for key in SCORES]),
        ("owner", _("Owner"), [("me", _("Me")), ("none", _("Nobody"))]),
        ("source", _("Source"), sources),
        ("created", _("Came in"), [(key, days[key]) for key in DAYS]),
        ("tag", _("Tag"), [(name, name) for name in Tag.objects.values_list("name", flat=True)]),
    ]
    return [
        (name, label, [(value, text, value == getattr(filters, name)) for value, text in options])
        for name, label, options in offered
    ]


class LeadForm(forms.Form):
    """Shape only; the action knows the rules. `asked`: the own fields that are needed; each becomes a field
    `custom.<key>`.
    """

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200, required=False)
    company = forms.CharField(label=gettext_lazy("Company"), max_length=200, required=False)
    email = forms.CharField(label=gettext_lazy("E-mail"), max_length=320, required=False)
    phone = forms.CharField(label=gettext_lazy("Phone"), max_length=60, required=False)
    interest = forms.CharField(label=gettext_lazy("Interest"), max_length=300, required=False)
    est_value = forms.CharField(
        label=gettext_lazy("Estimated value"),
        max_length=20,
        required=False,
        help_text=gettext_lazy("Leave empty if you do not know yet."),
    )
    message = forms.CharField(
        label=gettext_lazy("What they said"),
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )

    def __init__(self, *args: Any, asked: Iterable[CustomField] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked = {f"custom.{one.key}": one for one in asked}
        self.fields |= {name: _own_field(own) for name, own in self.asked.items()}
        kinds = {"email": ("email", "off"), "phone": ("tel", "off"), "est_value": ("text", "off")}
        for name, one in self.fields.items():
            one.widget.attrs["class"] = "input"
            if name in kinds:
                one.widget.input_type, one.widget.attrs["autocomplete"] = kinds[name]
        self.fields["name"].widget.attrs["autofocus"] = True
        self.fields["est_value"].widget.attrs["inputmode"] = "decimal"

    @property
    def own_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.asked]

    def values(self) -> dict[str, Any]:
        """What was filled in, as the intake takes it. Raises InvalidValue naming the field."""
        given = {name: value for name, value in self.cleaned_data.items() if value}
        own = {one.key: value_from_text(one, given.pop(name)) for name, one in self.asked.items()}
        if "est_value" in given:
            amount, currency = typed_amount(given["est_value"])
            given |= {"est_value": amount, **({"currency": currency} if currency else {})}
        return given | ({"custom": own} if own else {})


def _own_field(one: CustomField) -> forms.Field:
    """An input for a field of the customer's own; its text is read by `value_from_text`."""
    choices: list[tuple[str, Any]] = [(option, option) for option in one.options]
    if one.type == FieldType.BOOLEAN:
        choices = [("true", _("Yes")), ("false", _("No"))]
    if one.type in {FieldType.BOOLEAN, FieldType.CHOICE}:
        return forms.ChoiceField(label=one.label, choices=[("", "–"), *choices])
    widgets = {FieldType.DATE: "date", FieldType.URL: "url"}
    widget = forms.TextInput()
    widget.input_type = widgets.get(FieldType(one.type), "text")
    if one.type == FieldType.NUMBER:
        widget.attrs["inputmode"] = "decimal"
    return forms.CharField(label=one.label, max_length=MAX_TEXT, widget=widget)


@screen
@require_http_methods(["GET", "POST"])
def lead_new(request: HttpRequest) -> HttpResponse:
    """A lead by hand: somebody called, or came to the stand."""
    form = LeadForm(request.POST if request.method == "POST" else None, asked=required_fields())
    if request.method == "POST" and form.is_valid():
        try:
            result = receive_inquiry(channel=Channel.MANUAL, payload=form.values(), by=by(request))
        except CRMError as refused:
            form.add_error(refused.field if refused.field in form.fields else None, str(refused))
        else:
            say(request, _("Lead added") if result.created else _("Known already: added to the open lead"))
            return redirect("crm:lead", public_id=result.lead.public_id)
    status = 422 if form.errors else 200
    return render(request, "crm/lead_new.html", {"form": form}, status=status)
