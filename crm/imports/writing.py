"""A chunk of the stage becomes leads: the set-based twin of `receive_inquiry`.

Everything here runs in one transaction that holds the import lock and a decided stage (judging). The number
of statements does not depend on the number of rows.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.db import connection

from crm.actions.candidates import note_candidates
from crm.actions.scores import score_by_rules_batch
from crm.actions.tags import LeadTags
from crm.imports.chunk import Chunk, staged
from crm.imports.inserting import copy_rows, insert_select, insert_sql
from crm.imports.learning import Learned, learn_from_rows
from crm.imports.scoring import NewLead, score_new_leads
from crm.models import (
    ContactPoint,
    ImportPolicy,
    ImportRow,
    ImportStage,
    Inquiry,
    InquiryState,
    Lead,
    LeadStatus,
    LeadStatusChange,
    MatchKey,
    Score,
    Tagging,
    TimelineEvent,
    Verdict,
)

_OPTIONAL_TEXTS = ("company", "title", "mailing_address", "physical_address", "country", "interest")
_TELLER = {
    "occurred_at": "%(at)s",
    "actor_kind": "%(actor_kind)s",
    "actor": "%(actor)s::bigint",
    "actor_label": "%(actor_label)s",
}


def write_chunk(chunk: Chunk) -> dict[str, int]:
    """Write what the stage has decided. Returns how many rows got which verdict.

    Inquiries and scores come before the leads they belong to (foreign keys are checked at the commit), so
    that a lead is written once, with its score.
    """
    parameters = chunk.parameters
    inquiries = _insert_inquiries(parameters, with_known=chunk.job.policy == ImportPolicy.CREATE)
    _insert_leads(parameters, _score(chunk, inquiries))
    _insert_first_status(parameters)
    _insert_points(parameters)
    _stick_tags(chunk)
    learned = learn_from_rows(chunk)
    for lead_id, keys in _insert_keys(parameters, known=learned.lead_ids).items():
        learned.note(lead_id, "keys", keys)
    note_candidates(list(inquiries))
    if learned.lead_ids:
        if chunk.job.policy != ImportPolicy.CREATE:
            _tell_of_update(parameters)
        _score_again(learned)
    return book_rows(chunk, learned.before)


def book_rows(chunk: Chunk, before: Mapping[int, Any]) -> dict[str, int]:
    """Write what became of the chunk's rows. Returns how many got which verdict."""
    _insert_import_rows({**chunk.parameters, "before": json.dumps(before)})
    return _verdicts(chunk.parameters)


def _score(chunk: Chunk, inquiries: Mapping[int, int]) -> dict[int, int]:
    """Store the first scores of the chunk's new leads. Returns lead id -> value."""
    rows = ImportStage.objects.filter(
        job_id=chunk.job.pk, row_no__range=(chunk.first, chunk.last), verdict=Verdict.CREATE
    ).order_by("row_no")
    leads = [
        NewLead(lead_id, inquiries[lead_id], fields, bool(email), bool(phone), bool(domain))
        for lead_id, fields, email, phone, domain in rows.values_list(
            "lead_id", "fields", "email_key", "phone_key", "domain_key"
        )
        if lead_id is not None  # judging draws an id for each row that makes a lead
    ]
    source = chunk.job.source
    assert source is not None  # named when the columns were mapped
    values = score_new_leads(leads, source=source, currency=source.currency, at=chunk.at)
    return {lead.lead_id: value for lead, value in zip(leads, values, strict=True)}


