"""Cursors, order, topics and rights of the feed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from crm import events, feed
from crm.errors import InvalidValue
from crm.models import ImportJob, Job, Lead, LiveEpoch, OutboxEvent, Role
from tests.crm.live.conftest import happen
from tests.factories import make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def wait_until_settled() -> None:
    """Until no older transaction holds rows back: those of other databases of the cluster do so, too."""
    newest = OutboxEvent.objects.order_by("-xid").values_list("xid", flat=True).first() or 0
    deadline = time.monotonic() + 20
    while feed.current().at.xid <= newest and time.monotonic() < deadline:
        time.sleep(0.02)


def settled(after: feed.Cursor, **how: Any) -> feed.Page:
    wait_until_settled()
    return feed.read(after, **how)


def types(page: feed.Page) -> list[str]:
    return [event.type for event in page.events]


@contextmanager
def another_transaction(work: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """`work` done in a transaction of another connection, left open until the yielded function is called."""
    done, end = threading.Event(), threading.Event()

    def run() -> None:
        with transaction.atomic():
            work()
            done.set()
            end.wait(10)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    done.wait(10)

    def commit() -> None:
        end.set()
        thread.join()

    try:
        yield commit
    finally:
        commit()


def test_a_reader_gets_what_happened_after_its_cursor_once_and_in_order():
    lead = make_lead()
    start = feed.current()
    happen(events.LeadCreated(lead.pk))
    happen(events.LeadScored(lead.pk, 70, "rules"), events.NoteAdded(lead.pk, 1))
    page = settled(start, topics=["today"])
    assert types(page) == ["lead.created", "lead.scored", "note.added"]
    assert settled(page.cursor, topics=["today"]).events == []
    assert not page.is_gap


def test_every_event_of_a_page_is_itself_a_cursor():
    lead = make_lead()
    start = feed.current()
    happen(*[events.LeadChanged(lead.pk) for _ in range(5)])
    whole = settled(start, topics=["today"])
    for number, event in enumerate(whole.events):
        rest = settled(feed.Cursor(start.epoch, event.at), topics=["today"])
        assert rest.events == whole.events[number + 1 :]


def test_a_full_page_goes_on_where_it_ended():
    lead = make_lead()
    start = cursor = feed.current()
    for _ in range(5):
        happen(events.LeadChanged(lead.pk))
    seen = []
    while True:
        page = settled(cursor, topics=["today"], limit=2)
        seen += page.events
        cursor = page.cursor
        if not page.is_full:
            break
    assert seen == settled(start, topics=["today"]).events
    assert len(seen) == 5


def test_rows_that_committed_wait_for_an_older_transaction_and_then_come_in_its_order():
    lead = make_lead()
    start = feed.current()
    with another_transaction(lambda: events.publish(events.LeadChanged(lead.pk))) as commit_older:
        happen(events.NoteAdded(lead.pk, 1))  # younger, commits first
        page = feed.read(start, topics=["today"])
        assert types(page) == []
        assert page.is_held_back
        commit_older()
    later = settled(page.cursor, topics=["today"])
    assert types(later) == ["lead.changed", "note.added"]
    assert not later.is_held_back


def test_a_cursor_taken_while_a_transaction_runs_does_not_step_over_it():
    lead = make_lead()
    with another_transaction(lambda: events.publish(events.LeadChanged(lead.pk))) as commit:
        during = feed.current()
        commit()
    assert types(settled(during, topics=["today"])) == ["lead.changed"]


def test_what_is_rolled_back_never_happened():
    lead = make_lead()
    start = feed.current()
    with transaction.atomic():
        events.publish(events.LeadChanged(lead.pk))
        transaction.set_rollback(True)
    assert settled(start, topics=["today"]).events == []


def test_a_quiet_cursor_moves_on_so_that_it_does_not_grow_old():
    start = feed.current()
    lead = make_lead()
    happen(events.LeadChanged(lead.pk))
    assert settled(start, topics=["agents"]).cursor.at > start.at


def test_a_cursor_of_another_epoch_is_a_gap():
    start = feed.current()
    LiveEpoch.objects.update(epoch="0123abcd")
    page = settled(start)
    assert page.is_gap
    assert page.cursor.epoch == "0123abcd"
    assert not settled(page.cursor).is_gap


def test_a_cursor_of_the_future_is_a_gap():
    now = feed.current()
    assert settled(feed.Cursor(now.epoch, feed.Position(now.at.xid + 1_000_000, 0))).is_gap


def test_a_cursor_before_rows_older_than_24_hours_is_a_gap():
    lead = make_lead()
    start = feed.current()
    happen(events.LeadChanged(lead.pk))
    OutboxEvent.objects.update(at=timezone.now() - timedelta(hours=24, minutes=1))
    happen(events.NoteAdded(lead.pk, 1))
    wait_until_settled()
    page = feed.read(start, topics=["today"])
    assert page.is_gap
    assert page.events == []
    assert not feed.read(page.cursor).is_gap


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1-2",
        "ab-1-2-3",
        "ab--1-2",
        "ab-1-2 ",
        "AB-1-2",
        "ab-１-2",
        "ab-99999999999999999999-1",
        "ab-1-\n2",
    ],
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidValue):
        feed.Cursor.parse(text)


def test_a_cursor_reads_back_as_it_was_written():
    cursor = feed.current()
    assert feed.Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "topics",
    [
        [],
        [""],
        ["everything"],
        ["today "],
        ["lead:"],
        ["lead:1"],
        [f"lead:{uuid4()}x"],
        [f"lead:{str(uuid4()).upper()}"],
        [f"user:{uuid4()}"],
        [f"lead:{uuid4()}" for _ in range(21)],
        ["to\0day"],
    ],
)
def test_unknown_topics_are_refused(topics):
    with pytest.raises(feed.UnknownTopic):
        feed.checked_topics(topics)


def test_a_topic_that_is_named_twice_counts_once():
    assert feed.checked_topics(["today", "agents", "today"]) == ["today", "agents"]


def test_one_follows_ones_own_leads_imports_and_jobs_only():
    me, colleague, admin = make_user(), make_user(), make_admin()
    rows = {
        "lead": [make_lead(owner=me), make_lead(owner=colleague)],
        "import": [ImportJob.objects.create(created_by=user, file_name="a.csv") for user in (me, colleague)],
        "job": [Job.objects.create(created_by=user, kind="export") for user in (me, colleague)],
    }
    for kind, (mine, theirs) in rows.items():
        assert feed.may_follow(me, [f"{kind}:{mine.public_id}", "today"])
        assert not feed.may_follow(me, [f"{kind}:{theirs.public_id}"])
        assert not feed.may_follow(me, [f"{kind}:{mine.public_id}", f"{kind}:{theirs.public_id}"])
        assert not feed.may_follow(me, [f"{kind}:{uuid4()}"])
        assert feed.may_follow(admin, [f"{kind}:{mine.public_id}", f"{kind}:{theirs.public_id}"])


def test_an_event_is_heard_by_exactly_those_who_may_see_its_lead():
    team = make_team()
    people = [make_user(role, team=of) for role in Role for of in (team, None)]
    people.append(make_user(Role.ADMIN, is_active=False))
    leads = [make_lead(team=team), make_lead(), *(make_lead(owner=user, team=team) for user in people[:4])]
    start = feed.current()
    happen(*[events.LeadChanged(lead.pk) for lead in leads])
    heard_by = feed.audience(page := settled(start, topics=["today"]).events, people)
    for event in page:
        visible = {u.pk for u in people if Lead.objects.visible_to(u).filter(public_id=event.lead).exists()}
        assert heard_by[event.at] == visible
    assert {frozenset(pks) for pks in heard_by.values()} > {frozenset()} or any(heard_by.values())


def test_reading_and_asking_who_may_hear_costs_two_statements_for_fifty_events_and_a_hundred_people(
    django_assert_num_queries,
):
    people = [make_user() for _ in range(100)]
    leads = [make_lead(owner=people[n]) for n in range(50)]
    start = feed.current()
    happen(*[events.LeadChanged(lead.pk) for lead in leads])
    wait_until_settled()
    with django_assert_num_queries(2):
        page = feed.read(start, topics=["today"])
        heard_by = feed.audience(page.events, people)
    assert [heard_by[event.at] for event in page.events] == [{person.pk} for person in people[:50]]


def test_an_event_costs_one_statement_and_carries_ids_only(django_assert_num_queries):
    lead = make_lead(name="Ada Lovelace", email="ada@example.com")
    with transaction.atomic(), django_assert_num_queries(1):
        events.publish(events.LeadCreated(lead.pk))
    rows = OutboxEvent.objects.order_by("id").values_list("topic", "type", "ids")
    assert list(rows) == [
        ("today", "lead.created", {"lead": str(lead.public_id)}),
        (f"lead:{lead.public_id}", "lead.created", {"lead": str(lead.public_id)}),
    ]


def test_an_imports_leads_are_told_of_once():
    importer = make_user()
    job = ImportJob.objects.create(created_by=importer, file_name="leads.csv")
    happen(*[events.LeadCreated(make_lead().pk, by_import=True) for _ in range(3)])
    happen(events.ImportProgressed(job.pk, "running"), events.ImportFinished(job.pk, "none"))
    assert list(OutboxEvent.objects.order_by("id").values_list("topic", "type", "ids")) == [
        (f"import:{job.public_id}", "import.progressed", {"import": str(job.public_id)}),
        (f"import:{job.public_id}", "import.finished", {"import": str(job.public_id)}),
        ("today", "import.finished", {}),
    ]


def test_agents_and_jobs_tell_their_pages():
    lead, job = make_lead(), Job.objects.create(kind="export")
    happen(
        events.AgentTaskQueued(1, "lead_analysis", lead.pk),
        events.AgentTaskChanged(1, "lead_analysis", "done"),
        events.AgentPoolChanged("follow_up"),
        events.JobProgressed(job.pk, "running"),
    )
    assert list(OutboxEvent.objects.order_by("id").values_list("topic", "type", "ids")) == [
        ("agents", "agent_task.queued", {"pool": "lead_analysis"}),
        (f"lead:{lead.public_id}", "agent_task.queued", {"lead": str(lead.public_id)}),
        ("agents", "agent_task.changed", {"pool": "lead_analysis"}),
        ("agents", "agent_pool.changed", {"pool": "follow_up"}),
        (f"job:{job.public_id}", "job.progressed", {"job": str(job.public_id)}),
    ]


def test_a_transaction_of_many_events_wakes_the_readers_once(monkeypatch):
    calls = []
    monkeypatch.setattr("crm.live.layer.PostgresChannelLayer.notify_group", lambda *args: calls.append(args))
    lead = make_lead()
    happen(*[events.LeadChanged(lead.pk) for _ in range(10)])
    happen(events.LeadChanged(lead.pk))
    assert len(calls) == 2


def test_a_channel_layer_that_fails_does_not_fail_the_save(monkeypatch, caplog):
    def broken(*arguments: object) -> None:
        raise ConnectionError("redis is away")

    monkeypatch.setattr("crm.live.layer.PostgresChannelLayer.notify_group", broken)
    lead = make_lead()
    happen(events.LeadChanged(lead.pk))
    assert OutboxEvent.objects.count() == 2
    assert "nobody could be woken" in caplog.text
    assert "Traceback" not in caplog.text
