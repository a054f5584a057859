"""Who gets a new lead, and why: ordered rules, each with its people and its way to choose among them.

The first active rule that fits the lead and has somebody free decides; with none, the lead waits in the pool
of its source's team. A rule's row is locked while it chooses, in the order of the rules, so that two leads at
the same moment are never both the same person's turn.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.assignment_conditions import checked_condition, fits
from crm.actions.lead_plans import PLAN_FIELDS, plan_if_none
from crm.actions.notifications import Line, notify
from crm.actions.recurrence import zone_of
from crm.actions.set_up import save_record
from crm.errors import InvalidValue
from crm.models import (
    OPEN_STATUSES,
    Actor,
    ActorKind,
    AssignmentLog,
    AssignmentMethod,
    AssignmentRule,
    Lead,
    Role,
    TeamMember,
    TimelineEvent,
    User,
    is_working,
)
from crm.permissions import Reach, Verb, reach, require

RULE_FIELDS = {"name", "position", "is_active", "condition", "method", "team"}
OPEN_COUNTED = 10_000  # open leads a person; beyond it two people count as equally busy
CANDIDATES_NAMED = 50
AT_ONCE = 200  # leads a transaction


@dataclass(slots=True)
class Candidate:
    """Somebody whom a rule might choose. `why_not` is empty when they are free."""

    user: User
    open: int
    why_not: str

    def as_json(self) -> dict[str, Any]:
        name, user = self.user.name, str(self.user.public_id)
        return {"user": user, "name": name, "open": self.open, "why_not": self.why_not}


@dataclass(frozen=True, slots=True)
class Choice:
    """Who gets a lead, and why in one sentence. Without a `chosen` it waits in the pool."""

    chosen: User | None
    reason: str
    rule: AssignmentRule | None = None
    candidates: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Desk:
    """One rule at work: its people as they are, and whose turn it is."""

    rule: AssignmentRule
    candidates: list[Candidate]
    at: datetime

    def choose(self) -> User | None:
        """Somebody who is free, counted as one lead busier. None when nobody is."""
        for candidate in self.candidates:
            candidate.why_not = _why_not(self.rule, candidate, self.at)
        free = [candidate for candidate in self.candidates if not candidate.why_not]
        if not free:
            return None
        match self.rule.method:
            case AssignmentMethod.ROUND_ROBIN:
                after = [candidate for candidate in free if candidate.user.pk > self.rule.cursor]
                chosen = (after or free)[0]
            case AssignmentMethod.LEAST_OPEN:
                chosen = min(free, key=lambda candidate: (candidate.open, candidate.user.pk))
            case AssignmentMethod.CAPACITY:
                chosen = max(free, key=lambda c: (c.user.capacity - c.open, -c.user.pk))
            case _:
                chosen = free[0]
        self.rule.cursor = chosen.user.pk
        chosen.open += 1
        return chosen.user


def _why_not(rule: AssignmentRule, candidate: Candidate, at: datetime) -> str:
    user = candidate.user
    if not user.is_active:
        return _("no longer works here")
    if user.role == Role.READ_ONLY:
        return _("may only read")
    if not user.is_accepting:
        return _("accepts no new leads")
    if rule.method != AssignmentMethod.CAPACITY:
        return ""
    if candidate.open >= user.capacity:
        return _("has %(open)d open leads of at most %(most)d") % {
            "open": candidate.open,
            "most": user.capacity,
        }
    return "" if is_working(user.working_hours, zone_of(user), at) else _("is not at work now")


class _Office:
    """All active rules, opened one by one when a lead needs them. Locked, unless it is only asked."""

    def __init__(self, *, at: datetime, is_locking: bool) -> None:
        self._at, self._is_locking = at, is_locking
        self._rules = list(AssignmentRule.objects.filter(is_active=True).order_by("position", "pk"))
        self._desks: dict[int, _Desk | None] = {}

    @property
    def has_rules(self) -> bool:
        return bool(self._rules)

    def choose(self, lead: Lead) -> Choice:
        tried: list[str] = []
        for rule in self._rules:
            if not fits(rule.condition, lead):
                continue
            desk = self._desk(rule)
            if desk is None:
                continue  # switched off a moment ago
            candidates = lambda desk=desk: [c.as_json() for c in desk.candidates[:CANDIDATES_NAMED]]  # type: ignore[misc]
            chosen = desk.choose()
            if chosen is not None:
                return Choice(chosen, _sentence(desk, chosen), desk.rule, candidates())
            tried.append(rule.name)
        if tried:
            names = ", ".join(f"“{name}”" for name in tried)
            return Choice(None, _("Nobody of %s is free, so it waits in the pool.") % names)
        return Choice(None, _("No rule fits, so it waits in the pool."))

    def _desk(self, rule: AssignmentRule) -> _Desk | None:
        if rule.pk not in self._desks:
            rows = AssignmentRule.objects.filter(pk=rule.pk, is_active=True)
            fresh = (rows.select_for_update(of=("self",)) if self._is_locking else rows).first()
            self._desks[rule.pk] = _Desk(fresh, _candidates(fresh), self._at) if fresh else None
        return self._desks[rule.pk]

    def close(self) -> None:
        """Keep whose turn it was."""
        for desk in self._desks.values():
            if desk is not None:
                AssignmentRule.objects.filter(pk=desk.rule.pk).update(cursor=desk.rule.cursor)


def _candidates(rule: AssignmentRule) -> list[Candidate]:
    """The rule's people by key, or its team's when it names none, with how many open leads they have."""
    people = list(rule.users.order_by("pk"))
    if not people and rule.team_id is not None:
        people = list(User.objects.filter(memberships__team=rule.team_id).order_by("pk"))
    busy = _open_leads([user.pk for user in people])
    return [Candidate(user, busy[user.pk], "") for user in people]


def _open_leads(user_ids: list[int]) -> dict[int, int]:
    """Open leads of each, up to OPEN_COUNTED. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT who.id, (SELECT count(*) FROM (
                       SELECT 1 FROM crm_lead WHERE owner_id = who.id AND status = ANY(%s)
                          AND deleted_at IS NULL AND merged_into_id IS NULL LIMIT %s) counted)
              FROM unnest(%s::bigint[]) AS who(id)
            """,
            [list(OPEN_STATUSES), OPEN_COUNTED, user_ids],
        )
        return dict(cursor.fetchall())


def _sentence(desk: _Desk, chosen: User) -> str:
    free = sum(not candidate.why_not for candidate in desk.candidates)
    open_leads = next(c.open for c in desk.candidates if c.user.pk == chosen.pk) - 1
    words = {
        AssignmentMethod.FIXED: _("“%(rule)s” gives it to %(who)s."),
        AssignmentMethod.ROUND_ROBIN: _("“%(rule)s”: it was the turn of %(who)s, of %(free)d who are free."),
        AssignmentMethod.LEAST_OPEN: _("“%(rule)s”: %(who)s has the fewest open leads, %(open)d."),
        AssignmentMethod.CAPACITY: _("“%(rule)s”: %(who)s is at work and has the most room, %(room)d leads."),
    }[AssignmentMethod(desk.rule.method)]
    room = chosen.capacity - open_leads
    said = words % {"rule": desk.rule.name, "who": chosen, "free": free, "open": open_leads, "room": room}
    return said[:300]


def preview_assignment(lead: Lead, *, at: datetime | None = None) -> Choice:
    """Who would get this lead now, and why. Locks and writes nothing; nobody's turn passes."""
    return _Office(at=at or clock.now(), is_locking=False).choose(lead)


