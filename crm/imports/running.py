"""The long part of an import, in short steps: stage, judge, write, assign, clean up; or undo.

Each step is one transaction of well under a second that holds the import's row, does its work and moves the
cursor; so a step either happened or did not, two workers take turns, and whoever comes after a crash goes on
where the cursor stands. The stage is UNLOGGED: when a crash of the server has emptied it, the file is staged
again.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from crm import clock, events, progress
from crm.actions.custom_fields import required_labels
from crm.actions.identity import IMPORT_LOCK
from crm.actions.tags import MOST_TAGS
from crm.errors import ImportRefused
from crm.imports.alone import write_alone
from crm.imports.assigning import assign_rows, tell_assigned
from crm.imports.chunk import Chunk
from crm.imports.columns import CUSTOM, Column
from crm.imports.judging import Reachable, first_alone, judge
from crm.imports.reading import Row, Table
from crm.imports.rows import RowConverter, StagedRow
from crm.imports.sniffing import Dialect
from crm.imports.staging import clear_some, copy_rows, learn_sizes, staged_count
from crm.imports.storing import path_of, remove
from crm.imports.undoing import finish, undo_rows
from crm.imports.writing import write_chunk
from crm.models import (
    Actor,
    CustomField,
    FieldType,
    ImportAssign,
    ImportJob,
    ImportState,
    Job,
    JobState,
    Tag,
    User,
    Verdict,
    acting_as,
)

log = logging.getLogger(__name__)
STAGED_AT_ONCE = 2_000  # rows
JUDGED_AT_ONCE = 5_000
WRITTEN_AT_FIRST, WRITTEN_LEAST, WRITTEN_MOST = 500, 100, 5_000
COMMIT_S = 0.6  # what a chunk should take: live updates wait for the longest transaction
CLEAR, STAGE, JUDGE, WRITE, CLEAN, OVER = "clear", "stage", "judge", "write", "clean", "over"
ASSIGN, UNDO = "assign", "undo"
ASSIGNED_AT_ONCE = 500  # leads


def actor_of(job: ImportJob) -> Actor:
    """On whose rights an import runs: its owner's, or the system's for the command line."""
    return Actor.of(job.created_by) if job.created_by else Actor.system("import")


class ImportRun:
    """Works on one import for a while. `step()` until it returns False, or until the time is up."""

    def __init__(self, import_id: int) -> None:
        self.import_id = import_id
        self.chunk_rows = WRITTEN_AT_FIRST
        self._rows: Iterator[Row] | None = None
        self._table: Table | None = None
        self._converter: RowConverter | None = None
        self._next_row = 0

    def advance(self, seconds: float) -> bool:
        """Work for about `seconds`. Returns whether more is to be done.

        Raises nothing that the file or the domain is to blame for: that ends the import with its reason.
        """
        until = time.monotonic() + seconds
        try:
            while self.step():
                progress.made()
                if time.monotonic() >= until:
                    return True
        except ImportRefused as refused:
            fail(self.import_id, str(refused))
        finally:
            self.close()
        return False

    def close(self) -> None:
        if self._table:
            self._table.__exit__()
        self._table = self._rows = None

    def step(self) -> bool:
        """One short transaction. Returns False when nothing is left to do."""
        phase = Job.objects.values_list("cursor", flat=True).get(import_job=self.import_id).get("phase")
        if phase == CLEAN:
            return self._clean()
        if phase == STAGE:
            return self._stage()
        step = {
            CLEAR: self._clear,
            JUDGE: self._judge,
            WRITE: self._write,
            ASSIGN: self._assign,
            UNDO: self._undo,
        }.get(phase)
        if step is None:
            return False
        with transaction.atomic():
            job = _locked(self.import_id)
            with acting_as(lambda: actor_of(job)):
                return job.job.cursor["phase"] != phase or step(job)

    # --- stage ---------------------------------------------------------------------------------------------
    def _clear(self, job: ImportJob) -> bool:
        if not clear_some(job.pk):
            self.close()
            _move(job, STAGE)
        return True

    def _stage(self) -> bool:
        """Convert outside of the transaction, then append."""
        job = ImportJob.objects.select_related("source", "created_by", "job").get(pk=self.import_id)
        done = job.job.cursor["row"]
        if self._rows is None or self._next_row != done + 1:
            self._open(job, skip=done)
        assert self._rows is not None
        assert self._converter is not None
        staged = [self._converter.convert(row) for row in islice(self._rows, STAGED_AT_ONCE)]
        with transaction.atomic():
            job = _locked(self.import_id)
            if job.job.cursor != {"phase": STAGE, "row": done}:
                return True  # somebody else was faster
            self._append(job, staged, done)
        self._next_row = done + len(staged) + 1
        return True

    def _open(self, job: ImportJob, *, skip: int) -> None:
        self.close()
        dialect = Dialect(job.encoding, job.delimiter, job.options.get("skip_lines", 0))
        try:
            self._table = Table(path_of(job.stored_as), dialect).__enter__()
        except FileNotFoundError:
            raise ImportRefused(_("The uploaded file is gone. Upload it again.")) from None
        self._rows = islice(self._table, skip, None)
        self._converter = converter_of(job)
        self._next_row = skip + 1

    def _append(self, job: ImportJob, staged: list[StagedRow], done: int) -> None:
        assert self._converter is not None
        if done + len(staged) > settings.GARDENOS_IMPORT_MAX_ROWS:
            raise ImportRefused(
                _("The file has more than %s rows.") % f"{settings.GARDENOS_IMPORT_MAX_ROWS:,}"
            )
        _note_surprises(job, self._converter)
        if staged:
            copy_rows(job.pk, staged)
            job.rows_total = max(job.rows_total, done + len(staged))  # an estimate until all are read
            _move(job, STAGE, row=done + len(staged))
            return
        if not done:
            raise ImportRefused(_("The file holds a header and no rows."))
        as_text = set(job.options.get("as_text", ()))
        if as_text != set(job.options.get("staged_as_text", ())):
            job.options["staged_as_text"] = sorted(as_text)
            _move(job, CLEAR)
            return
        job.rows_total = done
        job.options["types"] = self._converter.custom_types
        learn_sizes()
        _move(job, JUDGE)

    # --- judge ---------------------------------------------------------------------------------------------
    def _judge(self, job: ImportJob) -> bool:
        done = job.job.cursor["row"]
        last = min(done + JUDGED_AT_ONCE, job.rows_total)
        who = Reachable.of(actor_of(job))
        judge(job, first=done + 1, last=last, who=who, is_decision=False)
        if last < job.rows_total:
            _move(job, JUDGE, row=last)
            return True
        if job.state == ImportState.RUNNING:  # staged again after a crash: go on where writing had come to
            _move(job, WRITE, row=job.rows_done)
            return True
        _forecast(job)
        job.state = ImportState.CHECKED
        _move(job, OVER, state=JobState.DONE)
        return False

    # --- write ---------------------------------------------------------------------------------------------
    def _write(self, job: ImportJob) -> bool:
        first = job.rows_done + 1
        if not job.rows_done:
            if not _make_custom_fields(job):
                _move(job, CLEAR)
                return True
            _make_tags(job)
        last = min(job.rows_done + self.chunk_rows, job.rows_total)
        if staged_count(job.pk, first, last) < last - job.rows_done:
            log.warning("import %s: the stage was lost, staging the file again", job.public_id)
            _move(job, CLEAR)
            return True
        began = time.monotonic()
        last, counted = self._write_rows(job, first, last)
        job.rows_created += counted[Verdict.CREATE]
        job.rows_updated += counted[Verdict.UPDATE]
        job.rows_skipped += counted[Verdict.SKIP]
        job.rows_failed += counted[Verdict.ERROR]
        job.rows_done = last
        if last < job.rows_total:
            _move(job, WRITE, row=last)
        else:
            _move(job, CLEAN if job.assign == ImportAssign.NONE else ASSIGN)
        self._adapt(time.monotonic() - began)
        return True

    def _write_rows(self, job: ImportJob, first: int, last: int) -> tuple[int, dict[str, int]]:
        """Write `first` to at most `last`, up to the next row that stands alone.

        Returns (last row, counts).
        """
        by = actor_of(job)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IMPORT_LOCK])
        last = _up_to(first_alone(job, first=first, last=last), first, last)
        judge(job, first=first, last=last, who=Reachable.of(by), is_decision=True)
        alone = first_alone(job, first=first, last=last)
        last = _up_to(alone, first, last)
        chunk = Chunk(job, first, last, by, clock.now())
        return last, write_alone(chunk) if alone == first else write_chunk(chunk)

    def _adapt(self, seconds: float) -> None:
        """Make the next chunk such that its commit takes about COMMIT_S."""
        wanted = int(self.chunk_rows * COMMIT_S / max(seconds, 0.001))
        self.chunk_rows = max(WRITTEN_LEAST, min(WRITTEN_MOST, wanted, self.chunk_rows * 2))

    # --- assign --------------------------------------------------------------------------------------------
    def _assign(self, job: ImportJob) -> bool:
        """A slice of the leads that the import made. The cursor is the row of the last one."""
        last, given = assign_rows(job, after=job.job.cursor["row"], limit=ASSIGNED_AT_ONCE)
        counts = Counter(job.options.get("assigned", {}))
        counts.update({str(user_id): number for user_id, number in given.items()})
        job.options["assigned"] = dict(counts)
        if last is None:
            tell_assigned(job)
        _move(job, CLEAN if last is None else ASSIGN, row=last or 0)
        return True

    # --- clean up ------------------------------------------------------------------------------------------
    def _clean(self) -> bool:
        with transaction.atomic():
            job = _locked(self.import_id)
            if job.job.cursor["phase"] != CLEAN or clear_some(job.pk):
                return True
            remove(job.stored_as)
            job.state, job.finished_at, job.stored_as = ImportState.DONE, clock.now(), ""
            _move(job, OVER, row=job.rows_total, state=JobState.DONE)
            events.publish(events.ImportFinished(job.pk, job.analyse))
        return False

    # --- undo ----------------------------------------------------------------------------------------------
    def _undo(self, job: ImportJob) -> bool:
        """A slice of rows, from the end. The cursor counts the rows that are undone."""
        done = job.job.cursor["row"]
        last = job.rows_total - done
        first = max(1, last - self.chunk_rows + 1)
        by, began = undoer_of(job), time.monotonic()
        counted = undo_rows(job, first=first, last=last, by=by)
        counts = job.options["undo"]
        for name, number in counted.as_json().items():
            counts[name] += number
        if first > 1:
            _move(job, UNDO, row=done + last - first + 1)
            self._adapt(time.monotonic() - began)
            return True
        counts["stays"] = finish(job)
        _move(job, OVER, row=job.rows_total, state=JobState.DONE)
        return False


def undoer_of(job: ImportJob) -> Actor:
    """Who takes the import back: the person who asked for it, or the system for the command line."""
    user = User.objects.filter(pk=job.options.get("undone_by")).first()
    return Actor.of(user) if user else Actor.system("import")


def _up_to(alone: int | None, first: int, last: int) -> int:
    """The end of what is written together: before the row that stands alone, or that row by itself."""
    return last if alone is None else max(first, alone - 1)


def _locked(import_id: int) -> ImportJob:
    """The import under lock, its Job and source beside it.

    The Job is read by a statement of its own: a join would show it as it was before the lock was waited for.
    """
    job = (
        ImportJob.objects.select_related("source", "created_by")
        .select_for_update(of=("self",))
        .get(pk=import_id)
    )
    assert job.job.pk  # read now
    return job


def _move(job: ImportJob, phase: str, *, row: int = 0, state: str = JobState.RUNNING) -> None:
    """Set the cursor and tell those who watch."""
    job.job.cursor = {"phase": phase, "row": row}
    job.job.state = state
    job.job.done, job.job.total = row, job.rows_total
    job.job.started_at = job.job.started_at or clock.now()
    job.job.finished_at = clock.now() if state in {JobState.DONE, JobState.FAILED} else None
    job.job.save()
    job.save()
    events.publish(events.ImportProgressed(job.pk, job.state))


@transaction.atomic
def fail(import_id: int, reason: str) -> None:
    """End the work on an import with a sentence. It may be mapped and checked again."""
    job = _locked(import_id)
    job.error, job.job.error = reason[:300], reason[:300]
    if job.state != ImportState.RUNNING:
        job.state = ImportState.UPLOADED
    _move(job, OVER, row=job.job.cursor.get("row", 0), state=JobState.FAILED)


def columns_of(job: ImportJob) -> list[Column]:
    """The columns, those that turned out not to fit their type as text."""
    as_text = set(job.options.get("as_text", ()))
    columns = [Column.of(stored) for stored in job.columns]
    for column in columns:
        if column.name in as_text:
            column.type, column.is_free_text = FieldType.TEXT, True
    return columns


def converter_of(job: ImportJob) -> RowConverter:
    """The converter of an import, with the custom fields there are now."""
    keys = [target.removeprefix(CUSTOM) for target in job.mapping.values() if target.startswith(CUSTOM)]
    known = CustomField.objects.filter(target="lead", key__in=keys)
    return RowConverter(
        columns_of(job),
        job.mapping,
        source=job.source,  # type: ignore[arg-type]
        field_types=dict(known.values_list("key", "type")),
        empty_words=job.options.get("empty_words", ()),
        required=required_labels(),
    )


def _note_surprises(job: ImportJob, converter: RowConverter) -> None:
    """Keep with the job what the rows showed: columns that are only text, and the words of choices."""
    job.options["as_text"] = sorted({*job.options.get("as_text", ()), *converter.misfits})
    tags = {name.lower(): name for name in job.options.get("tags", ())}
    job.options["tags"] = sorted((converter.tags | tags).values())
    if len(job.options["tags"]) > MOST_TAGS:
        words = _("The column of tags holds more than %d different words; make it a field of its own.")
        raise ImportRefused(words % MOST_TAGS)
    choices: dict[str, Any] = job.options.get("choices", {})
    job.options["choices"] = {
        key: sorted({*choices.get(key, ()), *converter.choices.get(key, ())})
        for key in choices.keys() | converter.choices.keys()
    }


def _forecast(job: ImportJob) -> None:
    """Count the verdicts of the check into the job: what will be, until the run counts what is."""
    counted = dict.fromkeys(Verdict.values, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT verdict, count(*) FROM crm_importstage WHERE job_id = %s GROUP BY verdict", [job.pk]
        )
        counted |= dict(cursor.fetchall())
    job.rows_created, job.rows_updated = counted[Verdict.CREATE], counted[Verdict.UPDATE]
    job.rows_skipped, job.rows_failed = counted[Verdict.SKIP], counted[Verdict.ERROR]


def _make_custom_fields(job: ImportJob) -> bool:
    """Define the custom fields that were staged. False when one has become another type meanwhile."""
    position = CustomField.objects.count()
    made_fields: list[str] = job.options.setdefault("made_fields", [])  # undo takes them away when unused
    labels = {target.removeprefix(CUSTOM): column for column, target in job.mapping.items()}
    for key, staged_type in job.options["types"].items():
        words = job.options.get("choices", {}).get(key, [])
        position += 1
        field, made = CustomField.objects.get_or_create(
            target="lead",
            key=key,
            defaults={"label": labels[key], "type": staged_type, "options": words, "position": position},
        )
        if made:
            made_fields.append(key)
        if field.type == FieldType.CHOICE and staged_type == FieldType.TEXT:
            job.options.setdefault("made_text", []).append(key)
            field.type = FieldType.TEXT  # loses nothing: choices are texts
            field.save_changed("type")
        if field.type != staged_type:
            return False
        if not made and field.type == FieldType.CHOICE and not set(words) <= set(field.options):
            new = [word for word in words if word not in field.options]
            job.options.setdefault("new_words", {})[key] = new
            field.options = [*field.options, *new]
            field.save_changed("options")
    return True


def _make_tags(job: ImportJob) -> None:
    """Make the tags that the file names and that there are not yet; undo takes them away when unused."""
    made: list[int] = job.options.setdefault("made_tags", [])
    for name in job.options.get("tags", ()):
        tag, is_new = Tag.objects.get_or_create(name__iexact=name, defaults={"name": name})
        if is_new:
            made.append(tag.pk)
