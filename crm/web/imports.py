"""Imports: bring in a file of leads, step by step."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from crm import clock
from crm.models import ImportJob, ImportState
from crm.web import words
from crm.web.base import person, screen

NEWEST = 30


@dataclass(frozen=True, slots=True)
class ImportLine:
    """One file as text."""

    public_id: str
    file_name: str
    state: str
    state_label: str
    rows: int
    created: int
    updated: int
    failed: int
    when: str


@screen
@require_GET
def import_list(request: HttpRequest) -> HttpResponse:
    """The person's imports, newest first."""
    now = clock.now()
    jobs = ImportJob.objects.visible_to(person(request)).order_by("-created_at")[:NEWEST]
    lines = [
        ImportLine(
            public_id=str(job.public_id),
            file_name=job.file_name,
            state=job.state,
            state_label=str(ImportState(job.state).label),
            rows=job.rows_total,
            created=job.rows_created,
            updated=job.rows_updated,
            failed=job.rows_failed,
            when=words.ago(job.created_at, now),
        )
        for job in jobs
    ]
    return render(request, "crm/import_list.html", {"lines": lines})
