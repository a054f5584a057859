"""Opportunities: made, changed, given to somebody, planned, deleted. How they move: opportunity_moves."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import (
    Subject,
    check_version,
    hold_parents,
    offer_undo,
    opportunity_for_change,
    tell,
    undoable,
)
from crm.actions.card_search import search_text_of
from crm.actions.custom_fields import merged_custom, refuse_missing
from crm.actions.intake import checked_amount, checked_currency
from crm.actions.outcomes import restore_outcome, settle_lead, settle_outcome
from crm.actions.pipelines import first_stage
from crm.actions.ranking import Limits, hold_stage, hold_stages, refuse_over_limit, refuse_unused, top_rank
from crm.actions.steps import Memberships, Step, take, undoable_step
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import (
    Account,
    Actor,
    Contact,
    Forecast,
    Lead,
    LeadSource,
    Lifecycle,
    NextActionKind,
    Opportunity,
    Stage,
    StageChange,
    StageKind,
    Team,
    Undo,
    User,
)
from crm.permissions import Reach, Verb, may, reach, require

RELATED = ("account", "primary_contact", "source")
PLAIN = ("name", "amount", "currency", "probability_override", "forecast", "expected_close", "custom")
FIELDS = (*PLAIN, *RELATED)
STORY = ("lead", "account", "primary_contact", "stage")  # what comes with a card that is acted on with many
PLAN_MOST = timedelta(days=3_660)  # ten years, both ways: what is further off was mistyped
RESTORE_FOR = timedelta(days=30)


@transaction.atomic
def create_opportunity(
    *,
    by: Actor,
    name: str,
    stage: Stage | None = None,
    account: Account | None = None,
    primary_contact: Contact | None = None,
    lead: Lead | None = None,
    source: LeadSource | None = None,
    owner: User | None = None,
    team: Team | None = None,
    next_action_at: datetime | None = None,
    next_action_kind: str = "",
    is_asked: bool = True,
    **values: Any,
) -> Opportunity:
    """A new opportunity on top of an open stage: the given one, or the first of the lead's source's pipeline
    or of the default one. `values` are of PLAIN. Owner, team and source are the lead's unless given.
    A person fills in the own fields that are needed, unless `is_asked` says that nobody asked for them.

    A lead, account or contact must be visible to `by`; the contact's lifecycle becomes "opportunity", the
    outcome of a lead that none of its others has won is unknown again. Locks
    lead, account, contact, stage, in this order. Raises PermissionRefused, InvalidValue naming the field,
    TransitionRefused (the owner has as many in this stage as one may). Publishes OpportunityCreated.
    """
    require(by, Verb.CREATE)
    _refuse_unknown(values, PLAIN)
    _refuse_invisible(by, lead=lead, account=account, primary_contact=primary_contact)
    owner = owner or (lead.owner if lead else by.user)
    team = team or _team_for(owner, lead, account)
    _refuse_foreign_owner(by, owner, team)
    source = source or (lead.source if lead else None)
    card = Opportunity(
        account=account,
        primary_contact=primary_contact,
        lead=lead,
        source=source,
        owner=owner,
        team=team,
        stage_entered_at=clock.now(),
    )
    for field, value in {"name": name, **values}.items():
        setattr(card, field, _checked(card, field, value, by=by))
    if is_asked and by.user is not None:
        refuse_missing(card.custom, "opportunity")
    card.next_action_at, card.next_action_kind = _checked_plan(next_action_at, next_action_kind)
    _hold(lead, account, primary_contact)
    card.stage = hold_stage((stage or _stage_for(source)).pk)
    refuse_unused(card.stage)
    if card.stage.kind != StageKind.OPEN:
        raise InvalidValue(_("A new opportunity begins in an open stage."), field="stage")
    refuse_over_limit(card.stage, owner.pk if owner else None)
    card.rank = top_rank(card.stage.pk)
    card.search_text = search_text_of(card)
    card.save()
    StageChange.objects.create(
        opportunity=card, to_stage=card.stage, at=card.stage_entered_at, actor_kind=by.kind, by=by.user
    )
    if primary_contact:
        primary_contact.refresh_from_db(fields=["lifecycle", "version"])
        if primary_contact.lifecycle in {Lifecycle.LEAD, Lifecycle.CHURNED}:
            primary_contact.lifecycle = Lifecycle.OPPORTUNITY
            primary_contact.save_changed("lifecycle")
    if lead:
        settle_lead(lead)
    tell(story_of(card), "opportunity.created", _("opportunity “%s” opened") % card.name, by=by)
    events.publish(events.OpportunityCreated(card.pk))
    return card


def story_of(card: Opportunity) -> list[Subject]:
    """In whose stories a line about this opportunity is read."""
    return [record for record in (card, card.account, card.primary_contact, card.lead) if record]


def _hold(lead: Lead | None, account: Account | None, contact: Contact | None) -> None:
    """Lock what a card hangs on, in the order of all actions (see base.hold_parents)."""
    for record in (lead, account, contact):
        if record:
            list(type(record)._default_manager.filter(pk=record.pk).select_for_update(no_key=True))


def _stage_for(source: LeadSource | None) -> Stage:
    stage = source.default_stage if source else None
    if stage and stage.is_active and stage.kind == StageKind.OPEN and stage.pipeline.is_active:
        return stage
    pipeline = source.default_pipeline if source else None
    return first_stage(pipeline if pipeline and pipeline.is_active else None)


def _team_for(owner: User | None, lead: Lead | None, account: Account | None) -> Team | None:
    """The lead's or account's team if the owner belongs to it (or nobody owns it), else the owner's first."""
    for team in (lead.team if lead else None, account.team if account else None):
        if team and (owner is None or team.members.filter(user=owner).exists()):
            return team
    return Team.objects.of(owner).order_by("pk").first() if owner else None


