"""Rows of the queue: what they hold, who fetches them, and what becomes of those that cannot be run."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db.models import F
from django_q.signing import SignedPackage

from crm import broker, clock, progress, tasks
from crm.models import Heartbeat

OrmQ = apps.get_model("django_q", "OrmQ")
Failed = apps.get_model("django_q", "Task")
pytestmark = pytest.mark.django_db
PATH = "crm.tasks.work_on_import"


@pytest.fixture
def as_instance(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """This process belongs to this instance of the default cluster, from now on."""

    def become(name: str) -> None:
        monkeypatch.setenv("Q_CLUSTER_NAME", "default")
        monkeypatch.setenv("QCLUSTER_INSTANCE", name)
        monkeypatch.setattr(progress, "_last_made", float("-inf"))

    return become


def fetch() -> Any:
    """What a pusher would hand to a worker next: None, or the task."""
    found = broker.Rows("default").dequeue()
    return SignedPackage.loads(found[0][1]) if found else None


def put(payload: str, key: str = "default") -> None:
    OrmQ.objects.create(key=key, payload=payload, lock=clock.now())


def test_a_row_is_text_that_no_key_signs():
    tasks.enqueue(PATH, 7)
    row = json.loads(OrmQ.objects.get().payload)
    assert (row["func"], row["args"], row["ack_failure"]) == (PATH, [7], True)


def test_tasks_queued_under_another_secret_key_are_all_run(monkeypatch):
    for number in range(10):
        tasks.enqueue(PATH, number)
    monkeypatch.setattr("django_q.conf.Conf.SECRET_KEY", "another key of more than 32 characters")
    assert [fetch()["args"] for _ in range(10)] == [(number,) for number in range(10)]
    assert fetch() is None


def test_the_row_that_is_due_the_longest_is_fetched_first_and_once():
    for number in range(3):
        tasks.enqueue(PATH, number)
    OrmQ.objects.filter(payload__contains="[2]").update(lock=F("lock") - timedelta(hours=1))
    assert [fetch()["args"][0] for _ in range(3)] == [2, 0, 1]
    assert fetch() is None


def test_what_is_addressed_to_an_instance_comes_first_and_to_it_alone(as_instance):
    tasks.enqueue(PATH, 1)
    tasks.send_heartbeat("default", "pod-7")
    tasks.send_heartbeat("default", "pod-7")
    assert OrmQ.objects.filter(key="default@pod-7").count() == 1, "the first was not fetched yet"
    as_instance("pod-8")
    assert fetch()["func"] == PATH
    assert fetch() is None
    as_instance("pod-7")
    assert fetch()["func"] == "crm.tasks.heartbeat"


def test_what_a_dead_instance_held_can_be_fetched_at_once_and_nothing_else(as_instance):
    tasks.enqueue(PATH, 1)
    as_instance("pod-7")
    fetch()
    tasks.enqueue(PATH, 2)
    as_instance("pod-70")
    fetch()
    tasks.enqueue(PATH, 3, at=clock.now() + timedelta(hours=1))
    tasks.send_heartbeat("default", "pod-7")
    assert fetch() is None
    assert broker.give_back("default", "pod-7") == 1
    assert fetch()["args"] == (1,)
    assert fetch() is None
    assert not OrmQ.objects.filter(key="default@pod-7").exists()


def test_a_task_that_always_kills_its_worker_is_set_aside_after_three_times(as_instance, caplog):
    as_instance("pod-7")
    tasks.enqueue(PATH, 1)
    for _ in range(3):
        assert fetch()["args"] == (1,)
        broker.give_back("default", "pod-7")
    assert fetch() is None
    assert OrmQ.objects.count() == 0
    failure = Failed.objects.get()
    assert (failure.func, failure.success, failure.attempt_count) == (PATH, False, 3)
    assert "never finished" in failure.result
    assert "set aside crm.tasks.work_on_import" in caplog.text


def test_a_fetch_that_ended_from_outside_is_not_counted(as_instance):
    as_instance("pod-7")
    tasks.enqueue(PATH, 1)
    for _ in range(5):
        assert fetch()["args"] == (1,)
        assert broker.give_back("default", "pod-7", is_forgiven=True) == 1


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"id": "1", "name": "x", "func": 3, "args": [], "started": "2026-01-01"}',
        '{"id": "1", "name": "x", "func": "f", "args": [{}], "started": "2026-01-01"}',
        '{"id": "1", "name": "x", "func": "f", "args": [], "started": "then"}',
        '{"id": "1", "name": "x", "func": "f", "args": [], "started": "2026-01-01", "fetched": null}',
        SignedPackage.dumps({"id": "1", "name": "x", "func": "os.system", "args": ("true",)}),
    ],
)
def test_a_row_that_is_none_of_ours_is_set_aside_and_stops_nobody(payload):
    put(payload)
    assert fetch() is None
    assert OrmQ.objects.count() == 0
    assert Failed.objects.get().result == "not a row of this build"


def test_a_hook_or_a_function_object_has_no_place_in_a_row():
    from django_q.tasks import async_task

    for wrong in ({"hook": "os.system"}, {"wide": 1}):
        with pytest.raises(TypeError, match="cannot hold"):
            async_task(PATH, 1, broker=broker.Rows("default"), **wrong)
    with pytest.raises(TypeError, match="a function"):
        async_task(print, broker=broker.Rows("default"))
    assert OrmQ.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_ends_a_task_proves_the_progress_of_its_cluster_and_instance(as_instance):
    as_instance("pod-7")
    tasks._AllowList.locate("crm.tasks.wake_leads")()
    names = set(Heartbeat.objects.values_list("name", flat=True))
    assert names == {"cluster:default", "work:default@pod-7"}


def test_a_result_waits_until_the_monitor_has_booked_it(as_instance):
    from django_q.signals import post_execute

    as_instance("pod-7")
    tasks.heartbeat("default")
    signs = progress.signs("default", "pod-7")
    assert signs.work_s is not None
    assert signs.results_s is not None
    post_execute.send(sender="django_q", task={"func": "crm.tasks.wake_leads"})
    assert progress.signs("default", "pod-7").results_s is not None
    post_execute.send(sender="django_q", task={"func": "crm.tasks.heartbeat"})
    assert progress.signs("default", "pod-7").results_s is None


def test_the_sentinels_rounds_are_a_sign_of_life(as_instance):
    as_instance("pod-7")
    broker.Rows("default").set_stat("any", "figures", 3)
    assert progress.signs("default", "pod-7").guard_s is not None


def test_a_heartbeat_wakes_the_sender_of_mail_that_lost_its_wake_up(monkeypatch):
    class Due:
        @staticmethod
        def exists() -> bool:
            return True

    monkeypatch.setattr(tasks, "due_messages", lambda at: Due)
    tasks.heartbeat("default")
    tasks.heartbeat("default")
    assert [json.loads(row.payload)["func"] for row in OrmQ.objects.all()] == ["crm.tasks.send_due_messages"]
