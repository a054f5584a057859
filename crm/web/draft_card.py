"""The message to a lead that waits for a person, is being written, or is on its way."""

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from crm import clock, ports
from crm.actions.follow_ups import RejectReason
from crm.models import (
    FollowUp,
    FollowUpState,
    Language,
    Lead,
    Length,
    MessageState,
    Purpose,
    Tone,
    User,
)
from crm.permissions import Verb, may
from crm.web import words
from crm.web.draft_sources import Segment, segments_of

_SHOWN = (
    FollowUpState.GENERATED,
    FollowUpState.EDITED,
    FollowUpState.APPROVED,
    FollowUpState.SCHEDULED,
    FollowUpState.SENT,
    FollowUpState.STALE,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """A list to choose from, for the form that asks for a draft."""

    name: str
    label: str
    options: list[tuple[str, str, bool]]  # value, text, is chosen


def _wishes(follow_up: FollowUp | None = None) -> list[Wish]:
    """As the draft was asked for; without one, as it suits."""
    lists = [
        ("purpose", _("Purpose"), Purpose, _("By what happened")),
        ("tone", _("Tone"), Tone, _("As it suits")),
        ("length", _("Length"), Length, _("As it suits")),
        ("language", _("Language"), Language, _("The customer’s")),
    ]
    found = []
    for name, label, choices, unset in lists:
        chosen = str(getattr(follow_up, name)) if follow_up else ""
        options = [("", unset, not chosen)]
        options += [(value, str(text), value == chosen) for value, text in choices.choices]
        found.append(Wish(name, label, options))
    return found


@dataclass(slots=True)
class DraftCard:
    """Text for the template, no models. `state` is a FollowUpState, "writing" or "none"."""

    lead_id: str
    lead_name: str
    state: str
    can_send: bool
    can_draft: bool
    public_id: str = ""
    version: int = 0
    author: str = ""
    is_machine: bool = False
    meta: str = ""
    to_address: str = ""
    subject: str = ""
    body: str = ""
    segments: list[Segment] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=_wishes)
    instruction: str = ""
    is_sample: bool = False
    needs_writing: str = ""
    message_state: str = ""
    message_error: str = ""
    sent_at: str = ""
    next_try: str = ""  # the mail server was not ready for it
    original: str = ""
    error: str = ""
    error_field: str = ""
    is_editing: bool = False

    @property
    def dismiss_reasons(self) -> list[tuple[str, str]]:
        """ "Something else" first: it is what Enter in the field for one's own words means."""
        reasons = sorted(RejectReason.choices, key=lambda choice: choice[0] != RejectReason.OTHER)
        return [(value, str(label)) for value, label in reasons]

    @property
    def rows(self) -> int:
        """Height of the form's text, so that nothing jumps when it opens."""
        return max(8, min(24, self.body.count("\n") + len(self.body) // 90 + 2))

    @property
    def is_open(self) -> bool:
        return self.state in {FollowUpState.GENERATED, FollowUpState.EDITED, FollowUpState.APPROVED}

    @property
    def may_edit(self) -> bool:
        """Also while it waits for the mail server to be ready: editing takes it back."""
        return self.can_send and (self.is_open or bool(self.next_try))


def draft_card(lead: Lead, user: User, *, ai: ports.AIStatus) -> DraftCard:
    """The newest follow-up of the lead that still says something, and whether one is being written."""
    card = DraftCard(
        lead_id=str(lead.public_id),
        lead_name=lead.name,
        state="none",
        can_send=may(user, Verb.SEND, lead),
        can_draft=ai.is_on and lead.is_open,
    )
    if ports.pending([lead.pk]).get(lead.pk) == "drafting":
        card.state = "writing"
        return card
    follow_up = (
        FollowUp.objects.filter(lead=lead, state__in=_SHOWN)
        .select_related("message", "created_by", "lead")
        .order_by("-created_at", "-id")
        .first()
    )
    if follow_up is not None:
        fill(card, follow_up)
    return card


def fill(card: DraftCard, follow_up: FollowUp) -> None:
    """Put one follow-up's text into the card."""
    now = clock.now()
    card.state = follow_up.state
    card.public_id = str(follow_up.public_id)
    card.version = follow_up.version
    card.is_machine = follow_up.agent_task_id is not None or bool(follow_up.provider)
    card.author = "FollowUpAgent" if card.is_machine else str(follow_up.created_by or "")
    card.is_sample = follow_up.is_sample
    card.needs_writing = follow_up.needs_writing
    parts = [
        "" if follow_up.is_sample else follow_up.model.rsplit("/", 1)[-1],
        words.usd(follow_up.cost_usd) if follow_up.cost_usd else "",
        words.ago(follow_up.created_at, now),
    ]
    card.meta = " · ".join(part for part in parts if part)
    card.to_address = follow_up.to_address
    card.subject, card.body = follow_up.subject, follow_up.body
    is_untouched = follow_up.body == follow_up.original_body
    card.original = "" if is_untouched or not card.is_machine else follow_up.original_body
    card.segments = segments_of(follow_up, now) if card.is_machine else [Segment(follow_up.body)]
    if follow_up.state != FollowUpState.SENT:  # what comes after it is another message
        card.wishes, card.instruction = _wishes(follow_up), follow_up.instruction
    message = getattr(follow_up, "message", None)
    if message is not None:
        card.message_state, card.message_error = message.state, message.error
        card.sent_at = words.ago(message.sent_at, now) if message.state == MessageState.SENT else ""
        if message.state == MessageState.QUEUED and message.error:
            card.next_try = words.day_and_time(message.send_at, now)
