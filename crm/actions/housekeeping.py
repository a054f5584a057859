"""What is deleted because its time is over. Short deletes, so that no transaction lasts over a second."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from crm.actions.bulk import KIND as BULK
from crm.actions.bulk import forget_names
from crm.actions.outbox import prune_outbox
from crm.actions.personal_data import ERASED
from crm.models import BulkRow, IdempotencyKey, Job, RateHit, Undo

UNDO_KEPT = timedelta(hours=24)
IDEMPOTENCY_KEPT = timedelta(hours=48)
BULK_ROWS_KEPT = timedelta(days=8)  # after the job: a day longer than its undo
SLICE = 2_000  # rows a statement


def delete_expired(at: datetime) -> int:
    """Delete events past their replay, old idempotency keys, rate windows and undo offers. Returns how
    many rows.
    """
    _forget_bulk_names(at - BULK_ROWS_KEPT)
    return prune_outbox(at) + sum(
        _in_slices(rows)
        for rows in (
            IdempotencyKey.objects.filter(created_at__lt=at - IDEMPOTENCY_KEPT),
            RateHit.objects.filter(expires_at__lt=at),
            BulkRow.objects.filter(job__finished_at__lt=at - BULK_ROWS_KEPT),
            Undo.objects.filter(expires_at__lt=at - UNDO_KEPT),
        )
    )


def _forget_bulk_names(before: datetime) -> None:
    """With its rows, a bulk act loses the names that it told: no erasure would find them any more."""
    told = Q(result__refusals__0__isnull=False) | Q(result__kept_rows__0__isnull=False)
    told |= Q(cursor__values__has_key="reason") & ~Q(cursor__values__reason__in=["", ERASED])
    for job in Job.objects.filter(told, kind=BULK, finished_at__lt=before).order_by("pk")[:SLICE]:
        forget_names(job)


def _in_slices(rows: models.QuerySet) -> int:
    deleted = 0
    while count := rows.model.objects.filter(pk__in=rows.order_by("pk").values("pk")[:SLICE]).delete()[0]:
        deleted += count
    return deleted
