"""The outbox and what comes in: claim, hand over, book the outcome; once, or ask a person.

A message is `sending` in a committed row before the mail server hears of it. Whoever finds it there later,
without an answer, cannot know whether it left: it becomes `uncertain` and is never sent again by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.approvals import why_not_sendable
from crm.actions.attempts import count_attempt
from crm.actions.base import lead_for_change, tell
from crm.actions.follow_up_rows import publish, publish_message
from crm.actions.lead_status import STATUS_FIELDS, WAKING_FIELDS, change_status, wake_up
from crm.errors import InvalidValue, TransitionRefused
from crm.mail.compose import Letter
from crm.mail.transport import Delivery, Outcome
from crm.models import (
    Actor,
    Direction,
    FollowUp,
    FollowUpState,
    Lead,
    LeadStatus,
    Message,
    MessageState,
    NextActionKind,
    follow_up_hash,
)
from crm.permissions import Verb

RETRY_AFTER = (  # after the first, second ... failed try; then the message has failed
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=8),
    timedelta(hours=24),
)
LEASE = timedelta(seconds=180)  # the queue ends a task after 120 s, so nobody is at work on it any more
NEXT_LOOK_AFTER = timedelta(days=3)  # planned when something was sent and nothing else is planned


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that this process, and no other, hands over now. `version` fences off late answers."""

    message_id: int
    version: int
    letter: Letter


def due_messages(at: datetime) -> QuerySet[Message]:
    """Messages to be sent at `at`, oldest first."""
    return Message.objects.filter(
        direction=Direction.OUT,
        state=MessageState.QUEUED,
        send_at__lte=at,
        follow_up__state=FollowUpState.SCHEDULED,
    ).order_by("send_at", "id")


@transaction.atomic
def claim_due_messages(at: datetime, *, limit: int = 1) -> list[Claim]:
    """Take up to `limit` due messages: `sending`, one attempt more, committed when this returns.

    Rows that somebody else holds are skipped, not waited for. Each is looked at once more: its bytes must be
    those approved and its recipient one that may be written to; else it fails here and goes to a person.
    Publishes MessageChanged.
    """
    due = (
        due_messages(at)
        .select_related("follow_up__lead")
        .select_for_update(skip_locked=True, of=("self", "follow_up", "follow_up__lead"))
    )
    claims: list[Claim] = []
    while len(claims) < limit and (message := due.first()):
        follow_up = _follow_up_of(message)
        reason = _why_not(message, follow_up)
        if reason:
            _fail(message, follow_up, reason)
            continue
        message.state, message.attempts = MessageState.SENDING, message.attempts + 1
        message.sending_since = Now()
        message.save_changed("state", "attempts", "sending_since")
        publish_message(message)
        claims.append(Claim(message.pk, message.version, _letter(message, follow_up)))
    return claims


def _follow_up_of(message: Message) -> FollowUp:
    """What an outgoing message carries; it always has one (crm_message_out_has_follow_up)."""
    assert message.follow_up is not None
    return message.follow_up


def _why_not(message: Message, follow_up: FollowUp) -> str:
    """The last look before sending; the database holds the same line (crm_message_is_approved)."""
    approved = follow_up.approved_sha256
    if approved != follow_up_hash(message.to_address, message.subject, message.text):
        return _("The text differs from what was approved.")
    return why_not_sendable(follow_up)


def _letter(message: Message, follow_up: FollowUp) -> Letter:
    """The same for each try, to the byte: even the Date is that of the approval."""
    return Letter(
        message_id=message.message_id,
        sender=message.from_address,
        sender_name=message.headers.get("from_name", ""),
        reply_to=message.headers.get("reply_to", ""),
        to=message.to_address,
        subject=message.subject,
        text=message.text,
        at=follow_up.approved_at or message.occurred_at,
    )


