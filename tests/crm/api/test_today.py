"""Today by the API: the screen's rows, page by page."""

from datetime import timedelta

import pytest

from crm.actions.work import create_task
from crm.models import LeadStatus, Role
from crm.models.today import MINE, TEAM
from crm.web.agenda import agenda
from tests.crm.api.conftest import assert_problem
from tests.factories import actor, make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def test_it_holds_the_rows_of_the_screen_with_reason_and_record(noon, token_caller):
    me = make_user()
    late = make_lead(owner=me, last_inbound_at=noon - timedelta(days=3))
    make_follow_up(late)
    task = create_task(by=actor(me), title="Buy seed", due_at=noon)
    new = make_lead(owner=me)
    body = token_caller(me, ["read"]).get("/api/v1/today/").json()
    assert body["next"] is None
    assert [(row["reason"], (row["lead"] or row["task"])["id"]) for row in body["results"]] == [
        ("answer_late", str(late.public_id)),
        ("task", str(task.public_id)),
        ("new", str(new.public_id)),
    ]
    assert (
        body["results"][0]["since"] == body["results"][0]["lead"]["answer_due_at"] == "2026-02-28T12:00:00Z"
    )
    assert [row.name for row in agenda(me, MINE).rows] == [late.name, "Buy seed", new.name]


def test_its_pages_follow_each_other_and_cost_the_same(noon, token_caller, django_assert_max_num_queries):
    me = make_user()
    for n in range(7):
        make_lead(owner=me, status=LeadStatus.WORKING, next_action_kind="call",
                  next_action_at=noon - timedelta(days=n))  # fmt: skip
    caller, seen, url = token_caller(me), [], "/api/v1/today/?limit=3"
    caller.get(url)
    while url:
        with django_assert_max_num_queries(8):
            body = caller.get(url).json()
        seen += [row["since"] for row in body["results"]]
        url = body["next"]
    assert len(seen) == 7
    assert seen == sorted(seen)


def test_a_team_is_for_those_who_see_one(noon, token_caller):
    team = make_team()
    lead = make_lead(owner=make_user(team=team), team=team)
    manager, rep = make_user(Role.MANAGER, team=team), make_user(team=team)
    ids = lambda user, scope: [
        row["lead"]["id"] for row in token_caller(user).get(f"/api/v1/today/?scope={scope}").json()["results"]
    ]
    assert (ids(manager, MINE), ids(manager, TEAM), ids(rep, TEAM)) == ([], [str(lead.public_id)], [])


def test_what_cannot_be_read_is_refused_by_name(noon, token_caller):
    me = make_user()
    make_lead(owner=me)
    make_lead(owner=me)
    caller = token_caller(me)
    cursor = caller.get("/api/v1/today/?limit=1").json()["next"].split("cursor=")[1]
    assert caller.get(f"/api/v1/today/?cursor={cursor}").status_code == 200
    for query, name in {
        "scope=all": "scope",
        "limit=0": "limit",
        "cursor=abc": "cursor",
        f"scope=team&cursor={cursor}": "cursor",
        "ordering=name": "ordering",
    }.items():
        body = assert_problem(caller.get(f"/api/v1/today/?{query}"), 400, "invalid")
        assert body["errors"][0]["field"] == name
