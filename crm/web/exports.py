"""Exports: ask for a list as a file, watch it being made, fetch it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm import clock
from crm.actions.exports import WORKING, cancel_export, exported_file, own_exports, start_export
from crm.errors import CRMError
from crm.exports.downloading import download_of
from crm.models import Job, JobState
from crm.permissions import Verb, require
from crm.web import words
from crm.web.base import by, piece, say, say_no, screen

NEWEST = 30
_PLACES = {"sort", "after", "before", "columns", "layout"}  # of a list's address; the rest are its filters


@dataclass(frozen=True, slots=True)
class ExportLine:
    """One export as text."""

    public_id: str
    name: str
    state: str
    state_label: str
    rows: str
    when: str
    has_file: bool


@screen
@require_http_methods(["GET", "POST"])
def export_list(request: HttpRequest) -> HttpResponse:
    """One's exports; a POST asks for one of the list whose filters are in the address."""
    require(by(request), Verb.EXPORT)
    if request.method == "POST":
        filters = {name: str(request.GET[name]) for name in request.GET if name not in _PLACES}
        try:
            job = start_export(
                by=by(request),
                format=request.POST.get("format", "csv"),
                filters=filters,
                sort=request.GET.get("sort", ""),
            )
        except CRMError as refused:
            context = {"lines": _lines(request), "error": str(refused)}
            return render(request, "crm/export_list.html", context, status=422)
        return redirect("crm:export", public_id=job.public_id)
    return render(request, "crm/export_list.html", {"lines": _lines(request), "error": ""})


def _lines(request: HttpRequest) -> list[ExportLine]:
    now = clock.now()
    return [
        ExportLine(
            public_id=str(job.public_id),
            name=job.result.get("name") or _("Export"),
            state=job.state,
            state_label=str(JobState(job.state).label),
            rows=words.whole(job.result["rows"]) if "rows" in job.result else "",
            when=words.ago(job.created_at, now),
            has_file=_has_file(job),
        )
        for job in own_exports(by(request)).order_by("-created_at", "-pk")[:NEWEST]
    ]


def _has_file(job: Job) -> bool:
    return job.state == JobState.DONE and "file" in job.cursor


@screen
@require_GET
def export_page(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """How far it is, then the file."""
    return render(request, "crm/export.html", _context(_job(request, public_id)))


@screen
@require_GET
def export_body(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The part that changes by itself."""
    return piece(request, "crm/partials/export_body.html", _context(_job(request, public_id)))


def _job(request: HttpRequest, public_id: UUID) -> Job:
    return get_object_or_404(own_exports(by(request)), public_id=public_id)


def _context(job: Job) -> dict[str, Any]:
    return {
        "job": job,
        "is_busy": job.state in WORKING,
        "has_file": _has_file(job),
        "done": words.whole(job.done),
        "total": words.whole(job.total),
        "share": 100 * job.done // job.total if job.total else 0,
        "rows": words.whole(job.result.get("rows", 0)),
        "size_kb": words.whole(-(-job.result.get("size_bytes", 0) // 1024)),
    }


@screen
@require_POST
def export_cancel(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Stop it; nothing of it is kept."""
    job = _job(request, public_id)
    try:
        cancel_export(job.pk, by=by(request))
    except CRMError as refused:
        say_no(request, refused)
    else:
        say(request, _("Export stopped"))
    return redirect("crm:export", public_id=public_id)


@screen
@require_GET
def export_file(request: HttpRequest, public_id: UUID) -> HttpResponse | FileResponse:
    """The download, for who asked for it alone."""
    job = _job(request, public_id)
    try:
        path = exported_file(job, by=by(request))
    except CRMError as refused:
        return render(
            request, "crm/export.html", _context(job) | {"error": str(refused)}, status=refused.status
        )
    return download_of(path, job.result["name"])
