"""Write leads into a file of one's own, with the rights of whoever may run commands."""

import json
import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.actions.exports import FORMATS, advance_export, forget_export, start_export
from crm.errors import CRMError, InvalidValue
from crm.exports.files import path_of
from crm.models import Actor, FieldTarget, Job, JobState

FAILED, WRONG_USE = 1, 2


class Command(BaseCommand):
    help = "Export leads (or contacts, accounts, opportunities) as CSV or XLSX."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="is made; one that is there is refused")
        parser.add_argument("--format", choices=FORMATS, help="default: what FILE ends in, else csv")
        parser.add_argument("--target", choices=FieldTarget.values, default=FieldTarget.LEAD.value)
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="as in the list's address, such as status=open or custom:budget_min=1000; may be repeated",
        )
        parser.add_argument("--columns", default="", metavar="A,B,C", help="default: all")
        parser.add_argument("--sort", default="", help="default: the list's own")
        parser.add_argument("--json", action="store_true", help="say what was done as JSON")

    def handle(self, *, file: Path, **options: Any) -> None:
        ending = file.suffix[1:].lower()
        file_format = options["format"] or (ending if ending in FORMATS else "csv")
        if file.exists():
            raise CommandError(f"{file} is there already; choose another name", returncode=WRONG_USE)
        if not file.absolute().parent.is_dir():
            raise CommandError(f"there is no folder {file.absolute().parent}", returncode=WRONG_USE)
        try:
            job = start_export(
                by=Actor.system("export_leads"),
                target=options["target"],
                format=file_format,
                filters=_filters(options["filter"]),
                columns=[name.strip() for name in options["columns"].split(",") if name.strip()],
                sort=options["sort"],
                in_process=True,
            )
        except CRMError as refused:
            code = WRONG_USE if isinstance(refused, InvalidValue) else FAILED
            raise CommandError(str(refused), returncode=code) from None
        while advance_export(job.pk, seconds=3):
            job.refresh_from_db()
            self.stderr.write(f"  {job.done:,} of {job.total:,} rows")
        job.refresh_from_db()
        if job.state != JobState.DONE:
            raise CommandError(job.error or "the export was stopped", returncode=FAILED)
        self._hand_over(job, file, file_format)
        said = {"file": str(file), "rows": job.result["rows"], "size_bytes": job.result["size_bytes"]}
        text = f"{said['rows']:,} rows, {said['size_bytes']:,} bytes: {file}"
        self.stdout.write(json.dumps(said) if options["json"] else text)

    def _hand_over(self, job: Job, file: Path, file_format: str) -> None:
        """Move the file to where it was asked for; it stays readable by its owner alone."""
        try:
            shutil.move(path_of(f"{job.cursor['file']}.{file_format}"), file)
            file.chmod(0o600)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}", returncode=FAILED) from None
        finally:
            forget_export(job.pk)


def _filters(texts: list[str]) -> dict[str, str]:
    """Raises CommandError for what is not NAME=VALUE."""
    filters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CommandError(f"--filter {text!r}: write NAME=VALUE", returncode=WRONG_USE)
        filters[name] = value
    return filters
