"""What became of converted sample leads: contact, account, opportunity with its moves; tasks and calls.

How far an opportunity has come goes by turns, so that each stage, won, lost and stalled ones are among those
of the first sixty leads.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from crm.actions.identity import identify
from crm.actions.opportunities import search_text_of
from crm.models import (
    Account,
    Actor,
    ActorKind,
    CallDirection,
    CallLog,
    Contact,
    ContactPoint,
    Disposition,
    FollowUp,
    KeyKind,
    Lead,
    LeadStatus,
    Lifecycle,
    MatchKey,
    Opportunity,
    OpportunityState,
    Outcome,
    OutcomeFrom,
    Pipeline,
    PointKind,
    Stage,
    StageChange,
    StageKind,
    Task,
    TaskKind,
    TaskStatus,
    TimelineEvent,
)
from gardenos.demo import PIPELINE, STAGES
from gardenos.demo.content import CALLS, TASKS
from gardenos.demo.stories import Story, office_hour

WON, LOST, STALLED = "won", "lost", "stalled"
FATES: tuple[int | str, ...] = (1, 2, WON, 3, STALLED, LOST)  # how far, in turn
LOST_TO = ("price", "chose another company", "put off for a year")
PRICES = (2_800, 4_500, 7_200, 9_900, 14_500, 21_000)
OLD = timedelta(days=4)  # what they wrote before was answered, mostly
RANK_STEP = 1_048_576
About = dict[str, Any]  # the records that an event or a call is about, by field


@dataclass(slots=True)
class _Rows:
    """The rows of a slice, in the order in which they have to be inserted."""

    accounts: list[Account] = field(default_factory=list)
    contacts: list[Contact] = field(default_factory=list)
    points: list[ContactPoint] = field(default_factory=list)
    keys: list[MatchKey] = field(default_factory=list)
    cards: list[Opportunity] = field(default_factory=list)
    changes: list[StageChange] = field(default_factory=list)
    events: list[TimelineEvent] = field(default_factory=list)
    calls: list[CallLog] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)

    def insert(self) -> None:
        self.events.sort(key=lambda event: event.occurred_at)
        for rows in (
            *(self.accounts, self.contacts, self.points, self.keys, self.cards, self.changes),
            *(self.events, self.calls, self.tasks),
        ):
            if rows:
                type(rows[0])._default_manager.bulk_create(rows)  # type: ignore[arg-type]


@transaction.atomic
def sample_stages() -> list[Stage]:
    """The stages of the samples' own pipeline, in order; made on first use."""
    pipeline, is_new = Pipeline.objects.get_or_create(name=PIPELINE, defaults={"position": 90})
    if is_new:
        Stage.objects.bulk_create(
            Stage(pipeline=pipeline, position=place, name=name, kind=kind, probability=percent, rot_days=rot)
            for place, (name, kind, percent, rot) in enumerate(STAGES, start=1)
        )
    return list(pipeline.stages.order_by("position"))


def add_deals(
    told: list[Story], leads: list[Lead], stages: list[Stage], *, at: datetime, turns: Iterator[int]
) -> None:
    """What followed from the converted leads of a slice, and calls and tasks on those in work. `turns` counts
    the converted ones.
    """
    rows = _Rows()
    drafted = set(FollowUp.objects.unsent().filter(lead__in=leads).values_list("lead", flat=True))
    converted, called = [], []
    for story, lead in zip(told, leads, strict=True):
        if story.status == LeadStatus.CONVERTED:
            converted.append(lead)
            _convert(rows, story, lead, stages, at, fate=FATES[next(turns) % len(FATES)])
        elif story.status == LeadStatus.WORKING:
            _work(rows, story, lead, at, has_draft=lead.pk in drafted)
            called.append(lead)
    rows.insert()
    outcome = ["outcome", "outcome_at", "outcome_from"]
    Lead.objects.bulk_update(converted, ["contact", "converted_account", "converted_opportunity", *outcome])
    Lead.objects.bulk_update(called, ["attempts", "last_outbound_at"])


