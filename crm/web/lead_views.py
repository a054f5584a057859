"""Saved views of the list of leads: choose one, keep the list as it is, delete one."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from crm.actions.lead_lists import unknown_filters
from crm.actions.views import delete_view, save_view
from crm.errors import CRMError
from crm.models import FieldTarget, Layout, SavedView, Sharing, Team
from crm.permissions import Reach, Verb, reach
from crm.web.base import by, person, piece, read_uuid, say, screen
from crm.web.lead_filters import LeadFilters


@screen
@require_http_methods(["GET", "POST"])
def lead_views(request: HttpRequest) -> HttpResponse:
    """The views to choose from; a POST saves the list that the address describes, or deletes a view."""
    filters, error = LeadFilters.read(request.GET), ""
    if request.method == "POST":
        try:
            if "delete" in request.POST:
                _delete(request)
            else:
                _save(request, filters)
        except CRMError as refused:
            error = str(refused)
        else:
            return redirect(reverse("crm:lead_list") + filters.url())
    context = {"filters": filters, "views": _views(request), "sharings": _sharings(request), "error": error}
    if request.htmx:  # type: ignore[attr-defined]
        return piece(request, "crm/partials/view_menu.html", context)
    return render(request, "crm/lead_views.html", context, status=422 if error else 200)


def _save(request: HttpRequest, filters: LeadFilters) -> None:
    shared = request.POST.get("shared_with", "") or Sharing.USER
    teams = Team.objects.filter(members__user=person(request)).order_by("pk")
    team = teams.first() if shared == Sharing.TEAM else None
    view = save_view(
        None,
        by=by(request),
        name=request.POST.get("name", ""),
        filters=filters.filters,
        sort=filters.sort,
        columns=filters.columns.split(",") if filters.columns else [],
        layout=filters.layout or Layout.LIST,
        shared_with=shared,
        team=team,
    )
    say(request, _("Saved the view %s") % view.name)


def _delete(request: HttpRequest) -> None:
    view_id = read_uuid(request.POST["delete"])
    view = SavedView.objects.visible_to(by(request)).filter(public_id=view_id).first() if view_id else None
    if view is None:
        raise Http404
    delete_view(view.pk, by=by(request))
    say(request, _("Deleted the view %s") % view.name)


def _views(request: HttpRequest) -> list[tuple[SavedView, str, bool, list[str]]]:
    """Each view with its address; filters that are none any more are left out of it and named."""
    rows = []
    views = SavedView.objects.visible_to(by(request)).filter(target=FieldTarget.LEAD)
    for view in views.order_by("position", "name")[:200]:
        gone = unknown_filters(view.filters) if isinstance(view.filters, dict) else []
        kept: dict[str, Any] = {name: text for name, text in view.filters.items() if name not in gone}
        customs = {name: kept.pop(name) for name in list(kept) if name.startswith("custom:")}
        look = {
            "columns": ",".join(view.columns),
            "layout": view.layout if view.layout != Layout.LIST else "",
        }
        address = LeadFilters(customs=customs, sort=view.sort or "score", **look, **kept).url()
        rows.append((view, reverse("crm:lead_list") + address, view.owner_id == person(request).pk, gone))
    return rows


def _sharings(request: HttpRequest) -> list[tuple[str, str]]:
    allowed = {Reach.ALL: list(Sharing), Reach.TEAM: [Sharing.USER, Sharing.TEAM]}
    offered = allowed.get(reach(by(request), Verb.SHARE), [Sharing.USER])
    return [(sharing.value, str(sharing.label)) for sharing in offered]
