"""A valid row of any table: what the census of constraints starts from, and breaks in one place."""

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from django.db import models

from ai_agents.models import AgentCall, AgentPool, AgentTask
from crm.models import (
    AuditSeal,
    CallLog,
    ContactPoint,
    DuplicateCandidate,
    ExchangeRate,
    FollowUp,
    Lead,
    LiveEpoch,
    MatchKey,
    MergeLog,
    Message,
    Note,
    OpportunityRisk,
    ReplyTriage,
    Score,
    Step,
    TimelineEvent,
    follow_up_hash,
)
from crm.models.views import Tagging
from crm.models.work import Attachment

_number = count(1)
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _event() -> dict[str, Any]:
    lead = a(Lead)
    return {"lead": lead, "event": a(TimelineEvent, lead=lead)}


def _pair() -> dict[str, Any]:
    first, second = a(Lead), a(Lead)
    return {"lead_a": first, "lead_b": second}


def _merge() -> dict[str, Any]:
    return {"target": "lead", "winner_lead": a(Lead), "loser_lead": a(Lead)}


SPECIAL: dict[type[models.Model], Any] = {
    AgentCall: lambda: {"status": "error", "task": a(AgentTask)},
    AgentPool: lambda: {
        "kind": f"kind-{next(_number)}",
        "min_concurrency": 0,
        "max_concurrency": 8,
        "target": 1,
    },
    Attachment: lambda: {"lead": a(Lead)},
    AuditSeal: lambda: {"row_ids": [1]},
    CallLog: _event,
    ContactPoint: lambda: {"lead": a(Lead)},
    DuplicateCandidate: _pair,
    ExchangeRate: lambda: {"base": f"E{next(_number) % 90:02d}", "quote": "USD", "rate": 1},
    FollowUp: lambda: {"body_sha256": follow_up_hash("", "S", "B"), "subject": "S", "body": "B"},
    LiveEpoch: lambda: {"id": 1},
    MatchKey: lambda: {"lead": a(Lead)},
    MergeLog: _merge,
    Message: lambda: {"direction": "in", "state": "received"},
    Note: _event,
    OpportunityRisk: lambda: {"source_id": 1, "start": 0, "end": 3, "source_kind": "note"},
    ReplyTriage: lambda: {
        **{"intent": "question", "step": "answer", "quote_start": 0, "quote_end": 3},
        "provider": "rule",
    },
    Score: lambda: {"kind": "rules", "value": 20, "band": "cool"},
    Step: lambda: {"kind": "task", "task_kind": "call", "task_title": "Call"},
    Tagging: lambda: {"lead": a(Lead)},
    TimelineEvent: lambda: {"lead": a(Lead)},
}


def values_of(model: type[models.Model], /, **given: Any) -> dict[str, Any]:
    """Values that the database takes, for every field that needs one; `given` wins."""
    values = SPECIAL[model]() if model in SPECIAL else {}
    values |= given
    for field in model._meta.local_concrete_fields:
        is_made = isinstance(field, models.AutoField) or field.has_default() or field.has_db_default()
        is_free = field.null or is_made
        if field.name in values or is_free or (field.blank and not field.unique):
            continue
        values[field.name] = _value(field)
    return values


def _value(field: models.Field) -> Any:
    if isinstance(field, models.ForeignKey):
        return a(field.related_model)  # type: ignore[arg-type]
    if field.choices:
        return field.flatchoices[0][0]
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.UUIDField):
        return uuid4()
    if isinstance(field, models.DateTimeField):
        return AT + timedelta(days=1)
    if isinstance(field, models.DateField):
        return date(2026, 3, 2) + timedelta(days=next(_number))
    if isinstance(field, models.IntegerField | models.DecimalField):
        return next(_number) % 90 + 1
    if isinstance(field, models.EmailField):
        return f"row{next(_number)}@example.com"
    return f"{field.name}-{next(_number)}"[: field.max_length or 60]


def a(model: type[models.Model], /, **given: Any) -> Any:
    """A saved valid row."""
    if model._meta.label == "ai_agents.AgentPool" and not given:
        return model._default_manager.first() or model._default_manager.create(**values_of(model))
    return model._default_manager.create(**values_of(model, **given))
