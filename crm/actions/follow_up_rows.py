"""What the actions on follow-ups and messages share: rows under lock, and what every change has in common.

Locks are taken in one order everywhere: lead, follow-up, message.
"""

from email.utils import parseaddr

from django.conf import settings
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import check_version, lead_for_change
from crm.errors import InvalidValue, TransitionRefused
from crm.mail.compose import clean_address
from crm.mail.signature import closing
from crm.models import (
    Actor,
    ActorKind,
    FollowUp,
    FollowUpState,
    Lead,
    Message,
    MessageState,
    PointKind,
    User,
)
from crm.permissions import Verb

APPROVAL_FIELDS = ("approved_by", "approved_at", "approved_sha256", "edit_ratio")
AT_THE_DOOR = (MessageState.SENDING, MessageState.UNCERTAIN)


def locked(follow_up_id: int, *, by: Actor, version: int | None) -> tuple[Lead, FollowUp, Message | None]:
    """Lead, follow-up and its message, locked in this order, for somebody who may send.

    Raises FollowUp.DoesNotExist, PermissionRefused, VersionConflict.
    """
    lead_id = FollowUp.objects.visible_to(by).values_list("lead_id", flat=True).get(pk=follow_up_id)
    lead = lead_for_change(lead_id, by=by, verb=Verb.SEND)
    follow_up = FollowUp.objects.select_for_update().get(pk=follow_up_id)
    follow_up.lead = lead
    check_version(follow_up, version)
    return lead, follow_up, message_of(follow_up)


def message_of(follow_up: FollowUp) -> Message | None:
    """The follow-up's message, locked."""
    return Message.objects.select_for_update().filter(follow_up=follow_up).first()


def unsent(lead: Lead) -> list[FollowUp]:
    """Unsent follow-ups of a locked lead, locked; without those whose mail is at the server's door."""
    rows = list(lead.follow_ups.unsent().select_for_update().order_by("id"))
    messages = Message.objects.select_for_update().filter(follow_up__in=rows).order_by("id")
    busy = {message.follow_up_id for message in messages if message.state in AT_THE_DOOR}
    return [row for row in rows if row.pk not in busy]


def refuse_if_at_the_door(message: Message | None) -> None:
    """Raises TransitionRefused while the message is being sent, or nobody knows whether it was."""
    if message and message.state == MessageState.SENDING:
        raise TransitionRefused(_("This message is being sent; it can no longer be changed."))
    if message and message.state == MessageState.UNCERTAIN:
        raise TransitionRefused(_("It is not known whether this message was sent. Say so first."))


def hold_back(message: Message | None) -> None:
    """Nothing of it is to be sent any more; the row stays, with its Message-ID and its history."""
    if message and message.state != MessageState.DRAFT:
        message.state, message.send_at, message.sending_since = MessageState.DRAFT, None, None
        message.save_changed("state", "send_at", "sending_since")
        publish_message(message)


def end(follow_up: FollowUp, state: FollowUpState) -> int:
    """Make it stale or expired. Returns 1, for counting."""
    follow_up.move_to(state)
    hold_back(message_of(follow_up))
    follow_up.save_changed("state")
    publish(follow_up)
    return 1


def drop_approval(follow_up: FollowUp) -> None:
    """Other bytes, no approval; the caller saves APPROVAL_FIELDS."""
    follow_up.approved_by, follow_up.approved_at, follow_up.approved_sha256 = None, None, ""
    follow_up.edit_ratio = None


def customer_wrote_after(follow_up: FollowUp) -> bool:
    """Whether the customer did something that the author of this follow-up did not know of."""
    later = follow_up.lead.timeline.filter(actor_kind=ActorKind.CUSTOMER)
    return follow_up.context_event_id is not None and later.filter(pk__gt=follow_up.context_event_id).exists()


def address_of(lead: Lead) -> str:
    """The lead's primary e-mail address as mail needs it; empty without one that can be written to."""
    point = lead.contact_points.filter(kind=PointKind.EMAIL, is_primary=True).first()
    try:
        return clean_address(point.raw.strip()) if point else ""
    except InvalidValue:
        return ""


def closing_of(person: User | None) -> str:
    """Signature and footer for a mail of this person; for nobody's the name in DEFAULT_FROM_EMAIL signs."""
    if person is None:
        return closing("", parseaddr(settings.DEFAULT_FROM_EMAIL)[0])
    return closing(person.signature, person.name)


def publish(follow_up: FollowUp) -> None:
    events.publish(
        events.FollowUpChanged(
            lead_id=follow_up.lead_id, follow_up_id=follow_up.pk, state=str(follow_up.state)
        )
    )


def publish_message(message: Message) -> None:
    events.publish(
        events.MessageChanged(lead_id=message.lead_id, message_id=message.pk, state=str(message.state))
    )
