"""What the tables hold as one value, and the rules that must hold whatever was done: one statement each."""

import json
from typing import Any

from django.db import connection, models

from crm.models import Contact, ContactPoint, FollowUp, Lead, MatchKey, Opportunity

Rows = dict[int, dict[str, Any]]
# what tells of the way to a state, and not of the state
TRACES = "version updated_at last_event_at rank".split()
MODELS: tuple[type[models.Model], ...] = (Lead, Opportunity, FollowUp, Contact, ContactPoint, MatchKey)
_FACTS = " UNION ALL ".join(
    f"SELECT '{model._meta.model_name}', id, (to_jsonb(row) - %(traces)s::text[])::text"
    f" FROM {model._meta.db_table} AS row"
    for model in MODELS
)
_STORY = " UNION ALL SELECT 'story', 0, jsonb_build_object('lines', count(*))::text FROM crm_timelineevent"

# a merge brings the loser's lines along, so the winner's tell two stories at once
_ONE_STORY = """lead.merged_into_id IS NULL AND NOT EXISTS (SELECT FROM crm_mergelog AS log
          WHERE log.winner_lead_id = lead.id AND log.undone_at IS NULL)"""
# rule -> a query for the ids of what breaks it
RULES = {
    "a lead has a history that begins with it and ends with its status": f"""
        SELECT lead.id FROM crm_lead AS lead LEFT JOIN LATERAL (
          SELECT to_status FROM crm_leadstatuschange WHERE lead_id = lead.id ORDER BY id DESC LIMIT 1
        ) AS last ON true LEFT JOIN LATERAL (
          SELECT from_status FROM crm_leadstatuschange WHERE lead_id = lead.id ORDER BY id LIMIT 1
        ) AS first ON true
        WHERE {_ONE_STORY} AND (last.to_status IS DISTINCT FROM lead.status
          OR first.from_status <> '' OR NOT EXISTS (SELECT FROM crm_leadstatuschange AS began
            WHERE began.lead_id = lead.id AND to_status = lead.status AND at = lead.status_changed_at))""",
    "a line of a lead's history begins where the last one ended and counts the whole stay": f"""
        SELECT id FROM (SELECT change.id, lead_id, from_status, at, seconds_in_from,
            lag(to_status) OVER story AS ended
          FROM crm_leadstatuschange AS change JOIN crm_lead AS lead ON lead.id = change.lead_id
          WHERE {_ONE_STORY} WINDOW story AS (PARTITION BY lead_id ORDER BY change.id)) AS line
        WHERE ended IS NOT NULL AND (ended <> from_status OR NOT EXISTS (
          SELECT FROM crm_leadstatuschange AS began WHERE began.lead_id = line.lead_id AND began.id < line.id
            AND began.to_status = line.from_status
            AND line.seconds_in_from = floor(extract(epoch FROM line.at - began.at))))""",
    "an opportunity has a history that ends in its stage": """
        SELECT card.id FROM crm_opportunity AS card LEFT JOIN LATERAL (
          SELECT to_stage_id FROM crm_stagechange WHERE opportunity_id = card.id ORDER BY id DESC LIMIT 1
        ) AS last ON true
        WHERE last.to_stage_id IS DISTINCT FROM card.stage_id OR NOT EXISTS (
          SELECT FROM crm_stagechange AS began WHERE began.opportunity_id = card.id
            AND began.to_stage_id = card.stage_id AND began.at = card.stage_entered_at)""",
    "each move begins where the last one ended": """
        SELECT id FROM (SELECT id, from_stage_id, lag(to_stage_id) OVER story AS ended
          FROM crm_stagechange WINDOW story AS (PARTITION BY opportunity_id ORDER BY id)) AS line
        WHERE from_stage_id IS DISTINCT FROM ended""",
    "an opportunity's state is that of its stage": """
        SELECT card.id FROM crm_opportunity AS card JOIN crm_stage AS stage ON stage.id = card.stage_id
        WHERE card.state <> stage.kind OR (card.closed_at IS NULL) <> (card.state = 'open')
          OR (card.lost_reason = '') <> (card.state <> 'lost')""",
    "a lead in work has a next step": """
        SELECT id FROM crm_lead WHERE merged_into_id IS NULL AND next_action_at IS NULL
          AND status IN ('working', 'nurturing')""",
    "a closed lead has none": """
        SELECT id FROM crm_lead WHERE status IN ('converted', 'disqualified')
          AND (next_action_at IS NOT NULL OR snoozed_until IS NOT NULL)""",
    "only a sleeper has a time to wake": """
        SELECT id FROM crm_lead WHERE (status = 'nurturing') <> (snoozed_until IS NOT NULL)
          AND merged_into_id IS NULL""",
    "a converted lead, and no other, has become something": """
        SELECT id FROM crm_lead WHERE merged_into_id IS NULL
          AND ((status = 'converted') <> (converted_at IS NOT NULL)
          OR (status = 'converted' AND contact_id IS NULL)
          OR (status <> 'converted' AND (converted_by_id IS NOT NULL OR converted_account_id IS NOT NULL
            OR converted_opportunity_id IS NOT NULL)))""",
    "a reason is given by disqualified leads alone": """
        SELECT id FROM crm_lead WHERE (status = 'disqualified') <> (disqualify_reason <> '')
          AND merged_into_id IS NULL""",
    "the outcome of a closed lead follows from its opportunities": """
        SELECT lead.id FROM crm_lead AS lead WHERE merged_into_id IS NULL AND (
          (status = 'disqualified' AND outcome = 'unknown')
          OR (status = 'converted' AND outcome <> 'unknown' AND EXISTS (SELECT FROM crm_opportunity AS card
            WHERE card.lead_id = lead.id AND card.deleted_at IS NULL AND card.state = 'open')
            AND NOT EXISTS (SELECT FROM crm_opportunity AS card
            WHERE card.lead_id = lead.id AND card.deleted_at IS NULL AND card.state = 'won')))""",
    "a lead has at most one current score of a kind": """
        SELECT min(lead_id) FROM crm_score WHERE is_current GROUP BY lead_id, kind HAVING count(*) > 1""",
    "nobody is recognised by what is deleted or merged": """
        SELECT key.id FROM crm_matchkey AS key JOIN crm_contact AS contact ON contact.id = key.contact_id
        WHERE contact.deleted_at IS NOT NULL OR contact.merged_into_id IS NOT NULL""",
    "no live lead hangs on a contact that is gone": """
        SELECT lead.id FROM crm_lead AS lead JOIN crm_contact AS contact ON contact.id = lead.contact_id
        WHERE lead.merged_into_id IS NULL
          AND (contact.deleted_at IS NOT NULL OR contact.merged_into_id IS NOT NULL)""",
    "each way to reach somebody has its key": """
        SELECT point.id FROM crm_contactpoint AS point JOIN crm_lead AS lead ON lead.id = point.lead_id
        WHERE lead.merged_into_id IS NULL AND point.kind <> 'url'
          AND NOT EXISTS (SELECT FROM crm_matchkey AS key
            WHERE key.lead_id = point.lead_id AND key.kind = point.kind AND key.value = point.norm)""",
    "nothing is on its way that nobody approved": """
        SELECT id FROM crm_followup WHERE state IN ('approved', 'scheduled', 'sent')
          AND (approved_by_id IS NULL OR approved_sha256 <> body_sha256)""",
    "a follow-up and its message agree": """
        SELECT draft.id
        FROM crm_followup AS draft LEFT JOIN crm_message AS mail ON mail.follow_up_id = draft.id
        WHERE (draft.state = 'scheduled'
            AND coalesce(mail.state, '') NOT IN ('queued', 'sending', 'uncertain'))
          OR (draft.state = 'sent') <> (coalesce(mail.state, '') = 'sent')""",
}
_BROKEN = " UNION ALL ".join(
    f"SELECT $${rule}$$, array_agg(id) FROM ({query}) AS broken (id) HAVING count(*) > 0"
    for rule, query in RULES.items()
)


def facts() -> dict[str, Rows]:
    """Every row by table and id, without traces of the way there. One query."""
    found: dict[str, Rows] = {str(model._meta.model_name): {} for model in MODELS}
    with connection.cursor() as cursor:
        cursor.execute(_FACTS + _STORY, {"traces": TRACES})
        for table, pk, row in cursor.fetchall():
            found.setdefault(table, {})[pk] = json.loads(row)
    return found


def broken_rules() -> list[tuple[str, list[int]]]:
    """The rules that do not hold, with the ids of the rows. Deferred constraints are looked at as well."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(_BROKEN)
        return cursor.fetchall()
