"""What may not be kept for ever: deleted leads, spam, rows of old imports, people turned away long ago."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from math import inf

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from crm import progress
from crm.actions.erasure import erase_person, remove_files
from crm.actions.maintenance import forget_deleted, maintenance
from crm.actions.person_files import WAITING, remove_upload
from crm.actions.personal_data import ERASED, person_of
from crm.errors import TransitionRefused
from crm.imports import storing
from crm.models import (
    Actor,
    Attachment,
    FormConfirmation,
    ImportJob,
    ImportRow,
    ImportState,
    Inquiry,
    InquiryState,
    Lead,
    LeadStatus,
    Notification,
)

DELETED_KEPT = timedelta(days=30)
SPAM_KEPT = timedelta(days=30)
UPLOADS_KEPT = timedelta(days=30)
IMPORT_ROWS_KEPT = timedelta(days=90)
READ_KEPT = timedelta(days=90)
SLICE = 500  # rows a transaction
DISQUALIFIED = "disqualified leads"
UPLOADS = "files that nobody imported"
BY = Actor.system("retention")


def overdue(at: datetime) -> dict[str, QuerySet]:
    """What `keep_no_longer` would take now, by name."""
    disqualified = Lead.objects.none()
    if settings.RETENTION_DISQUALIFIED_DAYS:
        since = at - timedelta(days=settings.RETENTION_DISQUALIFIED_DAYS)
        disqualified = Lead.objects.live().filter(status=LeadStatus.DISQUALIFIED, status_changed_at__lt=since)
    never_joined = Inquiry.objects.filter(lead=None, received_at__lt=at - SPAM_KEPT)
    finished = [ImportState.DONE, ImportState.UNDONE]
    return {
        "deleted leads": Lead.objects.filter(deleted_at__lt=at - DELETED_KEPT),
        "spam and unconfirmed inquiries": never_joined.filter(
            state__in=[InquiryState.SPAM, InquiryState.FAILED, InquiryState.RECEIVED]
        ),
        "confirmations": FormConfirmation.objects.filter(expires_at__lt=at - SPAM_KEPT),
        "rows of imports": ImportRow.objects.filter(
            job__state__in=finished, job__finished_at__lt=at - IMPORT_ROWS_KEPT
        ),
        UPLOADS: ImportJob.objects.filter(state__in=WAITING, updated_at__lt=at - UPLOADS_KEPT),
        "read notifications": Notification.objects.filter(read_at__lt=at - READ_KEPT),
        DISQUALIFIED: disqualified.exclude(name=ERASED),
    }


def keep_no_longer(at: datetime) -> dict[str, int]:
    """Delete or anonymise all that is overdue, in short transactions. Returns numbers by name.

    Publishes PersonErased for leads that are anonymised.
    """
    return delete_overdue(at) | {DISQUALIFIED: anonymise_overdue(at)[0]}


def delete_overdue(at: datetime) -> dict[str, int]:
    """Delete what has a time to go. Returns numbers by name."""
    due = overdue(at)
    own = {"deleted leads": _delete_leads, UPLOADS: _delete_uploads}
    return {
        name: _in_slices(rows, own.get(name, _delete)) for name, rows in due.items() if name != DISQUALIFIED
    }


def anonymise_overdue(at: datetime, *, after: int = 0, seconds: float = inf) -> tuple[int, int | None]:
    """Anonymise who was turned away long ago, for about so many seconds, from behind the lead's key `after`.

    Returns how many, and the key to go on behind; None when all were looked at. Who is spared is passed, so
    that they keep nobody behind them. Publishes PersonErased.
    """
    stop_at, taken = time.monotonic() + seconds, 0
    for pk in chain.from_iterable(_slices(overdue(at)[DISQUALIFIED], after)):
        taken += _anonymise(pk)
        progress.made()
        if time.monotonic() >= stop_at:
            return taken, pk
    return taken, None


def _slices(rows: QuerySet, last: int = 0) -> Iterator[list[int]]:
    """The keys of the rows behind `last`, SLICE at a time, each once."""
    while keys := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:SLICE]):
        yield keys
        last = keys[-1]
        progress.made()


def _in_slices(rows: QuerySet, take: Callable[[QuerySet], None]) -> int:
    taken = 0
    for keys in _slices(rows):
        with transaction.atomic():
            take(rows.model._default_manager.filter(pk__in=keys))
        taken += len(keys)
    return taken


def _delete(rows: QuerySet) -> None:
    rows.delete()


def _delete_uploads(jobs: QuerySet) -> None:
    """With their files, and what was read of them."""
    for job in jobs.select_for_update(of=("self",)):
        remove_upload(job.pk, storing.path_of(job.stored_as))
        job.delete()


def _delete_leads(leads: QuerySet) -> None:
    """With what was merged into them: those rows have no life of their own. Their files go at the commit."""
    keys = list(leads.values_list("pk", flat=True))
    attached = Attachment.objects.filter(Q(lead__in=keys) | Q(lead__merged_into__in=keys))
    files = list(attached.values_list("stored_as", flat=True))
    with maintenance("retention", "deleted leads for good", by=BY, leads=len(keys)):
        inquiries = Inquiry.objects.filter(Q(lead__in=keys) | Q(lead__merged_into__in=keys))
        inquiries.delete()
        Lead.objects.filter(merged_into__in=keys).delete()
        Lead.objects.filter(pk__in=keys).delete()
        forget_deleted()
    transaction.on_commit(lambda: remove_files(files))


def _anonymise(lead_id: int) -> int:
    """Nobody who is also an open lead or a contact in business: those are still known for a reason. Who is
    just being written to waits for the next night.
    """
    lead = Lead.objects.exclude(name=ERASED).filter(pk=lead_id).first()
    if lead is None:
        return 0
    person = person_of(lead=lead)
    if person.contacts or Lead.objects.open().filter(pk__in=person.leads).exists():
        return 0
    try:
        erase_person(person, by=BY, with_files=False)  # a file that waits is news of them
    except TransitionRefused:
        return 0
    return 1
