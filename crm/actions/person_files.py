"""Files that wait for their import: no row of ours says whom they are about, so they are read."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from crm.actions.person_addresses import Addresses, ways_in
from crm.actions.personal_data import Person
from crm.errors import ImportRefused
from crm.imports import storing
from crm.imports.reading import Row, Table
from crm.imports.running import fail
from crm.imports.sniffing import Dialect
from crm.imports.staging import clear_some
from crm.models import ImportJob, ImportStage, ImportState, JobState, Verdict

FILES = "files that wait for their import"  # what an export calls them
WAITING = (ImportState.UPLOADED, ImportState.MAPPED, ImportState.CHECKED)


def hold_imports() -> QuerySet[ImportJob]:
    """Those that wait or are at work, locked when read: before the import lock, as their slices do it."""
    alive = Q(job__state__in=[JobState.QUEUED, JobState.RUNNING]) | ~Q(stored_as="")
    return ImportJob.objects.filter(alive).select_for_update(of=("self",)).order_by("pk")


def lines_about(person: Person) -> Iterator[tuple[ImportJob, dict[str, Any]]]:
    """What waiting files say of this person: the import, and a line's number and cells by column.

    Reads every waiting file once, in pieces.
    """
    addresses = Addresses.of(person)
    for job, path in _waiting() if addresses.ways else ():
        for row in _rows_about(addresses, job, path):
            names = [column["name"] for column in job.columns]
            cells = dict(zip(names, row.cells, strict=False)) if len(names) == len(row.cells) else row.cells
            yield job, {"file": job.file_name, "line": row.line, "cells": cells}


def forget_waiting_files(person: Person) -> dict[str, int]:
    """Delete waiting files that name this person: whoever uploaded one reads why, and brings it again without
    them. Of imports that run, the rows about the person that are not written yet are not written. Returns
    numbers by table. Reads every waiting file, up to the first line about the person.
    """
    addresses = Addresses.of(person)
    if not addresses.ways:
        return {}
    about = [(job, path) for job, path in _waiting() if any(_rows_about(addresses, job, path))]
    for job, path in about:
        _forget(job, path)
    for job in _jobs():  # a restored database knows files that are gone: nobody can say whom they were about
        path = storing.path_of(job.stored_as)
        if not path.is_file():
            _forget_samples(job)
            remove_upload(job.pk, path)
    return {"crm.importjob": len(about), "crm.importstage": _skip_staged(addresses)}


def ways_waiting() -> Iterator[tuple[datetime, frozenset[tuple[str, str]]]]:
    """The addresses in each line of each waiting file, with the time of its upload."""
    for job, path in _waiting():
        country = job.source.default_country if job.source else ""
        for row in _rows(job, path):
            yield job.created_at, ways_in(row.cells, country=country)


def _jobs() -> list[ImportJob]:
    jobs = ImportJob.objects.filter(state__in=WAITING).exclude(stored_as="").select_related("source")
    return list(jobs.order_by("pk"))


def _waiting() -> Iterator[tuple[ImportJob, Path]]:
    for job in _jobs():
        path = storing.path_of(job.stored_as)
        if path.is_file():
            yield job, path


def _rows_about(addresses: Addresses, job: ImportJob, path: Path) -> Iterator[Row]:
    for row in _rows(job, path):
        if addresses.may_be_in("\n".join(row.cells)) and addresses.are_in(row.cells):
            yield row


def _rows(job: ImportJob, path: Path) -> Iterator[Row]:
    """What can be read as the import would read it; of the rest, lines as they stand."""
    dialect = Dialect(job.encoding, job.delimiter, job.options.get("skip_lines", 0))
    read = 0
    try:
        with Table(path, dialect) as table:
            for row in table:
                read = row.line
                yield row
    except ImportRefused:
        with path.open(encoding=job.encoding or "utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if number > read:
                    yield Row(0, number, line.split(job.delimiter or ","))


def _forget(job: ImportJob, path: Path) -> None:
    fail(job.pk, _("Somebody in this file was erased. Take them out of it, and upload it again."))
    _forget_samples(ImportJob.objects.get(pk=job.pk))
    remove_upload(job.pk, path)


def remove_upload(job_id: int, path: Path) -> None:
    """At the commit: the file, and what was read of it."""

    def gone() -> None:
        path.unlink(missing_ok=True)
        while clear_some(job_id):
            pass

    transaction.on_commit(gone)


def _forget_samples(job: ImportJob) -> None:
    """What was shown of the file's cells. An import that runs needs its words of choices and tags."""
    job.columns = [column | {"samples": []} for column in job.columns]
    job.warnings = []
    if job.state in WAITING:
        for name in ("choices", "tags", "header_warnings"):
            job.options.pop(name, None)
    job.save(update_fields=["columns", "warnings", "options", "updated_at"])


def _skip_staged(addresses: Addresses) -> int:
    """Rows that an import which runs has read and not written yet."""
    running = ImportJob.objects.filter(state=ImportState.RUNNING).values_list("pk", flat=True)
    jobs = list(running)
    staged = ImportStage.objects.filter(job_id__in=jobs, verdict__in=[Verdict.CREATE, Verdict.UPDATE])
    keys = addresses.keys_in(staged, "fields") if jobs else []
    about = ImportStage.objects.filter(pk__in=keys).values_list("job_id", flat=True)
    for job in ImportJob.objects.filter(pk__in=set(about)):
        _forget_samples(job)
    blank = dict.fromkeys(
        ("email_key", "email_plain_key", "phone_key", "external_key", "domain_key", "name_company_key"), ""
    )
    return ImportStage.objects.filter(pk__in=keys).update(
        verdict=Verdict.SKIP,
        lead_id=None,
        fields={},
        custom={},
        search_text="",
        message="",
        row_hash="",
        **blank,
    )