@transaction.atomic
def finish_sending(message_id: int, *, version: int, delivery: Delivery, at: datetime) -> Message:
    """Book what became of a claimed message.

    sent: follow-up sent, timeline, lead's dates and next action. later: queued again, after the last retry
    failed. refused: failed. unknown: uncertain. A failed message's follow-up is `approved` again, for a
    person to correct. An answer that comes after the row has moved on changes nothing.
    Publishes MessageChanged, FollowUpChanged, LeadChanged.
    """
    lead, follow_up, message = _locked_message(message_id)
    if message.version != version or message.state != MessageState.SENDING:
        return message
    match delivery.outcome:
        case Outcome.SENT:
            _book_sent(lead, follow_up, message, by=Actor.system(), at=at)
        case Outcome.UNKNOWN:
            _book_uncertain(message, follow_up, delivery.reason)
        case Outcome.LATER if message.attempts <= len(RETRY_AFTER):
            _book_retry(message, delivery.reason, at=at + RETRY_AFTER[message.attempts - 1])
        case _:
            _fail(message, follow_up, delivery.reason)
    return message


@transaction.atomic
def find_lost_sendings(*, limit: int = 100) -> int:
    """Messages found `sending` longer than anybody can be at it become uncertain. Returns how many.

    Publishes MessageChanged.
    """
    lost = (
        Message.objects.filter(
            state=MessageState.SENDING,
            sending_since__lt=Now() - LEASE,
            follow_up__state=FollowUpState.SCHEDULED,
        )
        .select_related("follow_up__lead")
        .select_for_update(skip_locked=True, of=("self", "follow_up", "follow_up__lead"))
        .order_by("id")[:limit]
    )
    count = 0
    for message in lost:
        _book_uncertain(message, _follow_up_of(message), _("the sending process ended without an answer"))
        count += 1
    return count


@transaction.atomic
def resolve_uncertain(message_id: int, *, by: Actor, outcome: str) -> Message:
    """A person says what became of an uncertain message: `sent`, or `not_sent` (it may be approved again).

    Raises Message.DoesNotExist, PermissionRefused, InvalidValue (outcome), TransitionRefused if it is not
    uncertain. Publishes MessageChanged, FollowUpChanged, LeadChanged.
    """
    if outcome not in {"sent", "not_sent"}:
        raise InvalidValue(_("Say sent or not_sent."), field="outcome")
    lead_id = Message.objects.filter(lead__in=Lead.objects.visible_to(by)).values_list("lead_id", flat=True)
    lead_for_change(lead_id.get(pk=message_id), by=by, verb=Verb.SEND)
    lead, follow_up, message = _locked_message(message_id)
    if message.state != MessageState.UNCERTAIN:
        raise TransitionRefused(_("This message's sending is not in question."))
    if outcome == "sent":
        _book_sent(lead, follow_up, message, by=by, at=clock.now())
    else:
        _fail(message, follow_up, _("%s says it was not sent") % by.label, by=by)
    return message


@transaction.atomic
def record_inbound_message(
    lead_id: int,
    *,
    by: Actor,
    from_address: str,
    subject: str,
    text: str,
    to_address: str = "",
    message_id: str = "",
    thread: str = "",
    mail_account: str = "",
    received_at: datetime | None = None,
) -> Message:
    """Keep what a customer wrote. The same Message-ID in the same mailbox is kept once.

    The lead's unsent follow-ups become stale, a sleeping lead wakes, its count of tries starts anew.
    Raises Lead.DoesNotExist. Publishes MessageReceived, LeadChanged and LeadFactsChanged.
    """
    lead = Lead.objects.live().select_for_update(of=("self",)).get(pk=lead_id)
    known = Message.objects.filter(mail_account=mail_account, message_id=message_id).first()
    if message_id and known:
        return known
    at = received_at or clock.now()
    line = " ".join((subject or text).split()) or "–"
    event = tell(lead, "message.received", line, by=Actor.customer(lead.name), occurred_at=at)
    message = Message.objects.create(
        lead=lead,
        direction=Direction.IN,
        state=MessageState.RECEIVED,
        mail_account=mail_account,
        message_id=message_id[:250],
        thread=thread[:250],
        from_address=from_address[:320],
        to_address=to_address[:320],
        subject=subject[:998],
        text=text,
        received_at=at,
        occurred_at=at,
        event=event,
    )
    changed = ["last_inbound_at", "attempts"]
    lead.last_inbound_at, lead.attempts = at, 0
    if lead.status == LeadStatus.NURTURING:
        wake_up(lead, by=by).save()
        changed += WAKING_FIELDS
    lead.save_changed(*changed)
    events.publish(events.MessageReceived(lead.pk, message.pk))
    events.publish(events.LeadChanged(lead.pk, fields=tuple(changed)))
    events.publish(events.LeadFactsChanged(lead.pk, priority=2))
    return message


