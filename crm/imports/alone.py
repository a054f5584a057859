"""The row that cannot be written as part of a set: `receive_row` does what it takes.

It matches several records that must become one, or a person who is known but has no open lead. Such a row is
a chunk of its own, so rows keep their order; ordinary rows pay nothing for it.
"""

from crm.actions.intake import receive_row
from crm.imports.changes import difference, met_by, picture
from crm.imports.chunk import Chunk
from crm.imports.judging import ROW_KEY
from crm.imports.writing import book_rows
from crm.models import ImportStage, Lead, Outcome, OutcomeFrom, Verdict


def write_alone(chunk: Chunk) -> dict[str, int]:
    """Write the one row of this chunk; the caller holds the import lock. Returns the counts by verdict."""
    row = ImportStage.objects.get(job_id=chunk.job.pk, row_no=chunk.first)
    assert chunk.job.source is not None  # named when the columns were mapped
    leads, contacts = met_by(row)
    before = picture(leads, contacts)
    result = receive_row(
        {**row.fields, **({"custom": row.custom} if row.custom else {})},
        by=chunk.by,
        source=chunk.job.source,
        idempotency_key=f"{ROW_KEY}{row.row_hash}",
        lead_id=row.lead_id,
    )
    lead = result.lead
    if row.outcome:
        _take_outcome(lead, row.outcome, chunk)
    row.verdict = Verdict.CREATE if result.created else Verdict.UPDATE
    row.lead_id = lead.pk
    row.save(update_fields=["verdict", "lead_id"])
    if lead.contact_id:
        contacts.add(lead.contact_id)
    after = picture(leads | {lead.pk}, contacts)
    change = difference(before, after)
    return book_rows(chunk, {row.row_no: {"change": change, "version": lead.version}})


def _take_outcome(lead: Lead, outcome: str, chunk: Chunk) -> None:
    """As rows that are written together do: what people decided outranks the file."""
    if lead.outcome != outcome and lead.outcome_from != OutcomeFrom.ACTION:
        lead.outcome, lead.outcome_at = Outcome(outcome), chunk.at
        lead.outcome_from = OutcomeFrom.IMPORT
        lead.save_changed("outcome", "outcome_at", "outcome_from")
