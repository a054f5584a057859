"""Taking records out as a file: asked for, made in slices by the queue, fetched within a day, deleted."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.record_lists import unknown_list_filters
from crm.errors import InvalidValue, LinkExpired, RateLimited, TransitionRefused
from crm.exports import files
from crm.exports.columns import checked_columns
from crm.exports.lists import MODELS, checked_sort, chosen, list_filters
from crm.exports.running import (
    CHOOSE,
    KIND,
    Asked,
    advance,
    end,
    forget,
    locked,
    most_rows,
    refuse_too_many,
)
from crm.models import Actor, Job, JobState, SavedView, User
from crm.permissions import Verb, export_limit, require

FORMATS = tuple(files.TYPES)
KEPT = timedelta(hours=24)  # after it is done
LOST = timedelta(hours=48)  # files that no job knows
STALLED = timedelta(minutes=2)  # without a step: the sweep queues it again, which harms nothing
HOUR = timedelta(hours=1)
WORKING = (JobState.QUEUED, JobState.RUNNING)


@transaction.atomic
def start_export(
    *,
    by: Actor,
    target: str = "lead",
    format: str = "csv",
    filters: Mapping[str, str] | None = None,
    view: SavedView | None = None,
    columns: Iterable[str] | None = None,
    sort: str = "",
    in_process: bool = False,
) -> Job:
    """Ask for a file of what `by` may see: a list's filters, or a saved view with its filters, columns and
    order. Without columns: all. With `in_process` the caller runs `advance_export` itself.

    Raises PermissionRefused, InvalidValue naming the field, ExportRefused for more rows than may be,
    RateLimited. Publishes ExportDue.
    """
    limit = export_limit(by)
    if target not in MODELS:
        raise InvalidValue(_("Choose one of: %s.") % ", ".join(MODELS), field="target")
    if format not in FORMATS:
        raise InvalidValue(_("Choose one of: %s.") % ", ".join(FORMATS), field="format")
    if view:
        target, filters, columns, sort = _of_view(view, filters, columns, sort, by=by)
    asked = Asked(
        target=target,
        format=format,
        columns=checked_columns(target, columns),
        sort=checked_sort(target, sort),
        filters=list_filters(target, filters or {}, by=by),
        view=str(view.public_id) if view else "",
        by=by.label if by.user is None else "",
    )
    if by.user and limit.per_hour is not None:
        _refuse_too_often(by.user, limit.per_hour)
    most = most_rows(by, format)
    if most is not None:
        rows = chosen(target, asked.filters, by=by, now=clock.now())
        refuse_too_many(rows.order_by().values("pk")[: most + 1].count(), by, format)
    job = Job.objects.create(
        kind=KIND,
        created_by=by.user,
        cursor={"phase": CHOOSE, "asked": asked.as_json(), "file": files.new_name()},
    )
    if not in_process:
        events.publish(events.ExportDue(job.pk))
    return job


def _of_view(
    view: SavedView, filters: Any, columns: Any, sort: str, *, by: Actor
) -> tuple[str, Mapping[str, str], Iterable[str], str]:
    if not SavedView.objects.visible_to(by).filter(pk=view.pk).exists():
        raise InvalidValue(_("There is no such view, or you may not see it."), field="view")
    if filters or sort:
        raise InvalidValue(_("A view brings its own filters and order; leave these out."), field="view")
    gone = unknown_list_filters(view.target, view.filters)
    if gone:
        raise InvalidValue(
            _("This view filters by “%s”, which is no filter any more. Save it again without.")
            % gone[0][:60],
            field="view",
        )
    return view.target, view.filters, columns or view.columns, view.sort


def _refuse_too_often(user: User, per_hour: int) -> None:
    """Counts what was asked for in the last hour, one request after the other."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    since = clock.now() - HOUR
    times = Job.objects.filter(kind=KIND, created_by=user, created_at__gt=since).order_by("-created_at")
    last = list(times.values_list("created_at", flat=True)[:per_hour])
    if len(last) < per_hour:
        return
    wait = max(1, int((last[-1] - since).total_seconds()) + 1)
    raise RateLimited(
        _("You may export %(times)d times an hour. Try again in %(minutes)d minutes.")
        % {"times": per_hour, "minutes": -(-wait // 60)},
        retry_after_s=wait,
    )


@transaction.atomic
def cancel_export(job_id: int, *, by: Actor) -> Job:
    """Stop an export of one's own; nothing of it is kept. Raises Job.DoesNotExist, TransitionRefused."""
    own_exports(by).get(pk=job_id)
    job = locked(job_id)
    if job.state not in WORKING:
        raise TransitionRefused(
            _("This export is %s; there is nothing to stop.") % job.get_state_display().lower()
        )
    end(job, JobState.CANCELLED)
    return job


def own_exports(by: Actor) -> Any:
    """What this person asked for themselves: nobody fetches another's file, not even an admin."""
    return Job.objects.filter(kind=KIND, created_by=by.user) if by.user else Job.objects.none()


def exported_file(job: Job, *, by: Actor) -> Path:
    """The file of an export that is done. Raises PermissionRefused, TransitionRefused, LinkExpired."""
    require(by, Verb.EXPORT)
    if job.state in WORKING:
        raise TransitionRefused(_("This export is not done yet."))
    name = job.cursor.get("file", "")
    path = files.path_of(f"{name}.{file_format(job)}")
    if job.state != JobState.DONE or not name or not path.is_file():
        raise LinkExpired(_("This file is gone. Ask for the export again."))
    return path


def file_format(job: Job) -> str:
    """csv or xlsx, as it was asked for; "" once the file is gone."""
    return str(job.cursor.get("asked", {}).get("format", ""))


def advance_export(job_id: int, *, seconds: float) -> bool:
    """Work on an export for about so many seconds. Returns whether more is to be done. Safe to run twice."""
    try:
        return advance(job_id, seconds)
    except Job.DoesNotExist:
        return False


def stalled_exports(at: datetime) -> list[int]:
    """Exports that went silent, for the sweep."""
    silent = Job.objects.filter(kind=KIND, state__in=WORKING, updated_at__lt=at - STALLED)
    return list(silent.values_list("pk", flat=True))


@transaction.atomic
def forget_export(job_id: int) -> None:
    """Delete the file of an export before its day is over: it was handed on."""
    forget(locked(job_id))


def delete_old_exports(at: datetime) -> int:
    """Delete the files of exports that were done a day ago, and files that no job knows. Returns how many
    exports.
    """
    old = Job.objects.filter(kind=KIND, finished_at__lt=at - KEPT, cursor__has_key="file")
    count = 0
    for pk in old.values_list("pk", flat=True):
        forget_export(pk)
        count += 1
    for path in files.old_files((at - LOST).timestamp()):
        path.unlink(missing_ok=True)
    return count
