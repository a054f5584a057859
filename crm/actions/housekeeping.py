"""What is deleted because its time is over. Short deletes, so that no transaction lasts over a second."""

from datetime import datetime, timedelta

from django.db import models

from crm.actions.outbox import prune_outbox
from crm.models import BulkRow, IdempotencyKey, RateHit, Undo

UNDO_KEPT = timedelta(hours=24)
IDEMPOTENCY_KEPT = timedelta(hours=48)
BULK_ROWS_KEPT = timedelta(days=8)  # after the job: a day longer than its undo
SLICE = 2_000  # rows a statement


def delete_expired(at: datetime) -> int:
    """Delete events past their replay, old idempotency keys, rate windows and undo offers. Returns how
    many rows.
    """
    return prune_outbox(at) + sum(
        _in_slices(rows)
        for rows in (
            IdempotencyKey.objects.filter(created_at__lt=at - IDEMPOTENCY_KEPT),
            RateHit.objects.filter(expires_at__lt=at),
            BulkRow.objects.filter(job__finished_at__lt=at - BULK_ROWS_KEPT),
            Undo.objects.filter(expires_at__lt=at - UNDO_KEPT),
        )
    )


def _in_slices(rows: models.QuerySet) -> int:
    deleted = 0
    while count := rows.model.objects.filter(pk__in=rows.order_by("pk").values("pk")[:SLICE]).delete()[0]:
        deleted += count
    return deleted
