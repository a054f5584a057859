"""Bringing in a file of leads: upload, match columns, check, run; nothing is written before the last.

The long parts run in short steps (crm.imports.running), by the queue or by a command in its own process.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError, QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.audit import audit
from crm.actions.base import check_version
from crm.actions.custom_fields import required_labels
from crm.actions.intake import default_source
from crm.errors import CRMError, ImportRefused, TransitionRefused, UndoRefused
from crm.imports import storing
from crm.imports.columns import CUSTOM, Column, profile, warnings_for
from crm.imports.reading import Table, clean_name
from crm.imports.rows import check_mapping
from crm.imports.running import CLEAN, CLEAR, OVER, UNDO, WRITE, ImportRun
from crm.imports.sniffing import sniff
from crm.imports.staging import clear_some
from crm.imports.undoing import UndoCount, forecast
from crm.models import (
    Actor,
    Channel,
    CustomField,
    FieldType,
    ImportAssign,
    ImportJob,
    ImportPolicy,
    ImportState,
    Job,
    JobState,
    LeadSource,
    Role,
    TeamMember,
    User,
)
from crm.permissions import Reach, Verb, reach, require

NO_ANALYSIS_FROM = 500  # rows; above it, analysing is asked for, never assumed
STALLED = timedelta(minutes=2)  # without a step: the sweep queues the import again, which harms nothing
SILENT = timedelta(seconds=15)  # without a step, which takes a second at most: a person may take it up again
UNDO_FOR = timedelta(days=7)
NONE, ALL = "none", "all"
_BEFORE_RUN = (ImportState.UPLOADED, ImportState.MAPPED, ImportState.CHECKED)


def upload_import(
    file: Any,
    *,
    by: Actor,
    file_name: str,
    source: LeadSource | str | None = None,
    encoding: str = "",
    delimiter: str = "",
    **mapping: Any,
) -> ImportJob:
    """Store a file and look at its first rows. The mapping is a guess until `map_import` says otherwise; its
    arguments may be given here as well. A `source` given by name is made when there is none.

    `file` is open for reading bytes. Raises PermissionRefused; ImportRefused for what is no CSV file, has no
    header, too many columns or too many bytes, and as `map_import` does. Nothing is left behind then.
    """
    require(by, Verb.IMPORT)
    stored = storing.store(file)
    try:
        path = storing.path_of(stored.name)
        dialect = sniff(path, encoding=encoding, delimiter=delimiter)
        with Table(path, dialect) as table:
            seen = profile(table)
        if not seen.rows:
            raise ImportRefused(_("The file holds a header and no rows."), field="file")
        _keep_apart(seen.columns)
        guess = {column.name: column.guess for column in seen.columns}
        with transaction.atomic():
            known_source, is_new = source_for(source)
            job = ImportJob.objects.create(
                created_by=by.user,
                source=known_source,
                file_name=clean_name(PurePath(file_name.replace("\\", "/")).name) or "leads.csv",
                stored_as=stored.name,
                size_bytes=stored.size_bytes,
                file_sha256=stored.sha256,
                encoding=dialect.encoding,
                delimiter=dialect.delimiter,
                columns=[column.as_json() for column in seen.columns],
                mapping=guess,
                options={
                    "skip_lines": dialect.skip_lines,
                    "empty_words": seen.empty_words,
                    "header_warnings": seen.warnings,
                    "is_whole_sample": seen.is_whole_file,
                    "made_source": is_new,
                },
                rows_total=seen.rows_in(stored.size_bytes),
                warnings=[
                    *seen.warnings,
                    *warnings_for(guess, seen.columns, seen.empty_words, required_labels()),
                ],
                analyse=ALL if seen.is_whole_file and seen.rows <= NO_ANALYSIS_FROM else NONE,
            )
            Job.objects.create(kind="import", created_by=by.user, import_job=job, cursor={"phase": OVER})
            if mapping:
                job = map_import(job.pk, by=by, **mapping)
    except BaseException:
        storing.remove(stored.name)
        raise
    return job


def _keep_apart(columns: list[Column]) -> None:
    """A column that holds what the custom field of its name cannot gets a field of its own."""
    types = dict(CustomField.objects.filter(target="lead").values_list("key", "type"))
    for column in columns:
        known = types.get(column.key, column.type)
        if column.guess.startswith(CUSTOM) and known not in {column.type, FieldType.TEXT, FieldType.CHOICE}:
            column.key = f"{column.key[:50]}_{column.type}"
            column.guess = f"{CUSTOM}{column.key}"


def source_for(source: LeadSource | str | None) -> tuple[LeadSource, bool]:
    """(the source of that name or code, was it made now). None: the one that stands for imports."""
    if isinstance(source, LeadSource):
        return source, False
    if not source:
        is_new = not LeadSource.objects.filter(code=Channel.CSV.value).exists()
        return default_source(Channel.CSV), is_new
    code = slugify(source)[:60] or "import"
    known = LeadSource.objects.filter(name__iexact=source) | LeadSource.objects.filter(code=code)
    found = known.order_by("pk").first()
    if found:
        return found, False
    return LeadSource.objects.create(code=code, name=source[:120], kind=Channel.CSV), True


@transaction.atomic
def map_import(
    import_id: int,
    *,
    by: Actor,
    mapping: Mapping[str, str] | None = None,
    outcome: str | None = None,
    source: LeadSource | str | None = None,
    policy: str | None = None,
    empty_words: Iterable[str] | None = None,
    version: int | None = None,
) -> ImportJob:
    """Say what the columns are. `mapping` changes the columns that it names: a field, "custom:<key>", or ""
    to leave a column out; a field that it gives away is taken from the column that had it. `outcome` names
    the column that tells won from lost, "" none. What was checked before is forgotten.

    Raises ImportJob.DoesNotExist, PermissionRefused, VersionConflict, ImportRefused naming the column,
    TransitionRefused once the import runs.
    """
    job = _own(import_id, by=by, states=_BEFORE_RUN)
    check_version(job, version)
    columns = [Column.of(stored) for stored in job.columns]
    changes = dict(mapping or {})
    if outcome is not None:
        changes |= {name: "" for name, target in job.mapping.items() if target == "outcome"}
        if outcome:
            changes[outcome] = "outcome"
    taken = {target for target in changes.values() if target}
    kept = {name: "" if target in taken else target for name, target in job.mapping.items()}
    job.mapping = kept | changes
    check_mapping(job.mapping, columns)
    _refuse_fields(job, by)
    unused = job.source if source and job.options.get("made_source") else None
    if source:
        job.source, job.options["made_source"] = source_for(source)
    if policy:
        job.policy = _known_policy(policy)
    if empty_words is not None:
        job.options["empty_words"] = sorted({str(word).strip()[:40] for word in empty_words} - {""})
    for stale in ("as_text", "staged_as_text", "choices", "types"):
        job.options.pop(stale, None)
    job.warnings = [
        *job.options.get("header_warnings", ()),
        *warnings_for(job.mapping, columns, job.options["empty_words"], required_labels()),
    ]
    job.state, job.error = ImportState.MAPPED, ""
    job.save_changed("mapping", "source", "policy", "options", "warnings", "state", "error")
    if unused and unused != job.source:
        _forget_source(unused)
    _set_job(job, phase=OVER, state=JobState.QUEUED)
    events.publish(events.ImportProgressed(job.pk, job.state))
    return job


def _refuse_fields(job: ImportJob, by: Actor) -> None:
    """Raises ImportRefused naming the first column that would fill in a field which `by` may not. A query."""
    filled = {target.removeprefix(CUSTOM): name for name, target in job.mapping.items() if CUSTOM in target}
    fields = CustomField.objects.filter(target="lead", key__in=list(filled))
    kept = fields.exclude(pk__in=fields.writable_by(by)).first()
    if kept is not None:
        name = filled[kept.key]
        words = _("Your role may not fill in “%(field)s”; leave the column “%(column)s” out.")
        raise ImportRefused(words % {"field": kept.label, "column": name}, field=name)


def _known_policy(policy: str) -> ImportPolicy:
    if policy not in ImportPolicy.values:
        raise ImportRefused(_("There is no such choice for leads we know."), field="policy")
    return ImportPolicy(policy)


@transaction.atomic
def check_import(import_id: int, *, by: Actor, in_process: bool = False) -> ImportJob:
    """Have every row judged; no lead is written. With `in_process` the caller runs the steps itself.

    Raises ImportJob.DoesNotExist, PermissionRefused, TransitionRefused once the import runs.
    """
    job = _own(import_id, by=by, states=_BEFORE_RUN)
    job.state, job.error = ImportState.MAPPED, ""
    job.save_changed("state", "error")
    _start(job, phase=CLEAR, in_process=in_process)
    return job


@transaction.atomic
def run_import(
    import_id: int,
    *,
    by: Actor,
    analyse: str | int = "",
    assign: str | User = ImportAssign.NONE,
    in_process: bool = False,
) -> ImportJob:
    """Write what the check has shown. `analyse` is "none", "all", or how many of the best by rules. `assign`
    is who gets the new leads: "none" (the pool), "rules", or a person; then only leads that are nobody's go.

    Raises ImportJob.DoesNotExist, PermissionRefused, ImportRefused for `analyse` and `assign`,
    TransitionRefused unless the import is checked. An import whose worker died is taken up again.
    """
    job = _own(import_id, by=by, states=(ImportState.CHECKED, ImportState.RUNNING))
    if job.state == ImportState.RUNNING:
        if not _is_stalled(job.job, clock.now()):
            raise TransitionRefused(
                _("This import is running already. If its process has ended, try again in %d s.")
                % SILENT.seconds
            )
        _start(job, phase=job.job.cursor["phase"], row=job.job.cursor.get("row", 0), in_process=in_process)
        return job
    _refuse_fields(job, by)
    job.analyse = known_analyse(analyse or job.analyse)
    job.assign, job.assign_to = known_assign(assign, by=by)
    job.state, job.started_at, job.error = ImportState.RUNNING, clock.now(), ""
    audit("import.run", f"ran an import of {job.rows_total} rows", by=by, target=job, policy=job.policy)
    job.rows_created = job.rows_updated = job.rows_skipped = job.rows_failed = job.rows_done = 0
    job.save_changed(
        "analyse",
        "assign",
        "assign_to",
        "state",
        "started_at",
        "error",
        "rows_created",
        "rows_updated",
        "rows_skipped",
        "rows_failed",
        "rows_done",
    )
    _start(job, phase=WRITE, in_process=in_process)
    return job


def known_analyse(text: str | int) -> str:
    """Raises ImportRefused for what is neither "none", "all" nor a number from 1 on."""
    words = str(text).strip().lower()
    if words in {NONE, ALL}:
        return words
    if words.isascii() and words.isdigit() and len(words) <= 8:
        return str(int(words)) if int(words) else NONE
    raise ImportRefused(_("Analyse none, all, or a number of leads."), field="analyse")


def known_assign(assign: str | User, *, by: Actor) -> tuple[ImportAssign, User | None]:
    """Who gets the new leads. Raises ImportRefused (`assign`) for nobody of ours, and for somebody to whom
    this person could not give leads: an admin gives to all who work here, a manager to their teams, everybody
    else takes for themselves.
    """
    if not isinstance(assign, User):
        if assign not in {ImportAssign.NONE, ImportAssign.RULES}:
            raise ImportRefused(_("Give the leads to nobody, by the rules, or to a person."), field="assign")
        return ImportAssign(assign), None
    if not assignees(by).filter(pk=assign.pk).exists():
        raise ImportRefused(_("You cannot give leads to %s.") % assign, field="assign")
    return ImportAssign.USER, assign


def assignees(by: Actor) -> QuerySet[User]:
    """To whom this person may give the leads of an import."""
    people = User.objects.active().exclude(role=Role.READ_ONLY).order_by("name", "pk")
    if by.user is None:
        return people
    match reach(by, Verb.REASSIGN):
        case Reach.ALL:
            return people
        case Reach.TEAM:
            mates = TeamMember.objects.filter(team__members__user=by.user)
            return people.filter(pk__in=mates.values("user"))
        case Reach.NONE:
            return people.none()
    return people.filter(pk=by.user.pk)


@transaction.atomic
def cancel_import(import_id: int, *, by: Actor) -> ImportJob | None:
    """Stop. Before it runs, the import and its file are deleted (None is returned); a running one keeps what
    it has written, and counts the rest as skipped.

    Raises ImportJob.DoesNotExist, PermissionRefused, TransitionRefused when it is done.
    """
    job = _own(import_id, by=by, states=(*_BEFORE_RUN, ImportState.RUNNING))
    if job.state != ImportState.RUNNING:
        job_id, stored_as = job.pk, job.stored_as
        job.delete()
        if job.source and job.options.get("made_source"):
            _forget_source(job.source)
        transaction.on_commit(lambda: _forget(job_id, stored_as))
        return None
    left = job.rows_total - job.rows_done
    if left:
        job.error = _("Stopped after %(done)s of %(total)s rows; the rest was skipped.") % {
            "done": f"{job.rows_done:,}",
            "total": f"{job.rows_total:,}",
        }
        job.rows_skipped += left
        job.rows_done, job.analyse = job.rows_total, NONE
        job.save_changed("error", "rows_skipped", "rows_done", "analyse")
    _start(job, phase=CLEAN, in_process=False)
    return job


def preview_undo_import(import_id: int, *, by: Actor) -> UndoCount:
    """How many leads undo would remove, how many rows put back, and which it would keep, and why.

    Raises ImportJob.DoesNotExist, PermissionRefused, UndoRefused as `undo_import` does. Writes nothing.
    """
    require(by, Verb.IMPORT)
    job = ImportJob.objects.visible_to(by).select_related("job").get(pk=import_id)
    _check_undo(job, by)
    return forecast(job)


@transaction.atomic
def undo_import(import_id: int, *, by: Actor, in_process: bool = False) -> ImportJob:
    """Take an import back, within seven days of its end: leads that it made and nobody touched go, leads that
    it changed get their values back, what people did since is kept and named. Done in slices by the queue;
    with `in_process` the caller runs the steps itself. A stopped one is taken up again.

    Raises ImportJob.DoesNotExist, PermissionRefused, UndoRefused when the import is not done, undone
    already, being undone, or too old. Publishes ImportProgressed.
    """
    require(by, Verb.IMPORT)
    job = ImportJob.objects.visible_to(by).select_for_update(of=("self",)).get(pk=import_id)
    _check_undo(job, by)
    row = job.job.cursor.get("row", 0) if job.job.cursor["phase"] == UNDO else 0
    if not row:
        job.options["undo"] = {"removed": 0, "restored": 0, "kept": 0}
        job.options["undone_by"] = by.user and by.user.pk
        job.save_changed("options")
    _start(job, phase=UNDO, row=row, in_process=in_process)
    return job


def may_undo_import(job: ImportJob, *, by: Actor) -> bool:
    """Whether `undo_import` would begin now. No query."""
    try:
        require(by, Verb.IMPORT)
        _check_undo(job, by)
    except CRMError:
        return False
    return True


def _check_undo(job: ImportJob, by: Actor) -> None:
    """Raises PermissionRefused for somebody else's import, UndoRefused with the reason."""
    if by.user and job.created_by_id != by.user.pk:
        require(by, Verb.UNDO_OTHERS)
    if job.state == ImportState.UNDONE:
        raise UndoRefused(_("This import was undone already."))
    if job.state != ImportState.DONE:
        raise UndoRefused(_("Only an import that is done can be undone."))
    if job.job.cursor["phase"] == UNDO:
        if not _is_stalled(job.job, clock.now()):
            raise UndoRefused(_("This import is being undone."))
        return  # begun in time
    if job.finished_at and job.finished_at + UNDO_FOR < clock.now():
        raise UndoRefused(_("The time to undo this import is over: it was seven days."))


