"""Each arrow of an opportunity's life is one action: moved among open stages, won, lost, reopened."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, hold_parents, offer_undo, opportunity_for_change, tell, undoable
from crm.actions.opportunities import STORY, hold_all_parents, story_of
from crm.actions.outcomes import Settled, restore_outcome, settle_outcome
from crm.actions.pipelines import first_stage
from crm.actions.ranking import (
    Limits,
    hold_stage,
    place_card,
    refuse_over_limit,
    refuse_unused,
    top_rank,
)
from crm.actions.steps import Step, take, undoable_step
from crm.errors import InvalidValue, TransitionRefused
from crm.models import Actor, Opportunity, OpportunityState, Stage, StageChange, StageKind, Undo

STAGE_FIELDS = ("stage", "state", "stage_entered_at", "rank", "closed_at", "lost_reason")


@transaction.atomic
def move_opportunity(
    opportunity_id: int,
    *,
    by: Actor,
    stage: Stage,
    before: int | None = None,
    after: int | None = None,
    version: int | None = None,
) -> Opportunity:
    """Put an open opportunity into an open stage, of any pipeline: directly before or after another card
    (keys), or on top. Forwards only with the fields filled that the stages left or passed over ask for.

    Raises Opportunity.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue (`stage`, `before`,
    `after`, or the field that is empty), TransitionRefused (closed, a closing stage, the stage is full for
    its owner). Publishes OpportunityMoved. Undoable unless it only changes the order within its stage.
    """
    if not Opportunity.objects.visible_to(by).filter(pk=opportunity_id).exists():
        raise Opportunity.DoesNotExist
    hold_parents(opportunity_id)
    stage = hold_stage(stage.pk)
    rank = place_card(opportunity_id, stage, by=by, before=before, after=after)
    card = opportunity_for_change(opportunity_id, by=by)
    check_version(card, version)
    step = moving(card, by=by, way=Way(stage), rank=rank)
    if step is None:
        return _reorder(card, rank)
    take([step], by=by)
    return card


class Way:
    """Into one open stage, for one card or many: what is asked on the way there is read once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.limits = Limits()
        self._passed: dict[int, list[Stage]] = {}

    def passed_from(self, here: Stage) -> list[Stage]:
        """The stages that a card from here leaves or passes over, forwards in one pipeline."""
        if here.pipeline_id != self.stage.pipeline_id or self.stage.position <= here.position:
            return []
        if here.pk not in self._passed:
            on_the_way = Stage.objects.filter(
                pipeline=here.pipeline_id,
                kind=StageKind.OPEN,
                is_active=True,
                position__gte=here.position,
                position__lt=self.stage.position,
            )
            self._passed[here.pk] = list(on_the_way.order_by("position"))
        return self._passed[here.pk]


def moving(card: Opportunity, *, by: Actor, way: Way, rank: int) -> Step | None:
    """The step of `move_opportunity`, with its refusals; None for a card that lies in the stage already."""
    stage = way.stage
    if not card.is_open:
        raise TransitionRefused(_("This opportunity is closed; reopen it first."))
    if stage.kind != StageKind.OPEN:
        raise TransitionRefused(_("An opportunity is closed by marking it as won or lost."))
    if stage.pk == card.stage_id:
        return None
    refuse_unused(stage)
    _refuse_empty_fields(card, way)
    way.limits.add(stage, card.owner_id, besides=card.pk)
    was = _where(card)
    arrow = _lay(card, stage, by=by, rank=rank)
    return Step(
        card,
        STAGE_FIELDS,
        kind="opportunity.moved",
        summary=_("moved to %s") % stage.name,
        label=_("Moved %s") % card.name,
        undo="move_opportunity",
        before={"lead": card.lead_id, "opportunity": card.pk, "was": was},
        story=story_of(card),
        added=[arrow],
        happened=[events.OpportunityMoved(card.pk, was["stage"], stage.pk)],
    )


@transaction.atomic
def win_opportunity(
    opportunity_id: int, *, by: Actor, stage: Stage | None = None, version: int | None = None
) -> Opportunity:
    """open -> won, in this stage or the first won one of its pipeline. The lead's outcome is won, the contact
    a customer. The fields that the stages left or passed over ask for must be filled.

    Raises as `move_opportunity`. Publishes OpportunityWon, and LeadChanged when the lead's outcome changed.
    Undoable.
    """
    card, stage = _hold_to_close(opportunity_id, stage, OpportunityState.WON, by=by, version=version)
    _refuse_empty_fields(card, Way(stage))
    was = _where(card)
    settled = _put(card, stage, by=by, closed_at=clock.now())
    tell(story_of(card), "opportunity.won", _("won “%s”") % card.name, by=by)
    _offer("win_opportunity", card, was, settled, by=by, label=_("Won %s") % card.name)
    events.publish(events.OpportunityWon(card.pk, was["stage"]))
    return card


