"""Turns what happened into rows of the feed, and wakes whoever shows it.

The handlers run in the action's transaction: the row exists exactly when the change does. The wake-up goes
out after the commit, once a transaction, and only says "look": without it browsers hear some seconds later.
Rows carry public ids and no data, because who may read them is decided when they are read.
"""

import json
import logging
import threading
from collections.abc import Sequence
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection, transaction

from crm import events

logger = logging.getLogger(__name__)

GROUP = "live"
WAKE: dict[str, Any] = {"type": "live.look"}
_thread = threading.local()  # .is_owed: this thread's transaction has rows that nobody was told of


@events.on_many(
    events.LeadCreated,
    events.LeadChanged,
    events.LeadAssigned,
    events.LeadDisqualified,
    events.LeadScored,
    events.InquiryReceived,
    events.NoteAdded,
    events.MessageReceived,
    events.ReplyTriaged,
    events.MessageChanged,
    events.FollowUpChanged,
    events.PersonErased,
)
def tell_of_leads(happened: Sequence[Any]) -> None:
    """To each lead's page and to Today. An import's leads are summed up when it has finished."""
    told = [event for event in happened if not getattr(event, "by_import", False)]
    if not told:
        return
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT topic, %s, jsonb_strip_nulls(jsonb_build_object(
                   'lead', lead.public_id,
                   'follow_up', (SELECT public_id FROM crm_followup WHERE id = event.follow_up_id),
                   'message', (SELECT public_id FROM crm_message WHERE id = event.message_id)))
          FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) WITH ORDINALITY
                   AS event(lead_id, follow_up_id, message_id, nr)
          JOIN crm_lead lead ON lead.id = event.lead_id,
               LATERAL (VALUES ('today'), ('lead:' || lead.public_id)) told(topic)
         ORDER BY event.nr
        """,
        [
            events.wire_name(type(told[0])),
            [event.lead_id for event in told],
            [getattr(event, "follow_up_id", None) for event in told],
            [getattr(event, "message_id", None) for event in told],
        ],
    )


@events.on_many(
    events.OpportunityCreated,
    events.OpportunityChanged,
    events.OpportunityMoved,
    events.OpportunityWon,
    events.OpportunityLost,
)
def tell_of_opportunities(happened: Sequence[Any]) -> None:
    """To Today, to the board it is on (a card that came from another pipeline: to both), to its lead's page.

    Who may no longer see a card has to take it off the board. So a row of one that was deleted or given to
    somebody else does not name it: everybody at that board looks again.
    """
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT told.topic, %s, told.ids
          FROM unnest(%s::bigint[], %s::bigint[], %s::bool[]) WITH ORDINALITY
                   AS event(card_id, left_stage_id, is_gone, nr)
          JOIN crm_opportunity card ON card.id = event.card_id
          JOIN crm_stage stage ON stage.id = card.stage_id
          JOIN crm_pipeline pipeline ON pipeline.id = stage.pipeline_id
          LEFT JOIN crm_stage left_stage ON left_stage.id = event.left_stage_id
          LEFT JOIN crm_pipeline left_pipeline
                 ON left_pipeline.id = left_stage.pipeline_id AND left_pipeline.id <> pipeline.id
          LEFT JOIN crm_lead lead ON lead.id = card.lead_id,
               LATERAL (VALUES
                   ('today', jsonb_build_object('opportunity', card.public_id)),
                   ('board:' || pipeline.public_id,
                    CASE WHEN event.is_gone THEN jsonb_build_object('pipeline', pipeline.public_id)
                         ELSE jsonb_build_object('pipeline', pipeline.public_id,
                                                 'opportunity', card.public_id) END),
                   ('board:' || left_pipeline.public_id,
                    jsonb_build_object('pipeline', left_pipeline.public_id, 'opportunity', card.public_id)),
                   ('lead:' || lead.public_id, jsonb_build_object('lead', lead.public_id))
               ) told(topic, ids)
         WHERE told.topic IS NOT NULL
         ORDER BY event.nr
        """,
        [
            events.wire_name(type(happened[0])),
            [event.opportunity_id for event in happened],
            [getattr(event, "from_stage_id", None) for event in happened],
            [bool({"owner", "deleted_at"} & set(getattr(event, "fields", ()))) for event in happened],
        ],
    )