def _refuse_invisible(by: Actor, **records: Lead | Account | Contact | None) -> None:
    for name, record in records.items():
        if record and not type(record)._default_manager.visible_to(by).filter(pk=record.pk).exists():  # type: ignore[attr-defined]
            raise InvalidValue(_("There is no such record, or you may not see it."), field=name)


def _refuse_foreign_owner(by: Actor, owner: User | None, team: Team | None) -> None:
    """A rep opens their own; a manager opens for their teams' people. Raises as `create_opportunity`."""
    allowed = reach(by, Verb.CREATE)
    if owner and not owner.is_active:
        raise InvalidValue(_("%s no longer works here.") % owner, field="owner")
    if allowed == Reach.ALL or (owner is not None and owner == by.user):
        return
    if allowed == Reach.OWN:
        raise PermissionRefused(_("You may open opportunities of your own only."), field="owner")
    if team is None or not team.members.filter(user=by.user).exists():
        raise PermissionRefused(_("You may open opportunities for people of your teams only."), field="owner")


@transaction.atomic
def update_opportunity(
    opportunity_id: int, *, by: Actor, version: int | None = None, **changes: Any
) -> Opportunity:
    """Change FIELDS; `custom` is merged key by key, null removes a key.

    Raises Opportunity.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue naming the field.
    Publishes OpportunityChanged. Undoable.
    """
    _refuse_unknown(changes, FIELDS)
    related = {name: changes[name] for name in RELATED if name in changes}
    _refuse_invisible(by, **{name: record for name, record in related.items() if name != "source"})
    hold_parents(opportunity_id)
    _hold(None, related.get("account"), related.get("primary_contact"))
    card = opportunity_for_change(opportunity_id, by=by)
    check_version(card, version)
    values = {name: _checked(card, name, value, by=by) for name, value in changes.items()}
    before = {name: getattr(card, name) for name in values}
    changed = {name: value for name, value in values.items() if value != before[name]}
    if not changed:
        return card
    _write(card, changed)
    lines = [_line(name, before[name], value) for name, value in changed.items()]
    tell(story_of(card), "opportunity.changed", "; ".join(lines), by=by, fields=sorted(changed))
    offer_undo(
        "update_opportunity",
        by=by,
        label=_("Changed %s") % card.name,
        before=_undo_of(card, values={name: _plain(before[name]) for name in changed}),
        rows=[card],
    )
    events.publish(events.OpportunityChanged(card.pk, fields=tuple(sorted(changed))))
    return card