def _locked_message(message_id: int) -> tuple[Lead, FollowUp, Message]:
    """Lead, follow-up and message, locked in this order."""
    lead_id, follow_up_id = Message.objects.values_list("lead_id", "follow_up_id").get(pk=message_id)
    lead = Lead.objects.select_for_update(of=("self",)).get(pk=lead_id)
    follow_up = FollowUp.objects.select_for_update().get(pk=follow_up_id)
    message = Message.objects.select_for_update().get(pk=message_id)
    follow_up.lead, message.follow_up, message.lead = lead, follow_up, lead
    return lead, follow_up, message


def _book_sent(lead: Lead, follow_up: FollowUp, message: Message, *, by: Actor, at: datetime) -> None:
    message.event = tell(lead, "message.sent", _("sent “%s”") % message.subject, by=by, occurred_at=at)
    message.state, message.sent_at, message.occurred_at, message.error = MessageState.SENT, at, at, ""
    message.save_changed("state", "sent_at", "occurred_at", "event", "error")
    follow_up.move_to(FollowUpState.SENT)
    follow_up.save_changed("state")
    changed = ["last_outbound_at"]
    lead.last_outbound_at = at
    if lead.status == LeadStatus.NEW:
        change_status(lead, LeadStatus.WORKING, by=by)
        changed += STATUS_FIELDS
    if lead.is_open and (lead.next_action_at is None or lead.next_action_at <= at):
        lead.next_action_at, lead.next_action_kind = at + NEXT_LOOK_AFTER, NextActionKind.CALL
        changed += ["next_action_at", "next_action_kind"]
    changed += count_attempt(lead)
    lead.save_changed(*changed)
    publish_message(message)
    publish(follow_up)
    events.publish(events.LeadChanged(lead.pk, fields=tuple(changed)))


def _book_uncertain(message: Message, follow_up: FollowUp, reason: str) -> None:
    message.state, message.error = MessageState.UNCERTAIN, reason[:300]
    message.save_changed("state", "error")
    summary = _("may or may not have sent “%s”: somebody has to find out") % message.subject
    tell(follow_up.lead, "message.uncertain", summary, by=Actor.system(), reason=message.error)
    publish_message(message)
    publish(follow_up)


def _book_retry(message: Message, reason: str, *, at: datetime) -> None:
    message.state, message.error, message.send_at = MessageState.QUEUED, reason[:300], at
    message.sending_since = None
    message.save_changed("state", "error", "send_at", "sending_since")
    publish_message(message)


def _fail(message: Message, follow_up: FollowUp, reason: str, *, by: Actor | None = None) -> None:
    """Not sent, and no more tries; the follow-up goes back to a person as `approved`."""
    message.state, message.error = MessageState.FAILED, reason[:300]
    message.sending_since = None
    message.save_changed("state", "error", "sending_since")
    follow_up.move_to(FollowUpState.APPROVED)
    follow_up.save_changed("state")
    summary = _("could not send “%(subject)s”: %(reason)s") % {"subject": message.subject, "reason": reason}
    tell(follow_up.lead, "message.failed", summary, by=by or Actor.system())
    publish_message(message)
    publish(follow_up)
