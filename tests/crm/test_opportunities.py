"""Opportunities: made, changed, given away, planned, deleted."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm import clock
from crm.actions.base import undo
from crm.actions.opportunities import (
    assign_opportunity,
    create_opportunity,
    delete_opportunity,
    plan_opportunity_action,
    restore_opportunity,
    update_opportunity,
)
from crm.actions.pipelines import default_pipeline, save_pipeline, update_stage
from crm.errors import CRMError, InvalidValue, PermissionRefused, TransitionRefused, VersionConflict
from crm.models import (
    Account,
    Actor,
    Contact,
    Lifecycle,
    Opportunity,
    Pipeline,
    Role,
    Stage,
    StageChange,
    TimelineEvent,
)
from tests.factories import actor, make_admin, make_lead, make_source, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db


def make_card(**values: Any) -> Opportunity:
    values.setdefault("by", Actor.system())
    values.setdefault("name", "A new terrace")
    return create_opportunity(**values)


def test_the_first_opportunity_makes_the_default_pipeline_and_goes_to_its_first_stage():
    card = make_card(amount="18400")
    stages = Stage.objects.filter(pipeline__is_default=True).values_list("name", "kind", "probability")
    assert list(stages) == [
        ("Qualified", "open", 20),
        ("Proposal", "open", 50),
        ("Negotiation", "open", 75),
        ("Won", "won", 100),
        ("Lost", "lost", 0),
    ]
    assert (card.stage.name, card.state, card.amount, card.currency) == (
        "Qualified",
        "open",
        Decimal("18400.00"),
        "EUR",
    )
    change = StageChange.objects.get()
    assert (change.from_stage, change.to_stage, change.seconds_in_from) == (None, card.stage, None)
    make_card()
    assert Pipeline.objects.count() == 1


def test_an_opportunity_takes_owner_team_and_source_from_its_lead_and_is_in_everybodys_story():
    team = make_team()
    rep = make_user(team=team)
    lead = make_lead(owner=rep, team=team)
    account = Account.objects.create(name="Ivy Ltd", owner=rep, team=team)
    contact = Contact.objects.create(full_name="Zoë Ivy", owner=rep, team=team)
    card = make_card(by=actor(rep), lead=lead, account=account, primary_contact=contact)
    assert (card.owner, card.team, card.source) == (rep, team, lead.source)
    event = TimelineEvent.objects.get(kind="opportunity.created")
    assert (event.lead, event.account, event.contact, event.opportunity) == (lead, account, contact, card)
    contact.refresh_from_db()
    assert (contact.lifecycle, contact.version) == (Lifecycle.OPPORTUNITY, 2)
    assert card.search_text == "a new terrace ivy ltd zoe ivy"


def test_the_leads_source_decides_the_pipeline():
    other = save_pipeline(None, by=actor(make_admin()), name="Upkeep")
    card = make_card(lead=make_lead(source=make_source("upkeep", default_pipeline=other)))
    assert card.stage.pipeline == other


def test_new_cards_lie_on_top():
    first, second = make_card(), make_card()
    assert second.rank < first.rank


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1e400"}, "amount"),
        ({"currency": "euro"}, "currency"),
        ({"probability_override": 101}, "probability_override"),
        ({"probability_override": True}, "probability_override"),
        ({"forecast": "certain"}, "forecast"),
        ({"expected_close": "tomorrow"}, "expected_close"),
        ({"expected_close": "2999-01-01"}, "expected_close"),
        ({"custom": {"colour": "red"}}, "custom.colour"),
        ({"custom": []}, "custom"),
        ({"stage": "won"}, "stage"),
        ({"state": "won"}, "state"),
        ({"next_action_at": "soon", "next_action_kind": "dance"}, "kind"),
    ],
)
def test_what_no_opportunity_can_be_is_refused_by_name_and_changes_nothing(values, field):
    if values.get("stage") == "won":
        values = {"stage": default_pipeline().stages.get(kind="won")}
    if "next_action_at" in values:
        values = values | {"next_action_at": clock.now()}
    default_pipeline()
    before = state_of_tables()
    with pytest.raises(InvalidValue) as refused:
        make_card(**values)
    assert refused.value.field == field
    assert state_of_tables() == before
    make_card(amount="1", currency="usd", forecast="commit", expected_close=str(clock.now().date()))


def test_a_rep_opens_their_own_and_sees_only_what_they_may():
    team = make_team()
    rep, mate, manager = make_user(team=team), make_user(team=team), make_user(Role.MANAGER, team=team)
    with pytest.raises(PermissionRefused):
        make_card(by=actor(rep), owner=mate, team=team)
    with pytest.raises(PermissionRefused):
        make_card(by=actor(make_user(Role.READ_ONLY, team=team)))
    with pytest.raises(PermissionRefused):
        make_card(by=actor(manager), owner=make_user(team=make_team()))
    with pytest.raises(InvalidValue, match="see it") as refused:
        make_card(by=actor(rep), lead=make_lead(owner=mate, team=team))
    assert refused.value.field == "lead"
    card = make_card(by=actor(manager), owner=mate)
    assert card.team == team
    assert not Opportunity.objects.visible_to(rep).exists()
    assert Opportunity.objects.visible_to(manager).get() == card


def test_a_change_is_told_and_can_be_taken_back():
    rep = make_user()
    account = Account.objects.create(name="Ivy Ltd", owner=rep)
    card = make_card(by=actor(rep), expected_close="2026-01-31", amount="10")
    changed = update_opportunity(
        card.pk,
        by=actor(rep),
        version=1,
        name="Two terraces",
        amount="20.5",
        expected_close=None,
        account=account,
    )
    assert (changed.version, changed.search_text) == (2, "two terraces ivy ltd")
    event = TimelineEvent.objects.get(kind="opportunity.changed")
    assert event.account == account
    assert "changed amount from 10.00 to 20.50" in event.summary
    undo(changed.undo_offer.public_id, by=actor(rep))
    card.refresh_from_db()
    assert (card.name, card.amount, str(card.expected_close), card.account) == (
        "A new terrace",
        Decimal("10.00"),
        "2026-01-31",
        None,
    )


def test_a_change_of_an_old_version_or_of_somebody_elses_or_of_the_stage_is_refused():
    team = make_team()
    rep, reader, stranger = make_user(team=team), make_user(Role.READ_ONLY, team=team), make_user()
    card = make_card(by=actor(rep))
    update_opportunity(card.pk, by=actor(rep), name="Mine")
    before = state_of_tables()
    with pytest.raises(VersionConflict):
        update_opportunity(card.pk, by=actor(rep), version=1, name="Late")
    with pytest.raises(PermissionRefused):
        update_opportunity(card.pk, by=actor(reader), name="Foreign")
    with pytest.raises(Opportunity.DoesNotExist):
        update_opportunity(card.pk, by=actor(stranger), name="Foreign")
    for field in ("stage", "state", "rank", "lead", "owner"):
        with pytest.raises(InvalidValue) as refused:
            update_opportunity(card.pk, by=actor(rep), **{field: 1})
        assert refused.value.field == field
    assert state_of_tables() == before


def test_giving_away_and_taking_it_back():
    team = make_team()
    rep, mate = make_user(team=team), make_user(team=team)
    card = make_card(by=actor(rep))
    given = assign_opportunity(card.pk, by=actor(rep), owner=mate)
    assert given.owner == mate
    with pytest.raises(Opportunity.DoesNotExist):
        assign_opportunity(card.pk, by=actor(rep), owner=rep)
    undo(given.undo_offer.public_id, by=actor(rep))
    card.refresh_from_db()
    assert card.owner == rep
    with pytest.raises(InvalidValue, match="team"):
        assign_opportunity(card.pk, by=actor(rep), owner=make_user(team=make_team()))
    with pytest.raises(InvalidValue, match="no longer works"):
        assign_opportunity(card.pk, by=actor(rep), owner=make_user(team=team, is_active=False))
    pool = assign_opportunity(card.pk, by=actor(rep), owner=None)
    with pytest.raises(PermissionRefused, match="pool"):
        assign_opportunity(pool.pk, by=actor(rep), owner=mate)
    assert assign_opportunity(pool.pk, by=actor(mate), owner=mate).owner == mate


def test_nobody_is_given_more_than_the_stage_allows():
    admin, rep = actor(make_admin()), make_user()
    stage = update_stage(default_pipeline().stages.first().pk, by=admin, wip_limit=1)
    make_card(by=actor(rep))
    with pytest.raises(TransitionRefused, match="no more"):
        make_card(by=actor(rep))
    other = make_card(by=admin)
    with pytest.raises(TransitionRefused, match="no more"):
        assign_opportunity(other.pk, by=admin, owner=rep)
    assert Opportunity.objects.filter(stage=stage, owner=rep).count() == 1


def test_a_plan_is_kept_cleared_and_taken_back():
    rep = make_user()
    card = make_card(by=actor(rep))
    at = clock.now() + timedelta(days=1)
    planned = plan_opportunity_action(card.pk, by=actor(rep), at=at, kind="call")
    assert (planned.next_action_at, planned.next_action_kind) == (at, "call")
    for wrong in ({"kind": "dance"}, {"kind": "call", "at": at + timedelta(days=9999)}):
        with pytest.raises(InvalidValue):
            plan_opportunity_action(card.pk, by=actor(rep), **({"at": at} | wrong))
    cleared = plan_opportunity_action(card.pk, by=actor(rep), at=None)
    assert (cleared.next_action_at, cleared.next_action_kind) == (None, "")
    undo(cleared.undo_offer.public_id, by=actor(rep))
    card.refresh_from_db()
    assert card.next_action_kind == "call"


def test_who_may_delete_may_restore_and_nobody_else():
    team = make_team()
    rep, manager = make_user(team=team), make_user(Role.MANAGER, team=team)
    card = make_card(by=actor(rep))
    with pytest.raises(PermissionRefused):
        delete_opportunity(card.pk, by=actor(rep))
    deleted = delete_opportunity(card.pk, by=actor(manager))
    assert not Opportunity.objects.visible_to(manager).exists()
    with pytest.raises(CRMError):
        restore_opportunity(card.pk, by=actor(rep))
    with pytest.raises(Opportunity.DoesNotExist):
        restore_opportunity(card.pk, by=actor(make_user(Role.MANAGER, team=make_team())))
    assert restore_opportunity(card.pk, by=actor(manager)).deleted_at is None
    with pytest.raises(Opportunity.DoesNotExist):
        restore_opportunity(card.pk, by=actor(manager))
    deleted = delete_opportunity(card.pk, by=actor(manager))
    undo(deleted.undo_offer.public_id, by=actor(manager))
    assert Opportunity.objects.visible_to(rep).get() == card
    delete_opportunity(card.pk, by=actor(manager))
    with clock.frozen(clock.now() + timedelta(days=31)), pytest.raises(TransitionRefused, match="too long"):
        restore_opportunity(card.pk, by=actor(manager))
