"""Follow-ups: drafted, written, edited, dismissed, out of date. Approving is in `approvals`."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import models, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.actions.approvals import approve_follow_up, why_not_approvable
from crm.actions.base import lead_for_change, offer_undo, tell, undoable
from crm.actions.follow_up_rows import (
    APPROVAL_FIELDS,
    address_of,
    closing_of,
    customer_wrote_after,
    drop_approval,
    end,
    hold_back,
    locked,
    message_of,
    publish,
    refuse_if_at_the_door,
    unsent,
)
from crm.errors import InvalidValue, PermissionRefused, UndoRefused
from crm.mail.compose import clean_body, clean_subject
from crm.mail.signature import with_closing
from crm.models import Actor, ActorKind, FollowUp, FollowUpState, Lead, Purpose, Undo, User
from crm.permissions import Verb
from crm.plaintext import one_line

__all__ = [
    "DraftWishes",
    "Mark",
    "RejectReason",
    "approve_follow_up",
    "blank_message",
    "edit_follow_up",
    "expire_follow_ups",
    "mark_stale",
    "readdress_follow_ups",
    "reject_follow_up",
    "resign_follow_ups",
    "store_draft",
    "why_not_approvable",
    "write_follow_up",
]

EXPIRES_AFTER = timedelta(days=30)
UNDO_REJECTION = "reject_follow_up"
NOTE_LIMIT = 300


class RejectReason(models.TextChoices):
    """Why a draft was dismissed: one click, and a figure for whoever improves the prompts."""

    NOT_NEEDED = "not_needed", gettext_lazy("Not needed")
    ALREADY_ANSWERED = "already_answered", gettext_lazy("Already answered another way")
    WRONG_FACTS = "wrong_facts", gettext_lazy("Facts are wrong")
    WRONG_TONE = "wrong_tone", gettext_lazy("Tone is wrong")
    TOO_LONG = "too_long", gettext_lazy("Too long")
    OTHER = "other", gettext_lazy("Something else")


@dataclass(frozen=True, slots=True)
class DraftWishes:
    """How a draft was asked for: what its rewrite starts from. Values of Tone, Length, Language, or ""."""

    tone: str = ""
    length: str = ""
    language: str = ""
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A sentence as it stands in the draft, and the ids (of `facts_used`) of what it rests on."""

    text: str
    facts: tuple[str, ...]


@transaction.atomic
def store_draft(
    lead_id: int,
    *,
    subject: str,
    body: str,
    by: Actor,
    purpose: str = Purpose.FIRST_ANSWER,
    wishes: DraftWishes = DraftWishes(),
    agent_task_id: int | None = None,
    context_event_id: int | None = None,
    provider: str = "",
    model: str = "",
    cost_usd: Decimal = Decimal(0),
    facts_used: Sequence[object] = (),
    marks: Sequence[Mark] = (),
    needs_writing: str = "",
) -> FollowUp:
    """Keep what an agent wrote, closed with the owner's signature and the organisation's footer.

    The recipient is the lead's primary e-mail address, whatever the agent says. Earlier generated drafts that
    nobody touched become stale; so does this one at once if the customer wrote after `context_event_id`.
    `marks` are in the order of the body.
    `needs_writing` says why the agent's text was refused; subject and body may then be empty.
    Raises Lead.DoesNotExist, InvalidValue, PermissionRefused for a person. Publishes FollowUpChanged.
    """
    if by.kind not in {ActorKind.AGENT, ActorKind.SYSTEM}:
        raise PermissionRefused(_("Only agents leave drafts; people write follow-ups."))
    lead = Lead.objects.live().select_for_update(of=("self",)).select_related("owner").get(pk=lead_id)
    for older in unsent(lead):
        if older.state == FollowUpState.GENERATED:
            end(older, FollowUpState.STALE)
    if not needs_writing:
        subject, body = clean_subject(subject), clean_body(body)
    follow_up = FollowUp(
        lead=lead,
        purpose=purpose,
        to_address=address_of(lead),
        subject=subject,
        body=with_closing(body, closing_of(lead.owner)),
        agent_task_id=agent_task_id,
        context_event_id=context_event_id,
        provider=provider,
        model=model,
        cost_usd=cost_usd,
        facts_used=list(facts_used),
        needs_writing=needs_writing[:300],
        **asdict(wishes),
    )
    follow_up.marks = list(_places(follow_up.body, marks))
    follow_up.original_subject, follow_up.original_body = follow_up.subject, follow_up.body
    _save_new(follow_up)
    tell(lead, "follow_up.generated", _("drafted “%s”") % (follow_up.subject or "–"), by=by)
    if customer_wrote_after(follow_up):
        end(follow_up, FollowUpState.STALE)
    return follow_up


