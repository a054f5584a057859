"""The long part of an export, in short steps: write down which rows, read them slice by slice, pack the file.

The rows are chosen once, in one statement, so that the file holds the list as it was at one moment: no row is
missing or double because something moved meanwhile. Their keys lie in a file beside it. Each slice looks up
its keys among what the person may see *now*, appends to the file and moves the cursor in one transaction; so
whoever comes after a crash cuts the file to the cursor and goes on.
"""

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm import clock, events, progress
from crm.actions.audit import audit
from crm.errors import CRMError, ExportRefused
from crm.exports import files
from crm.exports.columns import CUSTOM, MARK, RowReader
from crm.exports.lists import PLURALS, chosen, exportable, ordered
from crm.keyed_hash import keyed_hash
from crm.models import Actor, Job, JobState
from crm.permissions import Verb, export_limit, may

KIND = "export"
ROWS_AT_ONCE = 1_000
PACK_MOST_S = 80  # a worker has 120 s for one task, and closing the workbook takes a part of them
CHOOSE, WRITE, PACK, OVER = "choose", "write", "pack", "over"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an export is of; lies in the cursor of its job until the file is gone."""

    target: str
    format: str
    columns: list[str]
    sort: str
    filters: dict[str, str] = field(default_factory=dict)
    view: str = ""  # public id of the saved view it came from
    by: str = ""  # who asked, when it was no person

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(**job.cursor["asked"])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def advance(job_id: int, seconds: float) -> bool:
    """Work for about `seconds`. Returns whether more is to be done. What the domain refuses ends the export
    with its reason.
    """
    until = time.monotonic() + seconds
    try:
        while _step(job_id):
            progress.made()
            if time.monotonic() >= until:
                return True
    except FileNotFoundError:
        fail(job_id, _("The file was deleted meanwhile. Ask for the export again."))
    except CRMError as refused:
        fail(job_id, str(refused))
    return False


def _step(job_id: int) -> bool:
    """One short transaction (packing: none). Returns False when nothing is left to do."""
    phase = Job.objects.values_list("cursor", flat=True).get(pk=job_id, kind=KIND).get("phase", OVER)
    if phase == PACK:
        return _pack(job_id)
    step = {CHOOSE: _choose, WRITE: _write}.get(phase)
    if step is None:
        return False
    with transaction.atomic():
        job = locked(job_id)
        if job.cursor.get("phase") == phase:
            step(job, asker_of(job))
    return True


def locked(job_id: int) -> Job:
    return Job.objects.select_for_update(of=("self",)).select_related("created_by").get(pk=job_id, kind=KIND)


def asker_of(job: Job) -> Actor:
    """On whose rights it runs. Raises ExportRefused when these are gone since it was asked for."""
    if job.created_by is None:
        return Actor.system(Asked.of(job).by)
    if not may(job.created_by, Verb.EXPORT):
        raise ExportRefused(_("Who asked for this may no longer export."))
    return Actor.of(job.created_by)


def most_rows(by: Actor, file_format: str) -> int | None:
    """How many rows an export of theirs may have; None: any number. Raises PermissionRefused."""
    limits = [export_limit(by).rows, files.XLSX_MOST if file_format == "xlsx" else None]
    return min((limit for limit in limits if limit is not None), default=None)


def refuse_too_many(count: int, by: Actor, file_format: str) -> None:
    """Raises ExportRefused, with what to do, when these are more rows than may be."""
    most = most_rows(by, file_format)
    if most is None or count <= most:
        return
    if most == files.XLSX_MOST:
        raise ExportRefused(
            _("A sheet holds at most %s rows. Choose CSV, or narrow the list.") % f"{most:,}", field="format"
        )
    raise ExportRefused(
        _("You may export at most %s rows at once. Narrow the list, or ask a manager.") % f"{most:,}",
        field="filters",
    )


def _choose(job: Job, by: Actor) -> None:
    asked = Asked.of(job)
    rows = ordered(chosen(asked.target, asked.filters, by=by, now=clock.now()), asked.sort)
    keys = rows.values_list("pk", flat=True)
    most = most_rows(by, asked.format)
    name = job.cursor["file"]
    count = files.write_ids(f"{name}.ids", (keys[: most + 1] if most else keys).iterator(chunk_size=10_000))
    refuse_too_many(count, by, asked.format)
    files.create(f"{name}.csv")
    size = files.append_lines(f"{name}.csv", 0, [[*asked.columns, MARK]])
    job.total = count
    _move(job, WRITE, at=0, bytes=size, rows=0)


def _write(job: Job, by: Actor) -> None:
    asked, name, at = Asked.of(job), job.cursor["file"], job.cursor["at"]
    ids = files.read_ids(f"{name}.ids", at, ROWS_AT_ONCE)
    if not ids:
        _move(job, PACK)
        return
    rows = RowReader(asked.target, asked.columns).read(exportable(asked.target, by=by), ids)
    first = job.cursor["rows"] + 1
    mark = str(job.public_id)[:8]
    lines = [[*row, f"{mark}-{number}"] for number, row in enumerate(rows, start=first)]
    size = files.append_lines(f"{name}.csv", job.cursor["bytes"], lines)
    job.done = at + len(ids)
    _move(job, WRITE, at=job.done, bytes=size, rows=job.cursor["rows"] + len(rows))


def _pack(job_id: int) -> bool:
    """The last step: for CSV nothing is left to be made, a workbook is made in one go."""
    job = Job.objects.get(pk=job_id, kind=KIND)
    asked, name = Asked.of(job), job.cursor["file"]
    until = time.monotonic() + PACK_MOST_S
    if asked.format == "xlsx":
        alive = lambda: _still_packing(job, asked, until)
        size = files.pack_xlsx(f"{name}.csv", f"{name}.xlsx", title=PLURALS[asked.target], alive=alive)
    else:
        size = files.path_of(f"{name}.csv").stat().st_size
    with transaction.atomic():
        job = locked(job_id)
        if job.cursor.get("phase") != PACK:  # cancelled meanwhile
            files.remove(f"{name}.{asked.format}")
            return False
        by = asker_of(job)
        if not files.path_of(f"{name}.{asked.format}").exists():
            raise FileNotFoundError(name)
        job.result = {"rows": job.cursor["rows"], "size_bytes": size, "name": _file_name(job, asked)}
        _audit(job, asked, by)
        _move(job, OVER, state=JobState.DONE)
    files.remove(f"{name}.ids", *([f"{name}.csv"] if asked.format == "xlsx" else []))
    return False


def _still_packing(job: Job, asked: Asked, until: float) -> None:
    """Show the sweep that somebody is at it. Raises ExportRefused when no worker can finish it; a command
    (`by`) has all the time it needs.
    """
    if not asked.by and time.monotonic() > until:
        raise ExportRefused(_("This is too much for a workbook. Choose CSV, or narrow the list."))
    Job.objects.filter(pk=job.pk).update(updated_at=clock.now())


def _file_name(job: Job, asked: Asked) -> str:
    return f"{PLURALS[asked.target]}-{clock.now():%Y-%m-%d}-{str(job.public_id)[:8]}.{asked.format}"


def _audit(job: Job, asked: Asked, by: Actor) -> None:
    """What left, how much of it, by which filter. Typed words are kept as hashes: they may name a person."""
    rows = job.cursor["rows"]
    filters = {
        name: keyed_hash("export", name, value) if name == "q" or name.startswith(CUSTOM) else value
        for name, value in asked.filters.items()
    }
    words = ngettext("exported %(rows)s row as %(format)s", "exported %(rows)s rows as %(format)s", rows)
    audit(
        f"{PLURALS[asked.target]}.exported",
        words % {"rows": f"{rows:,}", "format": asked.format.upper()},
        by=by,
        target=job,
        rows=rows,
        filters=filters,
        columns=asked.columns,
        sort=asked.sort,
        view=asked.view,
    )


def _move(job: Job, phase: str, *, state: str = JobState.RUNNING, **cursor: int) -> None:
    job.cursor = {**job.cursor, **cursor, "phase": phase}
    job.state = state
    job.started_at = job.started_at or clock.now()
    if state != JobState.RUNNING:
        job.finished_at = clock.now()
    job.save()
    events.publish(events.JobProgressed(job.pk, job.state))


@transaction.atomic
def fail(job_id: int, reason: str) -> None:
    """End an export with a sentence, unless it has ended; nothing of it is left on disk."""
    job = locked(job_id)
    if job.state in {JobState.QUEUED, JobState.RUNNING}:
        end(job, JobState.FAILED, reason)


def end(job: Job, state: str, reason: str = "") -> None:
    """Stop a (locked) export and delete what there is of it."""
    job.error = reason[:300]
    _move(job, OVER, state=state)
    forget(job)


def forget(job: Job) -> None:
    """Delete the files of an export, and what it was asked for, which may name people."""
    name = job.cursor.get("file", "")
    if name:
        files.remove(*(f"{name}.{ending}" for ending in ("ids", "csv", "xlsx")))
    job.cursor = {"phase": OVER}
    job.save(update_fields=["cursor", "updated_at"])
