"""Take an import back."""

import json
import time
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.actions.imports import advance_import, preview_undo_import, undo_import
from crm.errors import CRMError
from crm.imports.undoing import kept_rows
from crm.models import Actor, ImportJob, Job, JobState

FAILED, WRONG_USE = 1, 2
SHOWN = 20


class Command(BaseCommand):
    help = "Undo an import within seven days: what nobody touched since goes, the rest is kept and named."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", help="the import's number or public id")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen, change nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object")

    def handle(self, *, id: str, dry_run: bool, as_json: bool, **options: Any) -> None:
        began, by = time.monotonic(), Actor.system("undo_import")
        try:
            job = _job(id)
            result = self._forecast(job, by) if dry_run else self._undo(job, by, quiet=as_json)
        except ImportJob.DoesNotExist:
            raise CommandError("there is no such import", returncode=FAILED) from None
        except CRMError as refused:
            raise CommandError(str(refused), returncode=FAILED) from None
        result["seconds"] = round(time.monotonic() - began, 1)
        if as_json:
            self.stdout.write(json.dumps(result))
            return
        words = "would be " if dry_run else ""
        self.stdout.write(
            f"{result['removed']:,} leads {words}removed, {result['restored']:,} rows {words}put back,"
            f" {result['kept']:,} {words}kept, {result['seconds']} s"
        )
        for row in result["kept_rows"]:
            self.stdout.write(f"  line {row['line']}: {row['message']}")
        for thing in result.get("stays", ()):
            self.stdout.write(f"  stays: {thing}")

    def _forecast(self, job: ImportJob, by: Actor) -> dict[str, Any]:
        count = preview_undo_import(job.pk, by=by)
        rows = [
            {"row": row.row_no, "line": row.line_no, "message": f"{row.lead}: {row.reason}"}
            for row in count.examples[:SHOWN]
        ]
        return {**count.as_json(), "kept_rows": rows}

    def _undo(self, job: ImportJob, by: Actor, *, quiet: bool) -> dict[str, Any]:
        undo_import(job.pk, by=by, in_process=True)
        while advance_import(job.pk, seconds=3):
            watched = Job.objects.get(import_job=job)
            if not quiet:
                self.stderr.write(f"  {watched.done:,} of {watched.total:,} rows undone")
        job.refresh_from_db()
        if Job.objects.get(import_job=job).state == JobState.FAILED:
            raise CommandError(job.error, returncode=FAILED)
        rows = [
            {"row": row.row_no, "line": row.line_no, "message": row.message} for row in kept_rows(job)[:SHOWN]
        ]
        return {**job.options["undo"], "kept_rows": rows}


def _job(text: str) -> ImportJob:
    """Raises CommandError for what is no id, ImportJob.DoesNotExist."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return ImportJob.objects.get(pk=int(text))
    try:
        return ImportJob.objects.get(public_id=UUID(text))
    except ValueError:
        raise CommandError(f"{text!r} is neither a number nor a public id", returncode=WRONG_USE) from None
