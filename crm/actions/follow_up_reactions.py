"""When something happens to a lead, its unsent follow-ups may no longer fit."""

from django.utils.translation import gettext as _

from crm import events
from crm.actions.follow_ups import mark_stale, readdress_follow_ups, resign_follow_ups
from crm.actions.intake import FROM_CUSTOMER
from crm.models import Inquiry


@events.on(events.MessageReceived)
def _customer_answered(event: events.MessageReceived) -> None:
    mark_stale(event.lead_id, because=_("the customer wrote"))


@events.on(events.InquiryReceived)
def _customer_asked_again(event: events.InquiryReceived) -> None:
    inquiry = None if event.created else Inquiry.objects.get(pk=event.inquiry_id)
    if inquiry and inquiry.channel in FROM_CUSTOMER:
        mark_stale(event.lead_id, because=_("the customer asked again"))


@events.on(events.LeadChanged)
def _address_changed(event: events.LeadChanged) -> None:
    if "email" in event.fields:
        readdress_follow_ups(event.lead_id)


@events.on(events.LeadAssigned)
def _new_owner(event: events.LeadAssigned) -> None:
    resign_follow_ups(event.lead_id, previous_owner_id=event.previous_owner_id)