def _places(body: str, marks: Sequence[Mark]) -> Iterator[dict[str, object]]:
    """Where each sentence stands, in code points; one that is not there is left out."""
    at = 0
    for mark in marks:
        start = body.find(mark.text, at)
        if start >= 0:
            at = start + len(mark.text)
            yield {"start": start, "end": at, "facts": list(mark.facts)}


def blank_message(by: Actor) -> str:
    """What a new message of this person starts from: room to write, then what will stand under it."""
    return f"\n\n{closing_of(by.user)}"


@transaction.atomic
def write_follow_up(
    lead_id: int, *, by: Actor, subject: str, body: str, purpose: str = Purpose.OTHER
) -> FollowUp:
    """A person's own message, closed with their signature and the footer unless the text ends with them.

    Raises Lead.DoesNotExist, PermissionRefused, InvalidValue. Publishes FollowUpChanged.
    """
    lead = lead_for_change(lead_id, by=by, verb=Verb.SEND)
    body, closing = clean_body(body), closing_of(by.user)
    if body.strip() == closing:
        raise InvalidValue(_("Write something above your signature."), field="body")
    follow_up = FollowUp(
        lead=lead,
        purpose=purpose,
        to_address=address_of(lead),
        subject=clean_subject(subject),
        body=with_closing(body, closing),
        state=FollowUpState.EDITED,
        created_by=by.user,
        context_event=lead.timeline.order_by("-id").first(),
    )
    _save_new(follow_up)
    tell(lead, "follow_up.written", _("wrote “%s”") % follow_up.subject, by=by)
    return follow_up


@transaction.atomic
def edit_follow_up(
    follow_up_id: int, *, by: Actor, version: int | None, subject: str | None = None, body: str | None = None
) -> FollowUp:
    """Change the text. Drops an approval and takes back what waits to be sent; the original stays readable.

    Raises FollowUp.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue, TransitionRefused once it
    is on its way or over. Publishes FollowUpChanged.
    """
    lead, follow_up, message = locked(follow_up_id, by=by, version=version)
    refuse_if_at_the_door(message)
    if follow_up.state == FollowUpState.SCHEDULED:
        follow_up.move_to(FollowUpState.APPROVED)
    follow_up.move_to(FollowUpState.EDITED)
    follow_up.subject = clean_subject(follow_up.subject if subject is None else subject)
    follow_up.body = clean_body(follow_up.body if body is None else body)
    follow_up.to_address = address_of(lead)
    follow_up.needs_writing = ""
    hold_back(message)
    _save_unapproved(follow_up)
    tell(lead, "follow_up.edited", _("edited “%s”") % follow_up.subject, by=by)
    return follow_up


@transaction.atomic
def reject_follow_up(
    follow_up_id: int, *, by: Actor, reason: str, note: str = "", version: int | None = None
) -> FollowUp:
    """Dismiss it, with one of RejectReason's codes and, if wanted, up to 300 characters of one's own.

    Raises FollowUp.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue (reason, note),
    TransitionRefused once it is on its way or over. Publishes FollowUpChanged; offers an undo.
    """
    if reason not in RejectReason.values:
        raise InvalidValue(
            _("Give one of these reasons: %s.") % ", ".join(RejectReason.values), field="reason"
        )
    if len(note) > NOTE_LIMIT:
        raise InvalidValue(_("Use at most %d characters.") % NOTE_LIMIT, field="note")
    lead, follow_up, message = locked(follow_up_id, by=by, version=version)
    refuse_if_at_the_door(message)
    before = FollowUpState.APPROVED if follow_up.state == FollowUpState.SCHEDULED else follow_up.state
    follow_up.move_to(FollowUpState.REJECTED)
    follow_up.reject_reason, follow_up.reject_note = reason, one_line(note, NOTE_LIMIT)
    hold_back(message)
    follow_up.save_changed("state", "reject_reason", "reject_note")
    because = " – ".join(part for part in (str(RejectReason(reason).label), follow_up.reject_note) if part)
    summary = _("dismissed “%(subject)s”: %(reason)s") % {
        "subject": follow_up.subject or "–",
        "reason": because,
    }
    tell(lead, "follow_up.rejected", summary, by=by)
    offer_undo(
        UNDO_REJECTION,
        by=by,
        label=_("Dismissing the draft"),
        before={"lead": lead.pk, "state": before},
        rows=[follow_up],
    )
    publish(follow_up)
    return follow_up