@transaction.atomic
def assign_by_rules(lead_ids: Collection[int]) -> int:
    """Give these leads, as far as they are open and nobody's, to whom the rules name. Returns how many.

    Each gets a line in AssignmentLog, also when it stays in the pool while there are rules. Choosing takes a
    fixed number of statements for a rule, whatever the number of leads. Publishes LeadAssigned and
    NotificationAdded.
    """
    return _assign(lead_ids)


def _assign(lead_ids: Collection[int]) -> int:
    given = _by_rules(lead_ids)
    if given:
        notify(_lines(given))
    return len(given)


@transaction.atomic
def deal(lead_ids: Collection[int], *, to: User | None = None, reason: str = "") -> Counter[int]:
    """`assign_by_rules`, or all to one person with this `reason`, but nobody is told: the caller does it once
    for all slices. Returns how many each person got, by key. Publishes LeadAssigned.
    """
    if to is None:
        given = _by_rules(lead_ids)
    else:
        given = [(lead, Choice(to, reason[:300])) for lead in _waiting(lead_ids)]
        _log_and_give(given)
    return Counter(choice.chosen.pk for _lead, choice in given if choice.chosen)


def _waiting(lead_ids: Collection[int]) -> list[Lead]:
    """Those that are open and nobody's, locked."""
    leads = Lead.objects.open().filter(pk__in=lead_ids, owner=None).select_related("source", "team")
    return list(leads.select_for_update(of=("self",)).order_by("pk"))


def _by_rules(lead_ids: Collection[int]) -> list[tuple[Lead, Choice]]:
    office = _Office(at=clock.now(), is_locking=True)
    if not office.has_rules:
        return []
    choices = [(lead, office.choose(lead)) for lead in _waiting(lead_ids)]
    office.close()
    return _log_and_give(choices)


def _log_and_give(choices: list[tuple[Lead, Choice]]) -> list[tuple[Lead, Choice]]:
    """Write down every choice; returns those that chose somebody, whose leads are theirs now."""
    AssignmentLog.objects.bulk_create(
        AssignmentLog(
            lead=lead,
            rule=choice.rule,
            candidates=choice.candidates,
            chosen=choice.chosen,
            reason=choice.reason,
        )
        for lead, choice in choices
    )
    given = [(lead, choice) for lead, choice in choices if choice.chosen is not None]
    _give(given)
    return given


@events.on(events.LeadUnassigned)
def _assign_new_lead(event: events.LeadUnassigned) -> None:
    """In the intake's own transaction, without a savepoint: where there are no rules, one question."""
    _assign([event.lead_id])