@events.on_many(events.AgentTaskQueued, events.AgentTaskChanged)
def tell_of_agent_tasks(happened: Sequence[events.AgentTaskQueued | events.AgentTaskChanged]) -> None:
    """To the agents' page, once for all, and to each lead's, which shows what it waits for."""
    name = events.wire_name(type(happened[0]))
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT 'agents', %s, jsonb_build_object('pool', kind) FROM unnest(%s::text[]) AS pool(kind)
        UNION ALL
        SELECT 'lead:' || public_id, %s, jsonb_build_object('lead', public_id)
          FROM crm_lead WHERE id = ANY(%s)
        """,
        [
            name,
            sorted({event.kind for event in happened}),
            name,
            [event.lead_id for event in happened],
        ],
    )


@events.on(events.AgentPoolChanged)
def tell_of_pool(event: events.AgentPoolChanged) -> None:
    _write(
        "INSERT INTO crm_outboxevent (topic, type, ids) VALUES ('agents', %s, %s::jsonb)",
        [events.wire_name(type(event)), json.dumps({"pool": event.kind})],
    )


@events.on(events.ImportProgressed, events.ImportFinished)
def tell_of_import(event: events.ImportProgressed | events.ImportFinished) -> None:
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT 'import:' || public_id, %s, jsonb_build_object('import', public_id)
          FROM crm_importjob WHERE id = %s
        """,
        [events.wire_name(type(event)), event.import_id],
    )
    if isinstance(event, events.ImportFinished):  # thousands of new leads, one line
        _write(
            "INSERT INTO crm_outboxevent (topic, type, ids) VALUES ('today', %s, '{}')",
            [events.wire_name(type(event))],
        )


@events.on_many(events.TaskChanged)
def tell_of_tasks(happened: Sequence[events.TaskChanged]) -> None:
    """To Today of whoever has to do it, and to the page of the lead that it is about."""
    name, ids = events.wire_name(events.TaskChanged), [event.task_id for event in happened]
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT 'today', %s, jsonb_build_object('task', task.public_id, 'user', assignee.public_id)
          FROM crm_task task JOIN crm_user assignee ON assignee.id = task.assignee_id
         WHERE task.id = ANY(%s)
        UNION ALL
        SELECT 'lead:' || lead.public_id, %s,
               jsonb_build_object('task', task.public_id, 'lead', lead.public_id)
          FROM crm_task task JOIN crm_lead lead ON lead.id = task.lead_id WHERE task.id = ANY(%s)
        """,
        [name, ids, name, ids],
    )


@events.on_many(events.NotificationAdded)
def tell_of_notifications(happened: Sequence[events.NotificationAdded]) -> None:
    """To the one person, wherever Today is open."""
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT 'today', %s, jsonb_build_object('notification', row.public_id, 'user', person.public_id)
          FROM crm_notification row JOIN crm_user person ON person.id = row.user_id WHERE row.id = ANY(%s)
        """,
        [events.wire_name(events.NotificationAdded), [event.notification_id for event in happened]],
    )


@events.on(events.JobProgressed)
def tell_of_job(event: events.JobProgressed) -> None:
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT 'job:' || public_id, %s, jsonb_build_object('job', public_id) FROM crm_job WHERE id = %s
        """,
        [events.wire_name(type(event)), event.job_id],
    )


def _write(statement: str, parameters: list[Any]) -> None:
    """One statement; ids come from the rows themselves, so that an event costs no look-up."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    _thread.is_owed = True
    transaction.on_commit(_wake, robust=True)


def _wake() -> None:
    """Wake every process's hub. The first call after a commit pays for all of that transaction's events."""
    if not getattr(_thread, "is_owed", False):
        return
    _thread.is_owed = False
    layer = get_channel_layer()
    try:
        if hasattr(layer, "notify_group"):
            layer.notify_group(GROUP, WAKE)
        else:
            async_to_sync(layer.group_send)(GROUP, WAKE)
    except Exception as error:  # Redis away, for example. The change is saved; hubs also look by themselves
        logger.warning("live: nobody could be woken (%s)", type(error).__name__)
