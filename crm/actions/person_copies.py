"""Copies of personal data that no foreign key leads to: undo offers, stored answers, samples of imports."""

from pathlib import Path

from django.conf import settings
from django.db import connection

from crm.actions.personal_data import Person, scrub
from crm.models import ImportJob, ImportRow, Lead

EXPORTS = "exports"  # folder of MEDIA_ROOT


@scrub
def undo_offers(person: Person) -> dict[str, int]:
    """Offers whose rows are this person's: what they were is written in them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM crm_undo WHERE before ->> 'lead' = ANY(%(leads)s)"
            " OR before ->> 'contact' = ANY(%(contacts)s) OR versions -> 'crm.lead' ?| %(leads)s"
            " OR versions -> 'crm.contact' ?| %(contacts)s",
            {
                "leads": [str(pk) for pk in person.leads],
                "contacts": [str(pk) for pk in person.contacts],
            },
        )
        return {"crm.undo": cursor.rowcount}


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
def samples_of_imports(person: Person) -> dict[str, int]:
    """The example cells of files that brought one of the leads."""
    brought = ImportRow.objects.filter(lead__in=person.leads).values("job")
    jobs = list(ImportJob.objects.filter(pk__in=brought).select_for_update().order_by("pk"))
    for job in jobs:
        job.columns = [column | {"samples": []} for column in job.columns]
        job.save(update_fields=["columns", "updated_at"])
    return {"crm.importjob": len(jobs)}


@scrub
def exported_files(person: Person) -> dict[str, int]:
    """Exports that wait to be fetched: one is made again in seconds, a name in it is not searched for."""
    folder = Path(settings.MEDIA_ROOT) / EXPORTS
    files = [path for path in folder.glob("*") if path.is_file()] if folder.is_dir() else []
    for path in files:
        path.unlink(missing_ok=True)
    return {"files": len(files)}
