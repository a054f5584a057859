"""Today shows whom to answer next, and costs the same whatever the size of the tables."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.actions.pipelines import default_pipeline
from crm.actions.work import create_task
from crm.models import LeadStatus, NextActionKind, Opportunity, Role
from crm.models.today import MINE, PAGE, TEAM
from crm.web.agenda import agenda, count_for_nav
from tests.crm.web.pages import HTMX, signed_in
from tests.factories import actor, make_admin, make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


def names(rows) -> list[str]:
    return [row.name for row in rows]


def due(at: datetime, **fields):
    fields.setdefault("status", LeadStatus.WORKING)
    return make_lead(next_action_at=at, next_action_kind=NextActionKind.CALL, **fields)


def test_leads_stand_in_three_groups_by_when_they_are_due(noon):
    me = make_user()
    due(noon - timedelta(days=2), name="Late", owner=me)
    due(noon + timedelta(hours=2), name="Soon", owner=me)
    make_lead(name="Fresh", owner=me)
    due(noon + timedelta(days=2), name="Not yet", owner=me)
    found = agenda(me, MINE)
    assert (names(found.overdue), names(found.due), names(found.suggested)) == (["Late"], ["Soon"], ["Fresh"])


def test_what_was_due_this_morning_is_still_due_today(noon):
    me = make_user()
    due(noon - timedelta(hours=3), name="Morning", owner=me)
    assert names(agenda(me, MINE).due) == ["Morning"]


def test_the_longest_overdue_comes_first_and_the_hottest_suggestion(noon):
    me = make_user()
    due(noon - timedelta(days=1), name="One day", owner=me)
    due(noon - timedelta(days=5), name="Five days", owner=me)
    make_lead(name="Warm", owner=me, score=60, score_source="rules")
    make_lead(name="Hot", owner=me, score=90, score_source="rules")
    make_lead(name="Unscored", owner=me)
    found = agenda(me, MINE)
    assert names(found.overdue) == ["Five days", "One day"]
    assert names(found.suggested) == ["Hot", "Warm", "Unscored"]


def test_a_draft_that_waits_suggests_its_lead_and_says_so(noon):
    me = make_user()
    make_follow_up(make_lead(name="Drafted", owner=me, status=LeadStatus.WORKING))
    (row,) = agenda(me, MINE).suggested
    assert (row.name, row.mark.text) == ("Drafted", "Draft ready")


def test_a_sleeping_lead_is_left_alone_until_it_wakes(noon):
    me = make_user()
    lead = make_lead(
        owner=me, status=LeadStatus.NURTURING, snoozed_until=noon + timedelta(hours=1),
        next_action_at=noon + timedelta(hours=1), next_action_kind=NextActionKind.REVIEW,
    )  # fmt: skip
    make_follow_up(lead)
    assert agenda(me, MINE).rows == []


def test_a_closed_lead_is_not_suggested(noon):
    me = make_user()
    make_lead(owner=me, status=LeadStatus.DISQUALIFIED, disqualify_reason="spam")
    assert agenda(me, MINE).rows == []


def test_mine_holds_my_leads_and_the_pool_team_holds_the_teams(noon):
    team = make_team()
    me, colleague = make_user(Role.MANAGER, team=team), make_user(team=team)
    make_lead(name="Mine", owner=me, team=team)
    make_lead(name="Pool", team=team)
    make_lead(name="Theirs", owner=colleague, team=team)
    make_lead(name="Foreign")
    assert sorted(names(agenda(me, MINE).suggested)) == ["Mine", "Pool"]
    assert sorted(names(agenda(me, TEAM).suggested)) == ["Mine", "Pool", "Theirs"]


def test_the_sidebar_counts_what_the_page_shows(noon):
    me = make_user()
    lead = due(noon - timedelta(days=2), owner=me)
    make_follow_up(lead)
    make_lead(owner=me)
    for somebody in (me, make_user(), make_admin(), make_user(Role.MANAGER, team=make_team())):
        assert count_for_nav(somebody, cap=10)[1] == len(agenda(somebody, MINE).rows)
    assert count_for_nav(me, cap=10) == (2, 2)


def test_the_reason_quotes_what_nobody_answered(noon):
    me = make_user()
    make_lead(owner=me, message="Can you price a pond?", last_inbound_at=noon - timedelta(days=3))
    (row,) = agenda(me, MINE).overdue
    assert row.when == "2 d late"
    assert "Can you price a pond?" in row.reason
    assert row.reason.startswith("Nothing sent since")


def test_a_task_and_used_up_tries_bring_a_lead_with_their_reason(noon):
    me = make_user()
    later = {"next_action_at": noon + timedelta(days=9), "next_action_kind": "call", "owner": me}
    busy = make_lead(name="Busy", status=LeadStatus.WORKING, **later)
    create_task(by=actor(me), title="Send the plan", about=busy, due_at=noon)
    make_lead(name="Tried", status=LeadStatus.WORKING, attempts=6, **later)
    make_lead(name="Wrote", status=LeadStatus.WORKING, last_inbound_at=noon - timedelta(days=1), **later)
    make_lead(name="Quiet", status=LeadStatus.WORKING, **later)
    reasons = {row.name: row.reason for row in agenda(me, MINE).rows}
    assert reasons == {
        "Busy": "To do: Send the plan",
        "Tried": "6 tries without an answer: try another way, or close it",
        "Wrote": "Wrote on Sun 12:00; nothing sent since",
    }


def test_the_page_shows_the_first_lead_beside_the_list(noon):
    me = make_admin()
    due(noon - timedelta(days=2), name="Very Late", owner=me, email="late@example.com")
    html = signed_in(me).get("/").content.decode()
    assert 'data-peek-of="' in html
    assert "2 d late" in html


def test_a_lead_in_the_address_is_the_one_shown(noon):
    me = make_admin()
    make_lead(name="First", owner=me, score=90, score_source="rules")
    other = make_lead(name="Second", owner=me)
    html = signed_in(me).get(f"/?lead={other.public_id}").content.decode()
    assert f'data-peek-of="{other.public_id}"' in html


@pytest.mark.parametrize("path", ["", "row/"])
def test_a_strangers_lead_does_not_exist_here(path):
    lead = make_lead(owner=make_user())
    assert signed_in(make_user()).get(f"/today/{lead.public_id}/{path}", **HTMX).status_code == 404


def test_whose_leads_must_be_mine_or_team():
    assert signed_in(make_user()).get("/?scope=all").status_code == 404


def test_a_customers_words_are_shown_as_text(noon):
    me = make_admin()
    make_lead(
        owner=me, name="<img src=x onerror=alert(1)>", company="<b>x</b>", message="<script>alert(1)</script>"
    )
    html = signed_in(me).get("/").content.decode()
    assert "<img src=x" not in html
    assert "<script>alert" not in html
    assert "&lt;img src=x" in html


def queries_of(client, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_today_costs_the_same_number_of_queries_for_2_leads_and_40(noon):
    me = make_admin()
    client = signed_in(me)

    def add(count: int) -> None:
        for n in range(count):
            make_follow_up(
                due(noon - timedelta(days=n + 1), owner=me, email=f"a{n}@example.com", message="Hello")
            )

    add(2)
    queries_of(client, "/")  # the first page of a process reads what it keeps
    few = queries_of(client, "/")
    add(38)
    assert queries_of(client, "/") == few
    assert few <= 18


@pytest.mark.parametrize("scope", [MINE, TEAM])
def test_the_list_costs_the_same_with_every_reason_once_and_many_times(
    noon, scope, django_assert_max_num_queries
):
    me = make_admin()
    stage = default_pipeline().stages.get(position=1)
    stage.rot_days = 5
    stage.save()

    def add(count: int) -> None:
        for n in range(count):
            due(noon - timedelta(days=n + 1), owner=me)
            make_follow_up(make_lead(owner=me, last_inbound_at=noon - timedelta(days=n)))
            create_task(by=actor(me), title="Ring", due_at=noon)
            create_task(by=actor(me), title="Ring", due_at=noon, about=make_lead(owner=me))
            Opportunity.objects.create(
                name="Pond", stage=stage, owner=me, last_event_at=noon - timedelta(days=9)
            )

    for size in (1, 9):
        add(size)
        with django_assert_max_num_queries(6):
            assert len(agenda(me, scope).rows) in {5, 40}


def test_each_lead_stands_once_under_its_weightiest_reason_whatever_the_page(noon):
    me = make_user()
    lead = due(noon - timedelta(days=2), name="Everything", owner=me, attempts=6,
               last_inbound_at=noon - timedelta(hours=1), message="Hello?")  # fmt: skip
    make_follow_up(lead)
    create_task(by=actor(me), title="Ring", about=lead, due_at=noon)
    create_task(by=actor(me), title="Ring again", about=lead, due_at=noon)
    found = agenda(me, MINE)
    assert (names(found.rows), names(found.due)) == (["Everything"], ["Everything"])
    assert found.due[0].when == "due in 23 h"
    assert count_for_nav(me, cap=9) == (1, 1)


def test_my_task_on_a_colleagues_late_lead_is_on_my_list_as_the_task(noon):
    team = make_team()
    me, mate = make_user(Role.MANAGER, team=team), make_user(team=team)
    lead = due(noon - timedelta(days=2), name="Theirs", owner=mate, team=team)
    create_task(by=actor(me), title="Ring", about=lead, due_at=noon)
    assert names(agenda(me, MINE).due) == ["Theirs"]
    assert names(agenda(me, TEAM).overdue) == ["Theirs"]
    assert names(agenda(me, TEAM).due) == []


def test_a_long_list_goes_on_where_it_is_asked_to(noon):
    me = make_admin()
    for n in range(PAGE + 3):
        due(noon - timedelta(hours=n), owner=me)
    client = signed_in(me)
    assert len(agenda(me, MINE).rows) == PAGE
    html = client.get("/").content.decode()
    assert 'href="/?scope=mine&amp;pages=2"' in html
    longer = client.get("/today/list/?pages=2", **HTMX).content.decode()
    assert longer.count("data-lead=") == PAGE + 3
    assert "pages=2" in longer, "a live change fetches as much"
    assert "pages=3" not in longer
    assert [client.get(f"/?pages={pages}").status_code for pages in ("0", "11", "x", "-1", "²")] == [404] * 5


def test_a_task_about_no_lead_is_ticked_off_on_its_row_and_comes_back_by_undo(noon):
    me, other = make_admin(), make_user()
    task = create_task(by=actor(me), title="Buy <b>seed</b>", due_at=noon)
    client, url = signed_in(me), f"/tasks/{task.public_id}/done/"
    html = client.get("/").content.decode()
    assert url in html
    assert "Buy &lt;b&gt;seed" in html
    assert signed_in(other).post(url, **HTMX).status_code == 404
    response = client.post(url, **HTMX)
    assert (response.status_code, response["HX-Trigger"]) == (200, "changed")
    task.refresh_from_db()
    assert (task.state, names(agenda(me, MINE).rows)) == ("done", [])
    assert "Did Buy" in response.content.decode()
    assert client.post(url, **HTMX).status_code == 200, "twice is said, not done"
    assert "/undo/" in response.content.decode()


def test_a_stalled_opportunity_names_its_stage_and_leads_to_its_lead(noon):
    me = make_user()
    stage = default_pipeline().stages.get(position=1)
    stage.rot_days = 5
    stage.save()
    lead = make_lead(owner=me, status=LeadStatus.CONVERTED, converted_at=noon)
    Opportunity.objects.create(
        name="Pond", stage=stage, owner=me, lead=lead, amount=900, last_event_at=noon - timedelta(days=9)
    )
    (row,) = agenda(me, MINE).suggested
    assert row.reason == f"Nothing happened in “{stage.name}” for 9 days"
    assert (row.lead_id, row.mark.text) == (str(lead.public_id), "€900")


def test_the_clock_of_who_waits_stands_in_the_row_and_on_the_page(noon):
    me = make_admin()
    for name, minutes in (("Soon", 1_428), ("Late", 1_500)):
        make_lead(name=name, owner=me, last_inbound_at=noon - timedelta(minutes=minutes))
    found = agenda(me, MINE)
    assert [(row.name, row.when, row.has_clock) for row in found.rows] == [
        ("Late", "1 h late", False),
        ("Soon", "due in 12 min", True),
    ]
    client = signed_in(me)
    pages = [client.get(f"/leads/{row.public_id}/").content.decode() for row in found.rows]
    assert "Answer 1 h late" in pages[0]
    assert "Answer due in 12 min" in pages[1]


def test_a_fresh_install_offers_a_first_lead_and_does_not_claim_that_all_were_answered():
    me = make_admin()
    html = signed_in(me).get("/").content.decode()
    assert "No leads yet" in html
    assert "seed_demo" in html
    assert "was answered" not in html
    due(datetime(2100, 1, 1, tzinfo=UTC), owner=me)
    assert "Nothing left for today" in signed_in(me).get("/").content.decode()
