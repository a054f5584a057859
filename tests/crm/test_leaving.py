"""What ends when somebody is deactivated, and where their work goes."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from crm import clock
from crm.actions.invitations import invite_user
from crm.actions.leaving import hand_back_work, unfinished_leavers, work_of
from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import lose_opportunity
from crm.actions.set_up import update_user
from crm.actions.tokens import create_token, find_token
from crm.errors import PermissionRefused
from crm.models import (
    Account,
    Actor,
    AuditLog,
    Contact,
    Invitation,
    Lead,
    LeadStatus,
    Opportunity,
    Role,
    Task,
    TaskStatus,
    TimelineEvent,
    User,
)
from crm.tasks import hand_back_what_was_left, queue_depth
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def by() -> Actor:
    return Actor.of(make_admin())


def test_access_ends_at_once_and_does_not_wake_up_again(by: Actor):
    user = make_user(Role.MANAGER, team=(team := make_team()))
    _token, text = create_token(user, name="T", scopes=["read"])
    invitation, _link = invite_user("jo@example.com", by=Actor.of(user), team=team)
    client = Client()
    client.force_login(user)
    assert client.get("/").status_code == 200
    update_user(user.pk, by=by, is_active=False)
    for _time in ("deactivated", "active again"):
        assert client.get("/").status_code == 302
        assert client.get("/api/v1/leads/", headers={"Authorization": f"Bearer {text}"}).status_code == 401
        assert find_token(text) is None
        update_user(user.pk, by=by, is_active=True)
    assert Invitation.objects.get(pk=invitation.pk).revoked_at is not None
    actions = list(
        AuditLog.objects.filter(action__startswith="user.")
        .exclude(action="user.signed_in")
        .order_by("pk")
        .values_list("action", flat=True)
    )
    assert actions == ["user.invited", "user.deactivated", "user.reactivated"]


def test_who_comes_back_sets_a_new_password_by_mail(by: Actor, mailoutbox: list[Any]):
    user = make_user()
    update_user(user.pk, by=by, is_active=False)
    Client().post("/accounts/password/reset/", {"email": user.email})
    assert "no account" in mailoutbox.pop().body
    update_user(user.pk, by=by, is_active=True)
    Client().post("/accounts/password/reset/", {"email": user.email})
    assert "/accounts/password/reset/key/" in mailoutbox.pop().body


def test_open_work_goes_to_the_pool_and_the_rest_stays(by: Actor):
    user, mate = make_user(team=(team := make_team())), make_user(team=team)
    in_team = make_lead(owner=user, team=team)
    without = make_lead(owner=user)
    closed = make_lead(owner=user, team=team, status=LeadStatus.DISQUALIFIED, disqualify_reason="no")
    other = make_lead(owner=mate, team=team)
    contact = Contact.objects.create(full_name="Ada", owner=user, team=team)
    account = Account.objects.create(name="Ada Ltd", owner=user, team=team)
    task = Task.objects.create(title="Call", assignee=user, lead=in_team)
    assert work_of(user) == {"leads": 2, "opportunities": 0, "contacts": 1, "accounts": 1, "tasks": 1}
    depth = queue_depth()
    update_user(user.pk, by=by, is_active=False)
    assert queue_depth() == depth + 1
    assert list(unfinished_leavers()) == [user]
    hand_back_what_was_left()
    for record in (in_team, without, contact, account):
        record.refresh_from_db()
        assert (record.owner, record.team, record.version) == (None, team, 2)
    task.refresh_from_db()
    assert task.assignee is None
    assert Lead.objects.get(pk=closed.pk).owner == user
    assert Lead.objects.get(pk=other.pk).owner == mate
    assert list(TimelineEvent.objects.order_by("pk").values_list("kind", flat=True)) == [
        "lead.assigned",
        "lead.assigned",
        "contact.assigned",
        "account.assigned",
    ]
    assert not unfinished_leavers()
    entry = AuditLog.objects.get(action="user.work_handed_back")
    assert entry.data == {"lead": 2, "opportunity": 0, "contact": 1, "account": 1, "task": 1}
    assert Lead.objects.visible_to(mate).count() == 3


def test_open_opportunities_go_to_the_pool_and_closed_ones_stay(by: Actor):
    user, mate = make_user(team=(team := make_team())), make_user(team=team)
    create = {"name": "Garden", "by": Actor.of(user)}
    mine, without = create_opportunity(**create), create_opportunity(**create)
    lost = create_opportunity(**create)
    lose_opportunity(lost.pk, by=Actor.of(user), reason="price")
    other = create_opportunity(name="Pond", by=Actor.of(mate))
    Opportunity.objects.filter(pk=without.pk).update(team=None)
    assert work_of(user)["opportunities"] == 2
    versions = dict(Opportunity.objects.values_list("pk", "version"))
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert list(unfinished_leavers()) == [user]
    assert hand_back_work(user.pk)["opportunity"] == 2
    for card in (mine, without):
        card.refresh_from_db()
        assert (card.owner, card.team, card.version) == (None, team, versions[card.pk] + 1)
        assert TimelineEvent.objects.filter(opportunity=card, kind="opportunity.assigned").count() == 1
    assert Opportunity.objects.get(pk=lost.pk).owner == user
    assert Opportunity.objects.get(pk=other.pk).owner == mate
    assert not unfinished_leavers()
    assert hand_back_work(user.pk) == dict.fromkeys(("lead", "opportunity", "contact", "account", "task"), 0)


def test_deleted_contacts_and_accounts_and_finished_tasks_are_not_handed_back(by: Actor):
    user, gone = make_user(team=make_team()), {"deleted_at": clock.now()}
    done = {"done_at": clock.now(), "done_by": user}
    contact = Contact.objects.create(full_name="Ada", owner=user, **gone)
    account = Account.objects.create(name="Ada Ltd", owner=user, **gone)
    task = Task.objects.create(title="Done", assignee=user, lead=make_lead(), state=TaskStatus.DONE, **done)
    kept = Task.objects.create(title="Call", assignee=make_user(), lead=make_lead())
    live = Contact.objects.create(full_name="Bo", owner=user)
    task_of_contact = Task.objects.create(title="Write", assignee=user, contact=live)
    User.objects.filter(pk=user.pk).update(is_active=False)
    handed = hand_back_work(user.pk)
    assert handed == {"lead": 0, "opportunity": 0, "contact": 1, "account": 0, "task": 1}
    for record in (contact, account, task, kept, live, task_of_contact):
        record.refresh_from_db()
    assert (contact.owner, account.owner, task.assignee) == (user, user, user)
    assert kept.assignee is not None
    assert (live.owner, task_of_contact.assignee) == (None, None)


@pytest.mark.parametrize("kind", ["lead", "opportunity", "contact", "account", "task"])
def test_whatever_a_crash_left_with_who_is_gone_is_found(by: Actor, kind: str):
    user, mate = make_user(team=make_team()), make_user()
    for owner in (user, mate):
        match kind:
            case "lead":
                make_lead(owner=owner)
            case "opportunity":
                create_opportunity(name="Pond", by=Actor.of(owner))
            case "contact":
                Contact.objects.create(full_name="Ada", owner=owner)
            case "account":
                Account.objects.create(name="Ada Ltd", owner=owner)
            case "task":
                Task.objects.create(title="Call", assignee=owner, lead=make_lead())
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert list(unfinished_leavers()) == [user]
    hand_back_what_was_left()
    assert not unfinished_leavers()


def test_nothing_is_taken_from_who_is_active(by: Actor):
    lead = make_lead(owner=make_user())
    assert hand_back_work(lead.owner_id) == {}
    assert Lead.objects.get().owner == lead.owner


def test_handing_back_costs_the_same_for_any_number_of_contacts(by: Actor, django_assert_num_queries: Any):
    costs = []
    for number in (3, 40):
        user = make_user()
        Contact.objects.bulk_create(Contact(full_name=f"C {n}", owner=user) for n in range(number))
        User.objects.filter(pk=user.pk).update(is_active=False)
        with django_assert_num_queries(40, exact=False) as asked:
            hand_back_work(user.pk)
        costs.append(len(asked))
    assert costs[0] == costs[1]


def test_the_last_admin_stays(by: Actor):
    second = make_admin()
    update_user(second.pk, by=by, is_active=False)
    with pytest.raises(PermissionRefused):
        update_user(by.user.pk, by=Actor.of(make_admin(is_active=False)), is_active=False)
    assert User.objects.get(role=Role.ADMIN, is_active=True) == by.user


def test_the_access_report_names_who_gets_in_and_no_secret(by: Actor):
    user = make_user(email="jo@example.com", team=make_team("Sales"))
    token, text = create_token(user, name="Sync", scopes=["read"])
    invitation, link = invite_user("new@example.com", by=by)
    out = StringIO()
    call_command("access_report", "--json", stdout=out)
    report = json.loads(out.getvalue())
    (jo,) = [one for one in report["people"] if one["email"] == "jo@example.com"]
    assert (jo["role"], jo["teams"], jo["last_sign_in"]) == ("rep", ["Sales"], None)
    assert [one["name"] for one in jo["tokens"]] == ["Sync"]
    assert [one["email"] for one in report["open_invitations"]] == ["new@example.com"]
    for secret in (text, token.secret_sha256, link, invitation.token_sha256, user.password):
        assert secret not in out.getvalue()
    plain = StringIO()
    call_command("access_report", stdout=plain)
    assert "invited as rep" in plain.getvalue()
