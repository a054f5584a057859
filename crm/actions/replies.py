"""What a customer's reply means: an agent proposes, a person accepts or dismisses.

Nothing here follows from the proposal alone. Accepting does what it says by the same action as if the person
had chosen it themselves, with that action's rights, refusals and undo.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, lead_for_change, tell
from crm.actions.consents import suppress
from crm.actions.lead_moves import disqualify_lead, plan_next_action, snooze_lead
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import (
    Actor,
    ActorKind,
    Direction,
    Lead,
    Message,
    NextActionKind,
    ProposalState,
    ReachChannel,
    ReplyIntent,
    ReplyStep,
    ReplyTriage,
    SuppressionReason,
)
from crm.plaintext import Span, normalised, one_line

WAKES_AT = time(8)  # in the time zone of whoever accepts


@dataclass(frozen=True, slots=True)
class NewTriage:
    """What an agent or a rule read in one message. `place` counts code points of its normalised text."""

    message_id: int
    intent: str
    step: str
    summary: str
    quote: str
    place: Span
    task_id: int | None  # None: a rule's
    wake_on: date | None = None
    provider: str = ""
    model: str = ""
    prompt: str = ""


@transaction.atomic
def store_triage(new: NewTriage, *, by: Actor) -> ReplyTriage:
    """Keep what an agent proposes about a received message. Earlier proposals for the lead become stale; so
    does this one at once when the customer has written again since.

    Raises Message.DoesNotExist, InvalidValue (`message`, `quote`, `wake_on`), PermissionRefused for a person.
    Publishes ReplyTriaged.
    """
    if by.kind not in {ActorKind.AGENT, ActorKind.SYSTEM}:
        raise PermissionRefused(_("Only agents and rules leave proposals."))
    lead_id = Message.objects.values_list("lead_id", flat=True).get(pk=new.message_id)
    lead = Lead.objects.live().select_for_update(of=("self",)).get(pk=lead_id)
    message = Message.objects.get(pk=new.message_id)
    if message.direction != Direction.IN:
        raise InvalidValue(_("Only what a customer wrote can be triaged."), field="message")
    if new.place.of(normalised(message.text)) != new.quote:
        raise InvalidValue(_("The quote is not in the message."), field="quote")
    if new.step == ReplyStep.SLEEP and (new.wake_on is None or new.wake_on <= clock.now().date()):
        raise InvalidValue(_("Choose a day in the future."), field="wake_on")
    for older in lead.reply_triages.proposed().select_for_update().order_by("pk"):
        _end(older, ProposalState.STALE)
    triage = ReplyTriage.objects.create(
        lead=lead,
        message=message,
        intent=new.intent,
        step=new.step,
        wake_on=new.wake_on,
        summary=one_line(new.summary, 300),
        quote=new.quote,
        quote_start=new.place.start,
        quote_end=new.place.end,
        state=ProposalState.STALE if _is_answered_by_newer(message) else ProposalState.PROPOSED,
        task_id=new.task_id,
        provider=new.provider,
        model=new.model,
        prompt=new.prompt,
    )
    words = {"intent": triage.get_intent_display(), "summary": triage.summary}
    tell(lead, "reply.triaged", _("read the reply: %(intent)s. %(summary)s") % words, by=by)
    _publish(triage)
    return triage


@transaction.atomic
def accept_triage(triage_id: int, *, by: Actor, version: int | None = None) -> ReplyTriage:
    """Do what is proposed, on behalf of this person. The triage carries the undo of what was done, if any.

    Raises ReplyTriage.DoesNotExist, PermissionRefused, VersionConflict, TransitionRefused (decided already,
    or the lead may not go there), InvalidValue (the day to wake has passed). Publishes ReplyTriaged and what
    the step publishes.
    """
    lead, triage = _locked(triage_id, by=by, version=version)
    done = _STEPS[ReplyStep(triage.step)](lead, triage, by)
    _decide(triage, ProposalState.ACCEPTED, by=by)
    triage.undo_offer = getattr(done, "undo_offer", None)
    words = _("accepted the proposal: %s") % triage.get_step_display()
    tell(lead, "reply.accepted", words, by=by)
    return triage


@transaction.atomic
def dismiss_triage(triage_id: int, *, by: Actor, version: int | None = None) -> ReplyTriage:
    """Leave it. Raises as `accept_triage`. Publishes ReplyTriaged."""
    lead, triage = _locked(triage_id, by=by, version=version)
    _decide(triage, ProposalState.DISMISSED, by=by)
    words = _("dismissed the proposal: %s") % triage.get_step_display()
    tell(lead, "reply.dismissed", words, by=by)
    return triage


@events.on(events.MessageReceived)
def customer_wrote_again(event: events.MessageReceived) -> None:
    """Proposals about what they wrote before are out of date."""
    old = ReplyTriage.objects.proposed().filter(lead=event.lead_id).exclude(message=event.message_id)
    for triage in old.select_for_update(of=("self",)).order_by("pk"):
        _end(triage, ProposalState.STALE)


def _locked(triage_id: int, *, by: Actor, version: int | None) -> tuple[Lead, ReplyTriage]:
    lead_id = ReplyTriage.objects.visible_to(by).values_list("lead_id", flat=True).get(pk=triage_id)
    lead = lead_for_change(lead_id, by=by)
    triage = ReplyTriage.objects.select_related("message").select_for_update(of=("self",)).get(pk=triage_id)
    if by.user is None:
        raise PermissionRefused(_("A person decides about a proposal."))
    check_version(triage, version)
    if triage.state != ProposalState.PROPOSED:
        raise TransitionRefused(_("This proposal was decided already, or is out of date."))
    return lead, triage


def _decide(triage: ReplyTriage, state: ProposalState, *, by: Actor) -> None:
    triage.decided_by, triage.decided_at = by.user, clock.now()
    triage.state = state
    triage.save_changed("state", "decided_by", "decided_at")
    _publish(triage)


def _end(triage: ReplyTriage, state: ProposalState) -> None:
    triage.state = state
    triage.save_changed("state")
    _publish(triage)


def _publish(triage: ReplyTriage) -> None:
    events.publish(events.ReplyTriaged(triage.lead_id, triage.pk, str(triage.state)))


def _is_answered_by_newer(message: Message) -> bool:
    newer = Message.objects.filter(lead=message.lead_id, direction=Direction.IN, pk__gt=message.pk)
    return newer.exists()


# --- what accepting does
def _plan(kind: NextActionKind) -> Callable[[Lead, ReplyTriage, Actor], object]:
    def plan(lead: Lead, triage: ReplyTriage, by: Actor) -> object:
        return plan_next_action(lead.pk, by=by, at=clock.now(), kind=kind)

    return plan


def _sleep(lead: Lead, triage: ReplyTriage, by: Actor) -> object:
    assert triage.wake_on is not None  # crm_replytriage_sleep_has_date
    until = datetime.combine(triage.wake_on, WAKES_AT, _zone(by))
    return snooze_lead(lead.pk, by=by, until=until, reason=triage.get_intent_display())


def _zone(by: Actor) -> ZoneInfo:
    try:
        return ZoneInfo(by.user.time_zone if by.user else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _disqualify(lead: Lead, triage: ReplyTriage, by: Actor) -> object:
    return disqualify_lead(lead.pk, by=by, reason=triage.get_intent_display())


def _suppress(lead: Lead, triage: ReplyTriage, by: Actor) -> object:
    reason = SuppressionReason.UNSUBSCRIBED
    if triage.intent != ReplyIntent.UNSUBSCRIBE:
        reason = SuppressionReason.MANUAL
    return suppress(ReachChannel.EMAIL, triage.message.from_address, by=by, reason=reason)


_STEPS: dict[ReplyStep, Callable[[Lead, ReplyTriage, Actor], object]] = {
    ReplyStep.ANSWER: _plan(NextActionKind.EMAIL),
    ReplyStep.CALL: _plan(NextActionKind.CALL),
    ReplyStep.MEETING: _plan(NextActionKind.MEETING),
    ReplyStep.SLEEP: _sleep,
    ReplyStep.DISQUALIFY: _disqualify,
    ReplyStep.SUPPRESS: _suppress,
}
