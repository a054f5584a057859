"""The admin's pages for work call the same actions as every other door."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from crm.actions.work import create_task
from crm.models import AssignmentRule, Role, Task, TaskStatus
from tests.crm.test_admin import ADMIN, errors_of, form_of, url_of
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def browse(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_task_is_made_and_changed_by_the_actions(noon):
    admin, mate, lead = make_admin(), make_user(Role.ADMIN), make_lead()
    client = browse(admin)
    form = form_of(client.get(f"{ADMIN}crm/task/add/"))
    form |= {"title": "Call Ada", "lead": lead.pk, "assignee": mate.pk}
    response = client.post(f"{ADMIN}crm/task/add/", form)
    assert response.status_code == 302, errors_of(response)
    task = Task.objects.get()
    assert (task.lead, task.assignee, task.created_by) == (lead, mate, admin)
    form = form_of(client.get(url_of(task)))
    assert client.post(url_of(task), {**form, "title": "Write", "assignee": admin.pk}).status_code == 302
    task.refresh_from_db()
    assert (task.title, task.assignee, task.version) == ("Write", admin, 3)
    assert "time that it is due" in errors_of(
        client.post(url_of(task), {**form_of(client.get(url_of(task))), "recurrence": "daily"})
    )


def test_a_manager_sees_the_teams_tasks_and_not_others(noon):
    team = make_team()
    rep, manager = make_user(team=team), make_user(Role.MANAGER, team=team)
    ours, theirs = (
        create_task(by=actor(rep), title="Ours"),
        create_task(by=actor(make_user()), title="Theirs"),
    )
    client = browse(manager)
    assert list(client.get(f"{ADMIN}crm/task/").context["cl"].result_list) == [ours]
    assert client.get(url_of(ours)).status_code == 200
    assert client.get(url_of(theirs)).status_code == 302
    form = form_of(client.get(f"{ADMIN}crm/task/add/"))
    assert "assignee" not in form
    assert client.post(f"{ADMIN}crm/task/add/", {**form, "title": "Mine"}).status_code == 302
    assert Task.objects.get(title="Mine").assignee == manager


@pytest.mark.parametrize("act", ["complete", "cancel", "snooze_a_day", "snooze_a_week", "give"])
def test_bulk_acts_name_what_they_refuse_and_do_the_rest(noon, act: str):
    admin, mate = make_admin(), make_user(Role.ADMIN)
    open_ones = [create_task(by=actor(admin), title=f"T{n}", due_at=noon) for n in range(2)]
    over = create_task(by=actor(admin), title="Over")
    Task.objects.filter(pk=over.pk).update(state=TaskStatus.CANCELLED)
    ids = [task.pk for task in (*open_ones, over)]
    data = {"action": act, "_selected_action": ids, "assignee": mate.pk, "confirmed": "yes"}
    response = browse(admin).post(f"{ADMIN}crm/task/", data, follow=True)
    words = [str(message) for message in response.context["messages"]]
    assert "Done for 2 records." in words
    assert any(word.startswith("1 was left as it is: ") for word in words)
    changed = Task.objects.filter(pk__in=ids[:2])
    expected: dict[str, Any] = {
        "complete": {"state": "done"},
        "cancel": {"state": "cancelled"},
        "snooze_a_day": {"due_at": noon + timedelta(days=1)},
        "snooze_a_week": {"due_at": noon + timedelta(days=7)},
        "give": {"assignee": mate},
    }[act]
    assert changed.filter(**expected).count() == 2


def test_giving_needs_somebody(noon):
    admin = make_admin()
    task = create_task(by=actor(admin), title="T")
    for chosen in ("", "x", "999999999999999999999999"):
        data = {"action": "give", "_selected_action": [task.pk], "assignee": chosen, "confirmed": "yes"}
        assert browse(admin).post(f"{ADMIN}crm/task/", data).status_code == 200, "it asks again"
    assert Task.objects.get().version == 1


def test_an_assignment_rule_is_made_and_its_condition_checked():
    ada = make_user()
    client = browse(make_admin())
    form = form_of(client.get(f"{ADMIN}crm/assignmentrule/add/"))
    form |= {"name": "Far", "method": "fixed", "users": [ada.pk], "condition": '{"colour": "red"}'}
    assert "colour" in errors_of(client.post(f"{ADMIN}crm/assignmentrule/add/", form))
    form["condition"] = '{"country": "nz"}'
    response = client.post(f"{ADMIN}crm/assignmentrule/add/", form)
    assert response.status_code == 302, errors_of(response)
    rule = AssignmentRule.objects.get()
    assert (rule.condition, list(rule.users.all())) == ({"country": ["NZ"]}, [ada])
    form = form_of(client.get(url_of(rule)))
    form |= {"users": [ada.pk], "condition": '{"country": "FJ"}'}
    assert client.post(url_of(rule), form).status_code == 302
    assert AssignmentRule.objects.get().condition == {"country": ["FJ"]}
