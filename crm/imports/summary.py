"""What people are shown of an import: its steps as one object, its problem rows, its leads to analyse."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TextIO

from django.db.models import QuerySet

from crm import ports
from crm.imports.columns import CUSTOM, FIELDS, Column
from crm.imports.running import columns_of
from crm.imports.values import guard
from crm.models import CustomField, ImportJob, ImportRow, ImportStage, ImportState, Lead, Verdict, acting

WRITTEN = (ImportState.RUNNING, ImportState.DONE, ImportState.UNDONE)


def rows_of(job: ImportJob) -> QuerySet[Any]:
    """What became of each row; before the run, what will.

    Both kinds have row_no, line_no, raw, verdict, field, message and lead_id.
    """
    if job.state in WRITTEN:
        return ImportRow.objects.filter(job=job).order_by("row_no")
    return ImportStage.objects.filter(job_id=job.pk).order_by("row_no")


def problem_rows(job: ImportJob) -> QuerySet[Any]:
    """The rows that were refused, in the order of the file."""
    return rows_of(job).filter(verdict=Verdict.ERROR)


def skipped_rows(job: ImportJob) -> QuerySet[Any]:
    """The rows that bring nothing, each with its reason, in the order of the file."""
    return rows_of(job).filter(verdict=Verdict.SKIP)


def write_problem_rows(job: ImportJob, file: TextIO) -> int:
    """Write the refused rows as CSV: line, column and reason, then the cells as they were.

    Formulas are guarded by an apostrophe, which a later import takes off again. Returns how many rows.
    """
    count = 0
    for line in problem_lines(job):
        file.write(line)
        count += 1
    return count - 1


class _Echo:
    """csv writes into it and gets the line back."""

    def write(self, line: str) -> str:
        return line


def problem_lines(job: ImportJob) -> Iterator[str]:
    """The lines of that file, header first, for a streamed download."""
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    names = [column["name"] for column in job.columns]
    yield writer.writerow([guard(cell) for cell in ("Line", "Column", "Problem", *names)])
    for row in problem_rows(job).iterator(chunk_size=500):
        cells = [str(row.line_no), row.field, row.message, *(row.raw or [])]
        yield writer.writerow([guard(cell) for cell in cells])


def leads_to_analyse(job: ImportJob) -> QuerySet[Lead]:
    """The leads an import has made or changed that its `analyse` asks for: none, the best N, or all."""
    if job.analyse == "none":
        return Lead.objects.none()
    rows = ImportRow.objects.filter(job=job, verdict__in=[Verdict.CREATE, Verdict.UPDATE])
    leads = Lead.objects.open().filter(pk__in=rows.values("lead"))
    return leads.hottest_first() if job.analyse == "all" else leads.hottest_first()[: int(job.analyse)]


@dataclass(frozen=True, slots=True)
class ColumnView:
    """One line of the step "match columns"."""

    column: Column
    target: str  # "email", "custom:<key>", or "" when left out


@dataclass(frozen=True, slots=True)
class Analysis:
    """A choice of how many leads the agents shall analyse, and its price in USD."""

    value: str  # "none", a number, or "all"
    leads: int
    price_usd: Decimal


def column_views(job: ImportJob) -> list[ColumnView]:
    return [ColumnView(column, job.mapping.get(column.name, "")) for column in columns_of(job)]


def offered_fields() -> list[str]:
    """What a column may be mapped to: our fields, then the custom fields there are."""
    fields = CustomField.objects.filter(target="lead").writable_by(acting())
    keys = fields.values_list("key", flat=True)
    return [*FIELDS, *(f"{CUSTOM}{key}" for key in keys)]


def analysis_choices(job: ImportJob) -> list[Analysis]:
    """None, the best 100 (where there are more), or all, each with its price."""
    leads = job.rows_created + job.rows_updated
    choices = {"none": 0, **({"100": 100} if leads > 100 else {}), "all": leads}
    return [Analysis(value, count, ports.price_of_analysis(count)) for value, count in choices.items()]
