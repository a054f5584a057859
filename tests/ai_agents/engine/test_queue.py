"""Claims, leases and their fences, on the real tables."""

import statistics
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from ai_agents.actions import leases, outcomes, queue
from ai_agents.actions.outcomes import DONE, Outcome
from ai_agents.actions.pools import keep_pools
from ai_agents.actions.requests import request_analysis, request_analysis_batch, request_draft
from ai_agents.models import AgentPool, AgentTask, TaskState
from crm import clock
from crm.actions.leads import add_note
from crm.errors import AIUnavailable, OutOfBounds, PermissionRefused
from crm.models import Actor, Lead, Role
from tests.ai_agents.engine.conftest import Engine
from tests.factories import make_lead, make_team, make_user

KIND = "lead_analysis"


@pytest.fixture
def queued(db, settings):
    """The scripted provider is chosen, so that tasks are queued; nothing serves them."""
    settings.AI_PROVIDER = "scripted"
    keep_pools()
    AgentPool.objects.update(target=64)


def analyse(**fields) -> AgentTask:
    task = request_analysis(make_lead(message="We want a pond.").pk, by=Actor.system(), **fields)
    assert task
    return task


def fill(n: int, kinds: tuple[str, ...] = (KIND,)) -> None:
    """`n` queued rows over all priorities, straight into the table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ai_agents_agenttask (public_id, created_at, updated_at, kind, dedup_key, state, "
            "priority, run_after, attempts, max_attempts, rate_limited, input_hash, prompt_version, params, "
            "requested_as, error, reserved_usd) "
            "SELECT gen_random_uuid(), now(), now(), (%s::text[])[1 + i %% %s], 'k' || i, 'queued', "
            "i %% 10, now() - i * interval '1 ms', 0, 3, 0, '', '', '{}', '', '', 0 "
            "FROM generate_series(1, %s) AS i",
            [list(kinds), len(kinds), n],
        )
        cursor.execute("ANALYZE ai_agents_agenttask")


def test_the_first_priority_goes_before_five_hundred_of_the_last(queued):
    fill(500)
    urgent = analyse(priority=0)
    AgentTask.objects.exclude(pk=urgent.pk).update(priority=9)
    assert queue.claim(KIND, 1, lease_s=30) == [urgent]


def test_a_claim_leases_counts_and_leaves_what_is_not_due(queued):
    due, later = analyse(), analyse()
    AgentTask.objects.filter(pk=later.pk).update(run_after=datetime(2100, 1, 1, tzinfo=UTC))
    [claimed] = queue.claim(KIND, 10, lease_s=30)
    assert claimed == due
    assert (claimed.state, claimed.attempts) == (TaskState.RUNNING, 1)
    assert claimed.lease_token


def test_the_target_bounds_what_runs_everywhere(queued):
    AgentPool.objects.filter(kind=KIND).update(target=3)
    for _ in range(5):
        analyse()
    assert len(queue.claim(KIND, 2, lease_s=30)) == 2
    assert len(queue.claim(KIND, 2, lease_s=30)) == 1
    assert queue.claim(KIND, 2, lease_s=30) == []


def test_a_paused_pool_gives_nothing(queued):
    analyse()
    AgentPool.objects.update(paused=True)
    assert queue.claim(KIND, 1, lease_s=30) == []


def test_only_the_holder_of_the_lease_finishes(queued):
    analyse()
    [mine] = queue.claim(KIND, 1, lease_s=30)
    AgentTask.objects.filter(pk=mine.pk).update(lease_token=uuid.uuid4())
    assert queue.renew([mine], lease_s=30) == {mine.pk}
    with transaction.atomic():
        assert queue.lock_held([mine]) == []


def test_an_expired_lease_goes_back_and_a_spent_one_dies(queued):
    first, second = analyse(), analyse()
    for _ in range(2):  # each by a claim of its own: lost alone
        queue.claim(KIND, 1, lease_s=-1)
    AgentTask.objects.filter(pk=second.pk).update(attempts=3)
    assert queue.reap() == 2
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.attempts, first.error) == (TaskState.QUEUED, 1, "lease_lost")
    assert (second.state, second.error) == (TaskState.DEAD, "lease_lost")


def test_tasks_that_were_lost_together_spend_no_attempt_until_the_tenth_time(queued):
    tasks = [analyse() for _ in range(3)]
    for lost in range(1, outcomes.MOST_LOST + 1):
        AgentTask.objects.update(run_after="2020-01-01T00:00:00Z")
        assert len(queue.claim(KIND, 3, lease_s=-1)) == 3
        assert queue.reap() == 3
        for task in tasks:
            task.refresh_from_db()
            assert (task.lost, task.error) == (lost, "lease_lost")
            if lost < outcomes.MOST_LOST:
                assert (task.state, task.attempts) == (TaskState.QUEUED, 0)
    assert {task.state for task in tasks} == {TaskState.DEAD}


def test_what_an_instance_held_when_it_was_ended_goes_back_with_its_attempt(queued, monkeypatch):
    monkeypatch.setenv("Q_CLUSTER_NAME", "ai")
    for name in ("pod-7", "pod-8"):
        monkeypatch.setenv("QCLUSTER_INSTANCE", name)
        analyse()
        assert len(queue.claim(KIND, 1, lease_s=30)) == 1
    assert leases.give_back("pod-7") == 1
    assert leases.give_back("pod-7") == 0
    back, held = AgentTask.objects.order_by("pk")
    assert (back.state, back.attempts, back.error) == ("queued", 0, "process_ended")
    assert (held.state, held.attempts) == ("running", 1)


def test_a_task_past_its_deadline_is_cancelled(queued):
    task = analyse()
    AgentTask.objects.filter(pk=task.pk).update(deadline=datetime(2020, 1, 1, tzinfo=UTC))
    assert queue.claim(KIND, 1, lease_s=30) == []
    queue.reap()
    task.refresh_from_db()
    assert (task.state, task.error) == (TaskState.CANCELLED, "too_late")


def test_a_released_task_has_its_attempt_back(queued):
    analyse()
    tasks = queue.claim(KIND, 1, lease_s=30)
    queue.release(tasks, error="over_budget")
    [again] = queue.claim(KIND, 1, lease_s=30)
    assert again.attempts == 1


def test_leases_do_not_listen_to_the_clock_of_this_machine(queued):
    with clock.frozen(datetime(2001, 1, 1, tzinfo=UTC)):
        analyse()
        [task] = queue.claim(KIND, 1, lease_s=30)
        assert queue.reap() == 0
    with clock.frozen(datetime(2099, 1, 1, tzinfo=UTC)):
        assert queue.reap() == 0
        assert queue.renew([task], lease_s=30) == set()


@pytest.mark.slow
def test_a_claim_from_ten_thousand_rows_of_three_kinds_takes_milliseconds(queued):
    fill(10_000, (KIND, "follow_up", "reply_triage"))
    AgentPool.objects.filter(kind=KIND).update(max_concurrency=256, target=256)
    took = []
    for _ in range(9):
        began = time.perf_counter()
        assert len(queue.claim(KIND, 16, lease_s=30)) == 16
        took.append((time.perf_counter() - began) * 1000)
    assert statistics.median(took) <= 20, f"{took} ms"


def test_the_same_facts_are_queued_once(queued):
    lead = make_lead(message="We want a pond.")
    first = request_analysis(lead.pk, by=Actor.system(), priority=7)
    again = request_analysis(lead.pk, by=Actor.system(), priority=2)
    assert first == again
    assert AgentTask.objects.get().priority == 2, "the more urgent asker wins"


def test_facts_that_were_analysed_today_are_asked_again_only_by_a_person(queued):
    team = make_team()
    user = make_user(Role.MANAGER, team=team)
    lead = make_lead(message="We want a pond.", team=team)
    request_analysis(lead.pk, by=Actor.system())
    [task] = queue.claim(KIND, 1, lease_s=30)
    queue.end([task], DONE)
    assert request_analysis(lead.pk, by=Actor.system()) == task
    assert request_analysis_batch([lead.pk], by=Actor.system()) == 0
    assert request_analysis(lead.pk, by=Actor.of(user)) != task


def test_changed_facts_supersede_what_is_still_queued(queued):
    lead = make_lead(message="We want a pond.", owner=make_user())
    old = request_analysis(lead.pk, by=Actor.system())
    add_note(lead.pk, by=Actor.of(lead.owner), body="They have 9,000 to spend.")
    new = AgentTask.objects.get(state=TaskState.QUEUED, kind=KIND)
    assert new != old
    old.refresh_from_db()
    assert (old.state, old.error) == (TaskState.CANCELLED, "superseded")


def test_another_instruction_is_another_draft(queued):
    lead = make_lead(message="We want a pond.")
    first = request_draft(lead.pk, by=Actor.system())
    second = request_draft(lead.pk, by=Actor.system(), instruction="Shorter, please")
    assert first != second
    assert AgentTask.objects.filter(state=TaskState.QUEUED).count() == 2


def test_somebody_elses_lead_is_not_there_and_a_reader_may_not_ask(queued):
    lead = make_lead(message="We want a pond.", team=make_team())
    with pytest.raises(Lead.DoesNotExist):
        request_analysis(lead.pk, by=Actor.of(make_user()))
    with pytest.raises(PermissionRefused):
        request_analysis(lead.pk, by=Actor.of(make_user(Role.READ_ONLY, team=lead.team)))


def test_bad_requests_are_refused(queued):
    lead = make_lead()
    for wrong in ({"priority": 10}, {"priority": -1}, {"purpose": "poem"}, {"instruction": "x" * 501}):
        with pytest.raises(OutOfBounds):
            request_draft(lead.pk, by=Actor.system(), **wrong)


def test_with_ai_off_nothing_is_queued(db, settings):
    settings.AI_PROVIDER = "off"
    lead = make_lead(message="We want a pond.", owner=make_user())
    add_note(lead.pk, by=Actor.of(lead.owner), body="Changed facts.")
    with pytest.raises(AIUnavailable):
        request_analysis(lead.pk, by=Actor.system())
    assert not AgentTask.objects.exists()


def test_a_rate_limited_task_keeps_count(queued):
    analyse()
    tasks = queue.claim(KIND, 1, lease_s=30)
    queue.end(tasks, Outcome(TaskState.QUEUED, "rate_limited", gives_back=True, is_rate_limited=True))
    task = AgentTask.objects.get()
    assert (task.attempts, task.rate_limited) == (0, 1)


def test_fifty_askers_at_once_make_one_task_and_one_call(engine: Engine):
    [lead] = engine.leads(1)

    def ask(_: int) -> int:
        try:
            return request_analysis(lead.pk, by=Actor.system()).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        assert len(set(threads.map(ask, range(50)))) == 1
    engine.run()
    assert engine.server.seen()["requests"] >= 1
    assert engine.states() == {"done": 1}
    assert engine.server.seen()["repeated"] == 0
