"""What the queue runs, and the only way to put work on it. With crm.broker and ai_agents.tasks the only
modules that know django_q.

A row of the queue (crm/broker.py) is a hint: it holds the name of an allowed function and a few plain values,
never an object. Everything here is safe to run twice, and found again by a sweep when a hint is lost.
"""

import functools
import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from django.apps import apps
from django.contrib import admin
from django.db import transaction
from django.db.models.signals import post_migrate
from django.dispatch import receiver
from django_q import tasks as django_q_tasks
from django_q.signals import post_execute, post_spawn

from crm import broker, clock, events, progress
from crm.actions.asleep import check_asleep, is_due
from crm.actions.bulk import stalled_bulk
from crm.actions.bulk_running import advance_bulk
from crm.actions.counts import fold_dashboard_counts
from crm.actions.delivering import deliver_claimed
from crm.actions.duplicates import sweep_duplicates
from crm.actions.erasure import sync_ledger
from crm.actions.exports import advance_export, delete_old_exports, stalled_exports
from crm.actions.follow_ups import expire_follow_ups
from crm.actions.housekeeping import delete_expired
from crm.actions.imports import advance_import, stalled_imports
from crm.actions.leads import wake_due_leads
from crm.actions.leaving import hand_back_work, unfinished_leavers
from crm.actions.messages import claim_due_messages, due_messages, find_lost_sendings
from crm.actions.overrides import end_overrides
from crm.actions.reminders import send_due_reminders
from crm.actions.retention import anonymise_overdue, delete_overdue
from crm.actions.sealing import seal_audit_log
from crm.models import Actor, Message, MessageState, acting_as
from crm.progress import heartbeat_age_s, stamp

__all__ = ["heartbeat_age_s", "stamp"]  # for doors, with what is defined here

log = logging.getLogger(__name__)
Task = TypeVar("Task", bound=Callable[..., Any])
DEFAULT, AI = CLUSTERS = ("default", "ai")
SCHEDULE_PREFIX = "gardenos: "
IMPORT_SLICE_S = BULK_SLICE_S = ANONYMISE_S = 20
WAKE_UP_AHEAD = timedelta(days=1)  # rows of the queue that wait longer would only be in the way
SEND_FOR_S = 45  # one run of send_due_messages begins no further mail after this
OVERDUE = timedelta(seconds=10)  # a message that is due so long has lost its wake-up


@dataclass(frozen=True, slots=True)
class _Allowed:
    function: Callable[..., Any]
    cluster: str
    every_minutes: int | None


_allowed: dict[str, _Allowed] = {}
_looks: dict[str, list[Callable[[], object]]] = {name: [] for name in CLUSTERS}


def task(*, cluster: str = DEFAULT, every_minutes: int | None = None) -> Callable[[Task], Task]:
    """Allow the queue to run this function. With `every_minutes` it also runs by schedule, without
    arguments.
    """

    def register(function: Task) -> Task:
        path = f"{function.__module__}.{function.__qualname__}"
        as_task = acting_as(Actor.system(f"task {function.__name__}"))(function)
        _allowed[path] = _Allowed(_proving(as_task), cluster, every_minutes)
        return function

    return register


def _proving(function: Task) -> Task:
    """What ends, however it ends, proves that work gets done here."""

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        try:
            return function(*args)
        finally:
            progress.made()

    return cast(Task, run)


def at_each_heartbeat(cluster: str) -> Callable[[Task], Task]:
    """Call this, without arguments, with each heartbeat of the cluster: a quick look for work whose hint was
    lost. It must not write more than a hint.
    """

    def register(function: Task) -> Task:
        _looks[cluster].append(function)
        return function

    return register


def enqueue(
    path: str,
    *args: str | int | float | bool | None,
    cluster: str | None = None,
    at: datetime | None = None,
) -> str:
    """Put one call on the queue, within the caller's transaction: a rollback takes it back. Returns its
    id. Workers fetch it at once, or from `at` on.

    `path` names a function decorated with `@task` ("crm.tasks.heartbeat"); ValueError for any other.
    Arguments are plain values: ids, not objects (TypeError). `cluster` is the function's own unless given.
    """
    if path not in _allowed:
        raise ValueError(f"{path} is not a task; decorate it with @task and import its module in ready()")
    if any(arg is not None and not isinstance(arg, str | int | float) for arg in args):
        raise TypeError("a task takes ids and plain values, never objects")
    cluster = cluster or _allowed[path].cluster
    rows = broker.Rows(cluster, at)
    return str(django_q_tasks.async_task(path, *args, cluster=cluster, broker=rows))


def queue_depth(cluster: str | None = None) -> int:
    """Rows on the queue, of one cluster or all, those that a worker holds included."""
    return broker.depth(cluster)


