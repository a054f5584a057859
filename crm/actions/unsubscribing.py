"""A customer who asks for no more mail: recognised by plain code, with AI on or off.

A message that says nothing else, from an address of the lead's own, bars that address at once: it is what the
law asks for (GDPR, article 21(3)) and what the sender expects. Whatever needs reading is proposed, and a
person decides. See ADR 0038.
"""

from django.utils.translation import gettext as _

from crm import events
from crm.actions.consents import suppress
from crm.actions.identity import normalise_email
from crm.actions.replies import NewTriage, store_triage
from crm.errors import InvalidValue
from crm.mail.unsubscribing import Unsubscribing, unsubscribing_in
from crm.models import (
    RULE,
    Actor,
    Lead,
    Message,
    PointKind,
    ReachChannel,
    ReplyIntent,
    ReplyStep,
    SuppressionReason,
)
from crm.plaintext import SHORTEST_QUOTE, normalised, one_line

BY = Actor.system()


def unsubscribing_of(message: Message) -> Unsubscribing | None:
    """What this rule makes of a received message; None: nothing. No query when the lead is loaded."""
    names = one_line(message.lead.name).split()
    return unsubscribing_in(message.subject, message.text, names=names)


@events.on(events.MessageReceived)
def heed_unsubscribing(event: events.MessageReceived) -> None:
    """Bar the address, or propose to."""
    message = Message.objects.select_related("lead").get(pk=event.message_id)
    found = unsubscribing_of(message)
    if found is None:
        return
    if found.is_plain and _is_own(message.lead, message.from_address):
        said = one_line(message.text or message.subject, 120)
        suppress(
            ReachChannel.EMAIL,
            message.from_address,
            by=BY,
            reason=SuppressionReason.UNSUBSCRIBED,
            note=_("They wrote: “%s”") % said,
        )
    elif found.place and found.place.end - found.place.start >= SHORTEST_QUOTE:
        _propose(message, found)


def _propose(message: Message, found: Unsubscribing) -> None:
    assert found.place is not None
    store_triage(
        NewTriage(
            message_id=message.pk,
            intent=ReplyIntent.UNSUBSCRIBE,
            step=ReplyStep.SUPPRESS,
            summary=_("Asks for no more mail."),
            quote=found.place.of(normalised(message.text)),
            place=found.place,
            task_id=None,
            provider=RULE,
        ),
        by=BY,
    )


def _is_own(lead: Lead, address: str) -> bool:
    """Whether the sender speaks for an address that the lead has: a stranger bars nobody."""
    try:
        norm = normalise_email(address)[0]
    except InvalidValue:
        return False
    return lead.contact_points.filter(kind=PointKind.EMAIL, norm=norm).exists()