@transaction.atomic
def lose_opportunity(
    opportunity_id: int, *, by: Actor, reason: str, stage: Stage | None = None, version: int | None = None
) -> Opportunity:
    """open -> lost, with the reason. The lead is lost once none of its opportunities is open or won.

    Raises as `move_opportunity`, InvalidValue (`reason`: empty, over 200 characters). Publishes
    OpportunityLost, and LeadChanged when the lead's outcome changed. Undoable.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise InvalidValue(_("Say why it was lost."), field="reason")
    if len(reason) > 200 or "\0" in reason:
        raise InvalidValue(_("Use at most 200 characters of plain text."), field="reason")
    card, stage = _hold_to_close(opportunity_id, stage, OpportunityState.LOST, by=by, version=version)
    was = _where(card)
    settled = _put(card, stage, by=by, closed_at=clock.now(), lost_reason=reason)
    tell(story_of(card), "opportunity.lost", _("lost: %s") % reason, by=by)
    _offer("lose_opportunity", card, was, settled, by=by, label=_("Lost %s") % card.name)
    events.publish(events.OpportunityLost(card.pk, was["stage"]))
    return card


@transaction.atomic
def reopen_opportunity(
    opportunity_id: int, *, by: Actor, stage: Stage, version: int | None = None
) -> Opportunity:
    """won | lost -> open, into the named open stage. The lead's outcome follows from what is left.

    Raises Opportunity.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue (`stage`: not an open
    one in use), TransitionRefused (open already, the stage is full for its owner). Publishes
    OpportunityMoved, and LeadChanged when the lead's outcome changed. Undoable.
    """
    hold_parents(opportunity_id, strength="NO KEY UPDATE")
    stage = hold_stage(stage.pk)
    card = opportunity_for_change(opportunity_id, by=by)
    check_version(card, version)
    card.move_to_state(OpportunityState.OPEN)
    if stage.kind != StageKind.OPEN:
        raise InvalidValue(_("Choose an open stage."), field="stage")
    refuse_unused(stage)
    refuse_over_limit(stage, card.owner_id, besides=card.pk)
    was = _where(card)
    settled = _put(card, stage, by=by)
    tell(story_of(card), "opportunity.reopened", _("reopened in %s") % stage.name, by=by)
    _offer("reopen_opportunity", card, was, settled, by=by, label=_("Reopened %s") % card.name)
    events.publish(events.OpportunityMoved(card.pk, was["stage"], stage.pk))
    return card


def _stages_of(rows: Sequence[Undo], keys: Sequence[int]) -> dict[int, Stage]:
    return Stage.objects.in_bulk({row.before["was"]["stage"] for row in rows})


@undoable_step("move_opportunity", related=STORY, hold=hold_all_parents, prepare=_stages_of)
def _undo_open_move(row: Undo, card: Opportunity, by: Actor, given: dict[int, Stage]) -> Step:
    """As `_undo_move`, for what closed nothing."""
    was, left = row.before["was"], card.stage_id
    arrow = _lay(card, given[was["stage"]], by=by, rank=was["rank"], since=_entered(was))
    return Step(
        card,
        STAGE_FIELDS,
        kind="opportunity.moved",
        summary=_("took the last move back"),
        story=story_of(card),
        added=[arrow],
        happened=[events.OpportunityMoved(card.pk, left, card.stage_id)],
    )


@undoable("win_opportunity")
@undoable("lose_opportunity")
@undoable("reopen_opportunity")
def _undo_move(row: Undo, by: Actor) -> None:
    """Back to where it lay, at the rank it had. Without the stage's lock, which comes before the card's:
    should another card have taken that rank by now, the two are ordered by their keys.
    """
    card = opportunity_for_change(row.before["opportunity"], by=by)
    was, left = row.before["was"], card.stage_id
    _put(
        card,
        Stage.objects.get(pk=was["stage"]),
        by=by,
        rank=was["rank"],
        closed_at=datetime.fromisoformat(was["closed_at"]) if was["closed_at"] else None,
        lost_reason=was["lost_reason"],
        settle=False,
        since=_entered(was),
    )
    restore_outcome(row.before)
    tell(story_of(card), "opportunity.moved", _("took the last move back"), by=by)
    events.publish(events.OpportunityMoved(card.pk, left, card.stage_id))


def _hold_to_close(
    opportunity_id: int, stage: Stage | None, state: OpportunityState, *, by: Actor, version: int | None
) -> tuple[Opportunity, Stage]:
    """The card and the stage that closes it, both locked; the card's lead and contact as well, for they
    change with it.
    """
    seen = Opportunity.objects.visible_to(by).select_related("stage__pipeline").get(pk=opportunity_id)
    hold_parents(opportunity_id, strength="NO KEY UPDATE")
    stage = hold_stage((stage or first_stage(seen.stage.pipeline, StageKind(state))).pk)
    card = opportunity_for_change(opportunity_id, by=by)
    check_version(card, version)
    if not card.is_open:
        card.move_to_state(state)  # refuses
    if stage.kind != state or stage.pipeline_id != card.stage.pipeline_id:
        raise InvalidValue(_("Choose a stage of this pipeline that closes it so."), field="stage")
    refuse_unused(stage)
    return card, stage


def _refuse_empty_fields(card: Opportunity, way: Way) -> None:
    """Raises InvalidValue naming the first empty field that a stage on the way asks for."""
    for stage in way.passed_from(card.stage):
        for rule in stage.exit_rules:
            key = rule.removeprefix("custom.")
            value = card.custom.get(key) if key != rule else getattr(card, rule)
            if value in (None, ""):
                words = _("Before it leaves “%(stage)s”, fill in: %(field)s.")
                raise InvalidValue(words % {"stage": stage.name, "field": _label(rule)}, field=rule)


def _label(rule: str) -> str:
    if rule.startswith("custom."):
        return rule.removeprefix("custom.").replace("_", " ")
    return str(getattr(Opportunity._meta.get_field(rule), "verbose_name", rule))


def _reorder(card: Opportunity, rank: int) -> Opportunity:
    """Only the order within the stage: no line in the story, and who edits the card is not disturbed."""
    card.rank = rank
    card.save(update_fields=["rank"])
    events.publish(events.OpportunityMoved(card.pk, card.stage_id, card.stage_id))
    return card


def _where(card: Opportunity) -> dict[str, Any]:
    return {
        "stage": card.stage_id,
        "entered_at": card.stage_entered_at.isoformat(),
        "rank": card.rank,
        "closed_at": card.closed_at and card.closed_at.isoformat(),
        "lost_reason": card.lost_reason,
    }


def _entered(was: dict[str, Any]) -> datetime | None:
    return datetime.fromisoformat(was["entered_at"]) if "entered_at" in was else None


def _put(
    card: Opportunity,
    stage: Stage,
    *,
    by: Actor,
    rank: int | None = None,
    closed_at: datetime | None = None,
    lost_reason: str = "",
    settle: bool = True,
    since: datetime | None = None,
) -> Settled:
    """Lay the card into the stage (on top unless `rank` is given), with the line of its history. Closing and
    reopening settle the outcome. `since`: as for `_lay`.
    """
    was_closed = card.closed_at is not None
    at = top_rank(stage.pk) if rank is None else rank
    _lay(card, stage, by=by, rank=at, closed_at=closed_at, lost_reason=lost_reason, since=since).save()
    card.save_changed(*STAGE_FIELDS)
    return settle_outcome(card) if settle and (was_closed or not card.is_open) else Settled()


def _lay(
    card: Opportunity,
    stage: Stage,
    *,
    by: Actor,
    rank: int,
    closed_at: datetime | None = None,
    lost_reason: str = "",
    since: datetime | None = None,
) -> StageChange:
    """Put the card into the stage in memory. Returns the line of its history, unsaved. `since`: an undo goes
    back to a stay that began then; what ends it counts the whole of it.
    """
    now = clock.now()
    arrow = StageChange(
        opportunity=card,
        from_stage_id=card.stage_id,
        to_stage=stage,
        at=now,
        actor_kind=by.kind,
        by=by.user,
        seconds_in_from=max(0, int((now - card.stage_entered_at).total_seconds())),
    )
    card.stage, card.state, card.stage_entered_at = stage, OpportunityState(stage.kind), since or now
    card.rank, card.closed_at, card.lost_reason = rank, closed_at, lost_reason
    return arrow


def _offer(
    action: str, card: Opportunity, was: dict[str, Any], settled: Settled, *, by: Actor, label: str
) -> None:
    before = {"lead": card.lead_id, "opportunity": card.pk, "was": was, **settled.before}
    offer_undo(action, by=by, label=label, before=before, rows=[*settled.rows, card])