@task()
def heartbeat(cluster: str) -> None:
    """Run by a worker of `cluster`, so that its row tells that the whole road through the queue is open.

    Each also looks for work that nobody fetches, because the schedules of a cluster that is restarted again
    and again may never come.
    """
    stamp(f"cluster:{cluster}")
    progress.result_waits()
    if cluster == DEFAULT:  # comes every 10 s, which is the rhythm of the seals
        seal_audit_log()
    for look in _looks[cluster]:
        look()


@receiver(post_execute, dispatch_uid="crm.tasks.result_is_booked")
def _a_heartbeat_came_back(task: dict[str, Any], **kwargs: Any) -> None:
    """In the monitor of a cluster, once a result is booked: the last piece of the road."""
    if task.get("func") == "crm.tasks.heartbeat":
        progress.result_is_booked()


def send_heartbeat(cluster: str, instance: str = "") -> None:
    """Queue a heartbeat to a cluster, or to one instance of it, unless the last one has not been fetched yet.
    The watchdog does so every QUEUE_BEAT_S.
    """
    key = f"{cluster}@{instance}" if instance else cluster
    if not instance or not broker.is_waiting(key):
        enqueue("crm.tasks.heartbeat", cluster, cluster=key)


@task(every_minutes=10)
def sweep() -> None:
    """End drafts nobody sent and scores set for a time; delete replayed events, old idempotency keys, rate
    windows, undo offers, files of exports; fold the dashboard's summaries.
    """
    now = clock.now()
    delete_old_exports(now)
    fold_dashboard_counts()
    expire_follow_ups(at=now)
    end_overrides(now)
    delete_expired(now)
    sync_ledger()


@task(every_minutes=24 * 60)
def prune() -> None:
    """Delete what may be kept no longer, and anonymise who was turned away long ago."""
    delete_overdue(clock.now())
    anonymise_disqualified()


@task()
def anonymise_disqualified(after: int = 0) -> None:
    """A slice of those; the rest is queued behind what else waits."""
    _taken, reached = anonymise_overdue(clock.now(), after=after, seconds=ANONYMISE_S)
    if reached is not None:
        enqueue("crm.tasks.anonymise_disqualified", reached)


@events.on(events.MessageChanged)
def _wake_for_its_time(event: events.MessageChanged) -> None:
    """A queued message brings its own wake-up, so that no worker has to wait for it."""
    if event.state == MessageState.QUEUED:
        enqueue("crm.tasks.send_due_messages", at=Message.objects.get(pk=event.message_id).send_at)


@task(every_minutes=1)
def send_due_messages() -> None:
    """Send what is due, one mail at a time. Each message's own wake-up runs this; so does every minute, for
    what was missed. Several may run at once: a message is claimed by one of them alone.
    """
    find_lost_sendings()
    stop_at = time.monotonic() + SEND_FOR_S
    while time.monotonic() < stop_at and not cluster_is_stopping():
        claims = claim_due_messages(clock.now())
        for claim in claims:
            deliver_claimed(claim)
            progress.made()
        if not claims and not due_messages(clock.now()).exists():
            return
        if not claims:
            time.sleep(0.2)  # due, but somebody holds its rows for the moment


@at_each_heartbeat(DEFAULT)
def _look_for_unsent() -> None:
    """Mail that is overdue and whose wake-up was lost."""
    path = "crm.tasks.send_due_messages"
    if due_messages(clock.now() - OVERDUE).exists() and not broker.is_waiting(DEFAULT, path):
        enqueue(path)


@task()
def work_on_import(import_id: int) -> None:
    """A slice of an import; the rest is queued behind what else waits."""
    if advance_import(import_id, seconds=IMPORT_SLICE_S):
        enqueue("crm.tasks.work_on_import", import_id)


@events.on(events.ImportDue)
def _import_is_due(event: events.ImportDue) -> None:
    enqueue("crm.tasks.work_on_import", event.import_id)


@task(every_minutes=2)
def resume_imports() -> None:
    """Take up imports whose worker died."""
    for import_id in stalled_imports(clock.now()):
        enqueue("crm.tasks.work_on_import", import_id)


@task()
def work_on_export(job_id: int) -> None:
    """A slice of an export; the rest is queued behind what else waits."""
    if advance_export(job_id, seconds=IMPORT_SLICE_S):
        enqueue("crm.tasks.work_on_export", job_id)


@events.on(events.ExportDue)
def _export_is_due(event: events.ExportDue) -> None:
    enqueue("crm.tasks.work_on_export", event.job_id)


@task(every_minutes=2)
def resume_exports() -> None:
    """Take up exports whose worker died."""
    for job_id in stalled_exports(clock.now()):
        enqueue("crm.tasks.work_on_export", job_id)


@task(every_minutes=1_440)
def find_duplicates() -> None:
    """Look for records that may be the same among those that changed since the last sweep; the rest of a long
    sweep is queued behind what else waits."""
    stop_at = time.monotonic() + IMPORT_SLICE_S
    while sweep_duplicates()[0]:
        progress.made()
        if time.monotonic() >= stop_at or cluster_is_stopping():
            enqueue("crm.tasks.find_duplicates")
            return


