"""What may not be kept for ever: deleted leads, spam, rows of old imports, people turned away long ago."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from crm.actions.erasure import erase_person
from crm.actions.maintenance import forget_deleted, maintenance
from crm.actions.personal_data import ERASED, person_of
from crm.models import (
    Actor,
    FormConfirmation,
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
IMPORT_ROWS_KEPT = timedelta(days=90)
READ_KEPT = timedelta(days=90)
SLICE = 500  # rows a transaction
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
        "read notifications": Notification.objects.filter(read_at__lt=at - READ_KEPT),
        "disqualified leads": disqualified.exclude(name=ERASED),
    }


def keep_no_longer(at: datetime) -> dict[str, int]:
    """Delete or anonymise all that is overdue, in short transactions. Returns numbers by name.

    Publishes PersonErased for leads that are anonymised.
    """
    due = overdue(at)
    counts = {name: _in_slices(rows, _delete) for name, rows in due.items() if not name.endswith(" leads")}
    counts["deleted leads"] = _in_slices(due["deleted leads"], _delete_leads)
    counts["disqualified leads"] = sum(_anonymise(pk) for pk in _keys(due["disqualified leads"]))
    return counts


def _keys(rows: QuerySet) -> Iterator[int]:
    yield from list(rows.order_by("pk").values_list("pk", flat=True)[:SLICE])


def _in_slices(rows: QuerySet, take: Callable[[QuerySet], None]) -> int:
    taken = 0
    while keys := list(_keys(rows)):
        with transaction.atomic():
            take(rows.model._default_manager.filter(pk__in=keys))
        taken += len(keys)
    return taken


def _delete(rows: QuerySet) -> None:
    rows.delete()


def _delete_leads(leads: QuerySet) -> None:
    """With what was merged into them: those rows have no life of their own."""
    keys = list(leads.values_list("pk", flat=True))
    with maintenance("retention", "deleted leads for good", by=BY, leads=len(keys)):
        inquiries = Inquiry.objects.filter(Q(lead__in=keys) | Q(lead__merged_into__in=keys))
        inquiries.delete()
        Lead.objects.filter(merged_into__in=keys).delete()
        Lead.objects.filter(pk__in=keys).delete()
        forget_deleted()


def _anonymise(lead_id: int) -> int:
    """Nobody who is also an open lead or a contact in business: those are still known for a reason."""
    lead = Lead.objects.get(pk=lead_id)
    person = person_of(lead=lead)
    if person.contacts or Lead.objects.open().filter(pk__in=person.leads).exists():
        return 0
    erase_person(person, by=BY)
    return 1
