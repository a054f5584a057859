"""What people have to do: a task's whole life, one action for each arrow. (The queue is crm/tasks.py.)

Rows are locked from the record that a task is about down to the task.
"""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, cast

from django.db import models, transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, hold_parents, offer_undo, record_for_change, tell, undoable
from crm.actions.lead_moves import plan_next_action
from crm.actions.opportunities import plan_opportunity_action
from crm.actions.recurrence import anchor, next_due
from crm.actions.work_values import CHECKED, checked_fields, checked_text
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import (
    Actor,
    Contact,
    Lead,
    Opportunity,
    Role,
    Task,
    TaskOrigin,
    TaskStatus,
    Undo,
    User,
)
from crm.permissions import Reach, Verb, may_work_on, reach, require, shares_team

About = Lead | Opportunity | Contact
_SERIES = ("recurs_day", "recurs_time")
_KEPT = (*CHECKED, *_SERIES, "reminded_at", "state", "done_at", "done_by_id", "outcome", "assignee_id")


@transaction.atomic
def create_task(
    *,
    by: Actor,
    title: str,
    about: About | None = None,
    assignee: User | None = None,
    is_next_action: bool = False,
    origin: TaskOrigin = TaskOrigin.HUMAN,
    **values: Any,
) -> Task:
    """Write down what is to be done; without an assignee by oneself. `values`: the rest of CHECKED.

    With `is_next_action` it becomes the next step of the lead or opportunity, which `by` must then be allowed
    to edit. Raises DoesNotExist of the record, PermissionRefused, InvalidValue naming the field. Publishes
    TaskChanged. Undoable.
    """
    require(by, Verb.CREATE)
    about = _locked(about, by=by)
    task = Task(created_by=by.user, origin=origin, **checked_fields({"title": title, **values}))
    task.assignee = assignee or by.user
    _check_assignee(task.assignee, about, by=by)
    if about is not None:
        setattr(task, str(about._meta.model_name), about)
    _check_whole(task)
    anchor(task)
    task.save()
    if is_next_action:
        _plan(about, task, by=by)
    _tell(task, "task.created", _("planned a task: %s") % task.title, by=by, at=task.due_at)
    offer_undo(
        "create_task", by=by, label=_("Planned %s") % task.title, before={"task": task.pk}, rows=[task]
    )
    _publish(task, is_reminder_new=True)
    return task


@undoable("create_task")
def _undo_create(row: Undo, by: Actor) -> None:
    task = Task.objects.get(pk=row.before["task"])
    _tell(task, "task.cancelled", _("took the task back: %s") % task.title, by=by)
    task.delete()


@transaction.atomic
def update_task(task_id: int, *, by: Actor, version: int | None = None, **changes: Any) -> Task:
    """Change fields of CHECKED. A new `remind_at` reminds again.

    Raises Task.DoesNotExist, PermissionRefused, VersionConflict, InvalidValue, TransitionRefused (not open).
    Publishes TaskChanged. Undoable.
    """
    task = _task_for_change(task_id, by=by, version=version)
    _require_open(task)
    changed = {name: v for name, v in checked_fields(changes).items() if getattr(task, name) != v}
    if not changed:
        return task
    before = _snapshot(task)
    for name, value in changed.items():
        setattr(task, name, value)
    if "remind_at" in changed:
        task.reminded_at = None
    if {"due_at", "recurrence"} & set(changed):
        anchor(task)
    _check_whole(task)
    task.save_changed(*changed, "reminded_at", *_SERIES)
    _tell(task, "task.changed", _("changed the task: %s") % task.title, by=by, at=task.due_at)
    _offer(task, before, _("Changed %s") % task.title, by=by)
    _publish(task, is_reminder_new="remind_at" in changed)
    return task


@transaction.atomic
def snooze_task(task_id: int, *, by: Actor, until: datetime, version: int | None = None) -> Task:
    """Put a task off; its reminder keeps its distance. As `update_task`, field `until`."""
    task = _task_for_change(task_id, by=by, version=version)
    if until <= clock.now():
        raise InvalidValue(_("Choose a time in the future."), field="until")
    ahead = task.due_at - task.remind_at if task.due_at and task.remind_at else None
    changes: dict[str, Any] = {"due_at": until}
    if ahead is not None:
        changes["remind_at"] = until - ahead
    return update_task(task_id, by=by, **changes)


