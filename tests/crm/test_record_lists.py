"""Lists of contacts, accounts and opportunities: own fields, saved views, and who sees what."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm import clock
from crm.actions.accounts import create_account, create_contact
from crm.actions.bulk import start_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.lead_lists import checked_filters
from crm.actions.opportunities import create_opportunity
from crm.actions.record_lists import LISTS, checked_list_filters, narrow, unknown_list_filters
from crm.actions.views import save_view
from crm.errors import InvalidValue
from crm.exports.columns import checked_columns
from crm.models import (
    Account,
    Actor,
    Contact,
    CustomField,
    FieldTarget,
    FieldType,
    Opportunity,
    Role,
    SavedView,
    Tag,
    Tagging,
    User,
)
from tests.crm.test_exports import export, rows_of
from tests.factories import actor, make_admin, make_team, make_user

pytestmark = pytest.mark.django_db
OTHERS = {"contact": Contact, "account": Account, "opportunity": Opportunity}
MAKE: dict[str, Any] = {
    "contact": lambda name, **values: create_contact(full_name=name, **values),
    "account": lambda name, **values: create_account(name=name, **values),
    "opportunity": lambda name, **values: create_opportunity(name=name, **values),
}
each = pytest.mark.parametrize("target", OTHERS)


def three(target: str, by: Actor, **values: Any) -> None:
    for key, kind in (("roof", FieldType.BOOLEAN), ("area", FieldType.NUMBER), ("since", FieldType.DATE)):
        CustomField.objects.get_or_create(target=target, key=key, defaults={"label": key, "type": kind})
    customs = (
        {"roof": True, "area": 9, "since": "2024-01-31"},
        {"roof": False, "area": 12.5, "since": "2025-01-31"},
        {},
    )
    for name, custom in zip(("Ada", "Bo", "Cem"), customs, strict=True):
        MAKE[target](name, by=by, custom=custom, **values)


def found(target: str, filters: dict[str, str], user: User) -> list[str]:
    rows = OTHERS[target].objects.visible_to(user)
    checked = checked_list_filters(target, filters)
    return sorted(str(row) for row in narrow(target, rows, checked, by=Actor.of(user), now=clock.now()))


@each
def test_each_kind_of_list_is_narrowed_by_typed_own_fields(target: str):
    admin = make_admin()
    three(target, actor(admin))
    assert found(target, {"custom:roof": "yes"}, admin) == ["Ada"]
    assert found(target, {"custom:area_min": "9", "custom:area_max": "12"}, admin) == ["Ada"]
    assert found(target, {"custom:area": "12.5"}, admin) == ["Bo"]
    assert found(target, {"custom:since_min": "2025-01-01"}, admin) == ["Bo"]
    assert found(target, {"custom:area_min": "1", "owner": "me"}, admin) == ["Ada", "Bo"]
    assert found(target, {"owner": "none"}, admin) == []


@each
@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"custom:area": "much"}, "custom.area"),
        ({"custom:roof_min": "1"}, "custom.roof"),
        ({"custom:gone": "1"}, "filters.custom:gone"),
        ({"score": "hot"}, "filters.score"),
        ({"owner": "me too"}, "filters.owner"),
        ({"created": "2d"}, "filters.created"),
        ({"custom:area": "9" * 201}, "filters.custom:area"),
        ("area", "filters"),
    ],
)
def test_what_a_list_does_not_offer_is_refused_by_name(target: str, filters: Any, field: str):
    three(target, Actor.system())
    CustomField.objects.create(target="lead", key="gone", label="A lead's own", type=FieldType.NUMBER)
    with pytest.raises(InvalidValue) as refused:
        checked_list_filters(target, filters)
    assert refused.value.field == field


@each
def test_nobody_finds_by_an_own_field_what_they_may_not_see(target: str):
    team = make_team()
    mine, other = make_user(team=team), make_user(team=make_team("South"))
    three(target, actor(make_admin()), owner=mine, team=team)
    assert found(target, {"custom:area_min": "1"}, mine) == ["Ada", "Bo"]
    assert found(target, {"custom:area_min": "1"}, make_user(Role.MANAGER, team=team)) == ["Ada", "Bo"]
    assert found(target, {"custom:area_min": "1"}, other) == []


@each
def test_many_filters_cost_as_many_statements_as_one(target: str):
    admin = make_admin()
    three(target, actor(admin))

    def statements(filters: dict[str, str]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            found(target, filters, admin)
        return len(seen)

    one = statements({"custom:roof": "yes"})
    assert statements({"custom:roof": "yes", "custom:area_min": "1", "custom:area_max": "99"}) == one
    assert one == 4, "known, checked, narrowed, and the rows"


@each
def test_a_view_of_each_list_is_kept_shared_and_exported(target: str):
    team = make_team()
    boss, rep = make_user(Role.MANAGER, team=team), make_user(team=team)
    three(target, actor(make_admin()), owner=boss, team=team)
    view = save_view(
        None,
        by=Actor.of(boss),
        name="Large",
        target=target,
        filters={"custom:area_min": "9", "q": ""},
        columns=["name", "owner", "created"],
        sort="oldest",
        shared_with="team",
        team=team,
    )
    assert (view.filters, view.target) == ({"custom:area_min": "9"}, target)
    assert list(SavedView.objects.visible_to(rep)) == [view]
    assert not SavedView.objects.visible_to(make_user(team=make_team("South"))).exists()
    rows = rows_of(export(boss, view=view))
    assert [row["name"] for row in rows] == ["Ada", "Bo"]
    assert list(rows[0]) == ["gardenos_id", "name", "owner", "created_at", "export_row"]
    lead_view = save_view(None, by=Actor.of(boss), name="Large", filters={})
    assert lead_view.pk != view.pk, "a name is taken once for each list"
    CustomField.objects.filter(target=target, key="area").update(is_active=False)
    assert unknown_list_filters(target, view.filters) == ["custom:area_min"]
    with pytest.raises(InvalidValue, match="custom:area_min"):
        export(boss, view=view)


@pytest.mark.parametrize("target", FieldTarget.values)
def test_every_column_that_a_view_may_show_can_be_exported(target: str):
    assert checked_columns(target, LISTS[target].columns)


def test_the_menu_of_the_list_of_leads_offers_views_of_leads(client: Client):
    boss = make_admin()
    save_view(None, by=Actor.of(boss), name="Of leads", filters={})
    save_view(None, by=Actor.of(boss), name="Of firms", target="account", filters={})
    client.force_login(boss)
    page = client.get("/leads/views/").content.decode()
    assert "Of leads" in page
    assert "Of firms" not in page


@each
def test_a_bulk_act_takes_what_passes_the_filters_of_its_list(target: str):
    admin = make_admin()
    three(target, actor(admin))
    tag = Tag.objects.create(name="large")
    job = start_bulk("tag", by=actor(admin), target=target, filters={"custom:area_min": "10"}, tag=tag)
    while advance_bulk(job.pk, seconds=5):
        pass
    assert [str(getattr(one, target)) for one in Tagging.objects.all()] == ["Bo"]


@pytest.mark.parametrize("target", FieldTarget.values)
def test_the_admin_narrows_by_choices_and_by_yes_or_no(target: str, client: Client):
    admin = make_admin()
    CustomField.objects.create(target=target, key="kind", label="Kind", type="choice", options=["a", "b"])
    if target != "lead":
        three(target, actor(admin))
        MAKE[target]("Dora", by=actor(admin), custom={"kind": "a"})
    client.force_login(admin)
    address = f"/admin/crm/{target}/"
    assert "Kind" in client.get(address).content.decode()
    listed = client.get(f"{address}?custom%3Akind=a").context["cl"].result_list
    assert [str(row) for row in listed] == (["Dora"] if target != "lead" else [])
    assert client.get(f"{address}?custom%3Akind=z%00").status_code in {200, 302, 400}


def test_leads_keep_their_own_definition():
    CustomField.objects.create(target="account", key="size", label="Size")
    with pytest.raises(InvalidValue):
        checked_filters({"custom:size": "1"})