def _give(given: list[tuple[Lead, Choice]]) -> None:
    teams = _teams_of({choice.chosen.pk for _lead, choice in given if choice.chosen})
    for lead, choice in given:
        assert choice.chosen is not None
        lead.owner = choice.chosen
        lead.team_id = _team_for(lead, choice, teams.get(choice.chosen.pk, []))
        plan_if_none(lead)
        lead.version += 1
        lead.updated_at = clock.now()
    _write([lead for lead, _choice in given])
    TimelineEvent.objects.bulk_create(
        TimelineEvent(
            lead=lead,
            kind="lead.assigned",
            summary=(_("assigned to %s") % choice.chosen + f" – {choice.reason}")[:300],
            actor_kind=ActorKind.RULE,
            actor_label=choice.rule.name if choice.rule else "",
            occurred_at=clock.now(),
        )
        for lead, choice in given
    )
    events.publish_all([events.LeadAssigned(lead.pk, lead.owner_id, None) for lead, _choice in given])


def _write(leads: list[Lead]) -> None:
    """Save what `_give` set. One statement; bulk_update takes far longer to build its own."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE crm_lead AS lead
               SET owner_id = given.owner, team_id = given.team, next_action_at = given.at,
                   next_action_kind = given.kind, version = given.version, updated_at = given.now
              FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::text[], %s::int[],
                          %s::timestamptz[]) AS given (id, owner, team, at, kind, version, now)
             WHERE lead.id = given.id
            """,
            [
                [getattr(lead, name) for lead in leads]
                for name in ("pk", "owner_id", "team_id", *PLAN_FIELDS, "version", "updated_at")
            ],
        )


def _lines(given: list[tuple[Lead, Choice]]) -> Iterator[Line]:
    """One line a person: the lead's name, or how many there are."""
    by_person: dict[int, list[Lead]] = {}
    for lead, _choice in given:
        by_person.setdefault(lead.owner_id or 0, []).append(lead)
    for leads in by_person.values():
        first = leads[0]
        assert first.owner is not None
        text = _("A new lead for you: %s") % first.name
        if len(leads) > 1:
            text = _("%(n)d new leads for you; the first: %(name)s") % {"n": len(leads), "name": first.name}
        yield Line(first.owner, "lead.assigned", text, f"assigned:{first.pk}:{first.version}", lead=first)


def _teams_of(user_ids: set[int]) -> dict[int, list[int]]:
    teams: dict[int, list[int]] = {}
    rows = TeamMember.objects.filter(user__in=user_ids).order_by("team")
    for user_id, team_id in rows.values_list("user_id", "team_id"):
        teams.setdefault(user_id, []).append(team_id)
    return teams


def _team_for(lead: Lead, choice: Choice, teams: list[int]) -> int | None:
    """The rule's team or the lead's, if the person is in it; else the person's first."""
    wanted = [choice.rule.team_id if choice.rule else None, lead.team_id]
    return next((team for team in wanted if team in teams), teams[0] if teams else lead.team_id)


def assign_pool(team_id: int | None, *, by: Actor, limit: int = 1_000) -> int:
    """Deal out the pool of a team by the rules, oldest leads first, AT_ONCE a transaction. Returns how many.

    Raises PermissionRefused unless `by` may reassign others' leads; leads they may not see are left alone.
    """
    require(by, Verb.REASSIGN)
    if reach(by, Verb.REASSIGN) not in {Reach.ALL, Reach.TEAM}:
        raise InvalidValue(_("Only a manager may deal out the pool."), field="team")
    pool = Lead.objects.visible_to(by).open().filter(owner=None, team=team_id).order_by("created_at", "pk")
    return assign_in_slices(pool, limit=limit)


def assign_in_slices(leads: QuerySet[Lead], *, limit: int) -> int:
    """`assign_by_rules` over many, a short transaction for each slice."""
    ids = list(leads.values_list("pk", flat=True)[:limit])
    return sum(assign_by_rules(ids[start : start + AT_ONCE]) for start in range(0, len(ids), AT_ONCE))


@transaction.atomic
def save_assignment_rule(
    rule_id: int | None,
    *,
    by: Actor,
    version: int | None = None,
    users: Iterable[User] | None = None,
    **changes: Any,
) -> AssignmentRule:
    """Make or change a rule. Raises PermissionRefused, VersionConflict, InvalidValue naming the field (and,
    for `condition`, the key).
    """
    require(by, Verb.SET_UP)
    unknown = sorted(set(changes) - RULE_FIELDS)
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])
    if "condition" in changes:
        changes["condition"] = checked_condition(changes["condition"] or {})
    rule = save_record(AssignmentRule, rule_id, changes, by=by, version=version)
    if users is not None:
        rule.users.set(users)
    people = rule.users.count()
    if rule.method == AssignmentMethod.FIXED and people != 1:
        raise InvalidValue(_("Choose the one person who gets these leads."), field="users")
    if not people and rule.team_id is None:
        raise InvalidValue(_("Choose people or a team."), field="users")
    return rule
