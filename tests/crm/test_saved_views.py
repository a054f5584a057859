"""Saved views and the filters that they may hold."""

import pytest

from crm import clock
from crm.actions.lead_lists import checked_filters, narrow_leads, unknown_filters
from crm.actions.tags import tag_record
from crm.actions.views import delete_view, order_views, save_view
from crm.errors import InvalidValue, PermissionRefused, VersionConflict
from crm.models import Actor, CustomField, Lead, Role, SavedView, Tag
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def narrowed(filters: dict[str, str], user=None) -> set[str]:
    user = user or make_admin()
    found = narrow_leads(Lead.objects.visible_to(user), checked_filters(filters), user=user, now=clock.now())
    return {lead.name for lead in found}


def test_a_view_keeps_what_the_list_offers_and_drops_what_is_empty():
    view = save_view(
        None,
        by=Actor.of(make_user()),
        name=" Hot  ones ",
        filters={"score": "hot", "q": ""},
        columns=["name", "score", "name"],
        sort="newest",
    )
    assert (view.name, view.filters, view.columns) == ("Hot ones", {"score": "hot"}, ["name", "score"])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": 5}, "name"),
        ({"filters": {"colour": "green"}}, "filters.colour"),
        ({"filters": {"status": "sold"}}, "filters.status"),
        ({"filters": {"owner": "1"}}, "filters.owner"),
        ({"filters": {"q": "a\0b"}}, "filters.q"),
        ({"filters": {"q": "x" * 10_000}}, "filters.q"),
        ({"filters": {"q": 5}}, "filters.q"),
        ({"filters": {"custom:gone": "1"}}, "filters.custom:gone"),
        ({"filters": "status"}, "filters"),
        ({"columns": ["password"]}, "columns"),
        ({"columns": [["name"]]}, "columns"),
        ({"columns": "name"}, "columns"),
        ({"sort": "name; drop"}, "sort"),
        ({"layout": "map"}, "layout"),
        ({"shared_with": "world"}, "shared_with"),
        ({"shared_with": "team"}, "team"),
        ({"target": "stage"}, "target"),
        ({"target": "contact", "filters": {"status": "new"}}, "filters.status"),
        ({"target": "contact", "columns": ["score"]}, "columns"),
        ({"target": "account", "layout": "board"}, "layout"),
        ({"target": "opportunity", "sort": "score"}, "sort"),
        ({"owner": 1}, "owner"),
    ],
)
def test_what_no_list_offers_is_refused_by_name(values, field):
    with pytest.raises(InvalidValue) as refused:
        save_view(None, by=Actor.of(make_admin()), **{"name": "View", **values})
    assert refused.value.field == field
    assert not SavedView.objects.exists()


def test_a_rep_shares_with_nobody_a_manager_with_the_team_an_admin_with_all():
    team, other = make_team(), make_team()
    rep, manager = make_user(team=team), make_user(Role.MANAGER, team=team)
    with pytest.raises(PermissionRefused):
        save_view(None, by=Actor.of(rep), name="A", shared_with="team", team=team)
    with pytest.raises(PermissionRefused):
        save_view(None, by=Actor.of(manager), name="A", shared_with="all")
    with pytest.raises(PermissionRefused):
        save_view(None, by=Actor.of(manager), name="A", shared_with="team", team=other)
    shared = save_view(None, by=Actor.of(manager), name="A", shared_with="team", team=team)
    everybodys = save_view(None, by=Actor.of(make_admin()), name="B", shared_with="all")
    assert set(SavedView.objects.visible_to(rep)) == {shared, everybodys}
    assert set(SavedView.objects.visible_to(make_user(team=other))) == {everybodys}


def test_a_shared_view_is_changed_by_its_owner_and_an_admin_alone():
    team = make_team()
    manager, rep = make_user(Role.MANAGER, team=team), make_user(team=team)
    view = save_view(None, by=Actor.of(manager), name="A", shared_with="team", team=team)
    with pytest.raises(PermissionRefused):
        save_view(view.pk, by=Actor.of(rep), name="Mine")
    with pytest.raises(SavedView.DoesNotExist):
        save_view(view.pk, by=Actor.of(make_user()), name="Mine")
    with pytest.raises(VersionConflict):
        save_view(view.pk, by=Actor.of(manager), version=9, name="B")
    assert save_view(view.pk, by=Actor.of(make_user(Role.ADMIN, team=team)), name="B").version == 2
    with pytest.raises(PermissionRefused):
        delete_view(view.pk, by=Actor.of(rep))
    delete_view(view.pk, by=Actor.of(manager))
    assert not SavedView.objects.exists()


def test_views_stand_in_the_order_that_their_owner_gives():
    by = Actor.of(make_user())
    a, b, c = (save_view(None, by=by, name=name) for name in "abc")
    assert order_views([c.public_id, a.public_id], by=by) == 3
    assert list(SavedView.objects.filter(owner=by.user)) == [c, a, b]
    foreign = save_view(None, by=Actor.of(make_user()), name="x")
    with pytest.raises(InvalidValue):
        order_views([foreign.public_id], by=by)


def test_a_filter_whose_field_is_gone_is_named_and_breaks_nothing():
    field = CustomField.objects.create(key="size", label="Size", type="number")
    filters = checked_filters({"custom:size_min": "5"})
    make_lead(name="Any")
    field.delete()
    assert unknown_filters(filters) == ["custom:size_min"]
    admin = make_admin()
    assert narrow_leads(Lead.objects.all(), filters, user=admin, now=clock.now()).count() == 1


def test_leads_are_filtered_by_tag_and_by_typed_custom_values():
    for key, kind in (("size", "number"), ("built", "date"), ("has_pool", "boolean"), ("size_min", "text")):
        CustomField.objects.create(key=key, label=key, type=kind)
    CustomField.objects.create(key="soil", label="Soil", type="choice", options=["clay", "sand"])
    small = make_lead(
        name="Small", custom={"size": 9, "built": "1999-01-01", "has_pool": False, "soil": "clay"}
    )
    make_lead(name="Large", custom={"size": 100, "built": "2020-01-01", "has_pool": True, "soil": "sand"})
    make_lead(name="Bare", custom={"size_min": "x"})
    tag_record("lead", small.pk, by=Actor.of(make_admin()), tag=Tag.objects.create(name="Park"))
    for filters, expected in [
        ({"tag": "park"}, {"Small"}),
        ({"custom:size": "9"}, {"Small"}),
        ({"custom:size_max": "99.5"}, {"Small"}),
        ({"custom:size_min": "x"}, {"Bare"}),  # a field's own key comes before an operator
        ({"custom:built_min": "2000-01-01"}, {"Large"}),
        ({"custom:has_pool": "yes"}, {"Large"}),
        ({"custom:soil": "clay"}, {"Small"}),
        ({"custom:soil": "clay", "tag": "no such"}, set()),
    ]:
        assert narrowed(filters) == expected, filters


@pytest.mark.parametrize(
    "filters",
    [{"custom:size": "big"}, {"custom:size": "NaN"},
     {"custom:size_min": "1e999"}, {"custom:soil_min": "clay"}, {"custom:soil": "peat"},
     {"custom:built": "yesterday"}, {"custom:built_max": "2020-13-01"}],
)  # fmt: skip
def test_a_value_that_the_field_cannot_have_is_refused(filters):
    for key, kind in (("size", "number"), ("built", "date")):
        CustomField.objects.create(key=key, label=key, type=kind)
    CustomField.objects.create(key="soil", label="Soil", type="choice", options=["clay", "sand"])
    with pytest.raises(InvalidValue):
        checked_filters(filters)
