"""Every arrow of an opportunity's life, from every state: where it leads and back, or that it is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from crm import clock
from crm.actions.accounts import create_account, create_contact, update_account, update_contact
from crm.actions.base import undo
from crm.actions.conversion import convert_lead
from crm.actions.merging import merge_accounts, merge_contacts
from crm.actions.opportunities import (
    assign_opportunity,
    create_opportunity,
    delete_opportunity,
    plan_opportunity_action,
    restore_opportunity,
    update_opportunity,
)
from crm.actions.opportunity_moves import (
    lose_opportunity,
    move_opportunity,
    reopen_opportunity,
    win_opportunity,
)
from crm.actions.unmerging import undo_merge
from crm.errors import TransitionRefused
from crm.models import Actor, Lead, Opportunity, Stage
from tests.factories import actor, make_admin, make_lead
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()
TRACES = {"version", "updated_at", "last_event_at", "rank"}
Act = Callable[[int, Actor], Any]


def other_stage(pk: int) -> Stage:
    here = Opportunity.objects.get(pk=pk).stage_id
    return Stage.objects.filter(kind="open").exclude(pk=here).order_by("position")[0]


LIVES: dict[str, tuple[Act, ...]] = {  # how a new one gets there
    "open": (),
    "won": (lambda pk, by: win_opportunity(pk, by=by),),
    "lost": (lambda pk, by: lose_opportunity(pk, by=by, reason="Too dear"),),
    "deleted": (lambda pk, by: delete_opportunity(pk, by=by),),
}
NOT_THERE = dict.fromkeys(["deleted"], Opportunity.DoesNotExist)
CLOSED = dict.fromkeys(["won", "lost"], TransitionRefused)
ARROWS: dict[str, tuple[Act, dict[str, Any]]] = {  # act, where it leads or how it refuses, by where it starts
    "move": (
        lambda pk, by: move_opportunity(pk, by=by, stage=other_stage(pk)),
        {"open": "open", **CLOSED, **NOT_THERE},
    ),
    "win": (lambda pk, by: win_opportunity(pk, by=by), {"open": "won", **CLOSED, **NOT_THERE}),
    "lose": (
        lambda pk, by: lose_opportunity(pk, by=by, reason="Too dear"),
        {"open": "lost", **CLOSED, **NOT_THERE},
    ),
    "reopen": (
        lambda pk, by: reopen_opportunity(pk, by=by, stage=other_stage(pk)),
        {"open": TransitionRefused, "won": "open", "lost": "open", **NOT_THERE},
    ),
    "plan": (
        lambda pk, by: plan_opportunity_action(pk, by=by, at=clock.now() + timedelta(days=1), kind="call"),
        {"open": "open", **CLOSED, **NOT_THERE},
    ),
    "change": (
        lambda pk, by: update_opportunity(pk, by=by, amount="18400"),
        {"open": "open", "won": "won", "lost": "lost", **NOT_THERE},
    ),
    "assign": (
        lambda pk, by: assign_opportunity(pk, by=by, owner=None),
        {"open": "open", "won": "won", "lost": "lost", **NOT_THERE},
    ),
    "delete": (lambda pk, by: delete_opportunity(pk, by=by), {"open": "deleted", **CLOSED, **NOT_THERE}),
    "restore": (
        lambda pk, by: restore_opportunity(pk, by=by),
        dict.fromkeys(["open", "won", "lost"], Opportunity.DoesNotExist) | {"deleted": "open"},
    ),
}
OUTCOMES = {"open": "unknown", "won": "won", "lost": "lost"}


def life_of(card: Opportunity) -> str:
    card.refresh_from_db()
    return "deleted" if card.deleted_at else card.state


def facts() -> list[Any]:
    rows = [*Opportunity.objects.order_by("pk").values(), *Lead.objects.order_by("pk").values()]
    return [{name: value for name, value in row.items() if name not in TRACES} for row in rows]


def test_every_arrow_leads_where_it_should_and_back_or_is_refused(noon: Any):
    by = actor(make_admin())
    contact = create_contact(by=by, full_name="Ida")
    assert {life for _act, ends in ARROWS.values() for life in ends} == set(LIVES)
    for name, (act, ends) in ARROWS.items():
        assert set(ends) == set(LIVES), name
        for life, end in ends.items():
            where = f"{name} from {life}"
            place = transaction.savepoint()
            lead = convert_lead(make_lead().pk, by=SYSTEM, contact=contact).lead
            card = create_opportunity(by=by, name="Pond", lead=lead, primary_contact=contact, owner=by.user)
            for step in LIVES[life]:
                step(card.pk, by)
            before, moves = facts(), card.stage_changes.count()
            if not isinstance(end, str):
                tables = state_of_tables()
                with pytest.raises(end):
                    act(card.pk, by)
                assert state_of_tables() == tables, where
                transaction.savepoint_rollback(place)
                continue
            done, is_move = act(card.pk, by), name in {"move", "win", "lose", "reopen"}
            assert life_of(card) == end, where
            lead.refresh_from_db()
            contact.refresh_from_db()
            assert lead.outcome == OUTCOMES.get(end, "unknown"), where
            assert contact.lifecycle == {"won": "customer", "open": "opportunity"}.get(end, "lead"), where
            assert card.stage_changes.count() == moves + is_move, where
            assert (card.closed_at is not None, card.lost_reason != "") == (
                end in {"won", "lost"},
                end == "lost",
            ), where
            if done.undo_offer:  # restoring is itself the way back
                undo(done.undo_offer.public_id, by=by)
                assert facts() == before, where
            else:
                assert name == "restore"
            transaction.savepoint_rollback(place)


def test_a_leads_outcome_follows_the_opportunities_that_are_left():
    by, lead = SYSTEM, make_lead()
    convert_lead(lead.pk, by=by, contact={})

    def outcome() -> str:
        lead.refresh_from_db()
        return lead.outcome

    assert outcome() == "won"
    first = create_opportunity(by=by, name="Pond", lead=lead)
    assert outcome() == "unknown"  # there is one that will tell
    second = create_opportunity(by=by, name="Hedge", lead=lead)
    lose_opportunity(first.pk, by=by, reason="Too dear")
    assert outcome() == "unknown"
    delete_opportunity(second.pk, by=by)
    assert outcome() == "lost"
    restore_opportunity(second.pk, by=by)
    assert outcome() == "unknown"
    win_opportunity(second.pk, by=by)
    assert outcome() == "won"


def test_the_last_opportunity_that_is_deleted_takes_no_outcome_along():
    lead = make_lead(status="working", next_action_at=clock.now(), next_action_kind="call")
    card = create_opportunity(by=SYSTEM, name="Pond", lead=lead)
    delete_opportunity(card.pk, by=SYSTEM)
    lead.refresh_from_db()
    assert lead.outcome == "unknown"


def test_an_opportunity_is_found_by_the_names_that_its_account_and_contact_have_now():
    by = actor(make_admin())
    firm, other = (create_account(by=by, name=name) for name in ("Fern", "Moss"))
    ida, bo = (create_contact(by=by, full_name=name) for name in ("Ida", "Bo"))
    card = create_opportunity(by=by, name="Pond", account=firm, primary_contact=ida)

    def words() -> str:
        card.refresh_from_db()
        return card.search_text

    assert words() == "pond fern ida"
    renamed = update_account(firm.pk, by=by, name="Fern & Co")
    assert words() == "pond fern & co ida"
    undo(renamed.undo_offer.public_id, by=by)
    update_contact(ida.pk, by=by, full_name="Ida Oak")
    assert words() == "pond fern ida oak"
    merges = [merge_contacts(bo.pk, ida.pk, by=by), merge_accounts(other.pk, firm.pk, by=by)]
    assert words() == "pond moss bo"
    for merge in merges:
        undo_merge(merge.pk, by=by)
    assert words() == "pond fern ida oak"
    assert card.version == 1
