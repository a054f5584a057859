"""What happened, as frozen facts; who listens; how it is told.

`publish` is called inside the action's transaction. Durable handlers run at once in that transaction, so a
rollback takes their work back too. Live handlers run after the commit and may fail without harm.
On the wire an event is named by noun and participle: LeadDisqualified is "lead.disqualified".
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db import transaction


@dataclass(frozen=True, slots=True)
class LeadCreated:
    lead_id: int
    by_import: bool = False


@dataclass(frozen=True, slots=True)
class LeadChanged:
    """Any visible change of a lead's own fields, status, owner or dates."""

    lead_id: int
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeadFactsChanged:
    """What an agent would read has changed: score again. `priority` 0 (first) to 9."""

    lead_id: int
    priority: int = 5


@dataclass(frozen=True, slots=True)
class LeadAssigned:
    lead_id: int
    owner_id: int | None
    previous_owner_id: int | None


@dataclass(frozen=True, slots=True)
class UserDeactivated:
    """Somebody left: their work is to be handed back."""

    user_id: int


@dataclass(frozen=True, slots=True)
class LeadUnassigned:
    """A new lead, scored by rules already, is nobody's: the assignment rules may give it to somebody."""

    lead_id: int


@dataclass(frozen=True, slots=True)
class LeadDisqualified:
    lead_id: int
    owner_id: int | None


@dataclass(frozen=True, slots=True)
class LeadScored:
    """`value` is the new blend, `source` where it came from (rules, statistics, model)."""

    lead_id: int
    value: int
    source: str
    previous: int | None = None


@dataclass(frozen=True, slots=True)
class OpportunityCreated:
    opportunity_id: int


@dataclass(frozen=True, slots=True)
class OpportunityChanged:
    """Any visible change of an opportunity that is not a move: fields, owner, plan, deletion."""

    opportunity_id: int
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpportunityMoved:
    """From one stage to another (reopening included), or within one (`from_stage_id` is the same)."""

    opportunity_id: int
    from_stage_id: int
    to_stage_id: int


@dataclass(frozen=True, slots=True)
class OpportunityWon:
    opportunity_id: int
    from_stage_id: int


@dataclass(frozen=True, slots=True)
class OpportunityLost:
    opportunity_id: int
    from_stage_id: int


@dataclass(frozen=True, slots=True)
class LeadConverted:
    """The lead became a contact, and perhaps an account and an opportunity."""

    lead_id: int
    contact_id: int
    account_id: int | None
    opportunity_id: int | None


@dataclass(frozen=True, slots=True)
class LeadExhausted:
    """As many tries as were meant brought no answer: somebody should let it rest or disqualify it."""

    lead_id: int
    attempts: int


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Made, or changed in these fields."""

    account_id: int
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """Made, or changed in these fields."""

    contact_id: int
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InquiryReceived:
    inquiry_id: int
    lead_id: int
    created: bool


@dataclass(frozen=True, slots=True)
class NoteAdded:
    lead_id: int
    note_id: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A customer wrote. Unsent follow-ups become stale, a sleeping lead wakes."""

    lead_id: int
    message_id: int


@dataclass(frozen=True, slots=True)
class ReplyTriaged:
    """What an agent proposes about a customer's message was stored, accepted, dismissed or made stale."""

    lead_id: int
    triage_id: int
    state: str


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """An outgoing message moved on: queued, sending, sent, uncertain, failed, bounced."""

    lead_id: int
    message_id: int
    state: str


@dataclass(frozen=True, slots=True)
class FollowUpChanged:
    """A follow-up was generated, edited, approved, scheduled, sent, rejected, made stale or expired."""

    lead_id: int
    follow_up_id: int
    state: str


@dataclass(frozen=True, slots=True)
class DraftRequested:
    """Somebody asks an agent for a draft (a button, a rule)."""

    lead_id: int
    purpose: str = ""  # empty: told from what happened on the lead
    tone: str = ""
    length: str = ""
    language: str = ""
    instruction: str = ""
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class ReviewRequested:
    """Somebody asks an agent what it thinks of an opportunity."""

    opportunity_id: int
    lead_id: int | None
    user_id: int


@dataclass(frozen=True, slots=True)
class ImportDue:
    """A slice of this import is to be worked on."""

    import_id: int


@dataclass(frozen=True, slots=True)
class ImportProgressed:
    import_id: int
    state: str


