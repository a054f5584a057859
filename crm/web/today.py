"""Today: whom do I answer next?"""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from crm import clock
from crm.actions.work import complete_task
from crm.errors import CRMError
from crm.models import Lead, Task
from crm.models.hidden import is_hiding
from crm.models.today import MINE, TEAM
from crm.permissions import Verb, may
from crm.web import words
from crm.web.agenda import MOST_PAGES, agenda, agenda_row, done_today
from crm.web.base import (
    ai_of,
    back,
    by,
    changed,
    person,
    piece,
    read_uuid,
    say,
    say_no,
    screen,
    toasts,
)
from crm.web.draft_card import draft_card
from crm.web.replies import triage_card
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
    context["peek"] = peek_of(request, lead) if lead else None
    context["done"] = done_today(person(request))
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
    scope = scope_of(request)
    row = agenda_row(lead, person(request), scope)
    return piece(request, "crm/partials/today_row.html", {"row": row, "scope": scope})


@screen
@require_GET
def today_peek(request: HttpRequest, public_id: str) -> HttpResponse:
    """The preview beside the list."""
    lead = get_object_or_404(_visible(request), public_id=public_id)
    return piece(request, "crm/partials/peek.html", {"peek": peek_of(request, lead)})


@screen
@require_POST
def task_done(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Tick a task off that is about no lead of the list."""
    task = get_object_or_404(Task.objects.visible_to(person(request)), public_id=public_id)
    try:
        done = complete_task(task.pk, by=by(request))
    except CRMError as refused:
        say_no(request, refused)
    else:
        say(request, _("Did %s") % task.title, undo=done.undo_offer)
    if not request.htmx:  # type: ignore[attr-defined]
        return back(request, reverse("crm:today"))
    return changed(HttpResponse(toasts(request)))


def _visible(request: HttpRequest) -> Any:
    return Lead.objects.visible_to(person(request)).select_related("owner", "source")


def scope_of(request: HttpRequest) -> str:
    """Whose leads: "mine" or "team". Anything else in the address is an error, not a default."""
    scope = request.GET.get("scope", MINE)
    if scope not in {MINE, TEAM}:
        raise Http404
    return scope


def _pages(request: HttpRequest) -> int:
    """How many pages the list shows, one under the other."""
    text = request.GET.get("pages", "1")
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= MOST_PAGES):
        raise Http404
    return int(text)


def _list_context(request: HttpRequest) -> dict[str, Any]:
    scope = scope_of(request)
    found = agenda(person(request), scope, pages=_pages(request))
    user = person(request)
    return {
        "agenda": found,
        "scope": scope,
        "selected": request.GET.get("lead", ""),
        "may_create": may(user, Verb.CREATE),
        "may_import": may(user, Verb.IMPORT),
    }


def _first(context: dict[str, Any]) -> str:
    return next((row.public_id for row in context["agenda"].rows if row.public_id), "")


def peek_of(request: HttpRequest, lead: Lead) -> dict[str, Any]:
    """What the preview shows of one lead."""
    phones = lead.contact_points.filter(kind="phone").order_by("-is_primary")
    return {
        "lead": lead,
        "answer": words.answer_clock(lead.answer_due_at, clock.now()),
        "is_answer_late": lead.answer_due_at is not None and lead.answer_due_at <= clock.now(),
        "score_card": score_card(lead),
        "reply": triage_card(lead, person(request)),
        "draft": draft_card(lead, person(request), ai=ai_of(request)),
        "recent": story(lead, reader=person(request), size=3).entries,
        "events": tabs(lead, "all")[0].count,
        "phone": None if is_hiding() else phones.first(),
    }
