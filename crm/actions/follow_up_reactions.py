"""When something happens to a lead, its unsent follow-ups may no longer fit."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from crm import events
from crm.actions.follow_ups import mark_stale, readdress_follow_ups, resign_follow_ups
from crm.actions.intake import FROM_CUSTOMER
from crm.models import FollowUp, Inquiry


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


@events.on_many(events.LeadAssigned)
def _new_owners(happened: Sequence[events.LeadAssigned]) -> None:
    before = {event.lead_id: event.previous_owner_id for event in happened}
    drafts = FollowUp.objects.unsent().filter(lead__in=before, created_by=None).order_by("lead")
    for lead_id in drafts.values_list("lead", flat=True).distinct():
        resign_follow_ups(lead_id, previous_owner_id=before[lead_id])