def _convert(
    rows: _Rows, story: Story, lead: Lead, stages: list[Stage], at: datetime, *, fate: int | str
) -> None:
    since = story.steps[-1].at
    account = _account(rows, lead) if lead.company else None
    contact = _contact(rows, story, lead, account, is_customer=fate == WON)
    path = _path(stages, fate)
    moves = _moments(since, at, len(path), keeps_still=fate == STALLED)
    card = _card(rows, story, lead, path[-1], moves[-1])
    card.account, card.primary_contact = account, contact
    card.search_text = search_text_of(card)
    card.lost_reason = LOST_TO[story.number % len(LOST_TO)] if fate == LOST else ""
    lead.contact, lead.converted_account, lead.converted_opportunity = contact, account, card
    who: About = {"lead": lead, "contact": contact, "account": account, "opportunity": card}
    _tell(rows, lead, "lead.converted", f"converted into {contact}, {card}", since, who)
    _tell(rows, lead, "opportunity.created", f"opportunity “{card}” opened", since, who)
    for before, stage, moved in zip([None, *path], path, moves, strict=False):
        _move(rows, card, before, stage, moved, since=rows.changes[-1].at if before else moved)
        if before is not None:
            _tell(rows, lead, *_words(card, stage), moved, who)
    if fate != LOST:
        _call(
            rows,
            story,
            lead,
            since + timedelta(minutes=50),
            {"opportunity": card, "contact": contact},
            has_spoken=True,
        )
    if card.state == OpportunityState.OPEN:
        _task(rows, at, opportunity=card, assignee=lead.owner)


def _path(stages: list[Stage], fate: int | str) -> list[Stage]:
    """The stages that the opportunity went through."""
    opened = [stage for stage in stages if stage.kind == StageKind.OPEN]
    if isinstance(fate, int):
        return opened[:fate]
    if fate == STALLED:
        return opened[:2]
    return [*opened[:2], next(stage for stage in stages if stage.kind == fate)]


def _moments(since: datetime, at: datetime, count: int, *, keeps_still: bool) -> list[datetime]:
    """When it entered each stage: over the time until now, or soon, after which nothing happened."""
    whole = timedelta(hours=3) if keeps_still else (at - since) * 0.7
    return [since + whole * place / count for place in range(count)]


def _account(rows: _Rows, lead: Lead) -> Account:
    account = Account(
        name=lead.company,
        country=lead.country,
        owner=lead.owner,
        team=lead.team,
        search_text=lead.company.lower(),
    )
    rows.accounts.append(account)
    return account


def _contact(rows: _Rows, story: Story, lead: Lead, account: Account | None, *, is_customer: bool) -> Contact:
    identity = identify(name=story.name, company=story.company, email=story.email, phone=story.phone)
    contact = Contact(
        full_name=story.name,
        title=story.title,
        account=account,
        country=story.country,
        owner=lead.owner,
        team=lead.team,
        lifecycle=Lifecycle.CUSTOMER if is_customer else Lifecycle.OPPORTUNITY,
        search_text=identity.search_text,
    )
    rows.contacts.append(contact)
    for kind, raw, norm in (
        (PointKind.EMAIL, story.email, identity.email),
        (PointKind.PHONE, story.phone, identity.phone),
    ):
        if norm:
            rows.points.append(ContactPoint(contact=contact, kind=kind, raw=raw, norm=norm, is_primary=True))
    rows.keys += [
        MatchKey(contact=contact, kind=kind, value=value)
        for kind, value in identity.keys
        if kind != KeyKind.DOMAIN  # where somebody works is found by the account
    ]
    return contact


