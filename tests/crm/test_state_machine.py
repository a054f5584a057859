"""People, customers and clocks act on leads, opportunities and follow-ups in any order; all stays whole.

The real actions on the real database, each example in a transaction that is rolled back. An example begins
with leads all over their lives, and a step chooses among what fits the record, so that most steps do
something; others try what does not fit. The short version runs with all tests; the long one by hand
(docs/development/testing.md).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crm import clock
from crm.actions.base import undo
from crm.actions.follow_ups import expire_follow_ups
from crm.actions.intake import receive_inquiry
from crm.actions.leads import wake_due_leads
from crm.actions.messages import (
    claim_due_messages,
    finish_sending,
    record_inbound_message,
    resolve_uncertain,
)
from crm.actions.opportunities import create_opportunity
from crm.actions.pipelines import default_pipeline
from crm.errors import CRMError, UndoRefused
from crm.mail.transport import Delivery, Outcome
from crm.models import Actor, FollowUp, Lead, Message, Opportunity, Undo
from tests.crm.arrows import ANY, CARD_ARROWS, DRAFT_ARROWS, LEAD_ARROWS, LEAD_NEVERS, PEOPLE, Arrow
from tests.crm.state_facts import Rows, broken_rules, facts
from tests.factories import actor, make_admin, make_team, make_user

SYSTEM = Actor.system()
PHONES = ("+442079460018", "+442079460019", "+442079460020")
APPROVAL = {"state", "approved_by_id", "approved_at", "approved_sha256", "edit_ratio"}
number = st.integers(0, 11)  # a record or an arrow, counted from the first that fits
often = st.sampled_from([True, True, False])
STARTS: dict[str, tuple[str, ...]] = {  # the arrows that bring a new lead there
    "new": (),
    "working": ("start",),
    "nurturing": ("snooze",),
    "disqualified": ("disqualify",),
    "converted": ("convert",),
    "with a card": ("convert to all",),
    "deleted": ("delete",),
    "with drafts": ("draft", "write"),
}


class Site(RuleBasedStateMachine):
    """One admin, one rep, a few customers and a mail server of moods."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.at = datetime(2026, 3, 2, 12, tzinfo=UTC)
        self.admin, self.rep = make_admin(), make_user(team=make_team())
        with self.time():
            default_pipeline()
        self.now = facts()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    # --- what all rules share ----------------------------------------------------------------------------
    @contextmanager
    def time(self) -> Iterator[None]:
        with clock.frozen(self.at):
            yield

    def act(self, deed: Callable[[], Any]) -> Any:
        """Do it. A refusal is fine, as long as it changes nothing. None when refused."""
        try:
            with self.time(), transaction.atomic():
                return deed()
        except (CRMError, Lead.DoesNotExist, FollowUp.DoesNotExist, Opportunity.DoesNotExist):
            assert facts() == self.now
            return None

    def lives(self, table: str) -> dict[int, str]:
        """Where each record is in its life; merged ones are not met."""
        return {
            pk: "deleted" if row.get("deleted_at") else row.get("state") or row["status"]
            for pk, row in sorted(self.now[table].items())
            if not row.get("merged_into_id")
        }

    def go(
        self, table: str, arrows: dict[str, Arrow], record: int, which: int, *, by: Actor, take_back: bool
    ) -> None:
        """An arrow that fits the record: it leads where it should, touches no other record of its kind, and
        an undo leaves everything as it was. Only a rep may be refused, and what `may_refuse`.
        """
        pk, life = _nth(sorted(self.lives(table).items()), record)
        fitting = [arrow for arrow in arrows.values() if life in arrow.source]
        if not fitting:
            return
        arrow, before = _nth(fitting, which), self.now
        done = self.act(lambda: arrow.deed(pk, by))
        if done is None:
            assert arrow.may_refuse or by.user != self.admin
            return
        self.now = facts()
        assert self.lives(table)[pk] in (ANY if arrow.to == "restored" else {arrow.leads_to(life)})
        if table == "lead":
            others = lambda rows: {key: row for key, row in rows[table].items() if key != pk}
            assert others(self.now) == others(before)
        offer = getattr(done, "undo_offer", None)
        if take_back and offer:
            with self.time(), transaction.atomic():
                undo(offer.public_id, by=by)
            assert _comparable(facts(), before) == _comparable(before, before), offer.action

    def refuse(self, deed: Callable[[], Any]) -> None:
        assert self.act(deed) is None, "should have been refused"

    def by(self, is_admin: bool) -> Actor:
        return actor(self.admin if is_admin else self.rep)

    def has(self, table: str, *states: str) -> bool:
        lives = self.lives(table).values()
        return any(life in states for life in lives) if states else bool(lives)

    # --- how it begins -----------------------------------------------------------------------------------
    @initialize(starts=st.lists(st.sampled_from(sorted(STARTS)), min_size=3, max_size=3))
    def people_have_come(self, starts: list[str]) -> None:
        for person, start in zip(range(3), starts, strict=True):
            with self.time():
                asked = {"email": PEOPLE[person], "phone": PHONES[person], "name": f"Ida {person}"}
                lead = receive_inquiry(channel="form", payload=asked, by=SYSTEM).lead
                for name in STARTS[start]:
                    LEAD_ARROWS[name].deed(lead.pk, actor(self.admin))
        self.now = facts()

    # --- leads -------------------------------------------------------------------------------------------
    @rule(record=number, which=number, is_admin=often, take_back=often)
    def lead_goes(self, record: int, which: int, is_admin: bool, take_back: bool) -> None:
        self.go("lead", LEAD_ARROWS, record, which, by=self.by(is_admin), take_back=take_back)

    @rule(record=number, which=number, is_admin=often)
    def lead_goes_on(self, record: int, which: int, is_admin: bool) -> None:
        self.go("lead", LEAD_ARROWS, record, which, by=self.by(is_admin), take_back=False)

    @rule(record=number, which=number)
    def lead_cannot(self, record: int, which: int) -> None:
        pk, life = _nth(sorted(self.lives("lead").items()), record)
        deeds = [arrow.deed for arrow in LEAD_ARROWS.values() if life not in arrow.source]
        if life not in {"working", "nurturing"}:  # they have a plan already
            deeds.append(LEAD_NEVERS["start without a plan"])
        deeds += [LEAD_NEVERS[name] for name in LEAD_NEVERS if name != "start without a plan"]
        self.refuse(lambda: _nth(deeds, which)(pk, actor(self.admin)))

    @rule(person=number, by_hand=st.booleans(), phone_of=st.none() | number)
    def ask(self, person: int, by_hand: bool, phone_of: int | None) -> None:
        """With the phone of another person, the keys prove one person of two."""
        channel, by = ("manual", actor(self.rep)) if by_hand else ("form", SYSTEM)
        asked = {"email": _nth(PEOPLE, person), "name": "Ida", "message": "A garden?"}
        if phone_of is not None:
            asked["phone"] = _nth(PHONES, phone_of)
        assert self.act(lambda: receive_inquiry(channel=channel, payload=asked, by=by)) is not None

    # --- opportunities -----------------------------------------------------------------------------------
    @precondition(lambda self: self.has("opportunity"))
    @rule(record=number, which=number, is_admin=often, take_back=often)
    def card_goes(self, record: int, which: int, is_admin: bool, take_back: bool) -> None:
        self.go("opportunity", CARD_ARROWS, record, which, by=self.by(is_admin), take_back=take_back)

    @precondition(lambda self: self.has("opportunity"))
    @rule(record=number, which=number)
    def card_cannot(self, record: int, which: int) -> None:
        pk, life = _nth(sorted(self.lives("opportunity").items()), record)
        deeds = [arrow.deed for arrow in CARD_ARROWS.values() if life not in arrow.source]
        self.refuse(lambda: _nth(deeds, which)(pk, actor(self.admin)))

    @rule(record=number)
    def open_card(self, record: int) -> None:
        lead = Lead.objects.live().filter(pk=_nth(sorted(self.now["lead"]), record)).first()
        self.act(lambda: create_opportunity(by=actor(self.admin), name="Pond", lead=lead))

    # --- follow-ups --------------------------------------------------------------------------------------
    @precondition(lambda self: self.has("followup"))
    @rule(record=number, which=number, is_admin=often, take_back=often)
    def draft_goes(self, record: int, which: int, is_admin: bool, take_back: bool) -> None:
        self.go("followup", DRAFT_ARROWS, record, which, by=self.by(is_admin), take_back=take_back)

    @precondition(lambda self: self.has("followup", "sent", "rejected", "stale", "expired"))
    @rule(record=number, which=number)
    def draft_cannot(self, record: int, which: int) -> None:
        over = {"sent", "rejected", "stale", "expired"}
        pk = _nth([pk for pk, life in self.lives("followup").items() if life in over], record)
        deed = _nth(list(DRAFT_ARROWS.values()), which).deed
        self.refuse(lambda: deed(pk, actor(self.admin)))

    @rule(record=number)
    def customer_writes(self, record: int) -> None:
        pk = _nth(sorted(self.now["lead"]), record)
        sender = PEOPLE[0]
        self.act(
            lambda: record_inbound_message(pk, by=SYSTEM, from_address=sender, subject="Re", text="Yes!")
        )

    @precondition(lambda self: self.has("followup", "scheduled"))
    @rule(outcome=st.sampled_from(list(Outcome)))
    def mail_goes_out(self, outcome: Outcome) -> None:
        self.at += timedelta(seconds=9)
        for claim in self.act(lambda: claim_due_messages(clock.now(), limit=3)) or []:
            said = Delivery(outcome, "said so")
            with self.time():
                finish_sending(claim.message_id, version=claim.version, delivery=said, at=clock.now())

    @precondition(lambda self: Message.objects.filter(state="uncertain").exists())
    @rule(outcome=st.sampled_from(["sent", "not_sent"]))
    def somebody_finds_out(self, outcome: str) -> None:
        message = Message.objects.filter(state="uncertain", lead__in=Lead.objects.live()).first()
        if message:
            self.act(lambda: resolve_uncertain(message.pk, by=actor(self.admin), outcome=outcome))

    # --- time --------------------------------------------------------------------------------------------
    @rule(seconds=st.sampled_from([1, 9, 3_600, 4 * 86_400, 31 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.at += timedelta(seconds=seconds)
        self.act(lambda: wake_due_leads(clock.now()))
        self.now = facts()
        self.act(lambda: expire_follow_ups(at=clock.now()))
        asleep = Lead.objects.live().filter(status="nurturing", snoozed_until__lte=self.at)
        assert not asleep.exists()

    @precondition(lambda self: self.offers().exists())
    @rule(which=number)
    def undo_late(self, which: int) -> None:
        """An offer from before other acts: taken back, or refused because a row has moved on."""
        offer = _nth(list(self.offers().order_by("pk")), which)
        self.act(lambda: undo(offer.public_id, by=actor(offer.by)) if offer.by else None)

    @precondition(lambda self: Undo.objects.filter(undone_at=None, expires_at__lt=self.at).exists())
    @rule()
    def too_late_to_undo(self) -> None:
        offer = Undo.objects.filter(undone_at=None, expires_at__lt=self.at).latest("pk")
        if offer.by:
            with self.time(), pytest.raises(UndoRefused):
                undo(offer.public_id, by=actor(offer.by))

    def offers(self) -> Any:
        return Undo.objects.filter(undone_at=None, expires_at__gte=self.at)

    @invariant()
    def all_is_whole(self) -> None:
        told = self.now["story"][0]["lines"]
        self.now = facts()
        assert self.now["story"][0]["lines"] >= told
        assert broken_rules() == []


def _nth(things: Any, place: int) -> Any:
    return things[place % len(things)]


def _comparable(rows: dict[str, Rows], before: dict[str, Rows]) -> dict[str, Rows]:
    """Without what an undo leaves behind: records that were made stay, deleted, with their addresses; a
    follow-up that was held back keeps its approval; the story tells of both. Scores are of today, and the
    time to answer is counted anew, by a trigger, whenever a lead changes hands.
    """
    made = {
        table: {pk for pk, row in rows[table].items() if pk not in before[table] and row["deleted_at"]}
        for table in ("opportunity", "contact")
    }
    kept: dict[str, Rows] = {}
    for table in ("lead", "opportunity", "contact", "followup", "contactpoint", "matchkey"):
        dropped = APPROVAL if table == "followup" else {"score", "score_source"}
        kept[table] = {
            pk: {name: value for name, value in row.items() if name not in dropped}
            for pk, row in rows[table].items()
            if pk not in made.get(table, ()) and row.get("contact_id") not in made["contact"]
        }
    return kept


def _amount(examples: int, steps: int, *, shrink: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(600)
def test_leads_opportunities_and_follow_ups_stay_whole_whatever_happens(settings: Any):
    settings.MAIL_CATCHER = True
    run_state_machine_as_test(Site, settings=_amount(20, 25, shrink=False))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(7_200)
def test_they_stay_whole_in_two_hundred_lives_of_fifty_steps(settings: Any):
    settings.MAIL_CATCHER = True
    run_state_machine_as_test(Site, settings=_amount(200, 50, shrink=True))
