"""Every arrow of an opportunity's life, and every refusal of one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import Count

from crm import clock, feed
from crm.actions import ranking
from crm.actions.base import undo
from crm.actions.opportunities import create_opportunity, delete_opportunity, update_opportunity
from crm.actions.opportunity_moves import (
    lose_opportunity,
    move_opportunity,
    reopen_opportunity,
    win_opportunity,
)
from crm.actions.pipelines import archive_stage, default_pipeline, save_pipeline, update_stage
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused, UndoRefused, VersionConflict
from crm.models import (
    Actor,
    Contact,
    Lead,
    Opportunity,
    OutboxEvent,
    Pipeline,
    Role,
    Stage,
    StageChange,
    TimelineEvent,
    User,
)
from tests.factories import actor, make_admin, make_lead, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()


def make_card(**values: Any) -> Opportunity:
    return create_opportunity(**({"by": SYSTEM, "name": "A new terrace"} | values))


@pytest.fixture
def stages() -> dict[str, Stage]:
    return {stage.name: stage for stage in default_pipeline().stages.all()}


def in_order(stage: Stage) -> list[int]:
    return list(
        Opportunity.objects.live().filter(stage=stage).order_by("rank", "pk").values_list("pk", flat=True)
    )


def test_a_move_is_kept_with_the_time_it_spent_before_and_can_be_taken_back(noon, stages):
    rep = make_user()
    card = make_card(by=actor(rep))
    with clock.frozen(noon + timedelta(hours=2)):
        moved = move_opportunity(card.pk, by=actor(rep), stage=stages["Proposal"])
        assert (moved.stage.name, moved.version, moved.state) == ("Proposal", 2, "open")
        change = StageChange.objects.latest("pk")
        assert (change.from_stage.name, change.to_stage.name) == ("Qualified", "Proposal")
        assert (change.seconds_in_from, change.by) == (7200, rep)
        assert TimelineEvent.objects.get(kind="opportunity.moved").summary == "moved to Proposal"
        undo(moved.undo_offer.public_id, by=actor(rep))
    card.refresh_from_db()
    assert (card.stage.name, StageChange.objects.count()) == ("Qualified", 3)


@pytest.mark.parametrize("act", [move_opportunity, win_opportunity])
def test_a_card_whose_move_was_taken_back_lies_there_since_before(noon, stages, act):
    rep = make_user()
    card = make_card(by=actor(rep))
    stage = {"stage": stages["Proposal"]} if act is move_opportunity else {}
    with clock.frozen(noon + timedelta(days=10)):
        undo(act(card.pk, by=actor(rep), **stage).undo_offer.public_id, by=actor(rep))
    card.refresh_from_db()
    assert card.stage_entered_at == noon
    with clock.frozen(noon + timedelta(days=12)):
        lose_opportunity(card.pk, by=actor(rep), reason="Too dear")
    assert StageChange.objects.latest("pk").seconds_in_from == 12 * 86_400


def test_an_opportunity_moves_among_pipelines_and_its_state_follows(stages):
    other = save_pipeline(None, by=actor(make_admin()), name="Upkeep")
    card = move_opportunity(make_card().pk, by=SYSTEM, stage=other.stages.first())
    assert (card.stage.pipeline, card.state) == (other, "open")


@pytest.mark.parametrize("target", ["Won", "Lost"])
def test_a_move_never_closes(stages, target):
    card = make_card()
    with pytest.raises(TransitionRefused, match="won or lost"):
        move_opportunity(card.pk, by=SYSTEM, stage=stages[target])


def test_forwards_needs_what_every_stage_on_the_way_asks_for_and_backwards_nothing(stages):
    admin = actor(make_admin())
    update_stage(stages["Qualified"].pk, by=admin, exit_rules=["amount"])
    update_stage(stages["Proposal"].pk, by=admin, exit_rules=["expected_close"])
    card = make_card()
    for stage, field in (("Proposal", "amount"), ("Negotiation", "amount")):
        with pytest.raises(InvalidValue, match="Qualified") as refused:
            move_opportunity(card.pk, by=SYSTEM, stage=stages[stage])
        assert refused.value.field == field
    update_opportunity(card.pk, by=SYSTEM, amount="5")
    for act in (
        lambda: move_opportunity(card.pk, by=SYSTEM, stage=stages["Negotiation"]),
        lambda: win_opportunity(card.pk, by=SYSTEM),
    ):
        with pytest.raises(InvalidValue, match="Proposal") as refused:
            act()
        assert refused.value.field == "expected_close"
    move_opportunity(card.pk, by=SYSTEM, stage=stages["Proposal"])
    move_opportunity(card.pk, by=SYSTEM, stage=stages["Qualified"])
    update_opportunity(card.pk, by=SYSTEM, amount=None)
    assert lose_opportunity(card.pk, by=SYSTEM, reason="too dear").state == "lost"


def test_nobody_has_more_cards_in_a_stage_than_it_allows(stages):
    rep = make_user()
    update_stage(stages["Proposal"].pk, by=actor(make_admin()), wip_limit=1)
    first, second = make_card(by=actor(rep)), make_card(by=actor(rep))
    pool = make_card()
    move_opportunity(first.pk, by=actor(rep), stage=stages["Proposal"])
    move_opportunity(pool.pk, by=SYSTEM, stage=stages["Proposal"])
    with pytest.raises(TransitionRefused, match="already has 1"):
        move_opportunity(second.pk, by=actor(rep), stage=stages["Proposal"])
    move_opportunity(first.pk, by=actor(rep), stage=stages["Proposal"])  # within it: always


def test_a_stage_in_the_archive_takes_no_card(stages):
    archive_stage(stages["Proposal"].pk, by=actor(make_admin()))
    with pytest.raises(InvalidValue, match="archived"):
        move_opportunity(make_card().pk, by=SYSTEM, stage=stages["Proposal"])


def test_winning_makes_the_lead_won_and_the_contact_a_customer_and_can_be_taken_back(noon, stages):
    rep = make_user()
    lead, contact = make_lead(owner=rep), Contact.objects.create(full_name="Ada", owner=rep)
    card = make_card(by=actor(rep), lead=lead, primary_contact=contact)
    won = win_opportunity(card.pk, by=actor(rep), version=1)
    assert (won.state, won.stage, won.closed_at) == ("won", stages["Won"], noon)
    lead.refresh_from_db()
    contact.refresh_from_db()
    assert (lead.outcome, lead.outcome_at, lead.outcome_from) == ("won", noon, "action")
    assert contact.lifecycle == "customer"
    event = TimelineEvent.objects.get(kind="opportunity.won")
    assert (event.lead, event.contact) == (lead, contact)
    undo(won.undo_offer.public_id, by=actor(rep))
    for row in (card, lead, contact):
        row.refresh_from_db()
    assert (card.state, card.closed_at, lead.outcome, lead.outcome_from, contact.lifecycle) == (
        "open",
        None,
        "unknown",
        "",
        "opportunity",
    )


def test_losing_needs_a_reason_and_makes_the_lead_lost_once_nothing_else_is_open(stages):
    lead, contact = make_lead(), Contact.objects.create(full_name="Ada")
    first = make_card(lead=lead, primary_contact=contact)
    second = make_card(lead=lead, primary_contact=contact)
    for reason in ("", "  ", "x" * 201, "a\0b"):
        with pytest.raises(InvalidValue) as refused:
            lose_opportunity(first.pk, by=SYSTEM, reason=reason)
        assert refused.value.field == "reason"
    lost = lose_opportunity(first.pk, by=SYSTEM, reason=" too  dear ")
    assert (lost.state, lost.lost_reason, lost.stage) == ("lost", "too dear", stages["Lost"])
    lead.refresh_from_db()
    assert lead.outcome == "unknown"
    lose_opportunity(second.pk, by=SYSTEM, reason="silent")
    lead.refresh_from_db()
    contact.refresh_from_db()
    assert (lead.outcome, contact.lifecycle) == ("lost", "lead")


def test_reopening_names_an_open_stage_and_the_outcome_is_unknown_again(stages):
    lead, contact = make_lead(), Contact.objects.create(full_name="Ada")
    card = make_card(lead=lead, primary_contact=contact)
    with pytest.raises(TransitionRefused):
        reopen_opportunity(card.pk, by=SYSTEM, stage=stages["Proposal"])
    lose_opportunity(card.pk, by=SYSTEM, reason="silent")
    with pytest.raises(InvalidValue, match="open stage"):
        reopen_opportunity(card.pk, by=SYSTEM, stage=stages["Won"])
    opened = reopen_opportunity(card.pk, by=SYSTEM, stage=stages["Proposal"])
    assert (opened.state, opened.closed_at, opened.lost_reason) == ("open", None, "")
    lead.refresh_from_db()
    contact.refresh_from_db()
    assert (lead.outcome, contact.lifecycle) == ("unknown", "opportunity")


@pytest.mark.parametrize("closed", ["won", "lost"])
def test_what_is_closed_neither_moves_nor_closes_nor_goes(stages, closed):
    admin = actor(make_admin())
    card = make_card()
    if closed == "won":
        win_opportunity(card.pk, by=SYSTEM)
    else:
        lose_opportunity(card.pk, by=SYSTEM, reason="silent")
    before = state_of_tables()
    for refused in (
        lambda: move_opportunity(card.pk, by=admin, stage=stages["Proposal"]),
        lambda: win_opportunity(card.pk, by=admin),
        lambda: lose_opportunity(card.pk, by=admin, reason="again"),
        lambda: delete_opportunity(card.pk, by=admin),
    ):
        with pytest.raises(TransitionRefused):
            refused()
    assert state_of_tables() == before


def test_closing_takes_a_stage_of_that_kind_and_pipeline_only(stages):
    other = save_pipeline(None, by=actor(make_admin()), name="Upkeep")
    card = make_card()
    for wrong in (stages["Lost"], stages["Proposal"], other.stages.get(kind="won")):
        with pytest.raises(InvalidValue) as refused:
            win_opportunity(card.pk, by=SYSTEM, stage=wrong)
        assert refused.value.field == "stage"
    assert win_opportunity(card.pk, by=SYSTEM, stage=stages["Won"]).state == "won"


def arrows(stages: dict[str, Stage]) -> list[Callable[[int, User], Any]]:
    return [
        lambda pk, who: move_opportunity(pk, by=actor(who), stage=stages["Proposal"]),
        lambda pk, who: win_opportunity(pk, by=actor(who)),
        lambda pk, who: lose_opportunity(pk, by=actor(who), reason="silent"),
        lambda pk, who: reopen_opportunity(pk, by=actor(who), stage=stages["Proposal"]),
    ]


def test_nobody_moves_what_they_may_not(stages):
    team = make_team()
    owner, reader, stranger = make_user(team=team), make_user(Role.READ_ONLY, team=team), make_user()
    card = make_card(by=actor(owner))
    before = state_of_tables()
    for arrow in arrows(stages):
        with pytest.raises(PermissionRefused):
            arrow(card.pk, reader)
        with pytest.raises(Opportunity.DoesNotExist):
            arrow(card.pk, stranger)
    assert state_of_tables() == before
    for act in (win_opportunity, lambda pk, **kw: lose_opportunity(pk, reason="x", **kw)):
        with pytest.raises(VersionConflict):
            act(card.pk, by=actor(owner), version=7)
    with pytest.raises(VersionConflict):
        move_opportunity(card.pk, by=actor(owner), version=7, stage=stages["Proposal"])
    arrows(stages)[0](card.pk, owner)


def test_an_undo_after_somebody_elses_change_is_refused(stages):
    rep = make_user()
    card = make_card(by=actor(rep))
    moved = move_opportunity(card.pk, by=actor(rep), stage=stages["Proposal"])
    update_opportunity(card.pk, by=SYSTEM, name="Changed")
    with pytest.raises(UndoRefused, match="Changed"):
        undo(moved.undo_offer.public_id, by=actor(rep))


def test_a_card_is_put_before_or_after_another(stages):
    a, b, c = (make_card().pk for _ in range(3))
    assert in_order(stages["Qualified"]) == [c, b, a]
    move_opportunity(c, by=SYSTEM, stage=stages["Qualified"], after=b)
    assert in_order(stages["Qualified"]) == [b, c, a]
    move_opportunity(a, by=SYSTEM, stage=stages["Qualified"], before=b)
    assert in_order(stages["Qualified"]) == [a, b, c]
    move_opportunity(a, by=SYSTEM, stage=stages["Qualified"], after=c)
    assert in_order(stages["Qualified"]) == [b, c, a]
    assert Opportunity.objects.get(pk=a).version == 1, "order alone disturbs nobody who edits"


def test_a_neighbour_that_left_is_passed_over_while_the_other_is_there(stages):
    a, b, c = (make_card().pk for _ in range(3))
    move_opportunity(b, by=SYSTEM, stage=stages["Proposal"])
    move_opportunity(c, by=SYSTEM, stage=stages["Qualified"], after=a, before=b)
    assert in_order(stages["Qualified"]) == [a, c]
    with pytest.raises(InvalidValue, match="no longer"):
        move_opportunity(c, by=SYSTEM, stage=stages["Qualified"], before=b)


def test_a_used_up_gap_is_made_again_for_this_stage_alone(stages, monkeypatch):
    monkeypatch.setattr(ranking, "GAP", 2)
    elsewhere = move_opportunity(make_card().pk, by=SYSTEM, stage=stages["Proposal"])
    a, b, *more = (make_card().pk for _ in range(8))
    wanted = [*reversed(more), b, a]
    for card in more:
        move_opportunity(card, by=SYSTEM, stage=stages["Qualified"], before=a)
        wanted.remove(card)
        wanted.insert(-1, card)
        assert in_order(stages["Qualified"]) == wanted
    ranks = Opportunity.objects.filter(stage=stages["Qualified"]).values("rank").annotate(n=Count("pk"))
    assert {row["n"] for row in ranks} == {1}
    assert Opportunity.objects.get(pk=elsewhere.pk).rank == elsewhere.rank


@pytest.mark.django_db(transaction=True)
def test_fifty_parallel_moves_end_with_a_strict_order_and_the_limit_holds(monkeypatch):
    monkeypatch.setattr(ranking, "GAP", 4)
    stages = {stage.name: stage for stage in default_pipeline().stages.all()}
    rep, lead = make_user(), make_lead()
    update_stage(stages["Negotiation"].pk, by=actor(make_admin()), wip_limit=3)
    cards = [make_card(owner=rep, lead=lead).pk for _ in range(10)]
    move_opportunity(cards[0], by=SYSTEM, stage=stages["Proposal"])

    def move(nr: int) -> str:
        card = cards[1 + nr % 9]
        target = ("Proposal", "Qualified", "Negotiation")[nr % 3]
        beside = {"after": cards[0]} if target == "Proposal" else {}
        try:
            move_opportunity(card, by=SYSTEM, stage=stages[target], **beside)
        except TransitionRefused:
            return "full"
        finally:
            connection.close()
        return "moved"

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(move, range(50)))
    assert len(results) == 50
    assert results.count("moved") > 30
    rows = list(Opportunity.objects.values_list("stage", "rank"))
    assert len(rows) == len(set(rows)) == 10
    assert Opportunity.objects.filter(stage=stages["Negotiation"]).count() <= 3
    assert Opportunity.objects.filter(stage=stages["Proposal"]).order_by("rank").first().pk == cards[0]
    for card in Opportunity.objects.all():
        changes = list(StageChange.objects.filter(opportunity=card).order_by("pk"))
        assert changes[-1].to_stage_id == card.stage_id
        assert all(b.from_stage_id == a.to_stage_id for a, b in pairwise(changes))


@pytest.mark.django_db(transaction=True)
def test_of_twenty_who_close_one_opportunity_one_wins():
    card = make_card(lead=make_lead())

    def close(nr: int) -> bool:
        try:
            if nr % 2:
                win_opportunity(card.pk, by=SYSTEM)
            else:
                lose_opportunity(card.pk, by=SYSTEM, reason="silent")
        except TransitionRefused:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(close, range(20))) == 1
    assert StageChange.objects.count() == 2
    assert Lead.objects.get().outcome == Opportunity.objects.get().state


def test_the_board_hears_of_a_move_and_only_who_may_see_the_card(stages):
    team = make_team()
    rep, manager, stranger = make_user(team=team), make_user(Role.MANAGER, team=team), make_user()
    card = make_card(by=actor(rep))
    OutboxEvent.objects.all().delete()
    other = save_pipeline(None, by=actor(make_admin()), name="Upkeep")
    move_opportunity(card.pk, by=actor(rep), stage=other.stages.first())
    topics = {row.topic: row for row in OutboxEvent.objects.filter(type="opportunity.moved")}
    boards = {f"board:{pipeline.public_id}" for pipeline in Pipeline.objects.all()}
    assert set(topics) == {"today", *boards}
    told = [
        feed.Event(feed.Position(row.xid, row.pk), row.topic, row.type, row.ids) for row in topics.values()
    ]
    heard = feed.audience(told, [rep, manager, stranger])
    assert all(people == {rep.pk, manager.pk} for people in heard.values())
    assert all(feed.may_follow(who, feed.checked_topics(sorted(boards))) for who in (rep, stranger))
    assert not feed.may_follow(rep, [f"board:{card.public_id}"])


def test_who_can_no_longer_see_a_card_hears_that_the_board_changed(stages):
    team = make_team()
    admin, rep = make_admin(), make_user(team=team)
    card = make_card(by=actor(rep))
    OutboxEvent.objects.all().delete()
    delete_opportunity(card.pk, by=actor(admin))
    row = OutboxEvent.objects.get(topic__startswith="board:")
    assert row.ids == {"pipeline": str(default_pipeline().public_id)}


def test_the_database_keeps_state_and_history_true(stages):
    card = make_card()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError, match="crm_opportunity_state_follows_stage"), transaction.atomic():
        Opportunity.objects.filter(pk=card.pk).update(stage=stages["Won"])
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        StageChange.objects.update(seconds_in_from=1)
