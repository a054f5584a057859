"""Taking an import back, a slice of rows at a time, from the last row to the first.

A lead that the import made goes without a trace when nobody has touched it since; a lead that it changed gets
its values back. Whatever people did meanwhile stays: such rows are kept and named (`ImportRow.message`). What
an agent judged is no touch: it goes with the lead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import ProtectedError
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.identity import IMPORT_LOCK
from crm.actions.maintenance import maintenance
from crm.actions.merge_relations import relations
from crm.imports.assigning import forget_assigned
from crm.imports.changes import BY_THEMSELVES, STORY, UNTIED, take_back, versions_before
from crm.imports.restoring import Restoring
from crm.models import (
    Actor,
    CustomField,
    FieldType,
    ImportJob,
    ImportRow,
    ImportState,
    Lead,
    LeadSource,
    Tag,
    Verdict,
)

# What an import, and what follows from it by itself, hangs on a lead; it is deleted with an untouched one.
# Rows in any other table that point at the lead, and later rows in those of STORY, are somebody's work.
REMOVED = (
    "crm.score",
    "crm.scoreoutcome",
    "crm.timelineevent",
    "crm.inquiry",
    "crm.contactpoint",
    "crm.matchkey",
    "crm.leadstatuschange",
    "crm.assignmentlog",
    "crm.duplicatecandidate",
    "crm.tagging",
)
_BY_ITSELF = {"crm.timelineevent": f" AND other.kind NOT IN {BY_THEMSELVES}"}
_DECIDED = {"crm.duplicatecandidate": " AND other.state <> 'open'"}


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row of the file that undo leaves as it is, or in part, and why."""

    row_no: int
    line_no: int
    lead: str
    reason: str


@dataclass(slots=True)
class UndoCount:
    """How many rows undo takes away, puts back, and keeps."""

    removed: int = 0
    restored: int = 0
    kept: int = 0
    examples: list[KeptRow] = field(default_factory=list)

    def add(self, other: "UndoCount") -> None:
        self.removed += other.removed
        self.restored += other.restored
        self.kept += other.kept

    def as_json(self) -> dict[str, int]:
        return {"removed": self.removed, "restored": self.restored, "kept": self.kept}


@cache
def _verdict_sql() -> str:
    """A row's lead: 'ok' when it is as the import left it, else what was done to it."""
    tests = [
        "WHEN lead.merged_into_id IS NOT NULL THEN 'merged' WHEN lead.deleted_at IS NOT NULL THEN 'deleted'",
        "WHEN lead.version <> coalesce((row.before ->> 'version')::int, 1) THEN 'edited'",
    ]
    for relation in relations(Lead):
        label, column = relation.label, relation.column
        if label in UNTIED or (label in REMOVED and label not in STORY and label not in _DECIDED):
            continue
        # rows that were written alone know which rows they made: crm.imports.changes looks at those
        is_later = " AND other.created_at <> lead.created_at AND row.before -> 'change' IS NULL"
        later = is_later if label in STORY else ""
        tests.append(
            f"WHEN row.verdict = 'create' AND EXISTS (SELECT FROM {relation.model._meta.db_table} AS other"
            f" WHERE other.{column} = lead.id{later}{_BY_ITSELF.get(label, '')}{_DECIDED.get(label, '')})"
            f" THEN '{label}'"
        )
    return f"CASE {' '.join(tests)} ELSE 'ok' END"


_ROWS = (
    "FROM crm_importrow AS row JOIN crm_lead AS lead ON lead.id = row.lead_id"
    " WHERE row.job_id = %(job)s AND row.row_no BETWEEN %(first)s AND %(last)s"
    " AND row.verdict IN ('create', 'update')"
)


def reason_in_words(reason: str) -> str:
    """Why a row is kept."""
    words = {
        "merged": _("merged with another lead since"),
        "deleted": _("deleted since"),
        "edited": _("changed since"),
    }
    if reason in words:
        return words[reason]
    model = next(one.model for one in relations(Lead) if one.label == reason)
    return _("has got since: %s") % model._meta.verbose_name


