"""The message to a lead that waits for a person, is being written, or is on its way."""

import re
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from crm import clock, ports
from crm.actions.follow_ups import RejectReason
from crm.models import (
    FactorSource,
    FollowUp,
    FollowUpState,
    Inquiry,
    Lead,
    Message,
    MessageState,
    Note,
    User,
)
from crm.permissions import Verb, may
from crm.web import words

_SHOWN = (
    FollowUpState.GENERATED,
    FollowUpState.EDITED,
    FollowUpState.APPROVED,
    FollowUpState.SCHEDULED,
    FollowUpState.SENT,
    FollowUpState.STALE,
)


_FIELDS = ("name", "company", "title", "interest", "country")
_ROWS = {
    FactorSource.INQUIRY: (Inquiry.objects, "message"),
    FactorSource.MESSAGE: (Message.objects, "text"),
    FactorSource.NOTE: (Note.objects, "body"),
}
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SMALL = frozenset(
    "a an and are as at be by can for from have i in is it me my of on or our so that the this to us we will "
    "with would you your".split()
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the text; `source` says where a fact of it was taken from."""

    text: str
    source: str = ""


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
        return [(value, str(label)) for value, label in RejectReason.choices]

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
    card.segments = marked(follow_up.body, sources_of(follow_up) if card.is_machine else [])
    message = getattr(follow_up, "message", None)
    if message is not None:
        card.message_state, card.message_error = message.state, message.error
        card.sent_at = words.ago(message.sent_at, now) if message.state == MessageState.SENT else ""
        if message.state == MessageState.QUEUED and message.error:
            card.next_try = words.day_and_time(message.send_at, now)


def sources_of(follow_up: FollowUp) -> list[tuple[str, str]]:
    """The texts of the record that the draft says it used, with their names. At most three queries.

    `facts_used` was written by an agent: whatever is not one of this lead's own rows is left out.
    """
    wanted: dict[str, set[int]] = {}
    sources: list[tuple[str, str]] = []
    for fact in follow_up.facts_used[:40]:
        if not isinstance(fact, dict):
            continue
        kind, field_name, source_id = fact.get("kind"), fact.get("field"), fact.get("source_id")
        if kind == FactorSource.FIELD and field_name in _FIELDS:
            sources.append((_("Field: %s") % field_name, str(getattr(follow_up.lead, field_name) or "")))
        elif isinstance(kind, str) and isinstance(source_id, int):
            wanted.setdefault(kind, set()).add(source_id)
    for kind, (rows, text_field) in _ROWS.items():
        if kind in wanted:
            of_lead = rows.filter(lead=follow_up.lead, pk__in=wanted[kind])  # type: ignore[misc]
            texts = of_lead.values_list(text_field, flat=True)
            sources += [(str(FactorSource(kind).label), text) for text in texts]
    return sources


def marked(body: str, sources: list[tuple[str, str]]) -> list[Segment]:
    """The body cut so that words found in the record can be underlined with their source.

    Found by code, not claimed by the model: runs of words that stand in the source as they stand here.
    """
    words_at = [(m.start(), m.end()) for m in _WORD.finditer(body)]
    folded = [body[start:end].casefold() for start, end in words_at]
    known = [(name, f" {' '.join(w.casefold() for w in _WORD.findall(text))} ") for name, text in sources]
    segments, at, i = [], 0, 0
    while i < len(folded):
        length, name = _longest_run(folded, i, known)
        if not length:
            i += 1
            continue
        start, end = words_at[i][0], words_at[i + length - 1][1]
        if "\n" in body[start:end]:
            i += 1
            continue
        if start > at:
            segments.append(Segment(body[at:start]))
        segments.append(Segment(body[start:end], name))
        at, i = end, i + length
    if at < len(body):
        segments.append(Segment(body[at:]))
    return segments


def _longest_run(folded: list[str], i: int, known: list[tuple[str, str]]) -> tuple[int, str]:
    """How many words from `i` on stand together in a source, and in which; 0 when too few to say anything."""
    best, best_name = 0, ""
    for name, text in known:
        length = 0
        while i + length < len(folded) and f" {' '.join(folded[i : i + length + 1])} " in text:
            length += 1
        run = folded[i : i + length]
        while run and run[-1] in _SMALL:
            run.pop()
        if run and run[0] not in _SMALL and sum(len(word) for word in run) >= 9 and len(run) > best:
            best, best_name = len(run), name
    return best, best_name
