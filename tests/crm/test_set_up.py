"""What an admin sets up, and the rules that hold it together."""

import pytest

from crm.actions.set_up import (
    remove_member,
    save_custom_field,
    save_source,
    save_team,
    set_member,
    update_user,
)
from crm.errors import InvalidValue, PermissionRefused, VersionConflict
from crm.models import (
    Actor,
    AuditLog,
    CustomField,
    FieldType,
    Role,
    Team,
    User,
)
from tests.factories import make_admin, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def by() -> Actor:
    return Actor.of(make_admin())


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
def test_only_an_admin_sets_up(role: Role):
    by, team, user = Actor.of(make_user(role)), make_team(), make_user()
    for attempt in (
        lambda: update_user(user.pk, by=by, role=Role.ADMIN),
        lambda: save_team(team.pk, by=by, name="Mine"),
        lambda: save_team(None, by=by, name="Mine"),
        lambda: set_member(team, user, by=by),
        lambda: remove_member(team, user, by=by),
        lambda: save_source(None, by=by, code="x", name="X"),
        lambda: save_custom_field(None, by=by, key="x", label="X"),
    ):
        with pytest.raises(PermissionRefused):
            attempt()
    assert User.objects.filter(role=Role.ADMIN).count() == 0
    assert Team.objects.get().name == team.name


def test_nobody_changes_their_own_role_or_account(by: Actor):
    make_admin()
    assert by.user is not None
    for change in ({"role": Role.REP}, {"is_active": False}):
        with pytest.raises(PermissionRefused):
            update_user(by.user.pk, by=by, **change)
    assert update_user(by.user.pk, by=by, name="New name").name == "New name"


def test_of_two_admins_who_demote_each_other_at_once_one_stays(by: Actor):
    assert by.user is not None
    other = make_admin()
    late = Actor.of(User.objects.get(pk=other.pk))  # read before the first of the two was done
    update_user(other.pk, by=by, role=Role.REP)
    for change in ({"role": Role.REP}, {"is_active": False}):
        with pytest.raises(PermissionRefused):
            update_user(by.user.pk, by=late, **change)
    assert User.objects.get(role=Role.ADMIN, is_active=True) == by.user


def test_a_stale_form_does_not_overwrite(by: Actor):
    user = make_user(name="Old")
    update_user(user.pk, by=by, version=1, name="First")
    with pytest.raises(VersionConflict):
        update_user(user.pk, by=by, version=1, name="Second")
    assert User.objects.get(pk=user.pk).name == "First"


def test_a_team_cannot_stand_above_itself(by: Actor):
    top = save_team(None, by=by, name="Top")
    low = save_team(None, by=by, name="Low", parent=top)
    with pytest.raises(InvalidValue):
        save_team(top.pk, by=by, parent=low)
    with pytest.raises(InvalidValue):
        save_team(top.pk, by=by, parent=top)
    with pytest.raises(InvalidValue):
        save_team(None, by=by, name="Low")


def test_members_come_and_go(by: Actor):
    team, user = make_team(), make_user()
    set_member(team, user, by=by)
    assert set_member(team, user, by=by, role="lead").role == "lead"
    with pytest.raises(InvalidValue):
        set_member(team, user, by=by, role="king")
    remove_member(team, user, by=by)
    assert team.members.count() == 0


def test_an_own_field_keeps_its_key_and_type(by: Actor):
    field = save_custom_field(
        None, by=by, key="size", label="Size", type=FieldType.CHOICE, options=["S", "L"]
    )
    assert save_custom_field(field.pk, by=by, version=1, label="Garden size").label == "Garden size"
    for change in ({"key": "area"}, {"type": FieldType.TEXT}, {"options": "S"}, {"options": [1]}):
        with pytest.raises(InvalidValue):
            save_custom_field(field.pk, by=by, **change)
    assert CustomField.objects.get().options == ["S", "L"]


def test_a_source_is_made_and_changed(by: Actor):
    source = save_source(None, by=by, code="fair", name="Fair")
    assert save_source(source.pk, by=by, version=1, monthly_cost="12.50").version == 2
    with pytest.raises(InvalidValue):
        save_source(None, by=by, code="fair", name="Again")
    with pytest.raises(InvalidValue):
        save_source(None, by=by, code="no spaces", name="Again")


def test_a_changed_role_is_written_down_with_who_and_what(by: Actor):
    user = make_user()
    update_user(user.pk, by=by, name="Only the name")
    assert not AuditLog.objects.filter(action="user.role_changed").exists()
    update_user(user.pk, by=by, role=Role.MANAGER)
    entry = AuditLog.objects.get(action="user.role_changed")
    assert (entry.action, entry.actor, entry.target_id) == ("user.role_changed", by.user, str(user.public_id))
    assert entry.data == {"before": "rep", "after": "manager"}
