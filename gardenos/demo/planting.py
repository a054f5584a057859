"""Write stories as rows, as if each had happened in its time.

Set-based like an import: the actions would tell agents and browsers about every step, and every step would
happen
now. Scores and drafts are made by the rules, by the agents' own code and by the actions that store them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice
from typing import TypeVar

from django.db import transaction

from crm.actions.identity import identify
from crm.actions.scores import score_by_rules_batch
from crm.mail.compose import clean_body
from crm.mail.signature import closing, with_closing
from crm.models import (
    Actor,
    ActorKind,
    Channel,
    ContactPoint,
    Direction,
    FollowUp,
    FollowUpState,
    Inquiry,
    InquiryState,
    Lead,
    LeadKind,
    LeadSource,
    LeadStatus,
    LeadStatusChange,
    MatchKey,
    Message,
    MessageState,
    Note,
    Outcome,
    OutcomeFrom,
    PointKind,
    Purpose,
    Role,
    Team,
    TeamMember,
    TimelineEvent,
    User,
    follow_up_hash,
)
from gardenos.demo import COLLEAGUES, KEY, SOURCES
from gardenos.demo.agents import assess_and_draft
from gardenos.demo.deals import add_deals, sample_stages
from gardenos.demo.stories import Step, Story, stories

SLICE = 50  # leads a transaction, so that none lasts a second
FROM_ADDRESS = "garden@gardenos.example"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Planted:
    """What was written."""

    leads: int
    assessments: int
    drafts: int


@dataclass(slots=True)
class _Rows:
    """The rows of a slice, in the order in which they have to be inserted."""

    points: list[ContactPoint] = field(default_factory=list)
    keys: list[MatchKey] = field(default_factory=list)
    inquiries: list[Inquiry] = field(default_factory=list)
    events: list[TimelineEvent] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    follow_ups: list[FollowUp] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def insert(self) -> None:
        self.events.sort(key=lambda event: event.occurred_at)
        ContactPoint.objects.bulk_create(self.points)
        MatchKey.objects.bulk_create(self.keys)
        Inquiry.objects.bulk_create(self.inquiries)
        TimelineEvent.objects.bulk_create(self.events)
        Note.objects.bulk_create(self.notes)
        FollowUp.objects.bulk_create(self.follow_ups)
        Message.objects.bulk_create(self.messages)


def plant(n: int, *, at: datetime, seed: int = 7) -> Planted:
    """Write `n` sample leads as of `at` (aware). The same seed and moment give the same data."""
    sources, team = _sources(), Team.objects.order_by("pk").first()
    owners, stages, turns = _owners(team), sample_stages(), count()
    leads = assessments = drafts = 0
    for told in _sliced(stories(n, at=at, seed=seed), SLICE):
        with transaction.atomic():
            planted = _plant_slice(told, sources, team, owners)
            score_by_rules_batch([lead.pk for lead in planted])
            found = assess_and_draft([lead for lead in planted if lead.is_open])
            add_deals(told, planted, stages, at=at, turns=turns)
        leads += len(planted)
        assessments += found.assessments
        drafts += found.drafts
    return Planted(leads, assessments, drafts)


def is_planted() -> bool:
    return Inquiry.objects.filter(source__code__in=SOURCES, idempotency_key__startswith=KEY).exists()


def _sliced(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


# --- who ---
def _sources() -> dict[str, LeadSource]:
    return {
        code: LeadSource.objects.get_or_create(code=code, defaults={"name": name, "kind": kind})[0]
        for code, (name, kind) in SOURCES.items()
    }


def _owners(team: Team | None) -> list[User]:
    """Those who may own leads here, and two colleagues who have no password and get nothing new.

    They are active: what belongs to people who left is handed back to the pools.
    """
    here = User.objects.active().exclude(role=Role.READ_ONLY)
    here = here.exclude(email__in=[email for email, _name in COLLEAGUES])
    people = list(here.order_by("pk")[:3])
    for email, name in COLLEAGUES:
        colleague = User.objects.filter(email=email).first()
        if colleague is None:
            colleague = User.objects.create_user(email, None, name=name, role=Role.REP, is_accepting=False)
        if team:
            TeamMember.objects.get_or_create(team=team, user=colleague)
        people.append(colleague)
    return people


# --- what ---
def _plant_slice(
    told: list[Story], sources: dict[str, LeadSource], team: Team | None, owners: list[User]
) -> list[Lead]:
    leads = [_lead(story, sources[story.source], team, owners) for story in told]
    Lead.objects.bulk_create(leads)
    LeadStatusChange.objects.bulk_create(_status_history(told, leads))
    rows = _Rows()
    for story, lead in zip(told, leads, strict=True):
        _add_identity(rows, story, lead)
        for step in story.steps:
            _STEPS[step.kind](rows, story, lead, step)
    rows.insert()
    for lead, story in zip(leads, told, strict=True):  # auto_now_add knows only now
        lead.created_at, lead.updated_at = story.steps[0].at, story.steps[-1].at
    Lead.objects.bulk_update(leads, ["created_at", "updated_at", "search_text"])
    for follow_up in rows.follow_ups:
        follow_up.created_at = follow_up.approved_at  # type: ignore[assignment]
    FollowUp.objects.bulk_update(rows.follow_ups, ["created_at"])
    return leads


def _lead(story: Story, source: LeadSource, team: Team | None, owners: list[User]) -> Lead:
    last = {step.kind: step.at for step in story.steps}
    is_lost = story.status == LeadStatus.DISQUALIFIED
    is_converted = story.status == LeadStatus.CONVERTED
    due, what = story.next_action or (None, "")
    came_in = last.get("received", story.steps[0].at)
    owner = owners[story.hand % len(owners)] if story.hand else None
    return Lead(
        name=story.name,
        company=story.company,
        title=story.title,
        kind=LeadKind.BUSINESS if story.company else LeadKind.PERSON,
        country=story.country,
        interest=story.interest,
        est_value=story.value,
        status=story.status,
        status_changed_at=story.steps[-1].at if story.status != LeadStatus.NEW else story.steps[0].at,
        disqualify_reason=story.steps[-1].text if is_lost else "",
        outcome=Outcome.LOST if is_lost else Outcome.UNKNOWN,
        outcome_at=story.steps[-1].at if is_lost else None,
        outcome_from=OutcomeFrom.ACTION if is_lost else "",
        owner=owner,
        converted_at=story.steps[-1].at if is_converted else None,
        converted_by=owner if is_converted else None,
        team=team,
        source=source,
        next_action_at=due,
        next_action_kind=what,
        snoozed_until=due if story.status == LeadStatus.NURTURING else None,
        attempts=sum(1 for step in story.steps if step.kind == "sent" and step.at > came_in),
        last_inbound_at=came_in,
        last_outbound_at=last.get("sent"),
    )


def _status_history(told: list[Story], leads: list[Lead]) -> Iterator[LeadStatusChange]:
    """Each lead came in new; one that is something else by now became it with the last step."""
    for story, lead in zip(told, leads, strict=True):
        came, actor_kind = story.steps[0].at, ActorKind.SYSTEM
        yield LeadStatusChange(lead=lead, to_status=LeadStatus.NEW, at=came, actor_kind=actor_kind)
        if story.status != LeadStatus.NEW:
            yield LeadStatusChange(
                lead=lead,
                from_status=LeadStatus.NEW,
                to_status=story.status,
                at=lead.status_changed_at,
                actor_kind=ActorKind.USER if lead.owner else actor_kind,
                by=lead.owner,
                seconds_in_from=int((lead.status_changed_at - came).total_seconds()),
            )


def _add_identity(rows: _Rows, story: Story, lead: Lead) -> None:
    identity = identify(name=story.name, company=story.company, email=story.email, phone=story.phone)
    for kind, raw, norm in (
        (PointKind.EMAIL, story.email, identity.email),
        (PointKind.PHONE, story.phone, identity.phone),
    ):
        if norm:
            rows.points.append(ContactPoint(lead=lead, kind=kind, raw=raw, norm=norm, is_primary=True))
    rows.keys += [MatchKey(lead=lead, kind=kind, value=value) for kind, value in identity.keys]
    lead.search_text = identity.search_text


def _us(lead: Lead) -> Actor:
    return Actor.of(lead.owner) if lead.owner else Actor.system()


def _tell(
    rows: _Rows,
    lead: Lead,
    kind: str,
    summary: str,
    at: datetime,
    *,
    by: Actor,
    planned: datetime | None = None,
) -> TimelineEvent:
    event = TimelineEvent(
        lead=lead,
        kind=kind,
        summary=summary[:299] + "…" if len(summary) > 300 else summary,
        actor_kind=by.kind,
        actor=by.user,
        actor_label=by.label[:120],
        occurred_at=at,
        data={"at": planned.isoformat()} if planned else {},
    )
    rows.events.append(event)
    return event


# --- steps ---
def _inquiry(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    channel = Channel(lead.source.kind)
    rows.inquiries.append(
        Inquiry(
            source=lead.source,
            channel=channel,
            payload={"name": story.name, "email": story.email, "message": step.text},
            message=step.text,
            idempotency_key=f"{KEY}{story.number}",
            state=InquiryState.CREATED,
            lead=lead,
            received_at=step.at,
        )
    )
    summary = f"Asked for the first time ({channel.label}): {step.text[:220]}"
    _tell(rows, lead, "inquiry.received", summary, step.at, by=Actor.customer(lead.name))


def _assigned(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    _tell(
        rows,
        lead,
        "lead.assigned",
        f"assigned to {lead.owner}",
        step.at,
        by=Actor(ActorKind.SYSTEM, None, "GardenOS"),
    )


def _note(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    event = _tell(rows, lead, "note.added", step.text, step.at, by=_us(lead))
    rows.notes.append(Note(lead=lead, author=lead.owner, body=step.text, event=event))


def _received(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    event = _tell(rows, lead, "message.received", step.subject, step.at, by=Actor.customer(lead.name))
    rows.messages.append(
        Message(
            lead=lead,
            direction=Direction.IN,
            state=MessageState.RECEIVED,
            from_address=story.email,
            to_address=FROM_ADDRESS,
            subject=step.subject,
            text=step.text,
            received_at=step.at,
            occurred_at=step.at,
            event=event,
        )
    )


def _sent(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    """A follow-up that its owner wrote and approved, and the message that carried it."""
    owner = lead.owner
    body = with_closing(clean_body(step.text), closing(owner.signature, owner.name) if owner else "")
    sha256 = follow_up_hash(story.email, step.subject, body)
    first = not any(row.lead is lead for row in rows.follow_ups)
    follow_up = FollowUp(
        lead=lead,
        purpose=Purpose.FIRST_ANSWER if first else Purpose.NO_REPLY,
        to_address=story.email,
        subject=step.subject,
        body=body,
        body_sha256=sha256,
        state=FollowUpState.SENT,
        approved_by=owner,
        approved_at=step.at,
        approved_sha256=sha256,
        created_by=owner,
    )
    rows.follow_ups.append(follow_up)
    rows.messages.append(
        Message(
            lead=lead,
            follow_up=follow_up,
            direction=Direction.OUT,
            state=MessageState.SENT,
            from_address=FROM_ADDRESS,
            to_address=story.email,
            subject=step.subject,
            text=body,
            sent_at=step.at,
            occurred_at=step.at,
            event=_tell(rows, lead, "message.sent", f"sent “{step.subject}”", step.at, by=_us(lead)),
        )
    )


def _planned(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    what, planned = f"planned: {lead.get_next_action_kind_display().lower()}", lead.next_action_at
    _tell(rows, lead, "lead.next_action_planned", what, step.at, by=_us(lead), planned=planned)


def _snoozed(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    what, planned = f"snoozed: {step.text}", lead.snoozed_until
    _tell(rows, lead, "lead.snoozed", what, step.at, by=_us(lead), planned=planned)


def _disqualified(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    _tell(rows, lead, "lead.disqualified", f"disqualified: {step.text}", step.at, by=_us(lead))


def _converted(rows: _Rows, story: Story, lead: Lead, step: Step) -> None:
    """Told by gardenos.demo.deals, with what it was converted into."""


_STEPS = {
    "inquiry": _inquiry,
    "assigned": _assigned,
    "note": _note,
    "received": _received,
    "sent": _sent,
    "planned": _planned,
    "snoozed": _snoozed,
    "converted": _converted,
    "disqualified": _disqualified,
}
