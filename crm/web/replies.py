"""What an agent read in the customer's last message: a proposal to accept or to dismiss."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from crm import clock
from crm.actions.replies import accept_triage, dismiss_triage
from crm.errors import CRMError
from crm.models import RULE, Lead, ReplyStep, ReplyTriage, User
from crm.permissions import Verb, may
from crm.web import words
from crm.web.base import back, by, changed, person, piece, say, say_no, screen, toasts


@dataclass(frozen=True, slots=True)
class TriageCard:
    """Text for the template, no models. Without `public_id` nothing is proposed."""

    lead_id: str
    public_id: str = ""
    version: int = 0
    intent: str = ""
    summary: str = ""
    quote: str = ""
    step: str = ""
    meta: str = ""
    is_sample: bool = False
    may_decide: bool = False


def triage_card(lead: Lead, user: User) -> TriageCard:
    """The proposal that waits, if there is one. One query."""
    triage = ReplyTriage.objects.proposed().filter(lead=lead).order_by("-pk").first()
    if triage is None:
        return TriageCard(str(lead.public_id))
    step = str(triage.get_step_display())
    if triage.step == ReplyStep.SLEEP and triage.wake_on:
        step = _("Let the lead sleep until %s") % date_format(triage.wake_on)
    model = "" if triage.is_sample else triage.model.rsplit("/", 1)[-1]
    model = _("Rule") if triage.provider == RULE else model
    meta = [part for part in (model, words.ago(triage.created_at, clock.now())) if part]
    return TriageCard(
        lead_id=str(lead.public_id),
        public_id=str(triage.public_id),
        version=triage.version,
        intent=str(triage.get_intent_display()),
        summary=triage.summary,
        quote=triage.quote,
        step=step,
        meta=" · ".join(meta),
        is_sample=triage.is_sample,
        may_decide=may(user, Verb.EDIT, lead),
    )


@screen
@require_GET
def lead_reply(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The box of a lead, as it is now."""
    lead = get_object_or_404(Lead.objects.visible_to(person(request)), public_id=public_id)
    return piece(request, "crm/partials/reply.html", {"reply": triage_card(lead, person(request))})


@screen
@require_POST
def reply_accept(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Do what is proposed."""
    return _decide(request, public_id, accept_triage)


@screen
@require_POST
def reply_dismiss(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Leave it."""
    return _decide(request, public_id, dismiss_triage)


def _decide(request: HttpRequest, public_id: UUID, act: Callable[..., ReplyTriage]) -> HttpResponse:
    visible = ReplyTriage.objects.visible_to(person(request)).select_related("lead")
    triage = get_object_or_404(visible, public_id=public_id)
    text = request.POST.get("version", "")
    version = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
    try:
        done = act(triage.pk, by=by(request), version=version)
    except CRMError as refused:
        say_no(request, refused)
    else:
        said = _("Done: %s") if act is accept_triage else _("Dismissed: %s")
        say(request, said % done.get_step_display(), undo=done.undo_offer)
    if not request.htmx:  # type: ignore[attr-defined]
        return back(request, f"/leads/{triage.lead.public_id}/")
    return changed(HttpResponse(toasts(request)))
