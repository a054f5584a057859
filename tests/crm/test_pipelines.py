"""Pipelines and stages: set up by admins, with what must stay."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import win_opportunity
from crm.actions.pipelines import (
    add_stage,
    archive_pipeline,
    archive_stage,
    default_pipeline,
    reorder_stages,
    restore_pipeline,
    restore_stage,
    save_pipeline,
    set_default_pipeline,
    update_stage,
)
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused, VersionConflict
from crm.models import Actor, Pipeline, Role, Stage
from tests.factories import actor, make_admin, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db


def names(pipeline: Pipeline) -> list[str]:
    return list(pipeline.stages.order_by("position").values_list("name", flat=True))


def stage_of(pipeline: Pipeline, name: str) -> Stage:
    return pipeline.stages.get(name=name)


def test_several_pipelines_and_one_default():
    admin = actor(make_admin())
    upkeep = save_pipeline(None, by=admin, name="Upkeep")
    assert names(upkeep) == ["Qualified", "Proposal", "Negotiation", "Won", "Lost"]
    assert Pipeline.objects.get(is_default=True).name == "Sales"
    set_default_pipeline(upkeep.pk, by=admin)
    assert default_pipeline() == upkeep
    assert save_pipeline(upkeep.pk, by=admin, name="Care", version=2).name == "Care"
    with pytest.raises(VersionConflict):
        save_pipeline(upkeep.pk, by=admin, name="Old", version=2)
    with pytest.raises(InvalidValue) as refused:
        save_pipeline(None, by=admin, name="Sales")
    assert refused.value.field == "name"
    with pytest.raises(InvalidValue):
        save_pipeline(None, by=admin, name="")
    with pytest.raises(InvalidValue):
        save_pipeline(None, by=admin, name="X", is_default=True)


def test_the_default_stays_and_what_holds_open_opportunities_too():
    admin = actor(make_admin())
    sales = default_pipeline()
    with pytest.raises(TransitionRefused, match="default"):
        archive_pipeline(sales.pk, by=admin)
    upkeep = save_pipeline(None, by=admin, name="Upkeep")
    card = create_opportunity(by=admin, name="Hedge", stage=upkeep.stages.first())
    with pytest.raises(TransitionRefused, match="Open opportunities"):
        archive_pipeline(upkeep.pk, by=admin)
    win_opportunity(card.pk, by=admin)
    archive_pipeline(upkeep.pk, by=admin)
    with pytest.raises(TransitionRefused, match="archived"):
        set_default_pipeline(upkeep.pk, by=admin)
    with pytest.raises(InvalidValue, match="archived"):
        create_opportunity(by=admin, name="Hedge", stage=upkeep.stages.first())
    assert restore_pipeline(upkeep.pk, by=admin).is_active


def test_a_new_stage_comes_behind_the_last_open_one_and_stages_are_put_in_order():
    admin, sales = actor(make_admin()), default_pipeline()
    site = add_stage(sales.pk, by=admin, name="Site visit", probability=60, rot_days=5, wip_limit=9)
    assert names(sales) == ["Qualified", "Proposal", "Negotiation", "Site visit", "Won", "Lost"]
    order = list(sales.stages.order_by("position").values_list("pk", flat=True))
    order.remove(site.pk)
    reorder_stages(sales.pk, by=admin, order=[order[0], site.pk, *order[1:]])
    assert names(sales)[:3] == ["Qualified", "Site visit", "Proposal"]
    for wrong in (order, [*order, order[0]], [*order, site.pk, 0]):
        with pytest.raises(InvalidValue) as refused:
            reorder_stages(sales.pk, by=admin, order=wrong)
        assert refused.value.field == "order"


@pytest.mark.parametrize(
    ("stage", "changes", "field"),
    [
        ("Won", {"probability": 90}, "probability"),
        ("Lost", {"probability": 1}, "probability"),
        ("Proposal", {"probability": 101}, "probability"),
        ("Proposal", {"probability": "50"}, "probability"),
        ("Proposal", {"rot_days": 0}, "rot_days"),
        ("Proposal", {"wip_limit": -1}, "wip_limit"),
        ("Proposal", {"kind": "maybe"}, "kind"),
        ("Proposal", {"exit_rules": ["password"]}, "exit_rules"),
        ("Proposal", {"exit_rules": ["amount", "amount"]}, "exit_rules"),
        ("Proposal", {"exit_rules": "amount"}, "exit_rules"),
        ("Proposal", {"exit_rules": ["custom.nothing"]}, "exit_rules"),
        ("Proposal", {"name": ""}, "name"),
        ("Proposal", {"position": 9}, "position"),
    ],
)
def test_what_no_stage_can_be_is_refused_by_name_and_changes_nothing(stage, changes, field):
    admin, sales = actor(make_admin()), default_pipeline()
    before = state_of_tables()
    with pytest.raises(InvalidValue) as refused:
        update_stage(stage_of(sales, stage).pk, by=admin, **changes)
    assert refused.value.field == field
    assert state_of_tables() == before
    changed = update_stage(
        stage_of(sales, "Proposal").pk, by=admin, name="Offer", exit_rules=["amount"], version=1
    )
    assert (changed.version, changed.exit_rules) == (2, ["amount"])


def test_a_kind_changes_only_while_nothing_lies_there_and_takes_its_probability_along():
    admin, sales = actor(make_admin()), default_pipeline()
    card = create_opportunity(by=admin, name="Hedge")
    with pytest.raises(TransitionRefused, match="lie in"):
        update_stage(card.stage_id, by=admin, kind="lost")
    with pytest.raises(TransitionRefused, match="last stage"):
        update_stage(stage_of(sales, "Won").pk, by=admin, kind="open", probability=90)
    assert update_stage(stage_of(sales, "Negotiation").pk, by=admin, kind="won").probability == 100


def test_a_stage_goes_to_the_archive_once_it_is_empty_and_not_the_last_of_its_kind():
    admin, sales = actor(make_admin()), default_pipeline()
    card = create_opportunity(by=admin, name="Hedge")
    with pytest.raises(TransitionRefused, match="Move them"):
        archive_stage(card.stage_id, by=admin)
    with pytest.raises(TransitionRefused, match="last stage"):
        archive_stage(stage_of(sales, "Lost").pk, by=admin)
    assert not archive_stage(stage_of(sales, "Proposal").pk, by=admin).is_active
    assert restore_stage(stage_of(sales, "Proposal").pk, by=admin).is_active


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
def test_only_an_admin_sets_up(role):
    sales, who = default_pipeline(), actor(make_user(role))
    stage = sales.stages.first().pk
    before = state_of_tables()
    for act in (
        lambda: save_pipeline(None, by=who, name="X"),
        lambda: save_pipeline(sales.pk, by=who, name="X"),
        lambda: set_default_pipeline(sales.pk, by=who),
        lambda: archive_pipeline(sales.pk, by=who),
        lambda: restore_pipeline(sales.pk, by=who),
        lambda: add_stage(sales.pk, by=who, name="X"),
        lambda: update_stage(stage, by=who, name="X"),
        lambda: reorder_stages(sales.pk, by=who, order=[]),
        lambda: archive_stage(stage, by=who),
        lambda: restore_stage(stage, by=who),
    ):
        with pytest.raises(PermissionRefused):
            act()
    assert state_of_tables() == before


@pytest.mark.django_db(transaction=True)
def test_two_first_users_make_one_default_pipeline():
    def use(_nr: int) -> int:
        try:
            return create_opportunity(by=Actor.system(), name="Hedge").stage.pipeline_id
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(use, range(8)))) == 1
    assert Pipeline.objects.count() == 1
