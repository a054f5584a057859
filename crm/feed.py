"""The feed of what happened: its cursors, its topics, and who may read which.

Rows are ordered by (xid, id), never by id alone, because transactions commit out of order. A row is read
once every transaction older than its own has ended (`xid < pg_snapshot_xmin`), so a cursor never steps over a
row that appears later. The socket and `GET /api/v1/events/` both read here.
"""

import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, Value
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.errors import InvalidValue
from crm.models import Actor, ImportJob, Job, Lead, LiveEpoch, Opportunity, Pipeline, Role, User

KEPT = timedelta(hours=24)
PAGE = 500
USERS_A_STATEMENT = 100
MOST_TOPICS = 20
_CURSOR = re.compile(r"(?P<epoch>[0-9a-f]{1,16})-(?P<xid>\d{1,19})-(?P<id>\d{1,19})", re.ASCII)
_TOPIC = re.compile(
    r"today|agents|(?P<kind>lead|board|import|job):(?P<id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})",
    re.ASCII,
)


class UnknownTopic(InvalidValue):
    """There is no such topic, none was named, or too many were."""

    code, title = "unknown_topic", gettext_lazy("There is no such topic")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a row stands in the feed."""

    xid: int
    id: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far somebody has read; on the wire the opaque text `<epoch>-<xid>-<id>`."""

    epoch: str
    at: Position

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidValue when the text is not a cursor."""
        found = _CURSOR.fullmatch(text)
        if found is None or max(int(found["xid"]), int(found["id"])) >= 2**63:
            raise InvalidValue(_("This is not a cursor of the feed."), field="since")
        return cls(found["epoch"], Position(int(found["xid"]), int(found["id"])))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.at.xid}-{self.at.id}"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the feed. `ids` holds public ids by noun: lead, opportunity, pipeline, follow_up, import,
    job, pool, task, notification; `user` is the one person whom it concerns.
    """

    at: Position
    topic: str
    type: str
    ids: dict[str, str]

    @property
    def lead(self) -> UUID | None:
        """The lead that it is about: whoever may not read it does not hear of the event."""
        return UUID(self.ids["lead"]) if "lead" in self.ids else None

    @property
    def opportunity(self) -> UUID | None:
        """The opportunity that it is about, with the same consequence."""
        return UUID(self.ids["opportunity"]) if "opportunity" in self.ids else None

    @property
    def user(self) -> str:
        """The one person who hears of it; empty: whoever may."""
        return self.ids.get("user", "")

    def frame(self, epoch: str) -> dict[str, Any]:
        """What goes over the wire, the same for the socket and the API."""
        return {
            "seq": str(Cursor(epoch, self.at)),
            "type": self.type,
            "topic": self.topic,
            "ids": self.ids,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """What follows a cursor. Read on from `cursor`; at once when `is_full`."""

    events: list[Event]
    cursor: Cursor
    is_full: bool = False
    is_held_back: bool = False  # committed rows wait for an older transaction to end: look again in 250 ms
    is_gap: bool = False  # the cursor is from another epoch or too old: start over from `cursor`


def read(after: Cursor, *, topics: Sequence[str] | None = None, limit: int = PAGE) -> Page:
    """The settled events after a cursor, of these topics or of all. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH edge AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin)
            SELECT live.epoch, edge.xmin::text,
                   (SELECT at < now() - make_interval(secs => %(kept_s)s) FROM crm_outboxevent
                     WHERE (xid, id) > (%(xid)s::xid8, %(id)s) ORDER BY xid, id LIMIT 1),
                   event.xid::text, event.id, event.topic, event.type, event.ids
              FROM edge
              LEFT JOIN crm_liveepoch live ON true
              LEFT JOIN LATERAL (
                   SELECT xid, id, topic, type, ids FROM crm_outboxevent
                    WHERE (xid, id) > (%(xid)s::xid8, %(id)s)
                      AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s::text[]))
                    ORDER BY xid, id LIMIT %(limit)s) event ON true
             ORDER BY event.xid, event.id
            """,
            {
                "kept_s": KEPT.total_seconds(),
                "xid": str(after.at.xid),
                "id": after.at.id,
                "topics": None if topics is None else list(topics),
                "limit": limit,
            },
        )
        rows = cursor.fetchall()
    epoch, edge, is_too_old = rows[0][0] or _new_epoch(), int(rows[0][1]), bool(rows[0][2])
    now = Cursor(epoch, Position(edge, 0))
    if epoch != after.epoch or is_too_old or after.at.xid > edge:
        return Page([], now, is_gap=True)
    found = [
        Event(Position(int(xid), id), topic, type_, json.loads(ids))
        for *_head, xid, id, topic, type_, ids in rows
        if id is not None
    ]
    settled = [event for event in found if event.at.xid < edge]
    is_full = len(settled) == limit
    return Page(
        settled,
        Cursor(epoch, settled[-1].at) if is_full else Cursor(epoch, max(after.at, now.at)),
        is_full=is_full,
        is_held_back=len(settled) < len(found),
    )