@task()
def work_on_bulk(job_id: int) -> None:
    """A slice of a bulk act; the rest is queued behind what else waits."""
    if advance_bulk(job_id, seconds=BULK_SLICE_S):
        enqueue("crm.tasks.work_on_bulk", job_id)


@events.on(events.BulkDue)
def _bulk_is_due(event: events.BulkDue) -> None:
    enqueue("crm.tasks.work_on_bulk", event.job_id)


@task(every_minutes=2)
def resume_bulk() -> None:
    """Take up bulk acts whose worker died."""
    for job_id in stalled_bulk(clock.now()):
        enqueue("crm.tasks.work_on_bulk", job_id)


@task(every_minutes=1)
def wake_leads() -> None:
    """Wake leads whose snooze is over."""
    wake_due_leads(clock.now())


@task()
def hand_back(user_id: int) -> None:
    """Put the work of somebody who left into the pools."""
    hand_back_work(user_id)


@events.on(events.UserDeactivated)
def _work_is_to_be_handed_back(event: events.UserDeactivated) -> None:
    enqueue("crm.tasks.hand_back", event.user_id)


@task(every_minutes=10)
def hand_back_what_was_left() -> None:
    """Take up hand-backs that were lost on their way."""
    for user_id in unfinished_leavers().values_list("pk", flat=True):
        hand_back_work(user_id)


@events.on(events.TaskChanged)
def _wake_for_its_reminder(event: events.TaskChanged) -> None:
    """A reminder of the next day brings its own wake-up; one further off is found by the sweep alone."""
    if event.remind_at is not None and event.remind_at - clock.now() < WAKE_UP_AHEAD:
        enqueue("crm.tasks.send_reminders", at=event.remind_at)


@task(every_minutes=1)
def send_reminders() -> None:
    """Remind people of their tasks. Each reminder's own wake-up runs this; so does every minute."""
    send_due_reminders(clock.now())


@task(every_minutes=60)
def find_asleep_leads() -> None:
    """Each night, tell who has open leads without a next step."""
    now = clock.now()
    if is_due(now):
        check_asleep(now)


def unregister_stock_admin() -> None:
    """Take django-q2's own pages out of the admin: whoever may edit a Schedule there may run any function."""
    for model in apps.get_app_config("django_q").get_models():
        if admin.site.is_registered(model):
            admin.site.unregister(model)


class _AllowList:
    """Stands in for pydoc in the worker: finds allowed functions by their path, and nothing else."""

    @staticmethod
    def locate(path: str) -> Callable[..., Any] | None:
        if path not in _allowed:
            log.error("refused to run %.100r: it is not a task of GardenOS", path)
            return None  # the worker then books a failure, which is acknowledged and not repeated
        return _allowed[path].function


@receiver(post_spawn, dispatch_uid="crm.tasks.allow_list")
def _only_allowed_functions(**kwargs: Any) -> None:
    """In each process of a cluster: the worker resolves names through the list above."""
    from django_q import worker

    worker.pydoc = _AllowList


_stop_event: Any = None


@receiver(post_spawn, dispatch_uid="crm.tasks.stop_event")
def _find_stop_event(**kwargs: Any) -> None:
    """Remember the event by which the cluster's sentinel is told to stop.

    django-q2 tells its workers only after their task is done, too late for one that lasts 45 s. A worker is
    forked inside the sentinel's own call, so the sentinel is on its stack.
    """
    global _stop_event
    frame = inspect.currentframe()
    while frame is not None:
        _stop_event = getattr(frame.f_locals.get("self"), "stop_event", None) or _stop_event
        frame = frame.f_back


def cluster_is_stopping() -> bool:
    """Whether the cluster this process works for was told to stop. False outside a cluster."""
    return _stop_event is not None and _stop_event.is_set()


@receiver(post_migrate, dispatch_uid="crm.tasks.schedules")
def _keep_schedules(sender: Any, **kwargs: Any) -> None:
    if sender.label == "django_q":
        keep_schedules()


@transaction.atomic
def keep_schedules() -> None:
    """Make django-q2's schedules say what the `@task`s say: new ones added, gone ones removed."""
    schedules = apps.get_model("django_q", "Schedule").objects
    wanted = {f"{SCHEDULE_PREFIX}{path}": (path, t) for path, t in _allowed.items() if t.every_minutes}
    schedules.filter(name__startswith=SCHEDULE_PREFIX).exclude(name__in=wanted).delete()
    for name, (path, allowed) in wanted.items():
        values = {
            "func": path,
            "schedule_type": "I",  # every so many minutes
            "minutes": allowed.every_minutes,
            "cluster": allowed.cluster,
            "repeats": -1,
        }
        soon = {"name": name, "next_run": clock.now() + timedelta(seconds=5)}
        schedules.update_or_create(name=name, defaults=values, create_defaults=values | soon)