@undoable(UNDO_REJECTION)
def _undo_rejection(undo: Undo, by: Actor) -> None:
    """The one way out of `rejected`: as if it had not been dismissed, unless the customer wrote meanwhile."""
    follow_up = FollowUp.objects.select_related("lead").get(pk=int(next(iter(undo.versions["crm.followup"]))))
    if customer_wrote_after(follow_up):
        raise UndoRefused(_("The customer wrote meanwhile; this draft is out of date."))
    follow_up.state = undo.before["state"]
    follow_up.reject_reason = follow_up.reject_note = ""
    follow_up.save_changed("state", "reject_reason", "reject_note")
    tell(follow_up.lead, "follow_up.restored", _("brought back “%s”") % (follow_up.subject or "–"), by=by)
    publish(follow_up)


@transaction.atomic
def mark_stale(lead_id: int, *, because: str) -> int:
    """The customer said something new: unsent follow-ups no longer answer it. Returns how many.

    Leaves alone what is being sent or whose sending is uncertain. Publishes FollowUpChanged.
    """
    lead = Lead.objects.select_for_update(of=("self",)).get(pk=lead_id)
    count = sum(end(follow_up, FollowUpState.STALE) for follow_up in unsent(lead))
    if count:
        tell(lead, "follow_up.stale", _("put a draft aside: %s") % because, by=Actor.system())
    return count


@transaction.atomic
def readdress_follow_ups(lead_id: int) -> int:
    """The lead's address may have changed: unsent follow-ups go to the new one. Returns how many changed.

    Whatever was approved has to be approved again. Publishes FollowUpChanged.
    """
    lead = Lead.objects.select_for_update(of=("self",)).get(pk=lead_id)
    address, count = address_of(lead), 0
    for follow_up in unsent(lead):
        if follow_up.to_address != address:
            follow_up.to_address = address
            count += _reword(follow_up)
    return count


@transaction.atomic
def resign_follow_ups(lead_id: int, *, previous_owner_id: int | None) -> int:
    """The lead has a new owner: drafts that end with the old closing get the new one. Returns how many.

    Whatever was approved stays as its approver saw it. Publishes FollowUpChanged.
    """
    lead = Lead.objects.select_for_update(of=("self",)).select_related("owner").get(pk=lead_id)
    previous = User.objects.get(pk=previous_owner_id) if previous_owner_id else None
    old = closing_of(previous)
    count = 0
    for follow_up in unsent(lead):
        is_open = follow_up.state in {FollowUpState.GENERATED, FollowUpState.EDITED}
        if is_open and follow_up.created_by_id is None and follow_up.body.endswith(old):
            follow_up.body = with_closing(follow_up.body.removesuffix(old), closing_of(lead.owner))
            if follow_up.state == FollowUpState.GENERATED:
                follow_up.original_body = follow_up.body
            count += _reword(follow_up)
    return count


@transaction.atomic
def expire_follow_ups(*, at: datetime) -> int:
    """Drafts that nobody touched for 30 days are over. Looks at 500 a call; returns how many it ended.

    Publishes FollowUpChanged.
    """
    old = FollowUp.objects.unsent().exclude(state=FollowUpState.SCHEDULED)
    lead_ids = old.filter(updated_at__lt=at - EXPIRES_AFTER).order_by("id").values_list("lead_id", flat=True)
    count = 0
    for lead in Lead.objects.filter(pk__in=set(lead_ids[:500])).select_for_update().order_by("id"):
        for follow_up in unsent(lead):
            if follow_up.updated_at < at - EXPIRES_AFTER and follow_up.state != FollowUpState.SCHEDULED:
                count += end(follow_up, FollowUpState.EXPIRED)
    return count


def _save_new(follow_up: FollowUp) -> None:
    follow_up.rehash()
    follow_up.save()
    publish(follow_up)


def _save_unapproved(follow_up: FollowUp) -> None:
    """Other bytes than before: hash anew, no approval."""
    drop_approval(follow_up)
    follow_up.rehash()
    follow_up.save_changed(
        "state",
        "subject",
        "body",
        "original_body",
        "to_address",
        "body_sha256",
        "needs_writing",
        *APPROVAL_FIELDS,
    )
    publish(follow_up)


def _reword(follow_up: FollowUp) -> int:
    """Save new bytes that no person wrote; an approved one goes back to `edited`. Returns 1, for counting."""
    if follow_up.state in {FollowUpState.APPROVED, FollowUpState.SCHEDULED}:
        hold_back(message_of(follow_up))
        follow_up.state = FollowUpState.EDITED
    _save_unapproved(follow_up)
    return 1