def current() -> Cursor:
    """The cursor of this moment: all that commits later comes after it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT epoch FROM crm_liveepoch), pg_snapshot_xmin(pg_current_snapshot())::text"
        )
        epoch, edge = cursor.fetchone()
    return Cursor(epoch or _new_epoch(), Position(int(edge), 0))


def current_seq() -> str:
    """`current()` as text, for a page's `data-live-seq`. Ask before the page's own queries."""
    return str(current())


def _new_epoch() -> str:
    """The first reader of a fresh database names the epoch."""
    row, _created = LiveEpoch.objects.get_or_create(id=1, defaults={"epoch": secrets.token_hex(4)})
    return row.epoch


def checked_topics(topics: Sequence[str]) -> list[str]:
    """The topics, once each. Raises UnknownTopic."""
    once = list(dict.fromkeys(topics))
    if not once:
        raise UnknownTopic(_("Name a topic, for example today."), field="topic")
    if len(once) > MOST_TOPICS:
        raise UnknownTopic(_("Name at most %d topics.") % MOST_TOPICS, field="topic")
    for topic in once:
        if _TOPIC.fullmatch(topic) is None:
            raise UnknownTopic(_("There is no topic “%s”.") % topic[:60], field="topic")
    return once


def may_follow(who: User | Actor, topics: Iterable[str]) -> bool:
    """Whether this person may read all of these (checked) topics. At most one query a kind."""
    wanted: dict[str, set[str]] = {}
    for topic in topics:
        kind, _colon, public_id = topic.partition(":")
        if public_id:
            wanted.setdefault(kind, set()).add(public_id)
    rows: dict[str, Any] = {
        "lead": Lead.objects,
        "board": Pipeline.objects,
        "import": ImportJob.objects,
        "job": Job.objects,
    }
    return all(
        _visible(kind, rows[kind].all(), who).filter(public_id__in=ids).count() == len(ids)
        for kind, ids in wanted.items()
    )


def _visible(kind: str, rows: QuerySet[Any], who: User | Actor) -> QuerySet[Any]:
    if kind in {"lead", "import"}:
        return rows.visible_to(who)  # type: ignore[attr-defined]
    user = who.user if isinstance(who, Actor) else who
    if kind == "board":  # the pipeline is no secret; which cards one hears of is decided for each event
        return rows if user is None or user.is_active else rows.none()
    return rows if user is None or user.role == Role.ADMIN else rows.filter(created_by=user)


def audience(events: Sequence[Event], users: Sequence[User]) -> dict[Position, set[int]]:
    """Who of these people (by key) may hear of each event, at this moment. A statement a hundred people."""
    active = [user for user in users if user.is_active]
    everybody = {user.pk for user in active}
    may_read_lead = _readers(Lead, {event.lead for event in events if event.lead and not event.user}, active)
    may_read_card = _readers(Opportunity, {e.opportunity for e in events if e.opportunity}, active)
    heard: dict[Position, set[int]] = {}
    for event in events:
        if event.user:
            heard[event.at] = {user.pk for user in active if str(user.public_id) == event.user}
        elif event.lead:
            heard[event.at] = may_read_lead[event.lead]
        elif event.opportunity:
            heard[event.at] = may_read_card[event.opportunity]
        elif event.topic.startswith(("import:", "job:")):
            heard[event.at] = {user.pk for user in active if may_follow(user, [event.topic])}
        else:
            heard[event.at] = everybody
    return heard


def _readers(
    model: type[Lead] | type[Opportunity], ids: set[UUID], users: Sequence[User]
) -> dict[UUID, set[int]]:
    """For each record, who of these people may read it: one UNION of everybody's `visible_to`."""
    found: dict[UUID, set[int]] = {public_id: set() for public_id in ids}
    for start in range(0, len(users) if ids else 0, USERS_A_STATEMENT):
        questions = [
            model.objects.visible_to(user)
            .filter(public_id__in=ids)
            .annotate(reader=Value(user.pk))
            .values_list("reader", "public_id")
            for user in users[start : start + USERS_A_STATEMENT]
        ]
        for reader, public_id in (
            questions[0].union(*questions[1:], all=True) if questions[1:] else questions[0]
        ):
            found[public_id].add(reader)
    return found
