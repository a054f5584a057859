"""What can be done with a lead, an opportunity, a follow-up; for the state machine."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from crm import clock
from crm.actions.approvals import approve_follow_up
from crm.actions.conversion import convert_lead
from crm.actions.follow_ups import edit_follow_up, reject_follow_up, store_draft, write_follow_up
from crm.actions.lead_plans import default_plan
from crm.actions.leads import (
    assign_lead,
    delete_lead,
    disqualify_lead,
    plan_next_action,
    reopen_lead,
    restore_lead,
    snooze_lead,
    start_work,
    update_lead,
    wake_lead,
)
from crm.actions.opportunities import delete_opportunity, restore_opportunity, update_opportunity
from crm.actions.opportunity_moves import (
    lose_opportunity,
    move_opportunity,
    reopen_opportunity,
    win_opportunity,
)
from crm.models import Actor, Contact, Opportunity, Stage

AGENT = Actor.agent("FollowUpAgent")
PEOPLE = ("ida@example.org", "bo@example.org", "cy@fern.example")
LETTER: dict[str, Any] = {"subject": "Your garden", "body": "Dear Ida,\n\nthanks."}
OPEN = {"new", "working", "nurturing"}
ANY = {*OPEN, "converted", "disqualified"}
UNSENT = {"generated", "edited", "approved", "scheduled"}


@dataclass(frozen=True)
class Arrow:
    """One act: from where it goes, where it leads ("": it stays, as it does from what it `keeps`), and
    whether it may refuse all the same.
    """

    deed: Callable[[int, Actor], Any]
    source: set[str]
    to: str = ""
    may_refuse: bool = False
    keeps: Collection[str] = ()

    def leads_to(self, life: str) -> str:
        return life if life in self.keeps else self.to or life


def open_stage(card_id: int) -> Stage:
    """Another open stage of the card's pipeline: the next one, after the last the first."""
    here = Opportunity.objects.get(pk=card_id).stage
    stages = list(Stage.objects.filter(pipeline=here.pipeline_id, kind="open").order_by("position"))
    return stages[(stages.index(here) + 1) % len(stages)] if here in stages else stages[0]


def soon(**of: int) -> datetime:
    return clock.now() + timedelta(**of)


def known_contact() -> Any:
    return Contact.objects.live().order_by("pk").first() or {}


LEAD_ARROWS: dict[str, Arrow] = {
    "start": Arrow(lambda pk, by: start_work(pk, by=by, **default_plan()), {"new"}, "working"),
    "plan": Arrow(
        lambda pk, by: plan_next_action(pk, by=by, at=soon(days=2), kind="call"),
        OPEN,
        "working",
        keeps={"nurturing"},
    ),
    "snooze": Arrow(lambda pk, by: snooze_lead(pk, by=by, until=soon(days=3)), OPEN, "nurturing"),
    "wake": Arrow(lambda pk, by: wake_lead(pk, by=by), {"nurturing"}, "working"),
    "disqualify": Arrow(lambda pk, by: disqualify_lead(pk, by=by, reason="No garden"), OPEN, "disqualified"),
    "reopen": Arrow(lambda pk, by: reopen_lead(pk, by=by, **default_plan()), {"disqualified"}, "working"),
    "pool": Arrow(lambda pk, by: assign_lead(pk, by=by, owner=None), ANY),
    "take": Arrow(lambda pk, by: assign_lead(pk, by=by, owner=by.user), ANY),
    "change": Arrow(
        lambda pk, by: update_lead(pk, by=by, company="Moss & Co", email="new@moss.example"), ANY
    ),
    "become one who is known": Arrow(lambda pk, by: update_lead(pk, by=by, email=PEOPLE[1]), ANY),
    "delete": Arrow(lambda pk, by: delete_lead(pk, by=by), ANY - {"converted"}, "deleted"),
    "restore": Arrow(lambda pk, by: restore_lead(pk, by=by), {"deleted"}, "restored", may_refuse=True),
    "convert": Arrow(lambda pk, by: convert_lead(pk, by=by, contact={}).lead, OPEN, "converted"),
    "convert to all": Arrow(
        lambda pk, by: convert_lead(pk, by=by, contact={}, account={"name": "Fern"}, opportunity={}).lead,
        OPEN,
        "converted",
    ),
    "convert to known": Arrow(
        lambda pk, by: convert_lead(pk, by=by, contact=known_contact(), opportunity={}).lead,
        OPEN,
        "converted",
    ),
    "draft": Arrow(lambda pk, by: store_draft(pk, by=AGENT, **LETTER), ANY),
    "write": Arrow(lambda pk, by: write_follow_up(pk, by=by, **LETTER), ANY),
}
LEAD_NEVERS: dict[str, Callable[[int, Actor], Any]] = {
    "start without a plan": lambda pk, by: start_work(pk, by=by),
    "plan nothing": lambda pk, by: plan_next_action(pk, by=by, at=None),
    "sleep until yesterday": lambda pk, by: snooze_lead(pk, by=by, until=soon(days=-1)),
    "end without a reason": lambda pk, by: disqualify_lead(pk, by=by, reason=" "),
}
CARD_ARROWS: dict[str, Arrow] = {
    "change": Arrow(lambda pk, by: update_opportunity(pk, by=by, amount="18400"), {"open", "won", "lost"}),
    "move": Arrow(lambda pk, by: move_opportunity(pk, by=by, stage=open_stage(pk)), {"open"}),
    "win": Arrow(lambda pk, by: win_opportunity(pk, by=by), {"open"}, "won"),
    "lose": Arrow(lambda pk, by: lose_opportunity(pk, by=by, reason="Too dear"), {"open"}, "lost"),
    "reopen": Arrow(
        lambda pk, by: reopen_opportunity(pk, by=by, stage=open_stage(pk)), {"won", "lost"}, "open"
    ),
    "delete": Arrow(lambda pk, by: delete_opportunity(pk, by=by), {"open"}, "deleted"),
    "restore": Arrow(lambda pk, by: restore_opportunity(pk, by=by), {"deleted"}, "open", may_refuse=True),
}
DRAFT_ARROWS: dict[str, Arrow] = {
    "edit": Arrow(
        lambda pk, by: edit_follow_up(pk, by=by, version=None, body="Other words."), UNSENT, "edited", True
    ),
    "approve": Arrow(
        lambda pk, by: approve_follow_up(pk, by=by),
        {"generated", "edited", "approved"},
        "scheduled",
        may_refuse=True,  # the lead is closed, the address is new, the customer wrote ...
    ),
    "reject": Arrow(lambda pk, by: reject_follow_up(pk, by=by, reason="other"), UNSENT, "rejected", True),
}