@undoable("update_opportunity")
def _undo_update(row: Undo, by: Actor) -> None:
    card = opportunity_for_change(row.before["opportunity"], by=by)
    values = dict(row.before["values"])
    for name in set(values) & set(RELATED):
        model = Opportunity._meta.get_field(name).related_model
        values[name] = model._default_manager.filter(pk=values[name]).first()  # type: ignore[union-attr]
    _write(
        card,
        {
            name: value if name in RELATED else _checked(card, name, value, whole=True)
            for name, value in values.items()
        },
    )
    tell(story_of(card), "opportunity.changed", _("took back the last change"), by=by, fields=sorted(values))
    events.publish(events.OpportunityChanged(card.pk, fields=tuple(values)))


@transaction.atomic
def assign_opportunity(opportunity_id: int, *, by: Actor, owner: User | None) -> Opportunity:
    """Give an opportunity to a person, or back to its team's pool (None).

    Raises Opportunity.DoesNotExist, PermissionRefused, InvalidValue (`owner`), TransitionRefused (they have
    as many in this stage as one may). Publishes OpportunityChanged. Undoable.
    """
    stages = hold_parents_and_stages([opportunity_id])
    card = opportunity_for_change(opportunity_id, by=by, verb=Verb.REASSIGN)
    step = assignment(card, by=by, owner=owner, teams=Memberships(), stages=stages, limits=Limits())
    take([step], by=by)
    return card


def hold_parents_and_stages(opportunity_ids: Sequence[int]) -> dict[int, Stage]:
    """Lock what comes before these opportunities. Returns their stages by key."""
    stages = Opportunity.objects.filter(pk__in=opportunity_ids).values_list("stage_id", flat=True)
    wanted = set(stages)
    hold_parents(*opportunity_ids)
    return hold_stages(wanted)


def assignment(
    card: Opportunity,
    *,
    by: Actor,
    owner: User | None,
    teams: Memberships,
    stages: Mapping[int, Stage],
    limits: Limits,
) -> Step | None:
    """The step of `assign_opportunity`, with its refusals. `stages` are those that are locked."""
    if owner and not owner.is_active:
        raise InvalidValue(_("%s no longer works here.") % owner, field="owner")
    if card.owner_id == (owner.pk if owner else None):
        return None
    allowed = reach(by, Verb.REASSIGN)
    if allowed == Reach.OWN_OR_POOL and card.owner_id is None and owner != by.user:
        raise PermissionRefused(_("Take it from the pool yourself; then you may give it away."))
    if owner and allowed != Reach.ALL and card.team_id and card.team_id not in teams.of(owner):
        raise InvalidValue(_("%s is not in this opportunity's team.") % owner, field="owner")
    if owner and card.is_open and card.stage_id in stages:
        limits.add(stages[card.stage_id], owner.pk, besides=card.pk)
    before = {"owner": card.owner_id, "team": card.team_id}
    card.owner = owner
    if owner and card.team_id is None:
        card.team_id = next(iter(teams.of(owner)), None)
    return Step(
        card,
        ("owner", "team"),
        kind="opportunity.assigned",
        summary=_("assigned to %s") % owner if owner else _("put back into the team's pool"),
        label=_("Assigned %s") % card.name,
        undo="assign_opportunity",
        before=_undo_of(card, **before),
        story=story_of(card),
        happened=[events.OpportunityChanged(card.pk, fields=("owner",))],
    )


def hold_all_parents(opportunity_ids: Sequence[int]) -> None:
    """`hold_parents` for the way back of many."""
    hold_parents(*opportunity_ids)


@undoable_step("assign_opportunity", verb=None, related=STORY, hold=hold_all_parents)
def _undo_assign(row: Undo, card: Opportunity, by: Actor, given: None) -> Step:
    card.owner_id, card.team_id = row.before["owner"], row.before["team"]
    return Step(
        card,
        ("owner", "team"),
        kind="opportunity.assigned",
        summary=_("took the assignment back"),
        story=story_of(card),
        happened=[events.OpportunityChanged(card.pk, fields=("owner",))],
    )


