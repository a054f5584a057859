"""What people decide about an inquiry that was stored: that it is spam, or that it is none."""

from django.db import transaction
from django.utils.translation import gettext as _

from crm import events
from crm.actions.audit import audit
from crm.actions.base import tell
from crm.actions.capture import keep_consent, lacks_consent
from crm.actions.identity import lock_identities
from crm.actions.intake import process_inquiry
from crm.actions.lead_moves import disqualify_lead, reopen_lead
from crm.actions.lead_plans import default_plan
from crm.errors import InvalidValue, TransitionRefused
from crm.models import Actor, Inquiry, InquiryState, Lead, LeadStatus, OptIn
from crm.permissions import Verb, require

SPAM = "Spam"  # the reason, in every language: it is compared
REASON_LENGTH = 200  # characters


@transaction.atomic
def mark_as_spam(inquiry_id: int, *, by: Actor) -> Inquiry:
    """received, failed, created or attached -> spam. It is kept, and neither rules nor agents read it.

    An open lead that consists of this inquiry alone is disqualified. Raises Inquiry.DoesNotExist (also for
    who may not see it), PermissionRefused, TransitionRefused. Publishes LeadFactsChanged and what
    `disqualify_lead` does.
    """
    inquiry = _for_decision(inquiry_id, by=by)
    if inquiry.state == InquiryState.SPAM:
        raise TransitionRefused(_("This is marked as spam already."))
    inquiry.state, inquiry.error = InquiryState.SPAM, ""
    inquiry.save(update_fields=["state", "error", "updated_at"])
    audit("inquiry.marked_spam", "marked an inquiry as spam", by=by, target=inquiry)
    if inquiry.lead:
        tell(inquiry.lead, "inquiry.marked_spam", _("marked an inquiry as spam"), by=by)
        if inquiry.lead.is_open and not inquiry.lead.inquiries.exclude(state=InquiryState.SPAM).exists():
            disqualify_lead(inquiry.lead.pk, by=by, reason=SPAM)
        events.publish(events.LeadFactsChanged(inquiry.lead.pk))
    return inquiry


@transaction.atomic
def accept_inquiry(inquiry_id: int, *, by: Actor, without_consent: str = "") -> Inquiry:
    """spam or failed -> the intake: it makes a lead, or meets the one that it belongs to.

    What its sender agreed to is written down then. One whose sender left the consent out is accepted only
    with a reason in `without_consent`, which the story keeps; the audit log has that it was done. One that
    had a lead before it was marked goes back to it, and the lead is reopened if it ended as spam.
    Raises Inquiry.DoesNotExist (also for who may not see it), PermissionRefused, InvalidValue
    (`without_consent`), TransitionRefused with the reason when the intake still cannot read it. Publishes
    what `receive_inquiry` or `reopen_lead` does.
    """
    inquiry = _for_decision(inquiry_id, by=by)
    if inquiry.state not in {InquiryState.SPAM, InquiryState.FAILED}:
        raise TransitionRefused(_("This inquiry is in work already, or waits for its sender's confirmation."))
    if inquiry.lead:
        return _given_back(inquiry, inquiry.lead, by=by)
    reason = _checked_reason(inquiry, without_consent)
    placed = process_inquiry(inquiry.pk, by=by)
    if placed.state == InquiryState.FAILED:
        raise TransitionRefused(_("No lead can be made of it: %s") % placed.error)
    if reason:
        audit("inquiry.accepted_without_consent", "accepted an inquiry without consent", by=by, target=placed)
        assert placed.lead is not None  # it was placed
        words = _("accepted an inquiry without its sender's consent: %s") % reason
        tell(placed.lead, "inquiry.accepted", words, by=by)
        return placed
    audit("inquiry.accepted", "said that an inquiry is no spam", by=by, target=placed)
    if placed.form and placed.form.opt_in != OptIn.DOUBLE:  # a consent that a link must confirm is none yet
        keep_consent(placed)
    return placed


def _checked_reason(inquiry: Inquiry, given: str) -> str:
    """Why it may be used without consent; empty where there is one, or none was asked for."""
    reason = " ".join(given.split())
    if not lacks_consent(inquiry):
        if reason:
            raise InvalidValue(_("Its sender was asked for nothing, or agreed."), field="without_consent")
        return ""
    if not reason:
        raise TransitionRefused(
            _("Its sender did not give the consent. Accept it without consent, and say why that is right.")
        )
    if len(reason) > REASON_LENGTH:
        raise InvalidValue(_("Use at most %d characters.") % REASON_LENGTH, field="without_consent")
    return reason


def _given_back(inquiry: Inquiry, lead: Lead, *, by: Actor) -> Inquiry:
    is_first = not lead.inquiries.filter(received_at__lt=inquiry.received_at).exists()
    inquiry.state = InquiryState.CREATED if is_first else InquiryState.ATTACHED
    inquiry.save(update_fields=["state", "updated_at"])
    tell(lead, "inquiry.accepted", _("said that an inquiry is no spam"), by=by)
    if lead.status == LeadStatus.DISQUALIFIED and lead.disqualify_reason == SPAM:
        reopen_lead(lead.pk, by=by, **default_plan())
    events.publish(events.LeadFactsChanged(lead.pk))
    return inquiry


def _for_decision(inquiry_id: int, *, by: Actor) -> Inquiry:
    """The inquiry that `by` may see, held; then its lead. The order of locks is that of the intake."""
    lock_identities([("inquiry", str(inquiry_id))])
    inquiry = Inquiry.objects.visible_to(by).select_related("lead", "source", "form").get(pk=inquiry_id)
    if inquiry.lead_id:
        Lead.objects.select_for_update(of=("self",)).get(pk=inquiry.lead_id)
    require(by, Verb.EDIT, inquiry.lead)
    return inquiry
