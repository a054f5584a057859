"""Imports: upload a file, match its columns, check it, bring it in."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import get_valid_filename
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm import clock
from crm.actions.imports import (
    assignees,
    cancel_import,
    check_import,
    map_import,
    may_undo_import,
    preview_undo_import,
    run_import,
    undo_import,
    upload_import,
)
from crm.errors import CRMError, ImportRefused, UndoRefused
from crm.imports.columns import CUSTOM
from crm.imports.running import OVER, UNDO
from crm.imports.summary import (
    analysis_choices,
    column_views,
    offered_fields,
    problem_lines,
    problem_rows,
    skipped_rows,
)
from crm.models import (
    AssignmentRule,
    ImportAssign,
    ImportJob,
    ImportPolicy,
    ImportState,
    JobState,
    LeadSource,
    User,
)
from crm.permissions import Verb, require
from crm.web import words
from crm.web.base import ai_of, by, person, piece, read_uuid, say, say_no, screen

NEWEST = 30
PROBLEMS_SHOWN = 8
SKIPS_SHOWN = 20
CELLS_SHOWN = 5
PEOPLE_SHOWN = 200
UPLOAD, MATCH, CHECK, DONE = 1, 2, 3, 4
_STATES_BEFORE_CHECK = {ImportState.UPLOADED, ImportState.MAPPED}


@dataclass(frozen=True, slots=True)
class ImportLine:
    """One file as text, for the list."""

    public_id: str
    file_name: str
    state: str
    state_label: str
    rows: str
    created: str
    updated: str
    failed: str
    when: str


@dataclass(frozen=True, slots=True)
class ColumnLine:
    """One column to be matched: what it holds, and what it may become."""

    position: int
    name: str
    samples: str
    choices: list[tuple[str, str, bool]]
    is_left_out: bool


@dataclass(frozen=True, slots=True)
class ProblemLine:
    row: int
    cells: list[tuple[str, bool]]  # text, and whether it is the one that is wrong
    message: str


@screen
@require_http_methods(["GET", "POST"])
def import_list(request: HttpRequest) -> HttpResponse:
    """The first step, and what was brought in before."""
    require(by(request), Verb.IMPORT)
    error = ""
    if request.method == "POST":
        try:
            job = _upload(request)
        except CRMError as refused:
            error = str(refused)
        else:
            return redirect("crm:import", public_id=job.public_id)
    context = {
        "lines": _lines(request),
        "sources": list(LeadSource.objects.values_list("name", flat=True)[:100]),
        "source": request.POST.get("source", ""),
        "most_mb": words.whole(settings.GARDENOS_IMPORT_MAX_MB),
        "most_rows": words.whole(settings.GARDENOS_IMPORT_MAX_ROWS),
        "error": error,
        "step": UPLOAD,
    }
    return render(request, "crm/import_list.html", context, status=422 if error else 200)


def _upload(request: HttpRequest) -> ImportJob:
    """Raises CRMError."""
    file = request.FILES.get("file")
    if file is None:
        raise ImportRefused(_("Choose a file first."), field="file")
    source = request.POST.get("source", "").replace("\0", "").strip()[:120]
    return upload_import(file, by=by(request), file_name=file.name or "", source=source or None)


def _lines(request: HttpRequest) -> list[ImportLine]:
    now = clock.now()
    jobs = ImportJob.objects.visible_to(person(request)).order_by("-created_at")[:NEWEST]
    return [
        ImportLine(
            public_id=str(job.public_id),
            file_name=job.file_name,
            state=job.state,
            state_label=str(ImportState(job.state).label),
            rows=words.whole(job.rows_total),
            created=words.whole(job.rows_created),
            updated=words.whole(job.rows_updated),
            failed=words.whole(job.rows_failed),
            when=words.ago(job.created_at, now),
        )
        for job in jobs
    ]


@screen
@require_GET
def import_page(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The step this import has come to."""
    job = _job(request, public_id)
    return render(request, "crm/import.html", _context(request, job))


