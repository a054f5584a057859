"""The slices of a bulk job: forwards, and backwards when it is taken back."""

import time

from django.core.exceptions import ObjectDoesNotExist
from django.db import DataError, IntegrityError, transaction
from django.utils.translation import gettext as _

from crm import clock, events, progress
from crm.actions.bulk import KIND, RUN, UNDO_FOR, actor_of, finish
from crm.actions.bulk_acts import act_on_slice
from crm.actions.steps import GONE, Taken, undo_many, write_rows
from crm.errors import CRMError
from crm.models import Actor, BulkRow, BulkState, Job, JobState, Undo, acting_as

AT_A_TIME = 500  # rows of one transaction, well under a second: it holds their locks no longer


def advance_bulk(job_id: int, *, seconds: float) -> bool:
    """Work on the job for about so many seconds. Returns whether more is to be done. Safe to run twice, and
    by two workers at a time: one of them finds the job held and leaves it.
    """
    stop_at = time.monotonic() + seconds
    while _slice(job_id):
        progress.made()
        if time.monotonic() >= stop_at:
            return True
    return False


@transaction.atomic
def _slice(job_id: int) -> bool:
    """One transaction of rows. Returns whether rows are left for this worker."""
    job = Job.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=job_id, kind=KIND).first()
    if job is None or job.state not in {JobState.QUEUED, JobState.RUNNING}:
        return False
    phase = job.cursor["phase"]
    waits = BulkState.WAITING if phase == RUN else BulkState.CHANGED
    rows = list(BulkRow.objects.filter(job=job, state=waits).order_by("record_id")[:AT_A_TIME])
    who = actor_of(job)
    with acting_as(who):
        if phase == RUN:
            _run(job, rows, by=who)
        else:
            _take_back(rows, by=who)
    if rows:
        write_rows(rows, ["state", "message", "undo"])
    job.state, job.started_at = JobState.RUNNING, job.started_at or clock.now()
    job.done = min(job.done + len(rows), job.total)
    is_over = len(rows) < AT_A_TIME
    if is_over:
        finish(job, phase)
    job.save()
    events.publish(events.JobProgressed(job.pk, job.state))
    return not is_over


def _run(job: Job, rows: list[BulkRow], *, by: Actor) -> None:
    """Do the act to the rows' records, and note what came of it."""
    taken = _acted(job, [row.record_id for row in rows], by=by)
    for row in rows:
        if row.record_id in taken.done:
            row.state, row.undo = BulkState.CHANGED, taken.done[row.record_id]
        elif row.record_id in taken.same:
            row.state = BulkState.SAME
        else:
            row.state, row.message = BulkState.REFUSED, taken.refused[row.record_id][:300]


def _acted(job: Job, keys: list[int], *, by: Actor) -> Taken:
    """All together. When the database refuses one of them, one by one, so that one cannot hold up the job."""
    try:
        with transaction.atomic():
            return act_on_slice(job.cursor, keys, by=by, window=UNDO_FOR)
    except CRMError as refused:
        return Taken(refused=dict.fromkeys(keys, str(refused)))
    except ObjectDoesNotExist:
        return Taken(refused=dict.fromkeys(keys, str(GONE)))
    except (IntegrityError, DataError):
        if len(keys) < 2:
            return Taken(refused=dict.fromkeys(keys, _("This record cannot be changed so.")))
    taken = Taken()
    for key in keys:
        one = _acted(job, [key], by=by)
        taken.done |= one.done
        taken.same |= one.same
        taken.refused |= one.refused
    return taken


def _take_back(rows: list[BulkRow], *, by: Actor) -> None:
    """Put the rows' records back to what they were, where they have not moved on."""
    offers = [row.undo_id for row in rows if row.undo_id]
    action = Undo.objects.filter(pk__in=offers).values_list("action", flat=True).first()
    taken = undo_many(action, offers, by=by) if action else Taken()
    for row in rows:
        if row.undo_id in taken.done:
            row.state = BulkState.UNDONE
        else:
            row.state = BulkState.KEPT
            row.message = taken.refused.get(row.undo_id, _("What it was before is no longer kept."))[:300]  # type: ignore[arg-type]