def forecast(job: ImportJob, *, examples: int = 100) -> UndoCount:
    """What undo would take away, put back and keep, the first kept rows by name. Writes nothing."""
    parameters = {"job": job.pk, "first": 1, "last": job.rows_total, "most": examples}
    count = UndoCount()
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH judged AS MATERIALIZED (SELECT row.row_no, row.line_no, row.verdict, lead.name,"  # noqa: S608
            f" {_verdict_sql()} AS reason {_ROWS})"
            " SELECT row_no, line_no, name, reason, verdict, number FROM ("
            "   SELECT *, count(*) OVER (PARTITION BY verdict, reason = 'ok') AS number,"
            "     row_number() OVER (PARTITION BY verdict, reason = 'ok' ORDER BY row_no) AS place"
            "   FROM judged) AS counted"
            " WHERE place = 1 OR (reason <> 'ok' AND place <= %(most)s) ORDER BY row_no",
            parameters,
        )
        seen = set()
        for row_no, line_no, name, reason, verdict, number in cursor:
            is_ok = reason == "ok"
            if (verdict, is_ok) not in seen:
                seen.add((verdict, is_ok))
                count.removed += number if is_ok and verdict == Verdict.CREATE else 0
                count.restored += number if is_ok and verdict == Verdict.UPDATE else 0
                count.kept += 0 if is_ok else number
            if not is_ok:
                count.examples.append(KeptRow(row_no, line_no, name, reason_in_words(reason)))
    count.examples = count.examples[:examples]
    return count


def kept_rows(job: ImportJob) -> Any:
    """The rows that undo has kept, in the order of the file."""
    return ImportRow.objects.filter(job=job, before__has_key="kept").order_by("row_no")


def undo_rows(job: ImportJob, *, first: int, last: int, by: Actor) -> UndoCount:
    """Undo the rows `first` to `last` in the caller's transaction, which holds the import's row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IMPORT_LOCK])
    alone = ImportRow.objects.filter(job=job, row_no__range=(first, last), before__has_key="change")
    count, end = UndoCount(), last
    for row_no in alone.order_by("-row_no").values_list("row_no", flat=True):
        count.add(_undo_together(job, row_no + 1, end, by=by))
        count.add(_undo_alone(job, row_no, by=by))
        end = row_no - 1
    count.add(_undo_together(job, first, end, by=by))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # so that a slice's time holds its checks, too
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    return count


def _undo_together(job: ImportJob, first: int, last: int, *, by: Actor) -> UndoCount:
    """Rows that were written as a set."""
    rows = _judged_rows(job, first, last)
    if not rows:
        return UndoCount()
    made = [
        row.lead_id
        for row, reason in rows
        if row.lead_id and row.verdict == Verdict.CREATE and reason == "ok"
    ]
    updates = [(row, reason) for row, reason in rows if row.verdict == Verdict.UPDATE]
    kept = {row.pk: reason for row, reason in rows if row.verdict == Verdict.CREATE and reason != "ok"}
    count = UndoCount(removed=len(made))
    with maintenance("undo", "Took rows of an import back", by=by, target=job, rows=len(rows)):
        restoring = Restoring(job, first, updates)
        restoring.run()
        made, changed_here = restoring.without_changed(made)
        remove_leads(made)
    count.removed, count.restored = len(made), len(updates) - len(restoring.kept)
    kept |= restoring.kept | {
        row.pk: "edited"
        for row, _reason in rows
        if row.lead_id in changed_here and row.verdict == Verdict.CREATE
    }
    count.kept = len(kept)
    _name_kept(kept)
    return count


def _undo_alone(job: ImportJob, row_no: int, *, by: Actor) -> UndoCount:
    """A row that brought records together: all of what it did, or nothing."""
    for row, reason in _judged_rows(job, row_no, row_no):
        before, lead_id, is_made = row.before or {}, row.lead_id or 0, row.verdict == Verdict.CREATE
        with maintenance("undo", "Took a row of an import back", by=by, target=job, row=row_no):
            if reason == "ok" and take_back(before["change"], lead_id=lead_id, version=before["version"]):
                if is_made:
                    remove_leads([lead_id])
                _expect_versions(job, row_no, versions_before(before["change"]))
                return UndoCount(removed=int(is_made), restored=int(not is_made))
        _name_kept({row.pk: "edited" if reason == "ok" else reason})
        return UndoCount(kept=1)
    return UndoCount()


def _expect_versions(job: ImportJob, row_no: int, was: Mapping[int, int]) -> None:
    """Earlier rows of this import on the same leads shall not take this undo for somebody's edit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_importrow AS row"
            " SET before = coalesce(nullif(row.before, 'null'), '{}')"
            " || jsonb_build_object('version', lead.version)"
            " FROM unnest(%s::bigint[], %s::int[]) AS old (id, version) JOIN crm_lead AS lead USING (id)"
            " WHERE row.job_id = %s AND row.row_no < %s AND row.lead_id = lead.id"
            " AND coalesce((row.before ->> 'version')::int, 1) = old.version",
            [list(was), list(was.values()), job.pk, row_no],
        )