def _insert_leads(parameters: Mapping[str, Any], scores: Mapping[int, int]) -> None:
    scored = "crm_importstage s JOIN unnest(%(leads)s::bigint[], %(scores)s::int[]) AS scored (id, value)"
    insert_select(
        Lead,
        {
            "id": "s.lead_id",
            "name": "left(s.fields ->> 'name', 200)",
            **{name: f"coalesce(s.fields ->> '{name}', '')" for name in _OPTIONAL_TEXTS},
            "kind": "CASE WHEN s.fields ->> 'company' <> '' THEN 'business' ELSE 'person' END",
            "est_value": "(s.fields ->> 'est_value')::numeric",
            "currency": "coalesce(s.fields ->> 'currency', %(currency)s)",
            "custom": "s.custom",
            "outcome": "coalesce(nullif(s.outcome, ''), 'unknown')",
            "outcome_at": "CASE WHEN s.outcome <> '' THEN %(at)s::timestamptz END",
            "outcome_from": "CASE WHEN s.outcome <> '' THEN 'import' ELSE '' END",
            "source": "%(source)s",
            "owner": "%(owner)s::bigint",
            "team": "%(team)s::bigint",
            "status_changed_at": "%(at)s",
            "score": "scored.value",
            "score_source": "'rules'",
            "search_text": "s.search_text",
        },
        staged(Verdict.CREATE).replace("crm_importstage s", f"{scored} ON scored.id = s.lead_id"),
        {**parameters, "leads": list(scores), "scores": list(scores.values())},
    )


def _insert_first_status(parameters: Mapping[str, Any]) -> None:
    """The set-based twin of `crm.actions.lead_status.first_status`."""
    values = {
        "lead": "s.lead_id",
        "to_status": "%(new)s",
        "at": "%(at)s",
        "actor_kind": "%(actor_kind)s",
        "by": "%(actor)s::bigint",
    }
    insert_select(LeadStatusChange, values, staged(Verdict.CREATE), {**parameters, "new": LeadStatus.NEW})


def _insert_points(parameters: Mapping[str, Any]) -> None:
    values = {"kind": "point.kind", "raw": "point.raw", "norm": "point.norm", "is_primary": "true"}
    source = staged(Verdict.CREATE, each="point")
    insert_select(ContactPoint, {"lead": "s.lead_id", **values}, source, parameters)


def _stick_tags(chunk: Chunk) -> None:
    """The tags that came with new leads. No query for a file without tags."""
    if not chunk.job.options.get("tags"):
        return
    rows = ImportStage.objects.filter(
        job_id=chunk.job.pk,
        row_no__range=(chunk.first, chunk.last),
        verdict=Verdict.CREATE,
        fields__has_key="tags",
    )
    wanted = {lead_id: names for lead_id, names in rows.values_list("lead_id", "fields__tags") if lead_id}
    tags = LeadTags(wanted, {name for names in wanted.values() for name in names})
    for lead_id, names in wanted.items():
        tags.add(lead_id, names)
    copy_rows(Tagging, tags.new, at=chunk.at)


def _insert_keys(parameters: Mapping[str, Any], *, known: list[int]) -> dict[int, list[list[str]]]:
    """Store the match keys in the order of the rows, of new leads and known ones alike, because candidates
    look at the keys before theirs. Returns those added to `known` leads: lead id -> [[kind, value], ...].
    """
    written = staged(Verdict.CREATE, Verdict.UPDATE, each="key")
    values = {"lead": "s.lead_id", "kind": "key.kind", "value": "key.value"}
    returned = f"{written} ON CONFLICT DO NOTHING RETURNING lead_id, kind, value"
    sql, defaults = insert_sql(MatchKey, values, returned)
    added = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH made AS ({sql}) SELECT * FROM made WHERE lead_id = ANY(%(known)s)",  # noqa: S608
            {**defaults, **parameters, "known": known},
        )
        for lead_id, kind, value in cursor:
            added[lead_id].append([kind, value])
    return added


def _score_again(learned: Learned) -> None:
    """Score the leads that have changed, and keep with their rows which scores that retired."""
    before = _current_scores(learned.lead_ids)
    score_by_rules_batch(learned.lead_ids)
    after = _current_scores(learned.lead_ids)
    for lead_id, (score, source, ids) in before.items():
        made = sorted(after[lead_id][2] - ids)
        if made:
            retired = sorted(ids - after[lead_id][2])
            values = {"value": score, "source": source, "retired": retired, "made": made}
            learned.note(lead_id, "scores", values)