@transaction.atomic
def plan_opportunity_action(
    opportunity_id: int, *, by: Actor, at: datetime | None, kind: str = "", version: int | None = None
) -> Opportunity:
    """Say when to do what next; None clears the plan.

    Raises InvalidValue (`kind`, `at`), VersionConflict, TransitionRefused (closed). Publishes
    OpportunityChanged. Undoable.
    """
    card = opportunity_for_change(opportunity_id, by=by)
    check_version(card, version)
    if not card.is_open:
        raise TransitionRefused(_("This opportunity is closed; reopen it first."))
    planned = _checked_plan(at, kind)
    before = {"at": _plain(card.next_action_at), "kind": card.next_action_kind}
    card.next_action_at, card.next_action_kind = planned
    card.save_changed("next_action_at", "next_action_kind")
    what = _("planned: %s") % NextActionKind(kind).label.lower() if at else _("cleared the next step")
    when = {"at": at.isoformat()} if at else {}
    tell(story_of(card), "opportunity.next_action_planned", what, by=by, **when)
    offer_undo(
        "plan_opportunity_action",
        by=by,
        label=_("Planned %s") % card.name,
        before=_undo_of(card, **before),
        rows=[card],
    )
    events.publish(events.OpportunityChanged(card.pk, fields=("next_action_at",)))
    return card


@undoable("plan_opportunity_action")
def _undo_plan(row: Undo, by: Actor) -> None:
    card = opportunity_for_change(row.before["opportunity"], by=by)
    at = row.before["at"]
    card.next_action_at = datetime.fromisoformat(at) if at else None
    card.next_action_kind = row.before["kind"]
    card.save_changed("next_action_at", "next_action_kind")
    tell(story_of(card), "opportunity.next_action_planned", _("took the plan back"), by=by)
    events.publish(events.OpportunityChanged(card.pk, fields=("next_action_at",)))


@transaction.atomic
def delete_opportunity(opportunity_id: int, *, by: Actor, version: int | None = None) -> Opportunity:
    """Take an opportunity out of all lists; it can be restored for RESTORE_FOR. A closed one is kept, because
    figures rest on it: reopen it first. The lead's outcome follows from what is left.

    Raises Opportunity.DoesNotExist, PermissionRefused, VersionConflict, TransitionRefused. Publishes
    OpportunityChanged. Undoable.
    """
    hold_parents(opportunity_id, strength="NO KEY UPDATE")
    card = opportunity_for_change(opportunity_id, by=by, verb=Verb.DELETE)
    check_version(card, version)
    if not card.is_open:
        raise TransitionRefused(_("A closed opportunity stays in the figures. Reopen it first."))
    card.deleted_at = clock.now()
    card.save_changed("deleted_at")
    settled = settle_outcome(card)
    tell(story_of(card), "opportunity.deleted", _("deleted “%s”") % card.name, by=by)
    offer_undo(
        "delete_opportunity",
        by=by,
        label=_("Deleted %s") % card.name,
        before=_undo_of(card, **settled.before),
        rows=[*settled.rows, card],
    )
    events.publish(events.OpportunityChanged(card.pk, fields=("deleted_at",)))
    return card


@undoable("delete_opportunity")
def _undo_delete(row: Undo, by: Actor) -> None:
    _restore(Opportunity.objects.get(pk=row.before["opportunity"]), by=by)
    restore_outcome(row.before)


@transaction.atomic
def restore_opportunity(opportunity_id: int, *, by: Actor) -> Opportunity:
    """Bring a deleted opportunity back, on top of its stage, or of the pipeline's first if that is archived.

    Raises Opportunity.DoesNotExist, PermissionRefused, TransitionRefused (deleted too long ago, the stage is
    full for its owner). Publishes OpportunityChanged.
    """
    hold_parents(opportunity_id, strength="NO KEY UPDATE")
    card = Opportunity.objects.select_related("stage__pipeline").get(
        pk=opportunity_id, deleted_at__isnull=False
    )
    if not may(by, Verb.SEE, card):
        raise Opportunity.DoesNotExist
    require(by, Verb.DELETE, card)
    if card.deleted_at < clock.now() - RESTORE_FOR:
        raise TransitionRefused(_("This was deleted too long ago to be restored."))
    is_in_use = card.stage.is_active and card.stage.pipeline.is_active
    pipeline = card.stage.pipeline if card.stage.pipeline.is_active else None
    stage = hold_stage(card.stage_id if is_in_use else first_stage(pipeline).pk)
    card = Opportunity.objects.select_for_update(of=("self",)).get(pk=opportunity_id)
    if card.deleted_at is None:  # somebody else was faster
        return card
    refuse_over_limit(stage, card.owner_id, besides=card.pk)
    if stage.pk != card.stage_id:
        spent = max(0, int((clock.now() - card.stage_entered_at).total_seconds()))
        StageChange.objects.create(
            opportunity=card,
            from_stage_id=card.stage_id,
            to_stage=stage,
            at=clock.now(),
            actor_kind=by.kind,
            by=by.user,
            seconds_in_from=spent,
        )
        card.stage, card.stage_entered_at = stage, clock.now()
    card.rank = top_rank(stage.pk)
    _restore(card, by=by)
    settle_outcome(card)
    return card


