"""Tasks: their life, their rights, their series."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from crm import clock, tasks
from crm.actions.base import undo
from crm.actions.notifications import Line, mark_read, notify
from crm.actions.work import (
    cancel_task,
    complete_task,
    create_task,
    reassign_task,
    reopen_task,
    snooze_task,
    update_task,
)
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused, UndoRefused, VersionConflict
from crm.models import (
    Contact,
    LeadStatus,
    Notification,
    Opportunity,
    OutboxEvent,
    Pipeline,
    Recurrence,
    Role,
    Stage,
    Task,
    TaskKind,
    TaskStatus,
    TimelineEvent,
)
from tests.factories import actor, make_admin, make_lead, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db


def make_opportunity(**fields) -> Opportunity:
    pipeline = Pipeline.objects.create(name=f"P{Pipeline.objects.count()}")
    stage = Stage.objects.create(pipeline=pipeline, name="Talk", position=1, probability=10)
    return Opportunity.objects.create(name="Roof garden", stage=stage, **fields)


def test_a_task_on_a_lead_is_part_of_its_story_and_may_be_its_next_step(noon):
    me = make_user()
    lead = make_lead(owner=me)
    task = create_task(
        by=actor(me), title=" Call  Ada ", about=lead, kind=TaskKind.CALL, due_at=noon + timedelta(hours=2),
        is_next_action=True,
    )  # fmt: skip
    lead.refresh_from_db()
    assert (task.title, task.assignee, task.created_by) == ("Call Ada", me, me)
    assert (lead.next_action_at, lead.next_action_kind) == (noon + timedelta(hours=2), "call")
    assert TimelineEvent.objects.filter(lead=lead, kind="task.created").count() == 1
    done = complete_task(task.pk, by=actor(me), outcome="She likes roses.")
    lead.refresh_from_db()
    assert (done.state, done.done_at, done.done_by, done.outcome) == ("done", noon, me, "She likes roses.")
    assert (lead.next_action_at, lead.next_action_kind) == (noon + timedelta(days=1), "review")
    assert TimelineEvent.objects.get(kind="task.done").summary.endswith("She likes roses.")


def test_an_opportunity_takes_a_task_as_its_next_step_and_a_contact_does_not(noon):
    me = make_user()
    opportunity = make_opportunity(owner=me, last_event_at=noon - timedelta(days=9))
    at = noon + timedelta(days=1)
    create_task(by=actor(me), title="Offer", about=opportunity, due_at=at, is_next_action=True)
    opportunity.refresh_from_db()
    assert (opportunity.next_action_at, opportunity.last_event_at) == (at, noon)
    contact = Contact.objects.create(full_name="Ada", owner=me)
    assert create_task(by=actor(me), title="Write", about=contact).contact == contact
    with pytest.raises(InvalidValue) as refused:
        create_task(by=actor(me), title="Write", about=contact, due_at=at, is_next_action=True)
    assert refused.value.field == "is_next_action"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "  "),
        ("title", "x" * 201),
        ("title", "a\0b"),
        ("notes", "x" * 5_001),
        ("kind", "dance"),
        ("priority", 9),
        ("priority", True),
        ("due_at", datetime(2026, 3, 3)),  # noqa: DTZ001 that is the point
        ("due_at", datetime(2126, 3, 3, tzinfo=UTC)),
        ("remind_at", "tomorrow"),
        ("recurrence", "hourly"),
        ("recurs_every", 0),
        ("recurs_every", "2"),
        ("recurs_until", "2026-01-01"),
        ("state", "done"),
    ],
)
def test_a_bad_value_is_named_and_changes_nothing(noon, field, value):
    me = make_user()
    values = {"title": "Call", "due_at": noon, field: value}
    before = state_of_tables()
    with pytest.raises(InvalidValue) as refused:
        create_task(by=actor(me), **values)
    assert refused.value.field == field
    assert state_of_tables() == before
    create_task(by=actor(me), title="Call", due_at=noon)  # the same without it goes


def test_a_series_needs_a_time_and_an_end_needs_a_series(noon):
    me = actor(make_user())
    with pytest.raises(InvalidValue, match="time"):
        create_task(by=me, title="Call", recurrence=Recurrence.DAILY)
    with pytest.raises(InvalidValue, match="how often"):
        create_task(by=me, title="Call", due_at=noon, recurs_until=date(2026, 4, 1))


# --- rights -------------------------------------------------------------------------------------------------


def test_who_may_change_a_task(noon):
    team, other = make_team(), make_team()
    me, mate = make_user(team=team), make_user(team=team)
    task = create_task(by=actor(me), title="Mine", due_at=noon)
    for who, may_change in (
        (me, True),
        (make_user(Role.MANAGER, team=team), True),
        (make_admin(), True),
        (mate, None),
        (make_user(Role.MANAGER, team=other), None),
        (make_user(Role.READ_ONLY, team=team), None),
    ):
        if may_change:
            update_task(task.pk, by=actor(who), title=f"Changed by {who.pk}")
        else:
            with pytest.raises(Task.DoesNotExist):
                update_task(task.pk, by=actor(who), title="No")


def test_who_sees_the_record_sees_its_tasks_and_may_not_change_them(noon):
    team = make_team()
    me, reader = make_user(team=team), make_user(Role.READ_ONLY, team=team)
    task = create_task(by=actor(me), title="Call", about=make_lead(owner=me, team=team))
    assert Task.objects.visible_to(reader).get() == task
    with pytest.raises(PermissionRefused):
        complete_task(task.pk, by=actor(reader))
    with pytest.raises(PermissionRefused):
        create_task(by=actor(reader), title="No")


def test_a_task_goes_to_a_colleague_who_may_see_what_it_is_about(noon):
    team = make_team()
    me, mate, stranger = make_user(team=team), make_user(team=team), make_user()
    manager = make_user(Role.MANAGER, team=team)
    lead = make_lead(owner=me, team=team)
    task = create_task(by=actor(me), title="Call", about=lead)
    for who in (mate, stranger, make_user(Role.READ_ONLY, team=team), make_user(is_active=False, team=team)):
        with pytest.raises(InvalidValue) as refused:
            reassign_task(task.pk, by=actor(me), assignee=who)
        assert refused.value.field == "assignee"
    assert reassign_task(task.pk, by=actor(me), assignee=manager).assignee == manager
    free = create_task(by=actor(me), title="Tidy up")
    assert reassign_task(free.pk, by=actor(me), assignee=mate).assignee == mate


def test_a_foreign_lead_does_not_exist_for_a_task():
    lead = make_lead(owner=make_user())
    with pytest.raises(type(lead).DoesNotExist):
        create_task(by=actor(make_user()), title="Call", about=lead)
    assert Task.objects.count() == 0


# --- arrows and undo ----------------------------------------------------------------------------------------


def test_each_arrow_and_its_refusals(noon):
    me = actor(make_user())
    task = create_task(by=me, title="Call", due_at=noon)
    with pytest.raises(TransitionRefused):
        reopen_task(task.pk, by=me)
    with pytest.raises(VersionConflict):
        complete_task(task.pk, by=me, version=7)
    complete_task(task.pk, by=me, version=1)
    for act in (complete_task, cancel_task):
        with pytest.raises(TransitionRefused):
            act(task.pk, by=me)
    with pytest.raises(TransitionRefused):
        update_task(task.pk, by=me, title="New")
    assert reopen_task(task.pk, by=me).done_at is None
    assert cancel_task(task.pk, by=me, reason="rain").outcome == "rain"
    assert reopen_task(task.pk, by=me).state == TaskStatus.OPEN
    with pytest.raises(InvalidValue, match="future"):
        snooze_task(task.pk, by=me, until=noon)
    update_task(task.pk, by=me, remind_at=noon - timedelta(hours=1))
    snoozed = snooze_task(task.pk, by=me, until=noon + timedelta(days=1))
    assert (snoozed.due_at, snoozed.remind_at) == (noon + timedelta(days=1), noon + timedelta(hours=23))


@pytest.mark.parametrize("what", ["update", "complete", "cancel", "reassign"])
def test_every_change_can_be_taken_back(noon, what):
    team = make_team()
    me, mate = make_user(team=team), make_user(team=team)
    lead = make_lead(owner=me, status=LeadStatus.WORKING)
    task = create_task(
        by=actor(me), title="Call", about=None if what == "reassign" else lead, due_at=noon,
        is_next_action=what != "reassign", recurrence=Recurrence.DAILY,
    )  # fmt: skip
    fields = [f.attname for f in Task._meta.fields if f.name not in {"version", "updated_at"}]
    before = Task.objects.filter(pk=task.pk).values(*fields).get()
    if what == "update":
        done = update_task(task.pk, by=actor(me), title="Write", due_at=noon + timedelta(days=3))
    elif what == "complete":
        done = complete_task(task.pk, by=actor(me), outcome="well")
    elif what == "cancel":
        done = cancel_task(task.pk, by=actor(me))
    else:
        done = reassign_task(task.pk, by=actor(me), assignee=mate)
    assert Task.objects.filter(pk=task.pk).values(*fields).get() != before
    undo(done.undo_offer.public_id, by=actor(me))
    assert Task.objects.filter(pk=task.pk).values(*fields).get() == before
    assert Task.objects.count() == 1
    lead.refresh_from_db()
    if what != "reassign":
        assert lead.next_action_at == noon


def test_undo_refuses_when_the_successor_was_changed_meanwhile(noon):
    me = actor(make_user())
    task = create_task(by=me, title="Call", due_at=noon, recurrence=Recurrence.DAILY)
    done = complete_task(task.pk, by=me)
    update_task(done.successor.pk, by=me, title="Call again")
    with pytest.raises(UndoRefused, match="Call again"):
        undo(done.undo_offer.public_id, by=me)


def test_a_new_task_is_taken_back_whole(noon):
    me = actor(make_user())
    task = create_task(by=me, title="Call", due_at=noon)
    undo(task.undo_offer.public_id, by=me)
    assert Task.objects.count() == 0


# --- series -------------------------------------------------------------------------------------------------


def follow(task: Task, me, times: int) -> list[datetime]:
    """When the task is due, done each time at the moment it is due."""
    due = []
    for _time in range(times):
        with clock.frozen(task.due_at):
            done = complete_task(task.pk, by=me)
        task = Task.objects.get(recurs_from=done)
        due.append(task.due_at)
    return due


def series(at: datetime, zone: str, recurrence: str, **values) -> tuple[Task, object]:
    me = actor(make_user(time_zone=zone))
    with clock.frozen(at):
        return create_task(by=me, title="Water", due_at=at, recurrence=recurrence, **values), me


def local(zone: str, *parts: int) -> datetime:
    from zoneinfo import ZoneInfo

    return datetime(*parts, tzinfo=ZoneInfo(zone))


def test_the_last_of_the_month_stays_the_last_of_the_month():
    task, me = series(local("Europe/Berlin", 2026, 1, 31, 9), "Europe/Berlin", "monthly")
    assert follow(task, me, 4) == [
        local("Europe/Berlin", 2026, 2, 28, 9),
        local("Europe/Berlin", 2026, 3, 31, 9),
        local("Europe/Berlin", 2026, 4, 30, 9),
        local("Europe/Berlin", 2026, 5, 31, 9),
    ]


def test_a_leap_day_comes_on_the_28th_of_other_years():
    task, me = series(local("UTC", 2024, 2, 29, 9), "UTC", "yearly")
    assert [d.date() for d in follow(task, me, 4)] == [
        date(2025, 2, 28), date(2026, 2, 28), date(2027, 2, 28), date(2028, 2, 29),
    ]  # fmt: skip


def test_nine_oclock_stays_nine_oclock_when_summer_time_comes():
    task, me = series(local("Europe/Berlin", 2026, 3, 27, 9), "Europe/Berlin", "daily", recurs_every=2)
    due = follow(task, me, 1)
    assert due == [local("Europe/Berlin", 2026, 3, 29, 9)]
    assert due[0] == datetime(2026, 3, 29, 7, tzinfo=UTC)  # it was 08:00 UTC before


def test_a_time_that_a_night_lacks_moves_that_night_alone():
    task, me = series(local("Europe/Berlin", 2026, 3, 28, 2, 30), "Europe/Berlin", "daily")
    assert follow(task, me, 2) == [
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),  # 03:30 by the clock: there is no 02:30
        local("Europe/Berlin", 2026, 3, 30, 2, 30),
    ]


def test_what_was_missed_is_not_made_up_for_and_the_rhythm_is_kept():
    start = local("UTC", 2026, 3, 2, 9)  # a Monday
    task, me = series(start, "UTC", "weekly", recurs_every=2)
    with clock.frozen(start + timedelta(days=17)):
        complete_task(task.pk, by=me)
    assert Task.objects.open().get().due_at == start + timedelta(days=28)


def test_a_series_ends_with_its_last_day_and_keeps_its_reminder():
    start = local("America/New_York", 2026, 3, 2, 21)
    task, me = series(
        start,
        "America/New_York",
        "daily",
        recurs_until=date(2026, 3, 3),
        remind_at=start - timedelta(hours=1),
    )
    assert follow(task, me, 1) == [start + timedelta(days=1)]  # the 3rd there, the 4th in UTC
    last = Task.objects.open().get()
    assert last.remind_at == last.due_at - timedelta(hours=1)
    with clock.frozen(last.due_at):
        complete_task(last.pk, by=me)
    assert not Task.objects.open().exists()


def test_a_task_that_left_a_successor_is_not_reopened(noon):
    me = actor(make_user())
    task = create_task(by=me, title="Call", due_at=noon, recurrence=Recurrence.DAILY)
    complete_task(task.pk, by=me)
    with pytest.raises(TransitionRefused, match="series"):
        reopen_task(task.pk, by=me)
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.create(title="Twin", recurs_from=task)


# --- notifications ------------------------------------------------------------------------------------------


def test_people_are_told_once_and_read_their_own_lines_alone(noon, django_assert_num_queries):
    me, other = make_user(), make_user()
    lines = [Line(user, "x", "Look", "k:1") for user in (me, other, make_user(is_active=False))]
    assert (notify(lines), notify(lines)) == (2, 0)
    notify([Line(me, "x", "Look again", "k:2")])
    assert [n.text for n in Notification.objects.of(me).unread().newest_first()] == ["Look again", "Look"]
    theirs = Notification.objects.get(user=other)
    assert mark_read(by=actor(me), public_ids=[theirs.public_id]) == 0
    assert mark_read(by=actor(me)) == 2
    assert not Notification.objects.of(me).unread().exists()
    assert Notification.objects.of(other).unread().count() == 1
    assert OutboxEvent.objects.filter(type="notification.added", topic="today").count() == 3


def test_only_the_person_concerned_hears_of_a_notification(noon):
    from crm import feed

    me, other = make_user(), make_admin()
    notify([Line(me, "x", "Look", "k:1")])
    row = OutboxEvent.objects.get()
    event = feed.Event(feed.Position(1, 1), row.topic, row.type, row.ids)
    assert feed.audience([event], [me, other]) == {event.at: {me.pk}}


def test_a_reminder_of_today_brings_its_own_wake_up_and_one_of_next_month_does_not(noon):
    me = actor(make_user())
    create_task(by=me, title="Call", remind_at=noon + timedelta(hours=1))
    assert tasks.queue_depth() == 1
    create_task(by=me, title="Call", remind_at=noon + timedelta(days=30))
    create_task(by=me, title="Call")
    assert tasks.queue_depth() == 1
