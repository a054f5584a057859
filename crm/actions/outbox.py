"""Upkeep of the feed (crm/feed.py): what is too old goes, and a restored database starts a new epoch."""

import secrets
from datetime import datetime

from django.db import connection, transaction

from crm import feed
from crm.models import LiveEpoch, OutboxEvent

SLICE = 2_000  # rows a statement, so that no transaction lasts over a second


def prune_outbox(at: datetime) -> int:
    """Delete the events that are older than 24 h at `at`. Returns how many rows.

    The newest of them stays, as the mark by which `feed.read` knows a cursor from before it as too old.
    """
    deleted = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                WITH mark AS (SELECT xid, id FROM crm_outboxevent WHERE at < %(before)s
                               ORDER BY xid DESC, id DESC LIMIT 1)
                DELETE FROM crm_outboxevent WHERE id IN (
                    SELECT old.id FROM crm_outboxevent old, mark
                     WHERE old.at < %(before)s AND (old.xid, old.id) < (mark.xid, mark.id) LIMIT %(slice)s)
                """,
                {"before": at - feed.KEPT, "slice": SLICE},
            )
            count = cursor.rowcount
        deleted += count
        if count < SLICE:
            return deleted


@transaction.atomic
def renew_epoch() -> str:
    """After a logical restore: forget all events and every cursor that was ever given out."""
    OutboxEvent.objects.all().delete()
    row, _created = LiveEpoch.objects.update_or_create(id=1, defaults={"epoch": secrets.token_hex(4)})
    return row.epoch
