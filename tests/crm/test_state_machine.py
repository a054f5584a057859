"""People, customers and clocks act on leads, opportunities and follow-ups in any order; all stays whole.

The real actions on the real database, each example in a transaction that is rolled back. `STATE_MACHINE=long`
runs 200 examples of 50 steps.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Count, F, Q
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from crm import clock
from crm.actions.approvals import approve_follow_up
from crm.actions.base import undo
from crm.actions.conversion import convert_lead
from crm.actions.follow_ups import (
    edit_follow_up,
    expire_follow_ups,
    reject_follow_up,
    store_draft,
    write_follow_up,
)
from crm.actions.intake import receive_inquiry
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
    wake_due_leads,
    wake_lead,
)
from crm.actions.messages import (
    claim_due_messages,
    finish_sending,
    record_inbound_message,
    resolve_uncertain,
)
from crm.actions.opportunities import create_opportunity, delete_opportunity, restore_opportunity
from crm.actions.opportunity_moves import (
    lose_opportunity,
    move_opportunity,
    reopen_opportunity,
    win_opportunity,
)
from crm.actions.pipelines import default_pipeline
from crm.errors import CRMError, UndoRefused
from crm.mail.transport import Delivery, Outcome
from crm.models import (
    Actor,
    Contact,
    FollowUp,
    Lead,
    Message,
    Opportunity,
    Score,
    Stage,
    TimelineEvent,
    Undo,
)
from tests.factories import actor, make_admin, make_team, make_user

IS_LONG = os.environ.get("STATE_MACHINE") == "long"
AMOUNT = settings(
    max_examples=200 if IS_LONG else 20,
    stateful_step_count=50 if IS_LONG else 15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if IS_LONG else [])],
    suppress_health_check=list(HealthCheck),
)
SYSTEM, AGENT = Actor.system(), Actor.agent("FollowUpAgent")
PEOPLE = ("ida@example.org", "bo@example.org", "cy@fern.example")
TRACES = {"version", "updated_at", "status_changed_at", "stage_entered_at", "last_event_at", "rank"}
which = st.integers(0, 5)  # a record, counted from the oldest
take_back = st.booleans()
LEAD_ACTS: dict[str, Callable[[int, Actor], Any]] = {
    "start": lambda pk, by: start_work(pk, by=by, **default_plan()),
    "start without a plan": lambda pk, by: start_work(pk, by=by),
    "plan": lambda pk, by: plan_next_action(pk, by=by, at=clock.now() + timedelta(days=2), kind="call"),
    "plan nothing": lambda pk, by: plan_next_action(pk, by=by, at=None),
    "snooze": lambda pk, by: snooze_lead(pk, by=by, until=clock.now() + timedelta(days=3)),
    "wake": lambda pk, by: wake_lead(pk, by=by),
    "disqualify": lambda pk, by: disqualify_lead(pk, by=by, reason="No garden"),
    "reopen": lambda pk, by: reopen_lead(pk, by=by, **default_plan()),
    "pool": lambda pk, by: assign_lead(pk, by=by, owner=None),
    "take": lambda pk, by: assign_lead(pk, by=by, owner=by.user),
    "change": lambda pk, by: update_lead(pk, by=by, company="Moss & Co", email="new@moss.example"),
    "delete": lambda pk, by: delete_lead(pk, by=by),
    "restore": lambda pk, by: restore_lead(pk, by=by),
    "convert": lambda pk, by: convert_lead(pk, by=by, contact={}).lead,
    "convert to all": lambda pk, by: (
        convert_lead(pk, by=by, contact={}, account={"name": "Fern"}, opportunity={}).lead
    ),
    "convert to known": lambda pk, by: (
        convert_lead(
            pk, by=by, contact=Contact.objects.live().order_by("pk").first() or {}, opportunity={}
        ).lead
    ),
    "ask agent": lambda pk, by: store_draft(pk, subject="Your garden", body="Dear Ida,\n\nthanks.", by=AGENT),
    "write": lambda pk, by: write_follow_up(pk, by=by, subject="Your garden", body="Dear Ida,\n\nthanks."),
}
DRAFT_ACTS: dict[str, Callable[[int, Actor], Any]] = {
    "edit": lambda pk, by: edit_follow_up(pk, by=by, version=None, body="Other words."),
    "approve": lambda pk, by: approve_follow_up(pk, by=by),
    "reject": lambda pk, by: reject_follow_up(pk, by=by, reason="other"),
    "agent approves": lambda pk, by: approve_follow_up(pk, by=AGENT),
}
CARD_ACTS: dict[str, Callable[[int, Actor, Stage], Any]] = {
    "move": lambda pk, by, stage: move_opportunity(pk, by=by, stage=stage),
    "win": lambda pk, by, stage: win_opportunity(pk, by=by),
    "lose": lambda pk, by, stage: lose_opportunity(pk, by=by, reason="Too dear"),
    "reopen": lambda pk, by, stage: reopen_opportunity(pk, by=by, stage=stage),
    "delete": lambda pk, by, stage: delete_opportunity(pk, by=by),
    "restore": lambda pk, by, stage: restore_opportunity(pk, by=by),
}


def facts() -> list[Any]:
    """Leads, opportunities, follow-ups and people as they are, without traces of the way there."""
    found: list[Any] = []
    for model in (Lead, Opportunity, FollowUp):
        rows = model._default_manager.order_by("pk").values()  # type: ignore[attr-defined]
        found.append({row["id"]: {k: v for k, v in row.items() if k not in TRACES} for row in rows})
    people = Contact.objects.filter(deleted_at=None).order_by("pk").values_list("pk", "account", "lifecycle")
    return [*found, list(people)]


class Site(RuleBasedStateMachine):
    """One admin, one rep, a few customers and a mail server of moods."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.at = datetime(2026, 3, 2, 12, tzinfo=UTC)
        team = make_team()
        self.admin, self.rep = make_admin(), make_user(team=team)
        self.told = 0
        with self.time():
            default_pipeline()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def time(self) -> Any:
        return clock.frozen(self.at)

    def act(self, deed: Callable[[], Any]) -> Any:
        """Do it. A refusal is fine, as long as it changes nothing. None when refused."""
        before, told = facts(), TimelineEvent.objects.count()
        try:
            with self.time(), transaction.atomic():
                return deed()
        except (CRMError, Lead.DoesNotExist, FollowUp.DoesNotExist, Opportunity.DoesNotExist):
            assert facts() == before
            assert TimelineEvent.objects.count() == told
            return None

    def act_and_maybe_undo(self, deed: Callable[[], Any], by: Actor, take_back: bool) -> None:
        before = facts()
        done = self.act(deed)
        offer = getattr(done, "undo_offer", None)
        if not take_back or offer is None:
            return
        with self.time(), transaction.atomic():
            undo(offer.public_id, by=by)
        after = facts()
        # a made opportunity stays as a deleted row, a held-back follow-up keeps its approval: see the docs
        made = {pk for pk in after[1] if pk not in before[1]}
        assert all(after[1].pop(pk)["deleted_at"] for pk in made)
        for row in [*before[2].values(), *after[2].values()]:
            for name in ("state", "approved_by_id", "approved_at", "approved_sha256"):
                row.pop(name)
        assert after == before, offer.action

    def pick(self, model: Any, number: int) -> int:
        ids = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
        return ids[number % len(ids)] if ids else 0

    def by(self, is_admin: bool) -> Actor:
        return actor(self.admin if is_admin else self.rep)

    @rule(person=st.sampled_from(PEOPLE), by_hand=st.booleans())
    def ask(self, person: str, by_hand: bool) -> None:
        channel, by = ("manual", actor(self.rep)) if by_hand else ("form", SYSTEM)
        payload = {"email": person, "name": "Ida", "message": "A garden?"}
        assert self.act(lambda: receive_inquiry(channel=channel, payload=payload, by=by)) is not None

    @rule(number=which, what=st.sampled_from(sorted(LEAD_ACTS)), is_admin=st.booleans(), take_back=take_back)
    def act_on_lead(self, number: int, what: str, is_admin: bool, take_back: bool) -> None:
        by, pk = self.by(is_admin), self.pick(Lead, number)
        self.act_and_maybe_undo(lambda: LEAD_ACTS[what](pk, by), by, take_back)

    @rule(number=which, what=st.sampled_from(sorted(DRAFT_ACTS)), is_admin=st.booleans(), take_back=take_back)
    def act_on_draft(self, number: int, what: str, is_admin: bool, take_back: bool) -> None:
        by, pk = self.by(is_admin), self.pick(FollowUp, number)
        self.act_and_maybe_undo(lambda: DRAFT_ACTS[what](pk, by), by, take_back)

    @rule(
        number=which,
        stage=which,
        what=st.sampled_from(sorted(CARD_ACTS)),
        is_admin=st.booleans(),
        take_back=take_back,
    )
    def act_on_card(self, number: int, stage: int, what: str, is_admin: bool, take_back: bool) -> None:
        by, pk = self.by(is_admin), self.pick(Opportunity, number)
        to = Stage.objects.get(pk=self.pick(Stage, stage))
        self.act_and_maybe_undo(lambda: CARD_ACTS[what](pk, by, to), by, take_back)

    @rule(number=which)
    def open_card(self, number: int) -> None:
        lead = Lead.objects.filter(pk=self.pick(Lead, number)).first()
        self.act(lambda: create_opportunity(by=actor(self.admin), name="Pond", lead=lead))

    @rule(number=which)
    def customer_writes(self, number: int) -> None:
        pk = self.pick(Lead, number)
        self.act(
            lambda: record_inbound_message(pk, by=SYSTEM, from_address=PEOPLE[0], subject="Re", text="Yes!")
        )

    @rule(outcome=st.sampled_from(list(Outcome)))
    def mail_goes_out(self, outcome: Outcome) -> None:
        for claim in self.act(lambda: claim_due_messages(clock.now(), limit=3)) or []:
            deliver = lambda c=claim: finish_sending(
                c.message_id, version=c.version, delivery=Delivery(outcome, "said so"), at=clock.now()
            )
            self.act(deliver)

    @rule(number=which, outcome=st.sampled_from(["sent", "not_sent"]))
    def somebody_finds_out(self, number: int, outcome: str) -> None:
        pk = self.pick(Message, number)
        if Message.objects.filter(pk=pk, lead__in=Lead.objects.live()).exists():
            self.act(lambda: resolve_uncertain(pk, by=actor(self.admin), outcome=outcome))

    @rule(seconds=st.sampled_from([1, 9, 3_600, 4 * 86_400, 31 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)
        self.act(lambda: wake_due_leads(clock.now()))
        self.act(lambda: expire_follow_ups(at=clock.now()))

    @rule()
    def too_late_to_undo(self) -> None:
        offer = Undo.objects.filter(undone_at=None, expires_at__lt=self.at).first()
        if offer and offer.by:
            by = actor(offer.by)
            with self.time(), pytest.raises(UndoRefused):
                undo(offer.public_id, by=by)

    @invariant()
    def the_database_agrees(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")

    @invariant()
    def the_story_only_grows(self) -> None:
        told = TimelineEvent.objects.count()
        assert told >= self.told
        self.told = told

    @invariant()
    def history_agrees_with_the_status_and_has_no_gaps(self) -> None:
        for lead in Lead.objects.filter(merged_into=None):
            lines = list(lead.status_changes.order_by("id"))
            assert (lines[0].from_status, lines[-1].to_status) == ("", lead.status)
            assert lines[-1].at == lead.status_changed_at
            for one, other in pairwise(lines):
                assert one.to_status == other.from_status
                assert other.seconds_in_from == int((other.at - one.at).total_seconds())
        for card in Opportunity.objects.all():
            moves = list(card.stage_changes.order_by("id"))
            assert moves[0].from_stage_id is None
            assert moves[-1].to_stage_id == card.stage_id
            assert all(a.to_stage_id == b.from_stage_id for a, b in pairwise(moves))

    @invariant()
    def a_lead_is_whole(self) -> None:
        leads = Lead.objects.filter(merged_into=None)
        assert not leads.filter(status="working", next_action_at=None).exists()
        assert not leads.filter(status="nurturing", next_action_at=None).exists()
        closed = leads.filter(status__in=["converted", "disqualified"])
        assert not closed.filter(Q(next_action_at__isnull=False) | Q(snoozed_until__isnull=False)).exists()
        assert not leads.exclude(status="converted").filter(converted_at__isnull=False).exists()
        assert not leads.filter(status="converted", contact=None).exists()
        assert not leads.filter(status="disqualified").exclude(outcome__in=["lost", "won"]).exists()
        assert not leads.filter(status__in=["new", "working"], snoozed_until__isnull=False).exists()
        assert not Lead.objects.filter(Q(score__lt=0) | Q(score__gt=100)).exists()
        current = Score.objects.filter(is_current=True).values("lead", "kind").annotate(n=Count("id"))
        assert not current.filter(n__gt=1).exists()

    @invariant()
    def nothing_leaves_that_nobody_approved(self) -> None:
        approved = FollowUp.objects.filter(state__in=["approved", "scheduled", "sent"])
        assert not approved.filter(Q(approved_by=None) | ~Q(approved_sha256=F("body_sha256"))).exists()
        assert (
            not FollowUp.objects.filter(state="scheduled")
            .exclude(message__state__in=["queued", "sending", "uncertain"])
            .exists()
        )
        assert not FollowUp.objects.filter(state="sent").exclude(message__state="sent").exists()
        assert not Message.objects.filter(state="sent").exclude(follow_up__state="sent").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(7_200 if IS_LONG else 600)
def test_leads_opportunities_and_follow_ups_stay_whole_whatever_happens(settings: Any):
    settings.MAIL_CATCHER = True
    run_state_machine_as_test(Site, settings=AMOUNT)
