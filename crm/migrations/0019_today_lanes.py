"""Indexes by which each reason of Today is walked in its own order: for an owner, and for a pool or a team.

First what the two triggers before this keep is filled in for the rows that are there, in batches.
"""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Coalesce

BATCH = 5_000
LANE = models.Case(
    models.When(owner=None, then=Coalesce(models.F("team"), 0)),
    default=models.Value(-1) - Coalesce(models.F("team"), 0),
    output_field=models.BigIntegerField(),
)
FILLS = {
    "crm_lead": """
        UPDATE crm_lead SET answer_due_at = NULL
         WHERE id > %s AND id <= %s AND last_inbound_at IS NOT NULL AND answer_due_at IS NULL
           AND (last_outbound_at IS NULL OR last_outbound_at < last_inbound_at)""",
    "crm_followup": "UPDATE crm_followup SET lead_id = lead_id WHERE id > %s AND id <= %s",
}


def fill(apps: Any, schema_editor: Any) -> None:
    """Each batch is a transaction of its own; the triggers write."""
    with schema_editor.connection.cursor() as cursor:
        for table, statement in FILLS.items():
            cursor.execute(f"SELECT coalesce(max(id), 0) FROM {table}")  # noqa: S608
            for first in range(0, cursor.fetchone()[0], BATCH):
                cursor.execute(statement, [first, first + BATCH])


class Migration(migrations.Migration):
    atomic = False  # built beside running work, without a lock on the tables

    dependencies = [("crm", "0018_draft_owners")]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        RemoveIndexConcurrently(
            model_name="lead",
            name="crm_lead_owner_next",
        ),
        RemoveIndexConcurrently(
            model_name="lead",
            name="crm_lead_team_next",
        ),
        RemoveIndexConcurrently(
            model_name="lead",
            name="crm_lead_owner_waiting",
        ),
        RemoveIndexConcurrently(
            model_name="lead",
            name="crm_lead_owner_exhausted",
        ),
        RemoveIndexConcurrently(
            model_name="task",
            name="crm_task_assignee_due",
        ),
        AddIndexConcurrently(
            model_name="task",
            index=models.Index(
                models.F("assignee"),
                models.F("due_at"),
                models.F("id"),
                condition=models.Q(("state", "open")),
                name="crm_task_assignee_due",
            ),
        ),
        AddIndexConcurrently(
            model_name="followup",
            index=models.Index(
                models.F("owner"),
                models.F("created_at"),
                models.F("lead"),
                condition=models.Q(("state__in", ["generated", "edited", "approved", "scheduled"])),
                name="crm_followup_owner_unsent",
            ),
        ),
        AddIndexConcurrently(
            model_name="followup",
            index=models.Index(
                LANE,
                models.F("created_at"),
                models.F("lead"),
                condition=models.Q(("state__in", ["generated", "edited", "approved", "scheduled"])),
                name="crm_followup_lane_unsent",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                models.F("owner"),
                models.F("next_action_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working", "nurturing"]),
                ),
                name="crm_lead_owner_next",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                models.F("owner"),
                models.F("answer_due_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working"]),
                    ("answer_due_at__isnull", False),
                ),
                name="crm_lead_owner_answer",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                models.F("owner"),
                models.F("status_changed_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working"]),
                    ("attempts__gte", models.F("max_attempts")),
                ),
                name="crm_lead_owner_tried",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                models.F("owner"),
                models.F("status"),
                models.F("status_changed_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working"]),
                    ("answer_due_at", None),
                    ("next_action_at", None),
                ),
                name="crm_lead_owner_unplanned",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                LANE,
                models.F("next_action_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working", "nurturing"]),
                    ("next_action_at__isnull", False),
                ),
                name="crm_lead_lane_next",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                LANE,
                models.F("answer_due_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working"]),
                    ("answer_due_at__isnull", False),
                ),
                name="crm_lead_lane_answer",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                LANE,
                models.F("status_changed_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working"]),
                    ("attempts__gte", models.F("max_attempts")),
                ),
                name="crm_lead_lane_tried",
            ),
        ),
        AddIndexConcurrently(
            model_name="lead",
            index=models.Index(
                LANE,
                models.F("status"),
                models.F("status_changed_at"),
                models.F("id"),
                condition=models.Q(
                    ("deleted_at", None),
                    ("merged_into", None),
                    ("status__in", ["new", "working"]),
                    ("answer_due_at", None),
                    ("next_action_at", None),
                ),
                name="crm_lead_lane_unplanned",
            ),
        ),
        AddIndexConcurrently(
            model_name="opportunity",
            index=models.Index(
                models.F("owner"),
                models.F("stage"),
                models.F("last_event_at"),
                models.F("id"),
                condition=models.Q(("deleted_at", None), ("state", "open")),
                name="crm_opportunity_owner_stalled",
            ),
        ),
        AddIndexConcurrently(
            model_name="opportunity",
            index=models.Index(
                LANE,
                models.F("stage"),
                models.F("last_event_at"),
                models.F("id"),
                condition=models.Q(("deleted_at", None), ("state", "open")),
                name="crm_opportunity_lane_stalled",
            ),
        ),
        # what an index on an expression knows of its values comes with the next ANALYZE only
        migrations.RunSQL("ANALYZE crm_lead, crm_followup, crm_opportunity, crm_task", migrations.RunSQL.noop),
    ]
