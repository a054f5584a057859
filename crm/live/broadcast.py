"""Turns what happened into rows of the feed, and wakes whoever shows it.

The handlers run in the action's transaction: the row exists exactly when the change does. The wake-up goes
out after the commit, once a transaction, and only says "look": without it browsers hear some seconds later.
Rows carry public ids and no data, because who may read them is decided when they are read.
"""

import json
import logging
import threading
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection, transaction

from crm import events

logger = logging.getLogger(__name__)

GROUP = "live"
WAKE: dict[str, Any] = {"type": "live.look"}
_thread = threading.local()  # .is_owed: this thread's transaction has rows that nobody was told of


@events.on(
    events.LeadCreated,
    events.LeadChanged,
    events.LeadAssigned,
    events.LeadDisqualified,
    events.LeadScored,
    events.InquiryReceived,
    events.NoteAdded,
    events.MessageReceived,
    events.MessageChanged,
    events.FollowUpChanged,
    events.PersonErased,
)
def tell_of_lead(event: Any) -> None:
    """To the lead's page and to Today. An import's leads are summed up when it has finished."""
    if getattr(event, "by_import", False):
        return
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT topic, %s, jsonb_strip_nulls(jsonb_build_object(
                   'lead', lead.public_id,
                   'follow_up', (SELECT public_id FROM crm_followup WHERE id = %s),
                   'message', (SELECT public_id FROM crm_message WHERE id = %s)))
          FROM crm_lead lead, LATERAL (VALUES ('today'), ('lead:' || lead.public_id)) told(topic)
         WHERE lead.id = %s
        """,
        [
            events.wire_name(type(event)),
            getattr(event, "follow_up_id", None),
            getattr(event, "message_id", None),
            event.lead_id,
        ],
    )


@events.on(events.AgentTaskQueued, events.AgentTaskChanged)
def tell_of_agent_task(event: events.AgentTaskQueued | events.AgentTaskChanged) -> None:
    """To the agents' page, and to the lead's, which shows what it waits for."""
    _write(
        """
        INSERT INTO crm_outboxevent (topic, type, ids)
        SELECT 'agents', %s, %s::jsonb
        UNION ALL
        SELECT 'lead:' || public_id, %s, jsonb_build_object('lead', public_id) FROM crm_lead WHERE id = %s
        """,
        [
            events.wire_name(type(event)),
            json.dumps({"pool": event.kind}),
            events.wire_name(type(event)),
            event.lead_id,
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