def _current_scores(lead_ids: list[int]) -> dict[int, tuple[int | None, str, set[int]]]:
    """lead id -> (what it shows, from where, ids of its current scores). Two queries."""
    ids: dict[int, set[int]] = defaultdict(set)
    current = Score.objects.filter(lead__in=lead_ids, is_current=True)
    for lead_id, score_id in current.values_list("lead", "pk"):
        ids[lead_id].add(score_id)
    shown = Lead.objects.filter(pk__in=lead_ids).values_list("pk", "score", "score_source")
    return {lead_id: (score, source, ids[lead_id]) for lead_id, score, source in shown}


def _insert_inquiries(parameters: Mapping[str, Any], *, with_known: bool) -> dict[int, int]:
    """The rows that make a lead as inquiries, `with_known` also those that meet one, in the order of the
    file; and for each the line of the lead's story that tells of it. One statement.

    Returns lead id -> inquiry id of those that make a lead.
    """
    inquiries, defaults = insert_sql(
        Inquiry,
        {
            "source": "%(source)s",
            "channel": "%(channel)s",
            "payload": "CASE WHEN s.custom = '{}' THEN s.fields"
            " ELSE s.fields || jsonb_build_object('custom', s.custom) END",
            "message": "coalesce(s.fields ->> 'message', '')",
            "idempotency_key": "%(row_key)s || s.row_hash",
            "state": f"CASE s.verdict WHEN '{Verdict.CREATE}' THEN '{InquiryState.CREATED}'"
            f" ELSE '{InquiryState.ATTACHED}' END",
            "lead": "s.lead_id",
            "received_at": "%(at)s",
        },
        staged(Verdict.CREATE, *([Verdict.UPDATE] if with_known else [])),
    )
    again = f"made.state = '{InquiryState.ATTACHED}'"
    words = "left(replace(made.message, E'\\n', ' '), 220)"
    story, more_defaults = insert_sql(
        TimelineEvent,
        {
            **_TELLER,
            "lead": "made.lead_id",
            "kind": "'inquiry.received'",
            "summary": f"CASE WHEN {again} THEN %(asked_again)s ELSE %(came_in)s END"
            f" || CASE WHEN {words} = '' THEN '' ELSE ': ' || {words} END",
            "data": f"jsonb_build_object('again', {again}, 'inquiry', made.public_id)",
        },
        "FROM made",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH made AS ({inquiries} RETURNING id, lead_id, public_id, message, state),"  # noqa: S608
            f" told AS ({story}) SELECT lead_id, id FROM made WHERE NOT {again}",
            {**defaults, **more_defaults, **parameters},
        )
        return dict(cursor.fetchall())


def _tell_of_update(parameters: Mapping[str, Any]) -> None:
    values = {**_TELLER, "lead": "s.lead_id", "kind": "'lead.changed'", "summary": "%(updated)s"}
    insert_select(TimelineEvent, values, staged(Verdict.UPDATE), parameters)


def _insert_import_rows(parameters: Mapping[str, Any]) -> None:
    insert_select(
        ImportRow,
        {
            "job": "s.job_id",
            "row_no": "s.row_no",
            "line_no": "s.line_no",
            "raw": "CASE WHEN s.verdict = 'error' THEN s.raw END",
            "verdict": "s.verdict",
            "field": "s.field",
            "message": "s.message",
            "lead": "s.lead_id",
            "before": "%(before)s::jsonb -> s.row_no::text",
        },
        staged(),
        parameters,
    )


def _verdicts(parameters: Mapping[str, Any]) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT verdict, count(*) FROM crm_importstage"
            " WHERE job_id = %(job)s AND row_no BETWEEN %(first)s AND %(last)s GROUP BY verdict",
            parameters,
        )
        return dict.fromkeys(Verdict.values, 0) | dict(cursor.fetchall())
