"""A lead's story, newest first, in pages that start where the last one ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from crm import clock
from crm.models import ActorKind, Inquiry, Lead, TimelineEvent, User
from crm.web import words

PAGE = 20
_MAIL = Q(kind__startswith="message.") | Q(kind__startswith="follow_up.") | Q(kind__startswith="inquiry.")
_NOTES = Q(kind__startswith="note.")
FILTERS: dict[str, Q] = {"all": Q(), "mail": _MAIL, "notes": _NOTES, "changes": ~_MAIL & ~_NOTES}
_ICONS = (
    ("note.", "note"),
    ("call.", "phone"),
    ("task.", "check"),
    ("message.", "mail"),
    ("inquiry.", "mail"),
    ("follow_up.sent", "send"),
    ("follow_up.", "mail"),
    ("lead.scored", "spark"),
    ("lead.score_over", "people"),
    ("lead.created", "plus"),
    ("lead.assigned", "people"),
    ("lead.snoozed", "clock"),
    ("lead.next_action", "cal"),
    ("lead.disqualified", "x"),
    ("import.", "upload"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    public_id: str
    who: str
    summary: str
    body: str
    icon: str
    is_machine: bool
    when: str
    exact: str

    @property
    def joint(self) -> str:
        """Between who and what: nothing when they read as one sentence."""
        return "·" if self.summary[:1].isupper() else ""


@dataclass(frozen=True, slots=True)
class Tab:
    key: str
    label: str
    count: int
    is_current: bool


@dataclass(frozen=True, slots=True)
class Story:
    entries: list[Entry]
    older: str  # where the next page starts: the public id of its predecessor; "" at the end


def tabs(lead: Lead, current: str) -> list[Tab]:
    """The filter tabs with their counts. One query over one lead's events."""
    counts = lead.timeline.aggregate(all=Count("pk"), mail=Count("pk", _MAIL), notes=Count("pk", _NOTES))
    counts["changes"] = counts["all"] - counts["mail"] - counts["notes"]
    labels = {"all": _("Everything"), "mail": _("E-mail"), "notes": _("Notes"), "changes": _("Changes")}
    return [Tab(key, label, counts[key], key == current) for key, label in labels.items()]


def story(
    lead: Lead, *, reader: User, only: str = "all", before: UUID | None = None, size: int = PAGE
) -> Story:
    """One page. Two queries, three when it starts in the middle."""
    events = _newest_first(lead.timeline.filter(FILTERS[only]))
    if before is not None:
        start = lead.timeline.filter(public_id=before).values_list("occurred_at", "pk").first()
        if start is not None:
            at, pk = start
            events = events.filter(Q(occurred_at__lt=at) | Q(occurred_at=at, pk__lt=pk))
    found = list(events.select_related("actor", "note", "message")[: size + 1])
    page = found[:size]
    return Story(entries=entries(page, reader), older=str(page[-1].public_id) if len(found) > size else "")


def _newest_first(events: QuerySet[TimelineEvent]) -> QuerySet[TimelineEvent]:
    return events.order_by("-occurred_at", "-pk")


def entries(events: Iterable[TimelineEvent], reader: User) -> list[Entry]:
    """Text for the template, as this person may read it. One query for what customers wrote."""
    events = list(events)
    asked_ids = [event.data.get("inquiry") for event in events if event.kind == "inquiry.received"]
    asked = (
        {
            str(public_id): message
            for public_id, message in Inquiry.objects.filter(
                public_id__in=[i for i in asked_ids if i]
            ).values_list("public_id", "message")
        }
        if any(asked_ids)
        else {}
    )
    now = clock.now()
    return [_entry(event, asked, now, reader) for event in events]


def _entry(event: TimelineEvent, asked: dict[str, str], now: datetime, reader: User) -> Entry:
    note, message = getattr(event, "note", None), getattr(event, "message", None)
    body, summary = "", event.summary
    if note is not None and note.is_private and note.author_id != reader.pk:
        summary = _("wrote a private note")
    elif note is not None:
        body, summary = note.body, _("wrote a private note") if note.is_private else _("wrote a note")
    elif message is not None:
        body = message.text
    elif event.kind == "inquiry.received":
        body = asked.get(str(event.data.get("inquiry")), "")
        summary = summary.partition(":")[0] if body else summary
    if event.data.get("at"):  # a planned time, told in the reader's own zone
        at = words.day_and_time(datetime.fromisoformat(event.data["at"]), now)
        summary = _asleep(summary, at) if event.kind == "lead.snoozed" else f"{summary}, {at}"
    return Entry(
        public_id=str(event.public_id),
        who=_who(event),
        summary=summary,
        body=body,
        icon=next((icon for start, icon in _ICONS if event.kind.startswith(start)), "pen"),
        is_machine=event.actor_kind == ActorKind.AGENT,
        when=words.ago(event.occurred_at, now),
        exact=words.exact(event.occurred_at),
    )


def _asleep(summary: str, at: str) -> str:
    reason = summary.partition(": ")[2]
    until = _("snoozed until %s") % at
    return f"{until}: {reason}" if reason else until


def _who(event: TimelineEvent) -> str:
    if event.actor_kind == ActorKind.USER and event.actor is not None:
        return str(event.actor)
    return event.actor_label or str(ActorKind(event.actor_kind).label)
