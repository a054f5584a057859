"""A reminder fires once: by two workers at once, after a killed run, after a restart."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections

from crm import clock
from crm.actions import reminders
from crm.actions.notifications import notify
from crm.actions.reminders import send_due_reminders
from crm.actions.work import complete_task, create_task, update_task
from crm.models import Notification, Task
from tests.factories import actor, make_user

parallel = pytest.mark.django_db(transaction=True)


def remind_later(user, count: int = 1, **fields) -> list[Task]:
    at = clock.now() - timedelta(minutes=1)
    return [create_task(by=actor(user), title=f"Call {n}", remind_at=at, **fields) for n in range(count)]


@pytest.mark.django_db
def test_a_reminder_fires_once_and_again_only_for_a_new_time(noon):
    me = make_user(time_zone="Europe/Berlin")
    task = create_task(by=actor(me), title="Call", due_at=noon + timedelta(hours=1), remind_at=noon)
    assert send_due_reminders(noon - timedelta(seconds=1)) == 0
    assert [send_due_reminders(noon) for _run in range(3)] == [1, 0, 0]
    told = Notification.objects.get()
    assert (told.user, told.task, told.text) == (me, task, "Due 03/02/2026 14:00: Call")
    update_task(task.pk, by=actor(me), remind_at=noon + timedelta(hours=2))
    assert send_due_reminders(noon + timedelta(hours=2)) == 1
    assert Notification.objects.count() == 2


@pytest.mark.django_db
def test_what_is_done_or_nobodys_reminds_nobody(noon):
    me = make_user()
    task = create_task(by=actor(me), title="Call", remind_at=noon)
    complete_task(task.pk, by=actor(me))
    gone = make_user()
    create_task(by=actor(gone), title="Call", remind_at=noon)
    gone.is_active = False
    gone.save()
    assert send_due_reminders(noon) == 1  # claimed, so that it is not looked at again
    assert Notification.objects.count() == 0


@pytest.mark.django_db
def test_many_reminders_cost_a_few_statements(noon, django_assert_max_num_queries):
    me = make_user()
    for n in range(50):
        create_task(by=actor(me), title=f"Call {n}", remind_at=noon)
    with django_assert_max_num_queries(16):
        assert send_due_reminders(noon) == 50


@parallel
def test_eight_workers_at_once_remind_once(monkeypatch):
    me = make_user()
    remind_later(me, 60)
    monkeypatch.setattr(reminders, "AT_ONCE", 5)
    start, fired = threading.Barrier(8), []

    def work() -> None:
        try:
            start.wait()
            fired.append(send_due_reminders(clock.now()))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fired.append(send_due_reminders(clock.now()))  # what a worker skipped because another held it
    assert sum(fired) == 60
    assert Notification.objects.count() == 60
    assert len(set(Notification.objects.values_list("task_id", flat=True))) == 60


@parallel
def test_a_run_that_dies_after_telling_is_repeated_and_tells_once(monkeypatch):
    remind_later(make_user(), 3)

    def tell_and_die(lines) -> int:
        notify(list(lines))
        raise KeyboardInterrupt

    monkeypatch.setattr(reminders, "notify", tell_and_die)
    with pytest.raises(KeyboardInterrupt):
        send_due_reminders(clock.now())
    monkeypatch.undo()
    assert Notification.objects.count() == 0
    assert not Task.objects.exclude(reminded_at=None).exists()
    assert [send_due_reminders(clock.now()), send_due_reminders(clock.now())] == [3, 0]
    assert Notification.objects.count() == 3


DYING_WORKER = """
import os, signal, sys
import django
django.setup()
from django.db import connections
connections["default"].settings_dict.update(NAME=sys.argv[1])
from crm import clock
from crm.actions import reminders
told = reminders.notify
def tell_and_be_killed(lines):
    told(list(lines))
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "die":
    reminders.notify = tell_and_be_killed
print(reminders.send_due_reminders(clock.now()))
"""


@parallel
def test_a_worker_killed_in_the_middle_and_started_again_reminds_once():
    remind_later(make_user(), 4)
    name = connection.settings_dict["NAME"]
    run = lambda what: subprocess.run(
        [sys.executable, "-c", DYING_WORKER, name, what],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    killed = run("die")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert Notification.objects.count() == 0
    again, once_more = run("live"), run("live")
    assert (again.stdout.strip(), once_more.stdout.strip()) == ("4", "0"), again.stderr
    assert Notification.objects.count() == 4