def _judged_rows(job: ImportJob, first: int, last: int) -> list[tuple[ImportRow, str]]:
    """The slice's rows that wrote something, last first, each with its verdict; their leads are locked."""
    parameters = {"job": job.pk, "first": first, "last": last}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT lead.id {_ROWS} ORDER BY lead.id FOR UPDATE OF lead", parameters)
        cursor.execute(f"SELECT row.id, {_verdict_sql()} {_ROWS}", parameters)
        reasons = dict(cursor.fetchall())
    rows = ImportRow.objects.filter(pk__in=reasons).order_by("-row_no")
    return [(row, reasons[row.pk]) for row in rows]


def remove_leads(ids: list[int]) -> None:
    """Delete untouched leads and what the import hung on them. A fixed number of statements.

    The caller has declared maintenance. Publishes LeadsRemoved.
    """
    if not ids:
        return
    events.publish(events.LeadsRemoved(tuple(ids)))
    with connection.cursor() as cursor:
        for table in ("crm_scorefactor", "crm_scoreoutcome"):
            cursor.execute(
                f"DELETE FROM {table} USING crm_score AS score"  # noqa: S608
                f" WHERE {table}.score_id = score.id AND score.lead_id = ANY(%s)",
                [ids],
            )
        for relation in relations(Lead):
            table, column = relation.model._meta.db_table, relation.column
            if relation.label in UNTIED:
                cursor.execute(f"UPDATE {table} SET {column} = NULL WHERE {column} = ANY(%s)", [ids])  # noqa: S608
            elif relation.label in REMOVED:
                cursor.execute(f"DELETE FROM {table} WHERE {column} = ANY(%s)", [ids])  # noqa: S608
        cursor.execute("DELETE FROM crm_lead WHERE id = ANY(%s)", [ids])


def _name_kept(kept: Mapping[int, str]) -> None:
    if not kept:
        return
    words = {reason: _("Kept: %s") % reason_in_words(reason) for reason in set(kept.values())}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_importrow AS row SET message = new.words,"
            " before = coalesce(nullif(row.before, 'null'), '{}') || jsonb_build_object('kept', new.reason)"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS new (id, reason, words)"
            " WHERE row.id = new.id",
            [list(kept), list(kept.values()), [words[reason] for reason in kept.values()]],
        )


def finish(job: ImportJob) -> list[str]:
    """When all rows are done: the own fields and the source that the import made go, unless they are in use.

    Returns sentences that name what stays. The caller saves the job.
    """
    stays = [*_forget_fields(job.options.get("made_fields", ()))]
    stays += _forget_words(job.options.get("new_words", {}))
    stays += _forget_tags(job.options.get("made_tags", ()))
    source = job.source
    if source and job.options.get("made_source"):
        job.source = None
        job.options["source_name"] = source.name
        job.save(update_fields=["source"])
        if not _forget_source(source):
            job.source = source
            stays.append(_("the source “%s”, which is in use") % source.name)
    forget_assigned(job)
    job.state, job.finished_at = ImportState.UNDONE, job.finished_at or clock.now()
    return stays


def _forget_source(source: LeadSource) -> bool:
    try:
        source.delete()
    except ProtectedError:
        return False
    return True


def _forget_fields(keys: Iterable[str]) -> list[str]:
    stays = []
    for custom in CustomField.objects.filter(target="lead", key__in=list(keys)):
        if custom.version > 1 or Lead.objects.filter(custom__has_key=custom.key).exists():
            stays.append(_("the own field “%s”, which is in use") % custom.label)
        else:
            custom.delete()
    return stays


def _forget_tags(keys: Iterable[int]) -> list[str]:
    """Delete tags that the import made, unless something has them, or somebody changed them."""
    stays = []
    for tag in Tag.objects.filter(pk__in=list(keys)).select_for_update():
        if tag.version > 1 or tag.taggings.exists():
            stays.append(_("the tag “%s”, which is in use") % tag.name)
        else:
            tag.delete()
    return stays


def _forget_words(words: Mapping[str, list[str]]) -> list[str]:
    """Take choices away that the import added to own fields, unless a lead has one by now."""
    stays = []
    fields = CustomField.objects.filter(target="lead", key__in=list(words), type=FieldType.CHOICE)
    for custom in fields.select_for_update():
        used = [
            word
            for word in words[custom.key]
            if Lead.objects.filter(custom__contains={custom.key: word}).exists()
        ]
        custom.options = [word for word in custom.options if word not in words[custom.key] or word in used]
        custom.save_changed("options")
        stays += [
            _("the choice “%(word)s” of “%(field)s”") % {"word": word, "field": custom.label} for word in used
        ]
    return stays
