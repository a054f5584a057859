"""Copies of personal data that no foreign key leads to: offers, refused rows, answers, samples."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Model, Q, QuerySet

from crm.actions.bulk import KIND as BULK
from crm.actions.bulk import forget_names
from crm.actions.person_addresses import Addresses
from crm.actions.personal_data import HELD, Blank, Person, scrub
from crm.models import (
    BulkRow,
    Consent,
    FormConfirmation,
    ImportJob,
    ImportRow,
    Inquiry,
    Job,
    Lead,
    Undo,
)

EXPORTS = "exports"  # folder of MEDIA_ROOT
# What an offer's `before` calls the records that it is about, where it keeps no version of them.
NAMED_IN_OFFERS = {
    "crm.lead": ("lead",),
    "crm.contact": ("contact",),
    "crm.opportunity": ("opportunity",),
    "crm.task": ("task", "successor"),
    "crm.note": ("note",),
    "crm.scoreoverride": ("override",),
    "crm.mergelog": ("merge",),
}


@scrub
def undo_offers(person: Person) -> dict[str, int]:
    """Offers about this person's records: what those were is written in them, and names in the label."""
    offers = Q()
    for held in HELD:
        label = held.model._meta.label_lower
        if label not in NAMED_IN_OFFERS and not _has_version(held.model):
            continue
        keys = set(held.rows(person).values_list("pk", flat=True))
        if keys:
            offers |= Q(**{f"versions__{label}__has_any_keys": [str(pk) for pk in keys]})
            for name in NAMED_IN_OFFERS.get(label, ()):
                offers |= Q(**{f"before__{name}__in": list(keys)})
    # by the ORM, because rows of bulk acts point at their offers
    return {"crm.undo": Undo.objects.filter(offers).delete()[1].get("crm.Undo", 0) if offers else 0}


def _has_version(model: type[Model]) -> bool:
    return any(field.name == "version" for field in model._meta.concrete_fields)


@scrub
def bulk_acts(person: Person) -> dict[str, int]:
    """Names of the refused, why they were, and the reason that was given, of bulk acts that are over."""
    rows = Q(job__cursor__target="lead", record_id__in=person.leads)
    rows |= Q(job__cursor__target="contact", record_id__in=person.contacts)
    cards = next(held for held in HELD if held.model._meta.label_lower == "crm.opportunity").rows(person)
    rows |= Q(job__cursor__target="opportunity", record_id__in=list(cards.values_list("pk", flat=True)))
    mine = BulkRow.objects.filter(rows, job__kind=BULK)
    over = Job.objects.filter(pk__in=mine.values("job"), finished_at__isnull=False)
    jobs = list(over.select_for_update(of=("self",)).order_by("pk"))
    for job in jobs:
        forget_names(job)
    return {"crm.bulkrow": mine.exclude(message="").update(message=""), "crm.job": len(jobs)}


@scrub
def inquiries_without_lead(person: Person) -> dict[str, int]:
    """What never joined a lead (spam, failed, not confirmed) and gives one of the person's addresses."""
    keys = _inquiries_without_lead(person)
    FormConfirmation.objects.filter(inquiry__in=keys).delete()  # nothing is left to confirm
    return {"crm.inquiry": Inquiry.objects.filter(pk__in=keys).update(**_blank_of(Inquiry))}


def _inquiries_without_lead(person: Person) -> list[int]:
    return Addresses.of(person).keys_in(Inquiry.objects.filter(lead=None), "payload")


def _refused_rows(person: Person) -> list[int]:
    return Addresses.of(person).keys_in(ImportRow.objects.filter(lead=None, raw__isnull=False), "raw")


def rows_without_key(person: Person) -> list[QuerySet[Any]]:
    """The rows about this person that no lead or contact of theirs leads to."""
    inquiries = _inquiries_without_lead(person)
    return [
        FormConfirmation.objects.filter(inquiry__in=inquiries),
        Inquiry.objects.filter(pk__in=inquiries),
        ImportRow.objects.filter(pk__in=_refused_rows(person)),
        _consents(person),
    ]


def _consents(person: Person) -> QuerySet[Consent]:
    keyless = Consent.objects.filter(lead=None, contact=None).exclude(norm="")
    return Consent.objects.filter(pk__in=Addresses.of(person).keys_in(keyless, "norm"))


@scrub
def consents_without_lead(person: Person) -> dict[str, int]:
    """Words given by an address that made no lead."""
    return {"crm.consent": _consents(person).update(**_blank_of(Consent))}


def _blank_of(model: type[Model]) -> Blank:
    return next(held.blank for held in HELD if held.model is model) or {}


@scrub
def stored_answers(person: Person) -> dict[str, int]:
    """Answers kept for repeated requests (48 h) that show one of the leads."""
    ids = Lead.objects.filter(pk__in=person.leads).values_list("public_id", flat=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM crm_idempotencykey WHERE EXISTS (SELECT FROM unnest(%s::text[]) AS id"
            " WHERE position(convert_to(id, 'UTF8') IN answer) > 0)",
            [[str(public_id) for public_id in ids]],
        )
        return {"crm.idempotencykey": cursor.rowcount}


@scrub
def rows_of_imports(person: Person) -> dict[str, int]:
    """Refused rows of files that give one of the person's addresses, and the example cells of those files and
    of the files that brought one of the leads.
    """
    refused = ImportRow.objects.filter(pk__in=_refused_rows(person))
    brought = ImportRow.objects.filter(lead__in=person.leads)
    files: set[Any] = {*brought.values_list("job", flat=True), *refused.values_list("job", flat=True)}
    jobs = list(ImportJob.objects.filter(pk__in=files).select_for_update().order_by("pk"))
    for job in jobs:
        job.columns = [column | {"samples": []} for column in job.columns]
        job.save(update_fields=["columns", "updated_at"])
    return {"crm.importrow": refused.update(**_blank_of(ImportRow)), "crm.importjob": len(jobs)}


@scrub
def exported_files(person: Person) -> dict[str, int]:
    """Exports that wait to be fetched: one is made again in seconds, a name in it is not searched for."""
    folder = Path(settings.MEDIA_ROOT) / EXPORTS
    files = [path for path in folder.glob("*") if path.is_file()] if folder.is_dir() else []
    for path in files:
        path.unlink(missing_ok=True)
    return {"files": len(files)}
