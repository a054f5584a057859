"""Approving: a person says yes to these exact bytes, and 8 seconds later they leave."""

import re
from datetime import datetime
from email.utils import parseaddr

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm import clock
from crm.actions.base import UNDO_WINDOW, offer_undo, tell, undoable
from crm.actions.consents import is_suppressed
from crm.actions.edit_ratio import edit_ratio
from crm.actions.follow_up_rows import (
    APPROVAL_FIELDS,
    address_of,
    closing_of,
    customer_wrote_after,
    hold_back,
    locked,
    message_of,
    publish,
    publish_message,
)
from crm.errors import ApprovalRefused, InvalidValue, UndoRefused
from crm.mail.compose import clean_body, clean_subject, new_message_id
from crm.mail.transport import can_send, mail_stays_here
from crm.models import (
    Actor,
    Direction,
    FollowUp,
    FollowUpState,
    Lead,
    LeadStatus,
    Message,
    MessageState,
    PointKind,
    PointState,
    ReachChannel,
    Undo,
)

UNDO_APPROVAL = "approve_follow_up"
_OVER = {
    FollowUpState.SCHEDULED: gettext_lazy("This message is approved and on its way."),
    FollowUpState.SENT: gettext_lazy("This message was sent already."),
    FollowUpState.REJECTED: gettext_lazy("This draft was dismissed."),
    FollowUpState.EXPIRED: gettext_lazy("This draft is older than 30 days. Ask for a new one."),
    FollowUpState.STALE: gettext_lazy("This draft does not know what happened since. Ask for a new one."),
}
# What writers and models leave for somebody to fill in: {{first_name}}, {name}, [Your company], <<date>>.
_PLACEHOLDER = re.compile(
    r"\{\{[^}\n]{0,60}\}\}|\{[A-Za-z_]{2,40}\}|<<[^>\n]{1,60}>>"
    r"|\[(?:your|insert|add|name|first|last|company|date|time|phone|link|lead|customer|client|city)\b"
    r"[^\]\n]{0,60}\]",
    re.IGNORECASE,
)


@transaction.atomic
def approve_follow_up(follow_up_id: int, *, by: Actor, version: int | None = None) -> FollowUp:
    """Approve exactly these bytes and schedule them: they leave 8 s from now unless taken back.

    Raises FollowUp.DoesNotExist, PermissionRefused (agents always), VersionConflict, ApprovalRefused with the
    reason. Publishes FollowUpChanged and MessageChanged; offers an undo to `approved`.
    """
    lead, follow_up, message = locked(follow_up_id, by=by, version=version)
    _refuse_to_approve(follow_up)
    if follow_up.state != FollowUpState.APPROVED:
        follow_up.move_to(FollowUpState.APPROVED)
    now = clock.now()
    follow_up.approved_by, follow_up.approved_at = by.user, now
    follow_up.approved_sha256 = follow_up.body_sha256
    follow_up.edit_ratio = _edit_ratio(follow_up)
    follow_up.move_to(FollowUpState.SCHEDULED)
    follow_up.save_changed("state", *APPROVAL_FIELDS)
    _queue(follow_up, message, send_at=now + UNDO_WINDOW)
    tell(lead, "follow_up.approved", _("approved “%s”") % follow_up.subject, by=by)
    label = _("Sending “%s”") % follow_up.subject
    offer_undo(UNDO_APPROVAL, by=by, label=label, before={"lead": lead.pk}, rows=[follow_up])
    publish(follow_up)
    return follow_up


def _edit_ratio(follow_up: FollowUp) -> float | None:
    """Of subject and text, without the closing that stands under both; None where no agent wrote one."""
    if not follow_up.original_subject:
        return None
    closing = closing_of(follow_up.lead.owner)
    written = f"{follow_up.original_subject}\n{follow_up.original_body.removesuffix(closing)}"
    return edit_ratio(written, f"{follow_up.subject}\n{follow_up.body.removesuffix(closing)}")


@undoable(UNDO_APPROVAL)
def _undo_approval(undo: Undo, by: Actor) -> None:
    follow_up = FollowUp.objects.select_related("lead").get(pk=int(next(iter(undo.versions["crm.followup"]))))
    message = message_of(follow_up)
    if message is None or message.state != MessageState.QUEUED:
        raise UndoRefused(_("The message is on its way already."))
    hold_back(message)
    follow_up.move_to(FollowUpState.APPROVED)
    follow_up.save_changed("state")
    tell(
        follow_up.lead,
        "follow_up.held_back",
        _("took back “%s” before it was sent") % follow_up.subject,
        by=by,
    )
    publish(follow_up)


