"""Reminders of tasks: each fires once, whoever looks first and however often the worker dies in between."""

from datetime import datetime

from django.db import transaction
from django.utils import formats, translation
from django.utils.translation import gettext as _

from crm.actions.notifications import Line, notify
from crm.actions.recurrence import zone_of
from crm.models import Task, TaskStatus, User

AT_ONCE = 200  # reminders a transaction


def send_due_reminders(at: datetime) -> int:
    """Tell the assignees of all tasks whose `remind_at` has come. Returns how many reminders fired.

    Claim and notification are one transaction: a run that is killed leaves neither, and the next one finds
    the task again. Two runs at once skip each other's rows. Publishes NotificationAdded.
    """
    fired = 0
    while count := _remind_some(at):
        fired += count
    return fired


@transaction.atomic
def _remind_some(at: datetime) -> int:
    due = Task.objects.open().filter(reminded_at=None, remind_at__lte=at).order_by("remind_at")
    ids = list(due.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:AT_ONCE])
    # The condition again, in the UPDATE itself: whoever comes second changes no row.
    claimed = Task.objects.filter(pk__in=ids, reminded_at=None, state=TaskStatus.OPEN)
    claimed.update(reminded_at=at)
    tasks = Task.objects.filter(pk__in=ids, reminded_at=at)
    notify(
        Line(
            user=who,
            kind="task.reminder",
            text=_words(task, who),
            dedup_key=f"task:{task.pk}:{task.remind_at:%Y-%m-%dT%H:%M:%S%z}",
            lead=task.lead,
            opportunity=task.opportunity,
            task=task,
        )
        for task in tasks.select_related("assignee", "created_by", "lead", "opportunity")
        if (who := task.assignee or task.created_by) is not None
    )
    return len(ids)


def _words(task: Task, who: User) -> str:
    """The line, in the reader's language and on their clock."""
    with translation.override(who.locale):
        if task.due_at is None:
            return _("Reminder: %s") % task.title
        local = task.due_at.astimezone(zone_of(who))
        when = f"{formats.date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M}"
        return _("Due %(when)s: %(task)s") % {"when": when, "task": task.title}
