"""What the editable records were before: one row for each change, with who and when, written by triggers.

Only what a change replaced is kept (the OLD row of an UPDATE or DELETE): the record itself is its newest
state, and intake and imports, which only insert, cost nothing more. Columns that are derived or that machines
move all day are left out, and so is every secret. The rows are append-only; erasure blanks them.
"""

from collections.abc import Iterable
from typing import Any

import pghistory
from django.db import models

from crm.models.accounts import Account, Contact
from crm.models.automation import Rule, WebhookEndpoint
from crm.models.duplicates import DuplicateCandidate
from crm.models.leads import CaptureForm, ContactPoint, CustomField, Lead, LeadSource
from crm.models.messages import FollowUp
from crm.models.outreach import Enrollment, MailAccount, Sequence, Step, Template
from crm.models.pipelines import ExchangeRate, Opportunity, Pipeline, Stage
from crm.models.timeline import Note
from crm.models.users import Team, TeamMember, User
from crm.models.views import SavedView, Tag
from crm.models.work import AssignmentRule, CallLog, Task

NEVER = {"id", "created_at", "updated_at", "version", "search_text"}
# Tracked model -> columns left out besides NEVER: secrets, and what no person sets.
TRACKED: dict[type[models.Model], set[str]] = {
    User: {"password", "last_login", "theme", "has_shortcuts"},
    Team: set(),
    TeamMember: set(),
    Account: set(),
    Contact: set(),
    ContactPoint: set(),
    LeadSource: {"key_hash"},
    Lead: {
        *("score", "score_source", "status_changed_at"),
        *("last_inbound_at", "last_outbound_at", "asked_at", "answer_due_at"),
    },
    CaptureForm: set(),
    CustomField: set(),
    DuplicateCandidate: {"score", "reasons"},
    Pipeline: set(),
    Stage: set(),
    ExchangeRate: set(),
    Opportunity: {"stage_entered_at", "last_event_at", "rank"},
    Note: set(),
    CallLog: set(),
    Task: {"reminded_at", "recurs_day", "recurs_time"},
    FollowUp: {
        *("owner", "team", "original_subject", "original_body"),
        *("facts_used", "marks", "tone", "length", "language", "instruction"),
        *("reject_note", "edit_ratio", "settled_at"),
    },
    Template: set(),
    Sequence: set(),
    Step: set(),
    Enrollment: set(),
    MailAccount: {"last_uid", "last_fetched_at", "error"},
    AssignmentRule: {"cursor"},
    SavedView: set(),
    Tag: set(),
    Rule: set(),
    WebhookEndpoint: {"secrets", "failing_since"},
}


def _track(model: type[models.Model], left_out: set[str]) -> type[models.Model]:
    name = str(model._meta.model_name)
    return pghistory.create_event_model(
        model,
        pghistory.UpdateEvent(row=pghistory.Old),
        pghistory.DeleteEvent(),
        exclude=sorted(NEVER | left_out),
        obj_field=pghistory.ObjForeignKey(
            related_name="history", related_query_name="history", db_index=False
        ),
        context_field=pghistory.ContextJSONField(),
        attrs={"pgh_id": models.BigAutoField(primary_key=True)},
        context_id_field=None,  # type: ignore[arg-type]  # as its documentation says
        model_name=f"{model.__name__}History",
        meta={
            "db_table": f"{model._meta.app_label}_pghistory_{name}",
            "indexes": [models.Index(fields=["pgh_obj", "-pgh_id"], name=f"pgh_{name}_of")],
            "verbose_name_plural": f"history of {model._meta.verbose_name_plural}",
        },
        abstract=False,
    )


HISTORY: dict[type[models.Model], Any] = {model: _track(model, out) for model, out in TRACKED.items()}


def keep_history(model: type[models.Model], left_out: Iterable[str] = ()) -> type[models.Model]:
    """The same for a model of an app above this one. Returns its history's model; a migration there makes the
    table append-only, as crm.0008 does.
    """
    HISTORY[model] = _track(model, set(left_out))
    return HISTORY[model]


def history_of(record: models.Model) -> models.QuerySet[Any]:
    """What the record was, newest first; empty for a model that is not tracked."""
    model = HISTORY.get(type(record))
    if model is None:
        return HISTORY[Team].objects.none()
    return model.objects.filter(pgh_obj=record.pk).order_by("-pgh_id")