@transaction.atomic
def complete_task(task_id: int, *, by: Actor, outcome: str = "", version: int | None = None) -> Task:
    """open -> done, with what came of it. A recurring task leaves its successor (`task.successor`).

    The next step of a record that was this task becomes the successor; without one a lead in work is to be
    reviewed, an opportunity has none.
    Raises as `update_task`. Publishes TaskChanged for both. Undoable.
    """
    task = _task_for_change(task_id, by=by, version=version)
    _require_open(task)
    before, was_planned = _snapshot(task), _is_planned(task)
    task.outcome = checked_text("outcome", outcome)
    task.state, task.done_at, task.done_by = TaskStatus.DONE, clock.now(), by.user
    task.save_changed("state", "done_at", "done_by", "outcome")
    successor = _leave_successor(task)
    if was_planned:
        _plan_instead(task, successor)
    done = _("did the task: %s") % task.title
    _tell(task, "task.done", f"{done} – {task.outcome}" if task.outcome else done, by=by)
    label = _("Did %s") % task.title
    _offer(task, before, label, by=by, successor=successor, was_planned=was_planned)
    _publish(task)
    return task


@transaction.atomic
def cancel_task(task_id: int, *, by: Actor, reason: str = "", version: int | None = None) -> Task:
    """open -> cancelled; a series ends with it. Raises as `update_task`. Publishes TaskChanged. Undoable."""
    task = _task_for_change(task_id, by=by, version=version)
    _require_open(task)
    before, was_planned = _snapshot(task), _is_planned(task)
    task.state, task.outcome = TaskStatus.CANCELLED, checked_text("outcome", reason)
    task.save_changed("state", "outcome")
    if was_planned:
        _plan_instead(task, None)
    _tell(task, "task.cancelled", _("cancelled the task: %s") % task.title, by=by)
    _offer(task, before, _("Cancelled %s") % task.title, by=by, was_planned=was_planned)
    _publish(task)
    return task


@transaction.atomic
def reopen_task(task_id: int, *, by: Actor, version: int | None = None) -> Task:
    """done or cancelled -> open. Raises TransitionRefused, also when its series has gone on, and as
    `update_task`. Publishes TaskChanged. Undoable.
    """
    task = _task_for_change(task_id, by=by, version=version)
    if task.state == TaskStatus.OPEN:
        raise TransitionRefused(_("This task is open."))
    if Task.objects.filter(recurs_from=task).exists():
        raise TransitionRefused(_("The next task of this series is there already; change that one."))
    before = _snapshot(task)
    task.state, task.done_at, task.done_by, task.outcome = TaskStatus.OPEN, None, None, ""
    task.save_changed("state", "done_at", "done_by", "outcome")
    _tell(task, "task.reopened", _("reopened the task: %s") % task.title, by=by)
    _offer(task, before, _("Reopened %s") % task.title, by=by)
    _publish(task)
    return task


@transaction.atomic
def reassign_task(task_id: int, *, by: Actor, assignee: User, version: int | None = None) -> Task:
    """Give a task to somebody who may see what it is about. Raises as `update_task` (`assignee`).
    Publishes TaskChanged. Undoable.
    """
    task = _task_for_change(task_id, by=by, version=version)
    _require_open(task)
    if task.assignee_id == assignee.pk:
        return task
    _check_assignee(assignee, _about(task), by=by)
    before = _snapshot(task)
    task.assignee = assignee
    task.save_changed("assignee")
    words = _("gave the task to %(who)s: %(title)s") % {"who": assignee, "title": task.title}
    _tell(task, "task.reassigned", words, by=by)
    _offer(task, before, _("Gave %s away") % task.title, by=by)
    _publish(task)
    return task


@undoable("change_task")
def _undo_change(row: Undo, by: Actor) -> None:
    """Whoever gave a task away may no longer see it, so it is read as the system would."""
    task = Task.objects.select_for_update(of=("self",)).get(pk=row.before["task"])
    Task.objects.filter(pk=row.before["successor"] or 0).delete()
    for name, text in row.before["values"].items():
        setattr(task, name, _read(name, text))
    task.save_changed(*(name.removesuffix("_id") for name in _KEPT))
    if row.before["was_planned"]:
        _plan_instead(task, task)
    _tell(task, "task.changed", _("took the last change of the task back: %s") % task.title, by=by)
    _publish(task, is_reminder_new=task.reminded_at is None)


# --- what they share ----------------------------------------------------------------------------------------


def _about(task: Task) -> About | None:
    return task.lead or task.opportunity or task.contact


def _locked(about: About | None, *, by: Actor) -> About | None:
    """The record that a task is about, under its lock. Raises its DoesNotExist when `by` may not see it."""
    if about is None:
        return None
    if isinstance(about, Opportunity):
        hold_parents(about.pk)
    return cast(About, record_for_change(cast(Any, type(about)), about.pk, by=by, verb=Verb.SEE))


def _task_for_change(task_id: int, *, by: Actor, version: int | None) -> Task:
    task = Task.objects.visible_to(by).select_related("lead", "opportunity", "contact").get(pk=task_id)
    about = _about(task)
    if isinstance(about, Opportunity):
        hold_parents(about.pk)
    if about is not None:
        type(about)._default_manager.select_for_update(of=("self",)).get(pk=about.pk)
    task = Task.objects.select_for_update(of=("self",)).get(pk=task_id)
    if not may_work_on(by, task):
        raise PermissionRefused(_("Only who has this task, gave it, or manages them may change it."))
    check_version(task, version)
    return task


