"""Mail that leaves, with its result stored even while the database changes over."""

import logging
import time

from django.db import DatabaseError, connection

from crm import clock
from crm.actions.messages import Claim, finish_sending
from crm.errors import is_outage
from crm.mail.transport import deliver

log = logging.getLogger(__name__)
BOOK_FOR_S = 60  # with what a sending task may last before (45 s) below the queue's limit of 120 s
AGAIN_S = 1


def deliver_claimed(claim: Claim) -> None:
    """Send a claimed message and book what became of it.

    Nobody else knows it, so while the database is away it is tried again. What then still stands as
    `sending` becomes a question to a person. Publishes what `finish_sending` does.
    """
    delivery = deliver(claim.letter)
    give_up = time.monotonic() + BOOK_FOR_S
    while True:
        try:
            finish_sending(claim.message_id, version=claim.version, delivery=delivery, at=clock.now())
            return
        except DatabaseError as error:
            if not is_outage(error) or time.monotonic() > give_up:
                raise
            log.warning("the database is away (%s); a mail's result waits", type(error).__name__)
        connection.close()
        time.sleep(AGAIN_S)
