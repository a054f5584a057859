"""First scores by rules of new leads, known before the leads are written: each lead is written once.

The twin of `score_by_rules_batch` for leads that have one inquiry and no past.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from crm.actions import score_rules
from crm.actions.score_rules import Evidence, NewFactor, Text
from crm.imports.inserting import copy_rows
from crm.models import (
    FactorSource,
    Lead,
    LeadSource,
    PointKind,
    Score,
    ScoreFactor,
    ScoreKind,
    band_of,
)
from crm.plaintext import normalised


@dataclass(frozen=True, slots=True)
class NewLead:
    """What the rules look at of a lead that is about to be written."""

    lead_id: int
    inquiry_id: int
    fields: dict[str, Any]
    has_email: bool
    has_phone: bool
    has_domain: bool


def score_new_leads(
    leads: Sequence[NewLead], *, source: LeadSource, currency: str, at: datetime
) -> list[int]:
    """Store the scores and their factors by COPY. Returns the values, in the order of the leads."""
    row = Lead(source=source)  # one for all: making a thousand takes longer than judging them
    judged = [score_rules.judge(_evidence(lead, row, currency, at), at=at) for lead in leads]
    ids = _next_score_ids(len(leads))
    copy_rows(Score, _scores(leads, judged, ids), at=at)
    copy_rows(ScoreFactor, _factors(judged, ids), at=at)
    return [value for value, _factors_of_lead in judged]


def _evidence(lead: NewLead, row: Lead, currency: str, at: datetime) -> Evidence:
    """What the rules read, by way of `row`, which holds this lead's values until the next."""
    row.pk = lead.lead_id
    row.company = lead.fields.get("company", "")
    row.interest = lead.fields.get("interest", "")
    row.est_value = Decimal(lead.fields["est_value"]) if "est_value" in lead.fields else None
    row.currency = lead.fields.get("currency", currency)
    text = normalised(lead.fields.get("message", ""))
    ways = ((PointKind.EMAIL, lead.has_email), (PointKind.PHONE, lead.has_phone))
    return Evidence(
        lead=row,
        reached_by=frozenset(kind for kind, is_there in ways if is_there),
        has_company_mail=lead.has_domain,
        texts=[Text(FactorSource.INQUIRY, lead.inquiry_id, text)] if text else [],
        inquiries=1,
        last_heard_at=at,
    )


def _next_score_ids(count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('crm_score', 'id')) FROM generate_series(1, %s)", [count]
        )
        return [score_id for (score_id,) in cursor]


_Judged = Sequence[tuple[int, tuple[NewFactor, ...]]]


def _scores(leads: Sequence[NewLead], judged: _Judged, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """For each lead the score by rules and, under a later id, the blend that shows it."""
    blend_ids = iter(_next_score_ids(len(leads)))
    for lead, (value, _factors_of_lead), score_id in zip(leads, judged, ids, strict=True):
        common = {
            "lead": lead.lead_id,
            "value": value,
            "band": band_of(value),
            "version": score_rules.VERSION,
        }
        yield {"id": score_id, "kind": ScoreKind.RULES, "base": score_rules.BASE, **common}
        yield {
            "id": next(blend_ids),
            "kind": ScoreKind.BLEND,
            "blended_from": ScoreKind.RULES,
            **common,
        }


def _factors(judged: _Judged, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    for score_id, (_value, factors) in zip(ids, judged, strict=True):
        for position, factor in enumerate(factors):
            yield {
                "score": score_id,
                "position": position,
                "points": factor.points,
                "label": factor.label,
                "quote": factor.quote,
                "source_kind": factor.source_kind,
                "source_id": factor.source_id,
                "field": factor.field,
                "start": factor.place.start if factor.place else None,
                "end": factor.place.end if factor.place else None,
                "verified": factor.place is not None,
            }