def why_not_approvable(follow_up: FollowUp) -> str:
    """Why this cannot be approved now, as a sentence for people; empty if it can. At most three queries."""
    try:
        _refuse_to_approve(follow_up)
    except ApprovalRefused as refused:
        return str(refused)
    return ""


def why_not_sendable(follow_up: FollowUp) -> str:
    """What came up between approval and sending: looked at again with the message in hand."""
    try:
        _refuse_recipient(follow_up)
    except ApprovalRefused as refused:
        return str(refused)
    return ""


def _refuse_to_approve(follow_up: FollowUp) -> None:
    """Raises ApprovalRefused with the first reason that speaks against it."""
    if follow_up.state in _OVER:
        raise ApprovalRefused(_OVER[FollowUpState(follow_up.state)])
    if not can_send():
        raise ApprovalRefused(_("Mail is not set up on this server. An admin has to set EMAIL_URL."))
    if follow_up.is_sample and not mail_stays_here():
        raise ApprovalRefused(
            _("This draft is a sample by the scripted provider; samples are never sent to customers.")
        )
    _refuse_recipient(follow_up)
    _refuse_text(follow_up)
    if customer_wrote_after(follow_up):
        raise ApprovalRefused(
            _("The customer wrote after this was drafted. Read the new message, then ask for a new draft.")
        )


def _refuse_recipient(follow_up: FollowUp) -> None:
    lead = follow_up.lead
    if lead.deleted_at or lead.merged_into_id:
        raise ApprovalRefused(_("This lead is deleted; nothing is sent to it."))
    if lead.contact and lead.contact.do_not_contact:
        raise ApprovalRefused(_("This person does not want to be contacted."))
    if lead.status == LeadStatus.DISQUALIFIED:
        raise ApprovalRefused(_("This lead is disqualified; nothing is sent to it."))
    point = lead.contact_points.filter(kind=PointKind.EMAIL, is_primary=True).first()
    if point is None:
        raise ApprovalRefused(_("This lead has no e-mail address."), field="to_address")
    if point.state in {PointState.BOUNCED, PointState.INVALID}:
        raise ApprovalRefused(
            _("Mail to this address came back. Correct the address first."), field="to_address"
        )
    address = address_of(lead)
    if not address:
        raise ApprovalRefused(_("No mail can be sent to this lead's address. Correct it first."))
    if is_suppressed(ReachChannel.EMAIL, point.norm):
        raise ApprovalRefused(
            _("This address is on the list of those that must not be written to."), field="to_address"
        )
    if follow_up.to_address != address:
        raise ApprovalRefused(
            _("The lead's address changed since this was written. Save the draft again, then approve it."),
            field="to_address",
        )


def _refuse_text(follow_up: FollowUp) -> None:
    if follow_up.needs_writing:
        raise ApprovalRefused(_("The agent's text was refused. Write the message first."), field="body")
    try:
        clean_subject(follow_up.subject)
        clean_body(follow_up.body)
    except InvalidValue as invalid:
        raise ApprovalRefused(str(invalid), field=invalid.field) from None
    blank = _PLACEHOLDER.search(f"{follow_up.subject}\n{follow_up.body}")
    if blank:
        raise ApprovalRefused(_("Fill in “%s” first.") % blank.group(), field="body")


def _queue(follow_up: FollowUp, message: Message | None, *, send_at: datetime) -> None:
    """Write the outbox row. Equal bytes keep their Message-ID, so that a receiver knows a second copy."""
    lead: Lead = follow_up.lead
    sender = lead.owner or follow_up.approved_by
    message = message or Message(lead=lead, follow_up=follow_up, direction=Direction.OUT)
    bytes_before = (message.to_address, message.subject, message.text)
    message.to_address, message.subject = follow_up.to_address, follow_up.subject
    message.text = follow_up.body
    if not message.message_id or bytes_before != (message.to_address, message.subject, message.text):
        message.message_id = new_message_id()
    message.from_address = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    message.headers = {"from_name": sender.name, "reply_to": sender.email} if sender else {}
    message.state, message.send_at, message.occurred_at = MessageState.QUEUED, send_at, clock.now()
    message.attempts, message.sending_since, message.error = 0, None, ""
    message.version += bool(message.pk)
    message.save()
    publish_message(message)
