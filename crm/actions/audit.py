"""The log of acts that matter beyond one record. Insert-only; sealed by a chain of keyed hashes."""

from typing import Any

from django.db import models

from crm.models import Actor, AuditLog


def audit(
    action: str,
    summary: str,
    *,
    by: Actor,
    target: models.Model | None = None,
    request_id: str = "",
    **data: Any,
) -> AuditLog:
    """Write one entry, in the caller's transaction. `action` reads noun.participle, e.g. leads.exported.

    Neither `summary` nor `data` may hold a customer's data: field names, numbers, public ids, keyed hashes.
    """
    return AuditLog.objects.create(
        action=action,
        summary=summary[:300],
        actor_kind=by.kind,
        actor=by.user,
        actor_label=by.label[:120],
        target=target._meta.label_lower if target else "",
        target_id=str(getattr(target, "public_id", target.pk)) if target else "",
        data=data,
        request_id=request_id[:64],
    )