def _restore(card: Opportunity, *, by: Actor) -> Opportunity:
    card.deleted_at = None
    card.save_changed("deleted_at", "stage", "stage_entered_at", "rank")
    tell(story_of(card), "opportunity.restored", _("restored “%s”") % card.name, by=by)
    events.publish(events.OpportunityChanged(card.pk, fields=("deleted_at", "restored")))
    return card


def _refuse_unknown(values: dict[str, Any], names: tuple[str, ...]) -> None:
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise InvalidValue(_("There is no field “%s” to change.") % unknown[0], field=unknown[0])


def _checked(
    card: Opportunity, name: str, value: Any, *, by: Actor | None = None, whole: bool = False
) -> Any:
    """The value as it is stored. `by`: who fills it in; `whole`: `custom` replaces what there is."""
    match name:
        case "amount":
            return checked_amount(value, field="amount")
        case "currency":
            return checked_currency(value if isinstance(value, str) else "?") or card.currency
        case "expected_close":
            return _checked_day(value)
        case "probability_override":
            if value is None or (
                isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100
            ):
                return value
            raise InvalidValue(_("Write a whole number from 0 to 100, or nothing."), field=name)
        case "forecast":
            if value not in Forecast.values:
                raise InvalidValue(_("Choose pipeline, best case, commit or left out."), field=name)
            return value
        case "custom":
            is_asked = by is not None and by.user is not None
            kept = {} if whole else card.custom
            return merged_custom(kept, value, target="opportunity", is_asked=is_asked)
        case "account" | "primary_contact" | "source":
            return value
    if not isinstance(value, str) or "\0" in value or not value.strip():
        raise InvalidValue(_("An opportunity needs a name."), field="name")
    value = " ".join(value.split())
    if len(value) > 200:
        raise InvalidValue(_("Use at most %d characters.") % 200, field="name")
    return value


def _checked_day(value: Any) -> date | None:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) and value else value or None
    except ValueError:
        day = False
    if day is None:
        return None
    if isinstance(day, datetime) or not isinstance(day, date):
        raise InvalidValue(_("Write the day as year-month-day, such as 2026-05-31."), field="expected_close")
    if abs(day - clock.now().date()) > PLAN_MOST:
        raise InvalidValue(_("Choose a day at most ten years from now."), field="expected_close")
    return day


def _checked_plan(at: datetime | None, kind: str) -> tuple[datetime | None, str]:
    if at is None:
        return None, ""
    if abs(at - clock.now()) > PLAN_MOST:
        raise InvalidValue(_("Choose a time at most ten years from now."), field="at")
    if kind not in NextActionKind.values:
        raise InvalidValue(_("Choose what to do: call, e-mail, meeting, to do or review."), field="kind")
    return at.astimezone(UTC), kind


def _write(card: Opportunity, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(card, name, value)
    card.search_text = search_text_of(card)
    card.save_changed(*values, "search_text")


def _undo_of(card: Opportunity, **before: Any) -> dict[str, Any]:
    return {"lead": card.lead_id, "opportunity": card.pk, **before}


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return getattr(value, "pk", value)


def _line(name: str, old: Any, new: Any) -> str:
    label = str(getattr(Opportunity._meta.get_field(name), "verbose_name", name))
    if name == "custom":
        return _("changed %s") % _("own fields")
    words = {"field": label, "old": _shown(old), "new": _shown(new)}
    return _("changed %(field)s from %(old)s to %(new)s") % words


def _shown(value: Any) -> str:
    if value in (None, ""):
        return "–"
    if isinstance(value, Decimal):
        return number_format(value, decimal_pos=2, use_l10n=True, force_grouping=True)
    return f"“{str(value)[:60]}”"
