"""Accounts and contacts change hands: given away, taken from the pool, and back by undo."""

import pytest

from crm.actions.accounts import create_account, create_contact
from crm.actions.base import undo
from crm.actions.identity_owners import assign_account, assign_contact
from crm.errors import InvalidValue, PermissionRefused
from crm.models import Account, Role, TimelineEvent
from tests.factories import actor, make_admin, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("make", "assign"), [(create_account, assign_account), (create_contact, assign_contact)]
)
def test_who_may_give_what_to_whom(make, assign):
    team = make_team()
    rep, mate, stranger = make_user(team=team), make_user(team=team), make_user(team=make_team())
    manager, reader = make_user(Role.MANAGER, team=team), make_user(Role.READ_ONLY, team=team)
    name = {"name": "Ponds"} if make is create_account else {"full_name": "Ada"}
    record = make(by=actor(rep), **name)
    assert assign(record.pk, by=actor(rep), owner=rep).version == 1
    with pytest.raises(InvalidValue, match="not in the team"):
        assign(record.pk, by=actor(rep), owner=stranger)
    with pytest.raises(InvalidValue, match="no longer works here"):
        assign(record.pk, by=actor(manager), owner=make_user(team=team, is_active=False))
    assert assign(record.pk, by=actor(rep), owner=mate).owner == mate
    with pytest.raises(type(record).DoesNotExist):  # given away, and no longer to be seen
        assign(record.pk, by=actor(rep), owner=rep)
    with pytest.raises(PermissionRefused):
        assign(record.pk, by=actor(reader), owner=None)
    assert assign(record.pk, by=actor(manager), owner=None).owner is None
    with pytest.raises(PermissionRefused, match="from the pool yourself"):
        assign(record.pk, by=actor(rep), owner=mate)
    assert assign(record.pk, by=actor(rep), owner=rep).owner == rep
    what = record._meta.model_name
    assert TimelineEvent.objects.filter(**{what: record}, kind=f"{what}.assigned").count() == 3
    anywhere = assign(record.pk, by=actor(make_admin()), owner=stranger)
    assert (anywhere.owner, anywhere.team) == (stranger, team)


def test_giving_away_is_taken_back_also_by_who_no_longer_sees_it():
    rep, mate = make_user(team=(team := make_team())), make_user(team=team)
    account = create_account(by=actor(rep), name="Ponds")
    given = assign_account(account.pk, by=actor(rep), owner=mate)
    undo(given.undo_offer.public_id, by=actor(rep))
    assert Account.objects.get().owner == rep