@dataclass(frozen=True, slots=True)
class ImportFinished:
    """`analyse` is "none", a number as text (the best N by rules), or "all"."""

    import_id: int
    analyse: str


@dataclass(frozen=True, slots=True)
class LeadsRemoved:
    """Leads that are about to be deleted with all that hangs on them: an import is undone."""

    lead_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExportDue:
    """An export is to be worked on."""

    job_id: int


@dataclass(frozen=True, slots=True)
class BulkDue:
    """A slice of this bulk job is to be worked on."""

    job_id: int


@dataclass(frozen=True, slots=True)
class JobProgressed:
    job_id: int
    state: str


@dataclass(frozen=True, slots=True)
class AgentTaskQueued:
    task_id: int
    kind: str
    lead_id: int | None = None


@dataclass(frozen=True, slots=True)
class AgentTaskChanged:
    """A task started, finished, died or was cancelled."""

    task_id: int
    kind: str
    state: str
    lead_id: int | None = None


@dataclass(frozen=True, slots=True)
class AgentPoolChanged:
    kind: str


@dataclass(frozen=True, slots=True)
class ScoringModelChanged:
    """Another fit of the statistical score is active, or none: leads are to be scored again."""

    model_id: int | None


@dataclass(frozen=True, slots=True)
class ReplayDue:
    """Past leads are to be asked about again."""

    replay_id: int


@dataclass(frozen=True, slots=True)
class LeadAISwitched:
    """Whether agents may read this lead was changed."""

    lead_id: int
    is_off: bool


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """A task was made, changed, done, cancelled, reopened or given away. `remind_at`: only a new one."""

    task_id: int
    lead_id: int | None = None
    remind_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotificationAdded:
    """There is a new line for this person."""

    notification_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class PersonErased:
    lead_id: int


Event = TypeVar("Event")
Handler = Callable[[Event], None]
_durable: dict[type, list[Handler]] = defaultdict(list)
_durable_many: dict[type, list[Callable[[Sequence], None]]] = defaultdict(list)
_live: dict[type, list[Handler]] = defaultdict(list)
_held: ContextVar[list[Sequence[object]] | None] = ContextVar("held", default=None)


def on(*event_types: type, live: bool = False) -> Callable[[Handler], Handler]:
    """Register a handler: in the transaction, or with `live=True` after its commit."""

    def register(handler: Handler) -> Handler:
        for event_type in event_types:
            (_live if live else _durable)[event_type].append(handler)
        return handler

    return register


def on_many(*event_types: type) -> Callable[[Callable], Callable]:
    """Register a durable handler that takes a sequence of events of one type, for work that is done
    set-based.
    """

    def register(handler: Callable) -> Callable:
        for event_type in event_types:
            _durable_many[event_type].append(handler)
        return handler

    return register


def publish(event: object) -> None:
    """Tell everybody. Must be called inside a transaction."""
    publish_all([event])


def publish_all(happened: Sequence[object]) -> None:
    """Tell everybody of many events of one type. Must be called inside a transaction."""
    if not happened:
        return
    event_type = type(happened[0])
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError(f"{event_type.__name__} was published outside a transaction")
    held_back = _held.get()
    if held_back is not None:
        held_back.append(happened)
        return
    for handler in _durable_many[event_type]:
        handler(happened)
    for event in happened:
        for handler in _durable[event_type]:
            handler(event)
        for handler in _live[event_type]:
            # no functools.partial: robust on_commit logs __qualname__ (Django ticket 36487)
            transaction.on_commit(lambda handler=handler, event=event: handler(event), robust=True)  # type: ignore[misc]


@contextmanager
def held() -> Iterator[None]:
    """Publish what happens inside only at its end, for those who react to it as of now. Nothing, if it fails.

    Must begin and end in one transaction.
    """
    happened: list[Sequence[object]] = []
    token = _held.set(happened)
    try:
        yield
    finally:
        _held.reset(token)
    for some in happened:
        publish_all(some)


def wire_name(event_type: type) -> str:
    """LeadDisqualified -> "lead.disqualified", AgentTaskQueued -> "agent_task.queued"."""
    words = re.findall(r"[A-Z][a-z]*", event_type.__name__)
    verb = 2 if words[-2:] == ["Facts", "Changed"] else 1
    return f"{'_'.join(words[:-verb])}.{'_'.join(words[-verb:])}".lower()
