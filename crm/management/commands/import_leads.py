"""Bring in a CSV file of leads."""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm import ports
from crm.actions.imports import (
    ALL,
    NONE,
    advance_import,
    cancel_import,
    check_import,
    known_analyse,
    known_assign,
    run_import,
    upload_import,
)
from crm.errors import CRMError, ImportRefused
from crm.imports.columns import CUSTOM, FIELDS
from crm.imports.summary import (
    analysis_choices,
    leads_to_analyse,
    problem_rows,
    skipped_rows,
    write_problem_rows,
)
from crm.models import Actor, ImportAssign, ImportJob, ImportPolicy, ImportState, Job, JobState, User

FAILED, WRONG_USE = 1, 2
SHOWN_PROBLEMS = 10


class Command(BaseCommand):
    help = "Import leads from a CSV file: every row is judged first, then written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            help=f"what a column is, where the guess is wrong: {', '.join(FIELDS)}, custom:KEY,"
            " or nothing to leave it out; may be repeated",
        )
        parser.add_argument("--source", default="", metavar="NAME", help="where the leads come from")
        parser.add_argument("--outcome", metavar="COLUMN", help="the column that tells won from lost")
        parser.add_argument(
            "--analyse",
            default="",
            metavar="none|N|all",
            help="let the agents analyse none, the best N by rules, or all (default: all up to 500 rows)",
        )
        parser.add_argument(
            "--assign",
            default=ImportAssign.NONE.value,
            metavar="none|rules|EMAIL",
            help="who gets the new leads: the pool (none), people by the assignment rules, or one person",
        )
        parser.add_argument(
            "--policy",
            choices=ImportPolicy.values,
            default=ImportPolicy.UPDATE.value,
            help="leads we know: update them, skip them, or (create) attach the row as a new inquiry",
        )
        parser.add_argument("--encoding", default="", help="such as utf-8 or cp1252 (default: found out)")
        parser.add_argument("--delimiter", default="", help="one character (default: found out)")
        parser.add_argument("--errors", type=Path, metavar="FILE", help="write the rows with errors here")
        parser.add_argument("--dry-run", action="store_true", help="check all rows, write nothing")

    def handle(self, *, file: Path, dry_run: bool, errors: Path | None, **options: Any) -> None:
        began = time.monotonic()
        by = Actor.system("import")
        if errors and not errors.absolute().parent.is_dir():
            raise CommandError(f"There is no folder {errors.absolute().parent}.", returncode=WRONG_USE)
        assign = _assign(options["assign"], by)
        try:
            job = self._prepare(file, by, options)
            if job.state != ImportState.RUNNING:
                job = self._check(job, by)
                self._report(job, is_forecast=True)
                self._tell_prices(job, options["analyse"] or job.analyse)
                if errors:
                    self._write_errors(job, errors)
                if dry_run:
                    cancel_import(job.pk, by=by)
                    self.stdout.write("dry run: nothing was written")
                    return
            done_before = job.rows_done if job.state == ImportState.RUNNING else 0
            job = self._run(job, by, options["analyse"], assign)
        except CRMError as refused:
            is_wrong_use = isinstance(refused, ImportRefused) and refused.field not in {"", "file"}
            raise CommandError(str(refused), returncode=WRONG_USE if is_wrong_use else FAILED) from None
        self._report(job, is_forecast=False)
        seconds = time.monotonic() - began
        self.stdout.write(f"{seconds:.1f} s, {(job.rows_total - done_before) / seconds:,.0f} rows/s")

    def _prepare(self, file: Path, by: Actor, options: dict[str, Any]) -> ImportJob:
        """The uploaded and mapped import; or the one of the same file that was killed while it ran."""
        mapping = _mapping(options["map"])
        if len(options["delimiter"]) > 1:
            raise CommandError("--delimiter takes one character", returncode=WRONG_USE)
        if options["analyse"]:
            _checked(known_analyse, options["analyse"])
        try:
            with file.open("rb") as opened:
                job = upload_import(
                    opened,
                    by=by,
                    file_name=file.name,
                    source=options["source"],
                    encoding=options["encoding"],
                    delimiter=options["delimiter"],
                    mapping=mapping,
                    outcome=options["outcome"],
                    policy=options["policy"],
                )
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}", returncode=WRONG_USE) from None
        killed = ImportJob.objects.filter(
            state=ImportState.RUNNING,
            created_by=None,
            file_sha256=job.file_sha256,
            source=job.source,
            mapping=job.mapping,
            policy=job.policy,
        ).first()
        if killed is None:
            return job
        cancel_import(job.pk, by=by)
        self.stdout.write(f"going on with the import that stopped at row {killed.rows_done:,}")
        return killed

    def _check(self, job: ImportJob, by: Actor) -> ImportJob:
        self.stdout.write(
            f"{job.file_name}: {job.encoding}, {len(job.columns)} columns, source {job.source.name}"  # type: ignore[union-attr]
        )
        for name, target in job.mapping.items():
            what = f"own field {target.removeprefix(CUSTOM)}" if target.startswith(CUSTOM) else target
            self.stdout.write(f"  {what or 'left out'}: column “{name}”")
        for warning in job.warnings:
            self.stdout.write(f"  note: {warning}")
        check_import(job.pk, by=by, in_process=True)
        return self._work(job, "checked")

    def _run(self, job: ImportJob, by: Actor, analyse: str, assign: str | User) -> ImportJob:
        job = run_import(job.pk, by=by, analyse=analyse, assign=assign, in_process=True)
        job = self._work(job, "written")
        if job.assign != ImportAssign.NONE:
            self.stdout.write(f"{sum(job.options.get('assigned', {}).values()):,} leads given to people")
        if job.analyse != NONE:
            leads = leads_to_analyse(job).count()
            price = ports.price_of_analysis(leads)
            about = f", about ${price:.2f}" if price else ""
            self.stdout.write(f"{leads:,} leads are handed to the agents for analysis{about}")
        return job

    def _work(self, job: ImportJob, done: str) -> ImportJob:
        """Run the steps here, with a line every few seconds. Raises CommandError when the import fails."""
        while advance_import(job.pk, seconds=3):
            watched = Job.objects.get(import_job=job)
            self.stderr.write(f"  {watched.done:,} of {watched.total:,} rows {done}")
        job.refresh_from_db()
        if Job.objects.get(import_job=job).state == JobState.FAILED:
            raise CommandError(job.error, returncode=FAILED)
        return job

    def _report(self, job: ImportJob, *, is_forecast: bool) -> None:
        words = "will be " if is_forecast else ""
        self.stdout.write(
            f"{job.rows_total:,} rows in = {job.rows_created:,} {words}created + {job.rows_updated:,} {words}"
            f"updated + {job.rows_skipped:,} skipped + {job.rows_failed:,} errors"
        )
        if is_forecast:
            for problem in problem_rows(job)[:SHOWN_PROBLEMS]:
                column = f", column “{problem.field}”" if problem.field else ""
                self.stdout.write(f"  line {problem.line_no}{column}: {problem.message}")
            for skipped in skipped_rows(job)[:SHOWN_PROBLEMS]:
                self.stdout.write(f"  line {skipped.line_no} skipped: {skipped.message}")

    def _tell_prices(self, job: ImportJob, chosen: str) -> None:
        names = {choice: choice.value for choice in analysis_choices(job)}
        names |= {choice: f"all ({choice.leads:,} leads)" for choice in names if choice.value == ALL}
        offers = ", ".join(f"{name} ${choice.price_usd:.2f}" for choice, name in names.items())
        self.stdout.write(f"analysis by the agents: {offers}; --analyse {chosen} is chosen")

    def _write_errors(self, job: ImportJob, path: Path) -> None:
        try:
            with path.open("w", encoding="utf-8-sig", newline="") as file:
                count = write_problem_rows(job, file)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", returncode=WRONG_USE) from None
        self.stdout.write(f"{count:,} rows with errors written to {path}")


def _mapping(pairs: list[str]) -> dict[str, str]:
    """Raises CommandError for what is not COLUMN=FIELD. The column may hold "=" itself."""
    mapping = {}
    for pair in pairs:
        column, equals, target = pair.rpartition("=")
        if not equals or not column:
            raise CommandError(f"--map takes COLUMN=FIELD, not {pair!r}", returncode=WRONG_USE)
        mapping[column] = target
    return mapping


def _assign(text: str, by: Actor) -> str | User:
    """Raises CommandError for what names neither a way nor a person."""
    if "@" not in text:
        _checked(lambda word: known_assign(word, by=by), text)
        return text
    user = User.objects.filter(email__iexact=text).first()
    if user is None:
        raise CommandError(f"there is no user {text}", returncode=WRONG_USE)
    _checked(lambda person: known_assign(person, by=by), user)
    return user


def _checked(check: Any, value: Any) -> Any:
    try:
        return check(value)
    except CRMError as refused:
        raise CommandError(str(refused), returncode=WRONG_USE) from None
