"""The draft box: read, edit, approve, dismiss. Works with and without htmx."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.actions.follow_ups import (
    approve_follow_up,
    blank_message,
    edit_follow_up,
    reject_follow_up,
    write_follow_up,
)
from crm.actions.messages import resolve_uncertain
from crm.errors import CRMError
from crm.models import FollowUp, Lead, Message
from crm.web.base import ai_of, back, by, changed, person, piece, say, say_no, screen
from crm.web.draft_card import DraftCard, draft_card, fill

BOX = "crm/partials/draft.html"


@screen
@require_GET
def lead_draft(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The box of a lead, as it is now."""
    lead = _lead(request, public_id)
    return piece(request, BOX, {"draft": draft_card(lead, person(request), ai=ai_of(request))})


@screen
@require_http_methods(["GET", "POST"])
def follow_up_edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The box as a form; saving may also approve."""
    follow_up = _follow_up(request, public_id)
    if request.method == "GET":
        card = _card(request, follow_up)
        card.is_editing = True
        return piece(request, BOX, {"draft": card})
    try:
        saved = edit_follow_up(
            follow_up.pk,
            by=by(request),
            version=_version(request),
            subject=request.POST.get("subject", ""),
            body=_body(request),
        )
    except CRMError as refused:
        return _still_editing(request, _card(request, follow_up), refused)
    if request.POST.get("then") == "approve":
        return _approve(request, saved, saved.version)
    say(request, _("Draft saved"))
    return _answer(request, saved.lead)


@screen
@require_http_methods(["GET", "POST"])
def lead_write(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A message by a person, from nothing."""
    lead = _lead(request, public_id)
    card = draft_card(lead, person(request), ai=ai_of(request))
    card = DraftCard(card.lead_id, card.lead_name, "none", card.can_send, card.can_draft, is_editing=True)
    point = lead.contact_points.filter(kind="email", is_primary=True).first()
    card.to_address = point.raw if point else ""
    card.body = blank_message(by(request))
    if request.method == "GET":
        return piece(request, BOX, {"draft": card})
    try:
        written = write_follow_up(
            lead.pk, by=by(request), subject=request.POST.get("subject", ""), body=_body(request)
        )
    except CRMError as refused:
        return _still_editing(request, card, refused)
    if request.POST.get("then") == "approve":
        return _approve(request, written, written.version)
    say(request, _("Message saved"))
    return _answer(request, lead)


@screen
@require_POST
def follow_up_approve(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Approve and send, with 8 seconds to take it back."""
    return _approve(request, _follow_up(request, public_id), _version(request))


@screen
@require_POST
def follow_up_dismiss(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Dismiss with one of the reasons."""
    follow_up = _follow_up(request, public_id)
    try:
        dismissed = reject_follow_up(
            follow_up.pk,
            by=by(request),
            reason=request.POST.get("reason", ""),
            note=request.POST.get("note", ""),
            version=_version(request),
        )
    except CRMError as refused:
        return _refused(request, follow_up, refused)
    say(request, _("Draft dismissed"), undo=getattr(dismissed, "undo_offer", None))
    return _answer(request, follow_up.lead)


@screen
@require_POST
def follow_up_settle(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A person found out whether an uncertain message arrived."""
    follow_up = _follow_up(request, public_id)
    message = get_object_or_404(Message, follow_up=follow_up)
    outcome = request.POST.get("outcome", "")
    try:
        resolve_uncertain(message.pk, by=by(request), outcome=outcome)
    except CRMError as refused:
        return _refused(request, follow_up, refused)
    say(request, _("Marked as sent") if outcome == "sent" else _("Not sent: approve it again when ready"))
    return _answer(request, follow_up.lead)


def _approve(request: HttpRequest, follow_up: FollowUp, version: int | None) -> HttpResponse:
    try:
        approved = approve_follow_up(follow_up.pk, by=by(request), version=version)
    except CRMError as refused:
        return _refused(request, follow_up, refused)
    text = _("Sending to %(name)s in 8 s") % {"name": follow_up.lead.name}
    say(request, text, undo=getattr(approved, "undo_offer", None))
    return _answer(request, follow_up.lead)


def _lead(request: HttpRequest, public_id: UUID) -> Lead:
    leads = Lead.objects.visible_to(person(request))
    return get_object_or_404(leads.select_related("owner"), public_id=public_id)


def _follow_up(request: HttpRequest, public_id: UUID) -> FollowUp:
    follow_ups = FollowUp.objects.visible_to(person(request))
    return get_object_or_404(
        follow_ups.select_related("lead__owner", "message", "created_by"), public_id=public_id
    )


def _version(request: HttpRequest) -> int | None:
    """The version the person saw; 0 (which no row has) when the form was tampered with."""
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _body(request: HttpRequest) -> str:
    """Browsers send CRLF; the record and the mail hold LF."""
    return request.POST.get("body", "").replace("\r\n", "\n")


def _card(request: HttpRequest, follow_up: FollowUp) -> DraftCard:
    card = draft_card(follow_up.lead, person(request), ai=ai_of(request))
    fill(card, follow_up)
    return card


def _answer(request: HttpRequest, lead: Lead) -> HttpResponse:
    if not request.htmx:  # type: ignore[attr-defined]
        return back(request, f"/leads/{lead.public_id}/")
    card = draft_card(lead, person(request), ai=ai_of(request))
    return changed(piece(request, BOX, {"draft": card}))


def _refused(request: HttpRequest, follow_up: FollowUp, refused: CRMError) -> HttpResponse:
    """The box as it is now, with the reason at its top."""
    if not request.htmx:  # type: ignore[attr-defined]
        say_no(request, refused)
        return redirect("crm:lead", public_id=follow_up.lead.public_id)
    card = draft_card(follow_up.lead, person(request), ai=ai_of(request))
    card.error = str(refused)
    return piece(request, BOX, {"draft": card})


def _still_editing(request: HttpRequest, card: DraftCard, refused: CRMError) -> HttpResponse:
    """The form again, with what the person typed and what is wrong with it."""
    card.is_editing = True
    card.subject, card.body = request.POST.get("subject", ""), _body(request)
    card.error = str(refused)
    card.error_field = refused.field if refused.field in {"subject", "body"} else ""
    current: Any = refused.details.get("current")
    if current is not None:
        card.version = current.version  # saving again is then a decision, made with the text in view
        card.original = current.body
    if not request.htmx:  # type: ignore[attr-defined]
        from crm.web.lead import lead_page  # the whole page around the same form

        return lead_page(request, card.lead_id, draft=card)
    return piece(request, BOX, {"draft": card})
