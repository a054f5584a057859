"""Today as one question: every reason, its rank, its pages, at a fixed cost."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.actions.work import create_task
from crm.models import (
    Day,
    LeadStatus,
    Opportunity,
    Pipeline,
    Role,
    Stage,
    TodayReason,
    today_count,
    today_rows,
)
from crm.models.today import MINE, TEAM
from tests.factories import actor, make_admin, make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
WORKING = LeadStatus.WORKING


@pytest.fixture
def day(noon) -> Day:
    start = noon.replace(hour=0)
    return Day(noon, start, start + timedelta(days=1))


def make_all(me, noon, **fields) -> dict[TodayReason, object]:
    """One record for each reason."""
    hour, plan = timedelta(hours=1), {"next_action_kind": "call", "status": WORKING}
    later = plan | {"next_action_at": noon + timedelta(days=5)}
    stage = Stage.objects.create(
        pipeline=Pipeline.objects.create(name="P"), name="Talk", position=1, rot_days=7, probability=5
    )
    old = Opportunity.objects.create(
        name="Old", stage=stage, last_event_at=noon - timedelta(days=8), **fields
    )
    Opportunity.objects.create(name="Fresh", stage=stage, last_event_at=noon - timedelta(days=6), **fields)
    drafted = make_lead(**later, **fields)
    make_follow_up(drafted)
    return {
        TodayReason.ANSWER_LATE: make_lead(last_inbound_at=noon - 30 * hour, **later, **fields),
        TodayReason.ANSWER: make_lead(
            last_inbound_at=noon - hour, last_outbound_at=noon - 2 * hour, **later, **fields
        ),
        TodayReason.OVERDUE: make_lead(next_action_at=noon - 30 * hour, **plan, **fields),
        TodayReason.TASK_OVERDUE: create_task(by=actor(me), title="Late", due_at=noon - 30 * hour),
        TodayReason.DUE: make_lead(next_action_at=noon - hour, **plan, **fields),
        TodayReason.TASK: create_task(by=actor(me), title="Now", due_at=noon + hour),
        TodayReason.DRAFT: drafted,
        TodayReason.EXHAUSTED: make_lead(attempts=6, **later, **fields),
        TodayReason.STALLED: old,
        TodayReason.NEW: make_lead(**fields),
        TodayReason.ASLEEP: make_lead(status=WORKING, **fields),
    }


def test_every_reason_finds_its_record_in_the_order_of_their_weight(noon, day):
    me = make_user()
    expected = make_all(me, noon, owner=me)
    make_lead(owner=me, status=LeadStatus.DISQUALIFIED, disqualify_reason="spam", last_inbound_at=noon)
    make_lead(
        owner=me, status=LeadStatus.NURTURING, snoozed_until=noon + timedelta(days=1),
        last_inbound_at=noon - timedelta(days=2),
    )  # fmt: skip
    make_lead(owner=me, last_inbound_at=noon - timedelta(days=2), last_outbound_at=noon, status=WORKING,
              next_action_at=noon + timedelta(days=2), next_action_kind="call")  # fmt: skip # answered
    found = today_rows(me, MINE, day)
    assert [(TodayReason(row.reason), row.id) for row in found] == [
        (reason, record.pk) for reason, record in expected.items()
    ]


@pytest.mark.parametrize("size", [1, 3, 4])
def test_pages_follow_each_other_without_gap_or_repeat(noon, day, size: int):
    me = make_user()
    make_all(me, noon, owner=me)
    for _n in range(5):
        make_lead(owner=me, status=WORKING, status_changed_at=noon)  # the same moment
    whole = today_rows(me, MINE, day, limit=100)
    paged, after = [], None
    while page := today_rows(me, MINE, day, after=after, limit=size):
        paged += page
        after = page[-1]
    assert paged == whole
    assert len(whole) == 16


def test_mine_holds_mine_and_the_pool_and_team_holds_what_i_may_see(noon, day):
    team = make_team()
    rep, mate, manager = make_user(team=team), make_user(team=team), make_user(Role.MANAGER, team=team)
    mine, pool = make_lead(owner=rep, team=team), make_lead(team=team)
    mates, foreign = make_lead(owner=mate, team=team), make_lead(team=make_team())
    ids = lambda user, scope: {row.id for row in today_rows(user, scope, day)}
    assert ids(rep, MINE) == {mine.pk, pool.pk}
    assert ids(rep, TEAM) == {mine.pk, pool.pk}
    assert ids(manager, TEAM) == {mine.pk, pool.pk, mates.pk}
    assert ids(make_admin(), TEAM) == {mine.pk, pool.pk, mates.pk, foreign.pk}


def test_it_is_one_statement_however_much_there_is(noon, day):
    me = make_user()
    make_all(me, noon, owner=me)
    for _n in range(20):
        make_lead(owner=me)
    for scope in (MINE, TEAM):
        with CaptureQueriesContext(connection) as captured:
            today_rows(me, scope, day)
        assert len(captured) == 1


def test_new_leads_come_newest_first_and_page_that_way(noon, day):
    me = make_user()
    leads = [make_lead(owner=me, status_changed_at=noon - timedelta(hours=n // 2)) for n in range(6)]
    whole = today_rows(me, MINE, day)
    assert [row.since for row in whole] == sorted((row.since for row in whole), reverse=True)
    assert {row.id for row in whole} == {lead.pk for lead in leads}
    first = today_rows(me, MINE, day, limit=3)
    assert first + today_rows(me, MINE, day, after=first[-1], limit=3) == whole


def test_the_count_is_that_of_the_records_up_to_a_cap(noon, day):
    me = make_user()
    make_all(me, noon, owner=me)
    make_follow_up(make_lead(owner=me, last_inbound_at=noon))  # two reasons, one lead
    assert len(today_rows(me, MINE, day)) == 13
    assert today_count(me, MINE, day, cap=99) == 12
    assert today_count(me, MINE, day, cap=4) == 5


def test_a_draft_follows_its_lead_to_another_owner(noon, day):
    me, mate = make_user(), make_user()
    lead = make_lead(
        owner=me, status=WORKING, next_action_at=noon + timedelta(days=3), next_action_kind="call"
    )
    make_follow_up(lead)
    reasons = lambda user: [row.reason for row in today_rows(user, MINE, day)]
    assert (reasons(me), reasons(mate)) == ([TodayReason.DRAFT], [])
    lead.owner = mate
    lead.save()
    assert (reasons(me), reasons(mate)) == ([], [TodayReason.DRAFT])


def test_somebody_who_left_sees_nothing(noon, day):
    gone = make_user(is_active=False)
    make_lead(owner=gone)
    assert today_rows(gone, MINE, day) == []
    assert today_count(gone, MINE, day, cap=9) == 0