def _require_open(task: Task) -> None:
    if task.state != TaskStatus.OPEN:
        raise TransitionRefused(_("This task is over. Reopen it first."))


def _check_assignee(user: User | None, about: About | None, *, by: Actor) -> None:
    if user is None:
        raise InvalidValue(_("Say who is to do it."), field="assignee")
    if not user.is_active or user.role == Role.READ_ONLY:
        raise InvalidValue(_("%s cannot be given tasks.") % user, field="assignee")
    is_other = by.user is not None and user.pk != by.user.pk
    if is_other and reach(by, Verb.EDIT) != Reach.ALL and not shares_team(by.user, [user.pk]):
        raise InvalidValue(_("%s is in none of your teams.") % user, field="assignee")
    if about is not None and not type(about).objects.visible_to(user).filter(pk=about.pk).exists():
        raise InvalidValue(_("%s may not see what this task is about.") % user, field="assignee")


def _check_whole(task: Task) -> None:
    if task.recurrence and task.due_at is None:
        raise InvalidValue(_("A task that comes again needs a time that it is due at."), field="due_at")
    if task.recurs_until and not task.recurrence:
        raise InvalidValue(_("Say how often it comes again."), field="recurrence")


def _leave_successor(task: Task) -> Task | None:
    """The next one of the series, if it goes on."""
    due_at = next_due(task, at=clock.now())
    if due_at is None or task.due_at is None:
        return None
    successor = Task(recurs_from=task, due_at=due_at, origin=task.origin, created_by=task.created_by)
    copied = set(CHECKED) - {"due_at", "remind_at"} | {
        "assignee_id",
        "lead_id",
        "opportunity_id",
        "contact_id",
    }
    for name in (*copied, *_SERIES):
        setattr(successor, name, getattr(task, name))
    if task.remind_at:
        successor.remind_at = due_at - (task.due_at - task.remind_at)
    successor.save()
    _publish(successor, is_reminder_new=True)
    return successor


def _is_planned(task: Task) -> bool:
    """Whether this task is the next step of its record."""
    about = _about(task)
    if about is None or isinstance(about, Contact) or task.due_at is None:
        return False
    return (about.next_action_at, about.next_action_kind) == (task.due_at, task.kind)


def _plan(about: About | None, task: Task | None, *, by: Actor) -> None:
    """Make the task the record's next step; without one, clear it. Raises InvalidValue, TransitionRefused,
    PermissionRefused.
    """
    if about is None or isinstance(about, Contact):
        raise InvalidValue(_("Only a lead or an opportunity has a next step."), field="is_next_action")
    if task is not None and task.due_at is None:
        raise InvalidValue(_("A next step needs a time that it is due at."), field="due_at")
    at, kind = (task.due_at, task.kind) if task is not None else (None, "")
    if isinstance(about, Lead):
        plan_next_action(about.pk, by=by, at=at, kind=kind)
        return
    plan_opportunity_action(about.pk, by=by, at=at, kind=kind)


def _plan_instead(task: Task, successor: Task | None) -> None:
    """The next step that this task was is now its successor, or none. Whoever has the task may do that."""
    about = _about(task)
    if not isinstance(about, Contact) and about is not None and about.is_open:
        _plan(about, successor, by=Actor.system())


def _tell(task: Task, kind: str, summary: str, *, by: Actor, at: datetime | None = None) -> None:
    about = _about(task)
    if about is not None:
        when = {"at": at.isoformat()} if at else {}
        tell(about, kind, summary, by=by, task=str(task.public_id), **when)


def _snapshot(task: Task) -> dict[str, Any]:
    return {name: _plain(getattr(task, name)) for name in _KEPT}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _read(name: str, value: Any) -> Any:
    """A value of a snapshot, as the field has it."""
    field = cast(models.Field, Task._meta.get_field(name.removesuffix("_id")))
    return value if value is None or isinstance(field, models.ForeignKey) else field.to_python(value)


def _offer(task: Task, values: Mapping[str, Any], label: str, *, by: Actor, **more: Any) -> None:
    successor: Task | None = more.get("successor")
    before = {
        "task": task.pk,
        "values": values,
        "successor": successor and successor.pk,
        "was_planned": more.get("was_planned", False),
    }
    if task.lead_id:
        before["lead"] = task.lead_id
    rows = [task, successor] if successor else [task]
    offer_undo("change_task", by=by, label=label, before=before, rows=rows)


def _publish(task: Task, *, is_reminder_new: bool = False) -> None:
    remind_at = task.remind_at if is_reminder_new and task.state == TaskStatus.OPEN else None
    events.publish(events.TaskChanged(task.pk, task.lead_id, remind_at))
