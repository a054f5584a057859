"""The queue's door: what may be put on it, what a worker will run, and which schedules there are."""

import inspect
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import transaction
from django_q.brokers import get_broker

from crm import clock, tasks
from crm.models import Heartbeat
from tests.factories import make_lead

OrmQ = apps.get_model("django_q", "OrmQ")
Schedule = apps.get_model("django_q", "Schedule")
pytestmark = pytest.mark.django_db


def test_a_rollback_takes_the_task_back():
    with transaction.atomic():
        tasks.enqueue("crm.tasks.heartbeat", "default")
        transaction.set_rollback(True)
    assert tasks.queue_depth() == 0


def test_a_task_goes_to_its_own_cluster_unless_told_otherwise():
    tasks.enqueue("crm.tasks.heartbeat", "default")
    tasks.send_heartbeat("ai")
    assert (tasks.queue_depth("default"), tasks.queue_depth("ai"), tasks.queue_depth()) == (1, 1, 2)


def test_only_tasks_are_queued():
    with pytest.raises(ValueError, match="not a task"):
        tasks.enqueue("os.system", "true")


def test_objects_do_not_travel_through_the_queue():
    with pytest.raises(TypeError, match="never objects"):
        tasks.enqueue("crm.tasks.heartbeat", {"a": 1})


def test_a_worker_finds_only_tasks(caplog):
    found = tasks._AllowList.locate("crm.tasks.heartbeat")
    assert inspect.unwrap(found) is tasks.heartbeat
    assert tasks._AllowList.locate("os.system") is None
    assert tasks._AllowList.locate("crm.tasks.keep_schedules") is None
    assert "refused to run 'os.system'" in caplog.text


def test_the_process_of_a_cluster_resolves_names_through_the_list(monkeypatch):
    from django_q import worker
    from django_q.signals import post_spawn

    monkeypatch.setattr(worker, "pydoc", worker.pydoc)  # put back after the test
    post_spawn.send(sender="django_q", proc_name="test")
    assert worker.pydoc is tasks._AllowList


def test_a_heartbeat_is_stamped_with_the_databases_clock():
    assert tasks.heartbeat_age_s("ai") is None
    tasks.heartbeat("ai")
    tasks.heartbeat("ai")
    assert Heartbeat.objects.count() == 1
    assert 0 <= tasks.heartbeat_age_s("ai") < 5


def test_schedules_follow_the_tasks_and_forget_those_that_are_gone():
    Schedule.objects.all().delete()
    Schedule.objects.create(name=f"{tasks.SCHEDULE_PREFIX}gone.task", func="gone.task")
    kept = Schedule.objects.create(name="somebody else's", func="their.task")
    tasks.keep_schedules()
    tasks.keep_schedules()
    ours = Schedule.objects.filter(name__startswith=tasks.SCHEDULE_PREFIX)
    assert "crm.tasks.sweep" in ours.values_list("func", flat=True)
    assert "gone.task" not in ours.values_list("func", flat=True)
    assert ours.count() == ours.values("func").distinct().count()
    assert Schedule.objects.filter(pk=kept.pk).exists()


def test_a_task_for_later_is_not_fetched_before_its_time():
    soon = clock.now() + timedelta(minutes=1)
    tasks.enqueue("crm.tasks.heartbeat", "default", at=soon)
    broker = get_broker("default")
    assert not broker.dequeue()
    OrmQ.objects.update(lock=clock.now() - timedelta(seconds=1))  # as if the minute had passed
    assert len(broker.dequeue()) == 1


def test_a_lead_whose_snooze_is_over_is_woken_by_the_queue():
    lead = make_lead(status="nurturing", snoozed_until=clock.now() - timedelta(seconds=1))
    tasks.wake_leads()
    lead.refresh_from_db()
    assert (lead.status, lead.snoozed_until) == ("working", None)


def test_the_stock_admin_of_the_queue_is_not_registered():
    tasks.unregister_stock_admin()
    assert not any(admin.site.is_registered(model) for model in apps.get_app_config("django_q").get_models())