def _card(rows: _Rows, story: Story, lead: Lead, stage: Stage, entered: datetime) -> Opportunity:
    card = Opportunity(
        name=f"{lead.interest or 'Garden'} – {lead.company or lead.name}"[:200],
        stage=stage,
        state=stage.kind,
        stage_entered_at=entered,
        last_event_at=entered,
        closed_at=entered if stage.kind != StageKind.OPEN else None,
        lead=lead,
        source=lead.source,
        amount=story.value or PRICES[story.number % len(PRICES)],
        expected_close=(entered + timedelta(days=30)).date(),
        rank=story.number * RANK_STEP,
        owner=lead.owner,
        team=lead.team,
    )
    if stage.kind != StageKind.OPEN:
        lead.outcome = Outcome.WON if stage.kind == StageKind.WON else Outcome.LOST
        lead.outcome_at, lead.outcome_from = entered, OutcomeFrom.ACTION
    rows.cards.append(card)
    return card


def _words(card: Opportunity, stage: Stage) -> tuple[str, str]:
    if stage.kind == StageKind.WON:
        return "opportunity.won", f"won “{card}”"
    if stage.kind == StageKind.LOST:
        return "opportunity.lost", f"lost: {card.lost_reason}"
    return "opportunity.moved", f"moved to {stage}"


def _move(
    rows: _Rows, card: Opportunity, before: Stage | None, stage: Stage, at: datetime, *, since: datetime
) -> None:
    rows.changes.append(
        StageChange(
            opportunity=card,
            from_stage=before,
            to_stage=stage,
            at=at,
            actor_kind=ActorKind.USER if card.owner else ActorKind.SYSTEM,
            by=card.owner,
            seconds_in_from=int((at - since).total_seconds()) if before else None,
        )
    )


def _work(rows: _Rows, story: Story, lead: Lead, at: datetime, *, has_draft: bool) -> None:
    """A call that answered what they wrote, or reached nobody; a task on some."""
    heard, spoken = lead.last_inbound_at, lead.last_outbound_at
    has_waited = heard is not None and heard < at - OLD and (spoken is None or spoken < heard)
    if heard and has_waited and not has_draft and story.number % 7:
        _call(rows, story, lead, office_hour(heard + timedelta(hours=18)), {"lead": lead}, has_spoken=True)
        return
    if story.number % 3 == 0 and (called := office_hour(story.steps[-1].at + timedelta(hours=20))) < at:
        _call(rows, story, lead, called, {"lead": lead}, has_spoken=False)
    if story.number % 5 == 0:
        _task(rows, at, lead=lead, assignee=lead.owner)


def _call(rows: _Rows, story: Story, lead: Lead, at: datetime, about: About, *, has_spoken: bool) -> None:
    disposition = Disposition.ANSWERED if has_spoken else Disposition.NO_ANSWER
    words = CALLS[story.number % len(CALLS)] if has_spoken else ""
    summary = f"{CallDirection.OUT.label}: {disposition.label}" + (f" – {words}" if words else "")
    event = _tell(rows, lead, "call.logged", summary, at, {"lead": lead, **about})
    seconds = 120 + story.number * 37 % 700 if has_spoken else 0
    rows.calls.append(
        CallLog(
            disposition=disposition,
            seconds=seconds,
            body=words,
            occurred_at=at,
            author=lead.owner,
            event=event,
            **about,
        )
    )
    lead.attempts = 0 if has_spoken else lead.attempts + 1
    lead.last_outbound_at = at


def _task(rows: _Rows, at: datetime, **fields: Any) -> None:
    """Overdue, due today, or for one of the next days, in turn."""
    title, kind = TASKS[len(rows.tasks) % len(TASKS)]
    day = at + timedelta(days=(-4, 0, 1, 3, 6)[len(rows.tasks) % 5])
    due = at.replace(minute=0, second=0) if day.date() == at.date() else office_hour(day)
    rows.tasks.append(Task(title=title, kind=TaskKind(kind), due_at=due, state=TaskStatus.OPEN, **fields))


def _tell(rows: _Rows, lead: Lead, kind: str, summary: str, at: datetime, about: About) -> TimelineEvent:
    by = Actor.of(lead.owner) if lead.owner else Actor.system()
    event = TimelineEvent(
        kind=kind,
        summary=summary[:300],
        actor_kind=by.kind,
        actor=by.user,
        actor_label=by.label[:120],
        occurred_at=at,
        data={},
        **about,
    )
    rows.events.append(event)
    return event
