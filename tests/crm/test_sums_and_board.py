"""Sums at dated rates, and the board: few cards and many."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm.actions.exchange_rates import set_exchange_rate
from crm.actions.opportunities import create_opportunity, update_opportunity
from crm.actions.opportunity_moves import (
    win_opportunity,
)
from crm.actions.pipelines import default_pipeline
from crm.figures.board import SHOWN, board, more_cards
from crm.figures.money import add_up, total
from crm.models import (
    Actor,
    Opportunity,
    StageChange,
)
from tests.factories import actor, make_admin, make_team, make_user

pytestmark = pytest.mark.django_db


def rates() -> None:
    admin = actor(make_admin())
    for day, pound in (("2025-12-01", "1.20"), ("2026-01-20", "1.30")):
        set_exchange_rate(by=admin, base="GBP", quote="EUR", on=day, rate=pound)


def test_a_sum_at_an_old_date_uses_the_rate_of_then_and_names_what_had_none():
    rates()
    for amount, currency in (("100", "EUR"), ("10", "GBP"), ("7", "USD")):
        create_opportunity(by=Actor.system(), name="Hedge", amount=amount, currency=currency)
    cards = Opportunity.objects.all()
    now = total(cards, currency="EUR", on=date(2026, 2, 1))
    assert (now.amount, now.n, now.left_out, now.left_out_n) == (Decimal("113.00"), 2, ("USD",), 1)
    assert now.weighted == Decimal("22.60")
    assert total(cards, currency="EUR", on=date(2026, 1, 19)).amount == Decimal("112.00")
    before = total(cards, currency="EUR", on=date(2025, 11, 30))
    assert (before.amount, before.left_out) == (Decimal("100.00"), ("GBP", "USD"))
    inverse = total(cards, currency="GBP", on=date(2026, 2, 1))
    assert (inverse.amount, inverse.left_out) == (Decimal("86.92"), ("USD",))  # 10 + 100 / 1.30
    assert total(Opportunity.objects.none(), currency="EUR", on=date(2026, 2, 1)).amount == 0


def test_cents_are_rounded_once_at_the_end():
    rates()
    day = date(2026, 2, 1)
    parts = [("GBP", day, Decimal("0.01"), Decimal(0), 1)] * 10
    assert add_up(parts, currency="EUR").amount == Decimal("0.13")


def test_a_board_of_many_cards_takes_as_many_statements_as_an_empty_one_and_goes_on_where_it_ended(
    django_assert_num_queries: Callable[..., Any],
):
    rep = make_user(team=make_team())
    pipeline = default_pipeline()
    stage = pipeline.stages.get(name="Qualified")
    with django_assert_num_queries(4):  # nothing to convert: no rates
        board(pipeline, rep, currency="EUR")
    for nr in range(2 * SHOWN + 3):
        create_opportunity(by=actor(rep), name=f"Hedge {nr}", currency="GBP", amount="1")
    with django_assert_num_queries(5):
        first, *_rest = board(pipeline, rep, currency="EUR")
        assert [str(card.owner) for card in first.cards] == [str(rep)] * SHOWN
    assert (first.n, len(first.cards)) == (2 * SHOWN + 3, SHOWN)
    assert first.total.left_out == ("GBP",)
    seen, after = [card.pk for card in first.cards], first.more_after
    while after:
        with django_assert_num_queries(1):
            cards, after = more_cards(stage, rep, after=after)
        seen += [card.pk for card in cards]
    order = Opportunity.objects.order_by("rank", "pk").values_list("pk", flat=True)
    assert seen == list(order)
    (mine, *_rest) = board(pipeline, make_admin(), currency="EUR", owner=make_user())
    assert (mine.n, mine.cards) == (0, [])


def test_stalled_cards_are_found_as_their_stage_says(noon: datetime):
    pipeline = default_pipeline()
    fresh, old, closed = (create_opportunity(by=Actor.system(), name=n) for n in ("a", "b", "c"))
    long_ago = noon - timedelta(days=15)
    win_opportunity(closed.pk, by=Actor.system())
    Opportunity.objects.filter(pk__in=[old.pk, closed.pk]).update(last_event_at=long_ago)
    assert list(Opportunity.objects.stalled(noon)) == [old]
    assert list(Opportunity.objects.stalled(noon - timedelta(days=2))) == []
    update_opportunity(old.pk, by=Actor.system(), name="touched")
    assert list(Opportunity.objects.stalled(noon)) == []
    assert set(Opportunity.objects.stalled(noon + timedelta(days=15))) == {fresh, old}
    pipeline.stages.update(rot_days=None)
    assert list(Opportunity.objects.stalled(noon + timedelta(days=99))) == []
    assert StageChange.objects.count() == 4
