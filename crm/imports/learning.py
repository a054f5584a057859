"""What rows of a file tell about leads we have. The leads are changed in memory and written at once."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from crm.actions.intake import LeadFields, fill_gaps
from crm.actions.lead_status import WAKING_FIELDS, wake_up
from crm.actions.tags import LeadTags
from crm.imports.chunk import Chunk
from crm.imports.inserting import as_json, copy_rows, update_rows
from crm.models import (
    ContactPoint,
    ImportPolicy,
    ImportStage,
    Lead,
    LeadStatus,
    LeadStatusChange,
    Outcome,
    OutcomeFrom,
    PointKind,
    Tagging,
    Verdict,
)

UPDATED_FIELDS = (
    "name",
    "company",
    "title",
    "mailing_address",
    "physical_address",
    "country",
    "interest",
    "est_value",
    "currency",
)
_WRITTEN = (
    *UPDATED_FIELDS,
    "custom",
    "outcome",
    "outcome_at",
    "outcome_from",
    *WAKING_FIELDS,
    "last_inbound_at",
    "attempts",
    "search_text",
    "version",
    "updated_at",
)


@dataclass(slots=True)
class Learned:
    """Leads that rows have changed, and what those rows replaced, by row number: undo needs it.

    Of each row: `values` it replaced and what came `after`, `points` and `tags` (keys) it added, the lead's
    `version` then, the time it was written `at`. With a lead's first row also the match `keys` and `scores`
    that came of it.
    """

    lead_ids: list[int] = field(default_factory=list)
    before: dict[int, dict[str, Any]] = field(default_factory=dict)
    first_rows: dict[int, int] = field(default_factory=dict)  # lead id -> row number

    def note(self, lead_id: int, name: str, value: Any) -> None:
        """Keep something with the first row of a lead."""
        self.before[self.first_rows[lead_id]][name] = value


def learn_from_rows(chunk: Chunk) -> Learned:
    """Apply the rows with the verdict "update" to their leads; those that teach nothing become "skip"."""
    rows = list(
        ImportStage.objects.filter(
            job_id=chunk.job.pk, row_no__range=(chunk.first, chunk.last), verdict=Verdict.UPDATE
        ).order_by("row_no")
    )
    if not rows:
        return Learned()
    ids = {row.lead_id for row in rows if row.lead_id}
    leads = Lead.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True).in_bulk()
    points = _Points(ids)
    tags = LeadTags(ids, {name for row in rows for name in row.fields.get("tags", ())})
    learned, useless, changed, arrows = Learned(), [], {}, list[LeadStatusChange]()
    for row in rows:
        lead = leads[row.lead_id]
        before = _apply(lead, row, chunk, arrows)
        added, stuck = points.add(lead, row), tags.add(lead.pk, row.fields.get("tags", ()))
        if before.keys() - {"search_text"} or added or stuck or chunk.job.policy == ImportPolicy.CREATE:
            after = {name: getattr(lead, name) for name in before}
            learned.before[row.row_no] = {
                "values": before,
                "after": after,
                "points": added,
                "tags": stuck,
                "at": chunk.at,
            }
            learned.first_rows.setdefault(lead.pk, row.row_no)
            changed[lead.pk] = lead
        else:
            useless.append(row.row_no)
    for lead in changed.values():
        lead.version += 1
        lead.updated_at = chunk.at
    update_rows(Lead, list(changed.values()), _WRITTEN)
    LeadStatusChange.objects.bulk_create(arrows)
    points.save()
    copy_rows(Tagging, tags.new, at=chunk.at)
    _skip(chunk, useless)
    for row in rows:
        if row.row_no in learned.before:
            learned.before[row.row_no]["version"] = leads[row.lead_id].version
    learned.before = {row_no: json.loads(as_json(row)) for row_no, row in learned.before.items()}
    learned.lead_ids = list(changed)
    return learned


def _fields_of(row: ImportStage) -> LeadFields:
    values = dict(row.fields)
    if "est_value" in values:
        values["est_value"] = Decimal(values["est_value"])
    return LeadFields(**values, custom=row.custom)


def _apply(lead: Lead, row: ImportStage, chunk: Chunk, arrows: list[LeadStatusChange]) -> dict[str, Any]:
    """Change the lead in memory, noting a change of status. Returns the replaced values, by field."""
    fields = _fields_of(row)
    was = {name: getattr(lead, name) for name in _WRITTEN}
    if chunk.job.policy == ImportPolicy.CREATE:
        fill_gaps(lead, fields, row.search_text, at=chunk.at)
        if lead.status == LeadStatus.NURTURING:
            arrow = wake_up(lead, by=chunk.by)
            lead.status_changed_at = arrow.at = chunk.at  # by which an undo of the import finds it
            arrows.append(arrow)
    else:
        _overwrite(lead, fields, row)
    if row.outcome and lead.outcome != row.outcome and lead.outcome_from != OutcomeFrom.ACTION:
        lead.outcome, lead.outcome_at, lead.outcome_from = Outcome(row.outcome), chunk.at, OutcomeFrom.IMPORT
    return {name: old for name, old in was.items() if getattr(lead, name) != old}


def _overwrite(lead: Lead, fields: LeadFields, row: ImportStage) -> None:
    """The file knows better: what it gives replaces what we have. Blank cells change nothing."""
    for name in UPDATED_FIELDS:
        given = getattr(fields, name)
        if given and not (name == "name" and _is_fallback(given, fields, lead)):
            setattr(lead, name, given)
    lead.custom = {**lead.custom, **row.custom}
    lead.search_text = " ".join(dict.fromkeys(f"{lead.search_text} {row.search_text}".split()))


def _is_fallback(name: str, fields: LeadFields, lead: Lead) -> bool:
    """Whether the name is only what we call a row that has none."""
    stand_ins = {fields.company, fields.email.partition("@")[0], fields.phone}
    return name in stand_ins or (bool(fields.external_id) and name.endswith(f" {fields.external_id}"))


class _Points:
    """The ways to reach the leads of a chunk, and those that its rows add."""

    def __init__(self, lead_ids: Iterable[int]) -> None:
        self.have: dict[int, set[tuple[str, str]]] = defaultdict(set)
        self.primary: dict[int, set[str]] = defaultdict(set)
        self.new: list[ContactPoint] = []
        known = ContactPoint.objects.filter(lead__in=lead_ids)
        for lead_id, kind, norm, is_primary in known.values_list("lead", "kind", "norm", "is_primary"):
            self.have[lead_id].add((kind, norm))
            if is_primary:
                self.primary[lead_id].add(kind)

    def add(self, lead: Lead, row: ImportStage) -> list[list[str]]:
        """Note what the row adds. Returns it as [kind, norm] pairs."""
        added = []
        for kind, norm in ((PointKind.EMAIL, row.email_key), (PointKind.PHONE, row.phone_key)):
            if not norm or (kind, norm) in self.have[lead.pk]:
                continue
            is_primary = kind not in self.primary[lead.pk]
            self.new.append(
                ContactPoint(lead=lead, kind=kind, raw=row.fields[kind], norm=norm, is_primary=is_primary)
            )
            self.have[lead.pk].add((kind, norm))
            self.primary[lead.pk].add(kind)
            added.append([str(kind), norm])
        return added

    def save(self) -> None:
        ContactPoint.objects.bulk_create(self.new)


def _skip(chunk: Chunk, row_numbers: list[int]) -> None:
    ImportStage.objects.filter(job_id=chunk.job.pk, row_no__in=row_numbers).update(
        verdict=Verdict.SKIP, message=_("Nothing new in this row.")
    )
