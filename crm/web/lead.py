"""The lead page: what happened, what do I send?"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from crm import clock
from crm.actions.follow_ups import blank_message
from crm.models import Lead, LeadStatus, Tag
from crm.permissions import Verb, may
from crm.ports import statistics_status
from crm.web import words
from crm.web.base import ai_of, by, person, piece, read_uuid, screen
from crm.web.details import contact, details
from crm.web.draft_card import DraftCard, draft_card
from crm.web.replies import triage_card
from crm.web.score_card import score_card
from crm.web.timeline import FILTERS, story, tabs


@dataclass(frozen=True, slots=True)
class Step:
    """One place in a lead's life, for the stepper."""

    status: str
    label: str
    note: str
    is_done: bool
    is_now: bool


def visible_lead(request: HttpRequest, public_id: UUID | str) -> Lead:
    """The lead, or 404: what a person may not see does not exist."""
    leads = Lead.objects.visible_to(person(request)).select_related("owner", "source", "team")
    return get_object_or_404(leads, public_id=public_id)


@screen
@require_GET
def lead(request: HttpRequest, public_id: UUID) -> HttpResponse:
    return lead_page(request, public_id)


def lead_page(request: HttpRequest, public_id: UUID | str, *, draft: DraftCard | None = None) -> HttpResponse:
    """The whole page. `draft` replaces the box when a form in it has to be shown again."""
    one = visible_lead(request, public_id)
    context = {
        **head_context(request, one),
        **story_context(request, one),
        **side_context(request, one),
        "reply": triage_card(one, person(request)),
        "draft": draft or _draft(request, one),
        "card": score_card(one),
        "statistics": statistics_status(),
    }
    return render(request, "crm/lead.html", context)


def _draft(request: HttpRequest, one: Lead) -> DraftCard:
    card = draft_card(one, person(request), ai=ai_of(request))
    card.is_editing = bool(request.GET.get("edit")) and card.may_edit
    if request.GET.get("write") and card.can_send and not card.is_open:
        card = DraftCard(card.lead_id, card.lead_name, "none", True, card.can_draft, is_editing=True)
        card.body = blank_message(by(request))
    return card


def head_context(request: HttpRequest, one: Lead) -> dict[str, Any]:
    may_edit = may(person(request), Verb.EDIT, one)
    return {
        "lead": one,
        "steps": steps(one),
        "tags": list(Tag.objects.filter(taggings__lead=one)),
        "answer": words.answer_clock(one.answer_due_at, clock.now()) if one.is_open else "",
        "is_answer_late": one.answer_due_at is not None and one.answer_due_at <= clock.now(),
        "may_edit": may_edit,
        "may_reassign": may(person(request), Verb.REASSIGN, one),
    }


def story_context(request: HttpRequest, one: Lead) -> dict[str, Any]:
    only = request.GET.get("only", "all")
    only = only if only in FILTERS else "all"
    return {
        "lead": one,
        "only": only,
        "tabs": tabs(one, only),
        "story": story(one, reader=person(request), only=only),
        "may_edit": may(person(request), Verb.EDIT, one),
    }


def side_context(request: HttpRequest, one: Lead) -> dict[str, Any]:
    return {
        "lead": one,
        "details": details(one),
        "contact": contact(one),
        "editing": request.GET.get("field", ""),
        "may_edit": may(person(request), Verb.EDIT, one),
        "ai_is_on": ai_of(request).is_on,
    }


def steps(one: Lead) -> list[Step]:
    """Where the lead is: new, working, asleep if it is, and its end."""
    path = [LeadStatus.NEW, LeadStatus.WORKING]
    if one.status == LeadStatus.NURTURING:
        path.append(LeadStatus.NURTURING)
    path.append(LeadStatus.DISQUALIFIED if one.status == LeadStatus.DISQUALIFIED else LeadStatus.CONVERTED)
    now, at = clock.now(), path.index(LeadStatus(one.status))
    result = []
    for place, status in enumerate(path):
        note = ""
        if place == at:
            note = _stay(one, now) if one.is_open else words.day_and_time(one.status_changed_at, now)
        elif place == 0:
            note = words.day_and_time(one.created_at, now)
        result.append(Step(status.value, str(status.label), note, place < at, place == at))
    return result


def _stay(one: Lead, now: Any) -> str:
    if one.status == LeadStatus.NURTURING and one.snoozed_until:
        return _("until %s") % words.day_and_time(one.snoozed_until, now)
    days = (now - one.status_changed_at).days
    if days < 1:
        return _("since today")
    return ngettext("%(n)d day here", "%(n)d days here", days) % {"n": days}


@screen
@require_GET
def lead_head(request: HttpRequest, public_id: UUID) -> HttpResponse:
    return piece(
        request, "crm/partials/lead_head.html", head_context(request, visible_lead(request, public_id))
    )


@screen
@require_GET
def lead_timeline(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The timeline with its tabs; with `before`, only the next page of entries."""
    one = visible_lead(request, public_id)
    before = read_uuid(request.GET.get("before", ""))
    if before is None:
        return piece(request, "crm/partials/timeline.html", story_context(request, one))
    only = request.GET.get("only", "all")
    page = story(one, reader=person(request), only=only if only in FILTERS else "all", before=before)
    return piece(request, "crm/partials/timeline_page.html", {"lead": one, "story": page, "only": only})


@screen
@require_GET
def lead_recent(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The last three events, for the Today preview."""
    one = visible_lead(request, public_id)
    context = {
        "lead_id": one.public_id,
        "entries": story(one, reader=person(request), size=3).entries,
        "events": tabs(one, "all")[0].count,
    }
    return piece(request, "crm/partials/recent.html", context)


@screen
@require_GET
def lead_why(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The score in short, for the Today preview."""
    one = visible_lead(request, public_id)
    return piece(request, "crm/partials/why.html", {"card": score_card(one), "lead_id": one.public_id})


@screen
@require_GET
def lead_score(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The score with its reasons, for the lead page."""
    one = visible_lead(request, public_id)
    context = {
        "lead": one,
        "card": score_card(one),
        "statistics": statistics_status(),
        "ai_is_on": ai_of(request).is_on,
        "may_edit": may(person(request), Verb.EDIT, one),
    }
    return piece(request, "crm/partials/score_section.html", context)


@screen
@require_GET
def lead_details(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Details and contact, as the live page fetches them again."""
    return piece(
        request, "crm/partials/details.html", side_context(request, visible_lead(request, public_id))
    )
