"""What a bulk job does to its records, made ready for one slice of them: the rules of the single actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from crm.actions.base import hold_parents
from crm.actions.lead_moves import checked_reason, checked_sleep, disqualification, snoozing
from crm.actions.leads import assignment
from crm.actions.opportunities import STORY, hold_parents_and_stages
from crm.actions.opportunities import assignment as opportunity_assignment
from crm.actions.opportunity_moves import Way, moving
from crm.actions.ranking import GAP, Limits, hold_stage, top_rank
from crm.actions.steps import Decide, Hold, Memberships, Step, Taken, act_on_many
from crm.actions.tags import MODELS, Tagged, hold_tag, tagging, untagging
from crm.models import Actor, Lead, LeadStatus, Opportunity, Tag, User
from crm.permissions import Verb


@dataclass(frozen=True, slots=True)
class _Act:
    decide: Decide
    verb: Verb = Verb.EDIT
    hold: Hold | None = None


def act_on_slice(job: dict[str, Any], keys: Sequence[int], *, by: Actor, window: timedelta) -> Taken:
    """Do the job's act to these records in the caller's transaction. Raises CRMError when none of them can
    be: its values make no sense any more.
    """
    act = _act(job["act"], job["target"], job["values"], keys, by)
    records: QuerySet[Any] = MODELS[job["target"]].objects.all()
    if job["target"] == "opportunity":
        records = records.select_related(*STORY)
    return act_on_many(records, keys, act.decide, by=by, verb=act.verb, window=window, hold=act.hold)


def _act(name: str, target: str, values: dict[str, Any], keys: Sequence[int], by: Actor) -> _Act:
    match name:
        case "assign":
            owner = User.objects.filter(pk=values["owner"]).first() if values["owner"] else None
            return _assign_cards(owner, by) if target == "opportunity" else _assign_leads(owner, by)
        case "tag" | "untag":
            return _tag(name == "tag", target, values["tag"], keys)
        case "snooze":
            given = parse_datetime(values["until"])
            assert given is not None
            until, words = checked_sleep(given, values.get("reason", ""))
            return _Act(lambda lead: snoozing(lead, by=by, until=until, reason=words))
        case "disqualify":
            reason = checked_reason(values["reason"])
            return _Act(
                lambda lead: (
                    None
                    if lead.status == LeadStatus.DISQUALIFIED  # it is so already, whatever the reason
                    else disqualification(lead, by=by, reason=reason)
                )
            )
    return _Move(values["stage"], by).act


def _assign_leads(owner: User | None, by: Actor) -> _Act:
    teams = Memberships()

    def decide(lead: Lead) -> Step | None:
        return assignment(lead, by=by, owner=owner, teams=teams)

    return _Act(decide, Verb.REASSIGN)


def _assign_cards(owner: User | None, by: Actor) -> _Act:
    teams, limits, stages = Memberships(), Limits(), {}

    def hold(keys: Sequence[int]) -> None:
        stages.update(hold_parents_and_stages(keys))

    def decide(card: Opportunity) -> Step | None:
        return opportunity_assignment(card, by=by, owner=owner, teams=teams, stages=stages, limits=limits)

    return _Act(decide, Verb.REASSIGN, hold)


def _tag(is_on: bool, target: str, tag_id: int, keys: Sequence[int]) -> _Act:
    tagged, tag = Tagged(target, keys), _HeldTag(tag_id)

    def decide(record: Any) -> Step | None:
        return (tagging if is_on else untagging)(record, tag.held, tagged)

    return _Act(decide)


class _HeldTag:
    """The tag, locked at the first record: after the records, as everywhere."""

    def __init__(self, tag_id: int) -> None:
        self._id = tag_id

    @cached_property
    def held(self) -> Tag:
        hold_tag(Tag(pk=self._id))
        return Tag.objects.get(pk=self._id)


class _Move:
    """Card after card on top of one stage."""

    def __init__(self, stage_id: int, by: Actor) -> None:
        self._stage_id, self._by = stage_id, by
        self.act = _Act(self._decide, hold=self._hold)

    def _hold(self, keys: Sequence[int]) -> None:
        hold_parents(*keys)
        stage = hold_stage(self._stage_id)
        self._way, self._rank = Way(stage), top_rank(stage.pk)

    def _decide(self, card: Opportunity) -> Step | None:
        step = moving(card, by=self._by, way=self._way, rank=self._rank)
        if step:
            self._rank -= GAP
        return step
