"""Today: whom do I answer next?"""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from crm import clock
from crm.models import Lead, User
from crm.web.agenda import MINE, TEAM, agenda, agenda_row, done_today
from crm.web.base import piece, read_uuid, screen
from crm.web.draft_card import draft_card
from crm.web.score_card import score_card
from crm.web.timeline import story, tabs


@screen
@require_GET
def today(request: HttpRequest) -> HttpResponse:
    """The page: the list, and beside it the first or the chosen lead."""
    context = _list_context(request)
    chosen = read_uuid(request.GET.get("lead", "")) or _first(context)
    lead = _visible(request).filter(public_id=chosen).first() if chosen else None
    context["selected"] = str(lead.public_id) if lead else ""
    context["peek"] = peek_of(lead, request.user) if lead else None  # type: ignore[arg-type]
    context["done"] = done_today(request.user)  # type: ignore[arg-type]
    context["now"] = clock.now()
    return render(request, "crm/today.html", context)


@screen
@require_GET
def today_list(request: HttpRequest) -> HttpResponse:
    """The list alone, as the live page fetches it again."""
    return piece(request, "crm/partials/today_list.html", _list_context(request))


@screen
@require_GET
def today_row(request: HttpRequest, public_id: str) -> HttpResponse:
    """One row alone."""
    lead = get_object_or_404(_visible(request), public_id=public_id)
    return piece(
        request, "crm/partials/today_row.html", {"row": agenda_row(lead), "scope": scope_of(request)}
    )


@screen
@require_GET
def today_peek(request: HttpRequest, public_id: str) -> HttpResponse:
    """The preview beside the list."""
    lead = get_object_or_404(_visible(request), public_id=public_id)
    return piece(request, "crm/partials/peek.html", {"peek": peek_of(lead, request.user)})  # type: ignore[arg-type]


def _visible(request: HttpRequest) -> Any:
    return Lead.objects.visible_to(request.user).select_related("owner", "source")  # type: ignore[arg-type]


def scope_of(request: HttpRequest) -> str:
    """Whose leads: "mine" or "team". Anything else in the address is an error, not a default."""
    scope = request.GET.get("scope", MINE)
    if scope not in {MINE, TEAM}:
        raise Http404
    return scope


def _list_context(request: HttpRequest) -> dict[str, Any]:
    scope = scope_of(request)
    found = agenda(request.user, scope)  # type: ignore[arg-type]
    if scope == MINE:
        request.today_count = len(found.rows)  # type: ignore[attr-defined]
    return {"agenda": found, "scope": scope, "selected": request.GET.get("lead", "")}


def _first(context: dict[str, Any]) -> str:
    rows = context["agenda"].rows
    return rows[0].public_id if rows else ""


def peek_of(lead: Lead, user: User) -> dict[str, Any]:
    """What the preview shows of one lead."""
    return {
        "lead": lead,
        "score_card": score_card(lead),
        "draft": draft_card(lead, user),
        "recent": story(lead, size=3).entries,
        "events": tabs(lead, "all")[0].count,
        "phone": lead.contact_points.filter(kind="phone").order_by("-is_primary").first(),
    }
