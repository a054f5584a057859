"""Leads that an import changed get back what they were: exactly, when nobody has touched them since; else
field by field, where the field still holds what the import wrote."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from crm import clock
from crm.actions.lead_status import WAKING_FIELDS
from crm.actions.scores import score_by_rules_batch
from crm.imports.inserting import as_json, update_rows
from crm.imports.learning import UPDATED_FIELDS
from crm.models import ContactPoint, ImportJob, ImportRow, Lead, MatchKey, Score, ScoreFactor

_WRITTEN = (
    *UPDATED_FIELDS,
    *("custom", "outcome", "outcome_at", "outcome_from", *WAKING_FIELDS),
    *("last_inbound_at", "attempts", "search_text", "score", "score_source", "version", "updated_at"),
)
_STORY = {  # table -> the column that holds the time of the import's chunk
    "crm_timelineevent": "created_at",
    "crm_inquiry": "created_at",
    "crm_leadstatuschange": "at",
}


class Restoring:
    """The updates of a slice, last row first. The caller holds the leads' locks."""

    def __init__(self, job: ImportJob, first: int, rows: Sequence[tuple[ImportRow, str]]) -> None:
        self.job, self.first, self.rows = job, first, rows
        self.kept: dict[int, str] = {}  # ImportRow id -> reason
        self.leads: dict[int, Lead] = {}
        self._old_versions: dict[int, int] = {}
        self._exact: set[int] = set()  # leads whose rows were undone exactly so far
        self._changed: set[int] = set()
        self._points: list[tuple[int, str, str]] = []
        self._keys: list[tuple[int, str, str]] = []
        self._tags: list[tuple[int, int]] = []
        self._story: list[tuple[int, str]] = []
        self._scores: dict[int, dict[str, Any]] = {}

    def run(self) -> None:
        self.leads = Lead.objects.in_bulk([row.lead_id for row, _reason in self.rows if row.lead_id])
        self._old_versions = {lead.pk: lead.version for lead in self.leads.values()}
        for row, reason in self.rows:
            lead = self.leads[row.lead_id]  # type: ignore[index]
            if reason == "ok" or (reason == "edited" and self._follows(lead, row)):
                self._restore(lead, row)
                continue
            self.kept[row.pk] = reason
            if reason == "edited":
                self._restore_in_part(lead, row)
        self._delete()
        inexact = self._restore_scores()
        for lead_id in self._changed:
            self.leads[lead_id].version += 1
            self.leads[lead_id].updated_at = clock.now()
        update_rows(Lead, [self.leads[lead_id] for lead_id in sorted(self._changed)], _WRITTEN)
        self._expect_new_versions()
        if inexact:
            score_by_rules_batch(sorted(inexact))

    def without_changed(self, lead_ids: list[int]) -> tuple[list[int], set[int]]:
        """(those of these leads that may go, those that had a change which stays). A row of this slice may
        have changed a lead that an earlier row made."""
        stays = {row.lead_id for row, _reason in self.rows if row.pk in self.kept}
        return [lead_id for lead_id in lead_ids if lead_id not in stays], {
            lead_id for lead_id in lead_ids if lead_id in stays
        }

    def _follows(self, lead: Lead, row: ImportRow) -> bool:
        """Whether a later row of this import, undone in this slice, is all that came after this one."""
        return lead.pk in self._exact and (row.before or {}).get("version") == self._old_versions[lead.pk] - 1

    def _restore(self, lead: Lead, row: ImportRow) -> None:
        before = row.before or {}
        for name, value in before.get("values", {}).items():
            setattr(lead, name, _value(name, value))
        self._points += [(lead.pk, kind, norm) for kind, norm in before.get("points", ())]
        self._keys += [(lead.pk, kind, value) for kind, value in before.get("keys", ())]
        self._tags += [(lead.pk, tag_id) for tag_id in before.get("tags", ())]
        if "at" in before:
            self._story.append((lead.pk, before["at"]))
        if "scores" in before:
            self._scores[lead.pk] = before["scores"]
        self._exact.add(lead.pk)
        self._changed.add(lead.pk)

    def _restore_in_part(self, lead: Lead, row: ImportRow) -> None:
        before = row.before or {}
        after = before.get("after", {})
        for name, value in before.get("values", {}).items():
            if name in UPDATED_FIELDS and _plain(getattr(lead, name)) == after.get(name):
                setattr(lead, name, _value(name, value))
                self._changed.add(lead.pk)
        if "custom" in after:
            custom = _without(lead.custom, before["values"]["custom"], after["custom"])
            if custom != lead.custom:
                lead.custom = custom
                self._changed.add(lead.pk)

    def _delete(self) -> None:
        """The addresses, keys, tags and lines of the story that the undone rows added."""
        for model, column, gone in ((ContactPoint, "norm", self._points), (MatchKey, "value", self._keys)):
            _delete_triples(model._meta.db_table, column, gone)
        if self._tags:
            leads, tags = zip(*self._tags, strict=True)
            with connection.cursor() as cursor:
                cursor.execute(
                    "DELETE FROM crm_tagging AS old"
                    " USING unnest(%s::bigint[], %s::bigint[]) AS gone (id, tag)"
                    " WHERE old.lead_id = gone.id AND old.tag_id = gone.tag",
                    [list(leads), list(tags)],
                )
        if not self._story:
            return
        ids, times = zip(*self._story, strict=True)
        with connection.cursor() as cursor:
            for table, time in _STORY.items():
                cursor.execute(
                    f"DELETE FROM {table} AS old"  # noqa: S608
                    " USING unnest(%s::bigint[], %s::timestamptz[]) AS gone (id, at)"
                    f" WHERE old.lead_id = gone.id AND old.{time} = gone.at",
                    [list(ids), list(times)],
                )

    def _restore_scores(self) -> set[int]:
        """Bring retired scores back where the import's own are still current. Returns the leads that have to
        be judged anew."""
        wanted = self._scores
        made = [score_id for scores in wanted.values() for score_id in scores["made"]]
        current = set(Score.objects.filter(pk__in=made, is_current=True).values_list("pk", flat=True))
        exact = {lead_id for lead_id, scores in wanted.items() if set(scores["made"]) <= current}
        gone = [score_id for lead_id in exact for score_id in wanted[lead_id]["made"]]
        ScoreFactor.objects.filter(score__in=gone).delete()
        Score.objects.filter(pk__in=gone).delete()
        back = [score_id for lead_id in exact for score_id in wanted[lead_id]["retired"]]
        Score.objects.filter(pk__in=back).update(is_current=True)
        for lead_id in exact:
            lead = self.leads[lead_id]
            lead.score, lead.score_source = wanted[lead_id]["value"], wanted[lead_id]["source"]
        return (self._changed - self._exact) | (set(wanted) - exact)

    def _expect_new_versions(self) -> None:
        """Earlier rows of this import on the same leads shall not take this undo for somebody's edit."""
        leads = sorted(self._exact)
        if not leads:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE crm_importrow AS row"
                " SET before = coalesce(nullif(row.before, 'null'), '{}')"
                " || jsonb_build_object('version', new.version)"
                " FROM unnest(%s::bigint[], %s::int[], %s::int[]) AS new (id, old, version)"
                " WHERE row.job_id = %s AND row.row_no < %s AND row.lead_id = new.id"
                " AND coalesce((row.before ->> 'version')::int, 1) >= new.old - 1",
                [
                    leads,
                    [self._old_versions[lead_id] for lead_id in leads],
                    [self.leads[lead_id].version for lead_id in leads],
                    self.job.pk,
                    self.first,
                ],
            )


def _delete_triples(table: str, column: str, gone: Iterable[tuple[int, str, str]]) -> None:
    columns: dict[int, list[Any]] = defaultdict(list)
    for triple in gone:
        for place, value in enumerate(triple):
            columns[place].append(value)
    if not columns:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} AS old"  # noqa: S608
            " USING unnest(%s::bigint[], %s::text[], %s::text[]) AS gone (id, kind, value)"
            f" WHERE old.lead_id = gone.id AND old.kind = gone.kind AND old.{column} = gone.value",
            [columns[0], columns[1], columns[2]],
        )


def _value(name: str, stored: Any) -> Any:
    return Lead._meta.get_field(name).to_python(stored)  # type: ignore[union-attr]


def _plain(value: Any) -> Any:
    return json.loads(as_json(value))


def _without(now: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Own fields, those that still hold what the import wrote as they were before it."""
    result = dict(now)
    for key, written in after.items():
        if now.get(key) != written or before.get(key) == written:
            continue
        if key in before:
            result[key] = before[key]
        else:
            del result[key]
    return result