@screen
@require_GET
def import_body(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The part that changes by itself."""
    job = _job(request, public_id)
    return piece(request, "crm/partials/import_body.html", _context(request, job) | {"is_piece": True})


def _job(request: HttpRequest, public_id: UUID) -> ImportJob:
    jobs = ImportJob.objects.visible_to(person(request)).select_related("job", "source")
    return get_object_or_404(jobs, public_id=public_id)


def _is_busy(job: ImportJob) -> bool:
    """Whether a worker has it, or will."""
    return job.job.cursor.get("phase") != OVER and job.job.state in {JobState.QUEUED, JobState.RUNNING}


def _context(request: HttpRequest, job: ImportJob, *, error: str = "") -> dict[str, Any]:
    """What the page shows, by how far the import has come."""
    wants_match = request.GET.get("step") == "match" and job.state == ImportState.CHECKED
    context: dict[str, Any] = {
        "job": job,
        "error": error or job.error,
        "warnings": job.warnings,
        "rows": words.whole(job.rows_total),
    }
    if job.state == ImportState.RUNNING:
        return context | {"view": "running", "step": CHECK, **_progress(job.rows_done, job.rows_total)}
    if job.job.cursor.get("phase") == UNDO and _is_busy(job):
        gone = min(job.job.cursor.get("row", 0), job.rows_total)
        return context | {"view": "undoing", "step": DONE, **_progress(gone, job.rows_total)}
    if job.state in {ImportState.DONE, ImportState.UNDONE}:
        counts = {**_counts(job), **_problems(job), "skips": _skips(job), "undone": _undone(job)}
        may_undo = may_undo_import(job, by=by(request))
        return context | {"view": "done", "step": DONE, "may_undo": may_undo, **counts}
    if _is_busy(job):
        return context | {"view": "checking", "step": CHECK, **_progress(job.job.done, job.rows_total)}
    if job.state in _STATES_BEFORE_CHECK or wants_match:
        return context | {"view": "match", "step": MATCH, **_match(job)}
    analysis = _analysis(request, job)
    counts = {**_counts(job), **_problems(job), "skips": _skips(job)}
    choices = {"analysis": analysis, "assign": _assign_choices(request)}
    return context | {"view": "check", "step": CHECK, **counts, **choices}


def _progress(done: int, total: int) -> dict[str, Any]:
    return {
        "done": words.whole(done),
        "total": words.whole(total),
        "share": min(100, 100 * done // total) if total else 0,
        "done_n": done,
        "total_n": total,
    }


def _counts(job: ImportJob) -> dict[str, str]:
    names = ("created", "updated", "skipped", "failed")
    counts = {name: words.whole(getattr(job, f"rows_{name}")) for name in names}
    return counts | {"to_import": words.whole(job.rows_created + job.rows_updated)}


def _undone(job: ImportJob) -> dict[str, str]:
    """What taking it back did, as text; empty while nobody did."""
    found = job.options.get("undo", {}) if job.state == ImportState.UNDONE else {}
    return {name: words.whole(number) for name, number in found.items()}


def _match(job: ImportJob) -> dict[str, Any]:
    offered = offered_fields()
    columns = []
    for position, view in enumerate(column_views(job)):
        own = f"{CUSTOM}{view.column.key}"
        targets = [*offered, *([own] if own not in offered else [])]
        choices = [("", _("Leave out"), not view.target)]
        choices += [(target, _target_label(target), target == view.target) for target in targets]
        samples = " · ".join(view.column.samples)
        columns.append(ColumnLine(position, view.column.name, samples, choices, not view.target))
    policies = [(one.value, str(one.label), one.value == job.policy) for one in ImportPolicy]
    return {"columns": columns, "policies": policies}


def _target_label(target: str) -> str:
    if target.startswith(CUSTOM):
        return _("Own field: %s") % target.removeprefix(CUSTOM).replace("_", " ")
    labels = {
        "external_id": _("Id in the other system"),
        "first_name": _("First name"),
        "last_name": _("Last name"),
        "name": _("Name"),
        "company": _("Company"),
        "title": _("Job title"),
        "email": _("E-mail"),
        "phone": _("Phone"),
        "country": _("Country"),
        "interest": _("Interest"),
        "est_value": _("Estimated value"),
        "currency": _("Currency"),
        "message": _("What they said"),
        "mailing_address": _("Mailing address"),
        "physical_address": _("Site address"),
        "tags": _("Tags"),
        "outcome": _("Outcome: won or lost"),
    }
    return labels.get(target, target)


def _skips(job: ImportJob) -> list[Any]:
    return list(skipped_rows(job)[:SKIPS_SHOWN]) if job.rows_skipped else []


def _problems(job: ImportJob) -> dict[str, Any]:
    """The first refused rows with the cell that is wrong, and the header above them."""
    if not job.rows_failed:
        return {"problems": [], "header": []}
    names = [column["name"] for column in job.columns]
    used = [place for place, name in enumerate(names) if job.mapping.get(name)][:CELLS_SHOWN]
    problems = []
    for row in problem_rows(job)[:PROBLEMS_SHOWN]:
        raw = row.raw or []
        wrong = {
            place
            for place, name in enumerate(names)
            if row.field and row.field in {name, job.mapping.get(name)}
        }
        places = [*used, *sorted(wrong - set(used))][: CELLS_SHOWN + 1]
        cells = [
            (words.shortened(str(raw[p]) if p < len(raw) else "", 60), p in wrong)
            for p in places[: len(used)]
        ]
        problems.append(ProblemLine(row.line_no, cells, row.message))
    return {"problems": problems, "header": [names[place] for place in used]}


def _analysis(request: HttpRequest, job: ImportJob) -> list[tuple[str, str, str, bool]]:
    """How many leads the agents shall read: value, words, price, chosen. Empty with AI off."""
    ai = ai_of(request)
    if not ai.is_on:
        return []
    choices = []
    for choice in analysis_choices(job):
        label = {"none": _("None, rules only"), "all": _("All %s") % words.whole(choice.leads)}.get(
            choice.value, _("The best %s by rules") % choice.value
        )
        price = (
            ""
            if not choice.leads
            else _("free, sample answers")
            if ai.is_sample
            else words.usd(choice.price_usd)
        )
        choices.append((choice.value, label, price, choice.value == job.analyse))
    return choices


@screen
@require_POST
def import_match(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Say what the columns are, and have every row checked."""
    job = _job(request, public_id)
    mapping = {
        column["name"]: request.POST.get(f"column-{position}", "")
        for position, column in enumerate(job.columns)
    }
    policy = request.POST.get("policy") or None
    try:
        map_import(job.pk, by=by(request), mapping=mapping, policy=policy)
        check_import(job.pk, by=by(request))
    except CRMError as refused:
        job = _job(request, public_id)
        context = _context(request, job, error=str(refused)) | {"view": "match", "step": MATCH, **_match(job)}
        return render(request, "crm/import.html", context, status=422)
    return redirect("crm:import", public_id=public_id)


@screen
@require_POST
def import_run(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Bring the checked rows in."""
    job = _job(request, public_id)
    try:
        assign = _chosen_assign(request.POST.get("assign", ""))
        run_import(job.pk, by=by(request), analyse=request.POST.get("analyse", ""), assign=assign)
    except CRMError as refused:
        say_no(request, refused)
    return redirect("crm:import", public_id=public_id)


def _chosen_assign(value: str) -> str | User:
    """A way, or a person by public id. Raises ImportRefused."""
    public_id = read_uuid(value)
    if public_id is None:
        return value or ImportAssign.NONE
    user = User.objects.filter(public_id=public_id).first()
    if user is None:
        raise ImportRefused(_("Choose a person from the list."), field="assign")
    return user


def _assign_choices(request: HttpRequest) -> list[tuple[str, str]]:
    """Who may get the new leads: value and words."""
    choices = [(ImportAssign.NONE.value, str(ImportAssign.NONE.label))]
    if AssignmentRule.objects.filter(is_active=True).exists():
        choices.append((ImportAssign.RULES.value, str(ImportAssign.RULES.label)))
    return choices + [(str(one.public_id), str(one)) for one in assignees(by(request))[:PEOPLE_SHOWN]]


@screen
@require_POST
def import_cancel(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Throw an import away before it ran, or stop a running one."""
    job = _job(request, public_id)
    try:
        left = cancel_import(job.pk, by=by(request))
    except CRMError as refused:
        say_no(request, refused)
        return redirect("crm:import", public_id=public_id)
    if left is None:
        say(request, _("Import of %s thrown away") % job.file_name)
        return redirect("crm:import_list")
    return redirect("crm:import", public_id=public_id)


@screen
@require_http_methods(["GET", "POST"])
def import_undo(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What taking it back would do and keep; a POST begins it."""
    job = _job(request, public_id)
    try:
        if request.method == "POST":
            undo_import(job.pk, by=by(request))
        else:
            count = preview_undo_import(job.pk, by=by(request))
    except UndoRefused as refused:
        say_no(request, refused)
        return redirect("crm:import", public_id=public_id)
    if request.method == "POST":
        return redirect("crm:import", public_id=public_id)
    shown = count.examples[:SKIPS_SHOWN]
    context = {
        "job": job,
        **{name: words.whole(number) for name, number in count.as_json().items()},
        "examples": shown,
        "more": max(count.kept - len(shown), 0),
        "title": _("Take an import back"),
        "back_url": reverse("crm:import", args=[public_id]),
        "back": job.file_name,
        "sheet": "crm/partials/sheet_import_undo.html",
    }
    return render(request, "crm/sheet.html", context)


@screen
@require_GET
def import_problems(request: HttpRequest, public_id: UUID) -> StreamingHttpResponse:
    """The refused rows as a CSV file, streamed."""
    job = _job(request, public_id)
    answer = StreamingHttpResponse(problem_lines(job), content_type="text/csv; charset=utf-8")
    name = get_valid_filename(f"problems-{job.file_name}") if job.file_name else "problems.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer  # type: ignore[return-value]
