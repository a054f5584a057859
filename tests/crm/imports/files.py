"""Small generated files, and the way through an import in one call."""

import io
from pathlib import Path
from typing import Any

from crm.actions.imports import advance_import, check_import, map_import, run_import, upload_import
from crm.models import Actor, ImportJob, Lead

SYSTEM = Actor.system("import")


def csv_of(*rows: str, encoding: str = "utf-8") -> bytes:
    return ("\r\n".join(rows) + "\r\n").encode(encoding)


def people(count: int, *, start: int = 1) -> bytes:
    """`count` different leads with an e-mail address, a phone number and two custom columns."""
    lines = ["Name,E-mail,Phone,Company,Value,Garden,Visits"]
    for n in range(start, start + count):
        garden = "roof" if n % 2 else "patio"
        lines.append(f"Person {n},p{n}@firm{n}.example,+4930555{n:05d},Firm {n},{n}.50,{garden},{n}")
    return csv_of(*lines)


def upload(content: bytes, *, by: Actor = SYSTEM, name: str = "leads.csv", **options: Any) -> ImportJob:
    return upload_import(io.BytesIO(content), by=by, file_name=name, **options)


def work(job: ImportJob) -> ImportJob:
    while advance_import(job.pk, seconds=60):
        pass
    job.refresh_from_db()
    return job


def check(content: bytes, *, by: Actor = SYSTEM, **mapping: Any) -> ImportJob:
    job = upload(content, by=by)
    if mapping:
        map_import(job.pk, by=by, **mapping)
    check_import(job.pk, by=by, in_process=True)
    return work(job)


def run(content: bytes, *, by: Actor = SYSTEM, analyse: str = "none", **mapping: Any) -> ImportJob:
    job = check(content, by=by, **mapping)
    run_import(job.pk, by=by, analyse=analyse, in_process=True)
    return work(job)


def counts(job: ImportJob) -> tuple[int, int, int, int]:
    """(created, updated, skipped, failed)"""
    return job.rows_created, job.rows_updated, job.rows_skipped, job.rows_failed


def lead_called(name: str) -> Lead:
    return Lead.objects.get(name=name)


def stored_files(media: Path) -> list[Path]:
    return [path for path in media.rglob("*") if path.is_file()]