def _forget_source(source: LeadSource) -> None:
    """Delete a source that was made for an import that never ran, unless it is in use by now."""
    with suppress(ProtectedError), transaction.atomic():
        source.delete()


def _forget(job_id: int, stored_as: str) -> None:
    storing.remove(stored_as)
    while clear_some(job_id):
        pass


def advance_import(import_id: int, *, seconds: float) -> bool:
    """Work on an import for about so many seconds. Returns whether more is to be done. Safe to run twice,
    and by two workers at a time.
    """
    try:
        return ImportRun(import_id).advance(seconds)
    except (ImportJob.DoesNotExist, Job.DoesNotExist):
        return False


def stalled_imports(at: datetime) -> list[int]:
    """Imports that somebody began to work on and then went silent, for the sweep."""
    return [
        job.import_job_id
        for job in Job.objects.filter(
            kind="import", state__in=[JobState.QUEUED, JobState.RUNNING], updated_at__lt=at - STALLED
        ).exclude(cursor__phase=OVER)
        if job.import_job_id
    ]


def _own(import_id: int, *, by: Actor, states: Iterable[str]) -> ImportJob:
    require(by, Verb.IMPORT)
    job = ImportJob.objects.visible_to(by).select_for_update(of=("self",)).get(pk=import_id)
    if job.state not in states:
        raise TransitionRefused(
            _("This import is %s; that is not possible now.") % job.get_state_display().lower()
        )
    return job


def _is_stalled(job: Job, at: datetime) -> bool:
    return job.state == JobState.FAILED or job.updated_at < at - SILENT


def _set_job(job: ImportJob, *, phase: str, state: str, row: int = 0) -> None:
    watched = job.job
    watched.cursor, watched.state, watched.error = {"phase": phase, "row": row}, state, ""
    watched.done, watched.total = row, job.rows_total
    watched.save()


def _start(job: ImportJob, *, phase: str, in_process: bool, row: int = 0) -> None:
    _set_job(job, phase=phase, state=JobState.RUNNING if in_process else JobState.QUEUED, row=row)
    events.publish(events.ImportProgressed(job.pk, job.state))
    if not in_process:
        events.publish(events.ImportDue(job.pk))
