"""Tags: made by who sets up, stuck on by who may edit, taken back, merged."""

import pytest

from crm.actions.base import undo
from crm.actions.tags import MOST_PER_RECORD, delete_tag, merge_tags, save_tag, tag_record, untag_record
from crm.errors import InvalidValue, PermissionRefused, VersionConflict
from crm.models import Account, Actor, Lead, Role, Tag, Tagging, TimelineEvent
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def admin() -> Actor:
    return Actor.of(make_admin())


def test_an_admin_makes_and_renames_a_tag_and_nobody_else_does():
    tag = save_tag(None, by=admin(), name="  Big   garden ", colour="green")
    assert (tag.name, tag.colour) == ("Big garden", "green")
    assert save_tag(tag.pk, by=admin(), version=1, name="Park").version == 2
    with pytest.raises(VersionConflict):
        save_tag(tag.pk, by=admin(), version=1, name="Old")
    with pytest.raises(PermissionRefused):
        save_tag(None, by=Actor.of(make_user(Role.MANAGER)), name="Mine")


@pytest.mark.parametrize("name", ["", " ", "a\0b", "x" * 61, "one, two", 5, None])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(InvalidValue) as refused:
        save_tag(None, by=admin(), name=name)
    assert refused.value.field == "name"
    assert not Tag.objects.exists()


@pytest.mark.parametrize("name", ["🌱", "חדש", "100 %", "a_b", "back\\slash", 'it\'s "big"'])
def test_odd_names_are_names(name):
    assert save_tag(None, by=admin(), name=name).name == name


def test_two_tags_differ_in_more_than_their_case():
    save_tag(None, by=admin(), name="Park")
    with pytest.raises(InvalidValue):
        save_tag(None, by=admin(), name="PARK")


def test_a_tag_sticks_once_is_told_and_undo_takes_it_off():
    lead, by = make_lead(), admin()
    tag = save_tag(None, by=by, name="Park")
    record = tag_record("lead", lead.pk, by=by, tag=tag)
    tag_record("lead", lead.pk, by=by, tag=tag)
    assert Tagging.objects.filter(lead=lead).count() == 1
    assert TimelineEvent.objects.filter(lead=lead, kind="lead.tagged").count() == 1
    undo(record.undo_offer.public_id, by=by)
    assert not Tagging.objects.filter(lead=lead).exists()


def test_a_tag_taken_off_comes_back_by_undo():
    account, by = Account.objects.create(name="Halden"), admin()
    tag = save_tag(None, by=by, name="Park")
    tag_record("account", account.pk, by=by, tag=tag)
    record = untag_record("account", account.pk, by=by, tag=tag)
    assert not Tagging.objects.exists()
    undo(record.undo_offer.public_id, by=by)
    assert Tagging.objects.get().account == account


def test_tagging_obeys_the_rules_of_the_record():
    team = make_team()
    rep, tag = make_user(team=team), Tag.objects.create(name="Park")
    mine, pool, away = make_lead(owner=rep, team=team), make_lead(team=team), make_lead(team=make_team())
    tag_record("lead", mine.pk, by=Actor.of(rep), tag=tag)
    with pytest.raises(PermissionRefused):
        tag_record("lead", pool.pk, by=Actor.of(rep), tag=tag)
    with pytest.raises(Lead.DoesNotExist):
        tag_record("lead", away.pk, by=Actor.of(rep), tag=tag)
    with pytest.raises(InvalidValue):
        tag_record("user", rep.pk, by=Actor.of(rep), tag=tag)
    assert Tagging.objects.count() == 1


def test_a_record_holds_only_so_many_tags():
    lead, by = make_lead(), admin()
    tags = [Tag.objects.create(name=f"T{n}") for n in range(MOST_PER_RECORD + 1)]
    for tag in tags[:-1]:
        tag_record("lead", lead.pk, by=by, tag=tag)
    with pytest.raises(InvalidValue):
        tag_record("lead", lead.pk, by=by, tag=tags[-1])


def test_merging_moves_what_only_the_loser_had_and_deleting_takes_all_off():
    by, both, one = admin(), make_lead(), make_lead()
    winner, loser = Tag.objects.create(name="Park"), Tag.objects.create(name="Parks")
    for lead, tag in ((both, winner), (both, loser), (one, loser)):
        tag_record("lead", lead.pk, by=by, tag=tag)
    merge_tags(loser.pk, winner.pk, by=by)
    assert set(Tagging.objects.values_list("lead", "tag")) == {(both.pk, winner.pk), (one.pk, winner.pk)}
    with pytest.raises(InvalidValue):
        merge_tags(winner.pk, winner.pk, by=by)
    with pytest.raises(PermissionRefused):
        delete_tag(winner.pk, by=Actor.of(make_user()))
    assert delete_tag(winner.pk, by=by) == 2
    assert not Tagging.objects.exists()
