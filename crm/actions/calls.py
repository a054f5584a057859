"""Telephone calls, written down: what was said, whether it counts as a try, and what comes next."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.attempts import count_attempt
from crm.actions.base import tell
from crm.actions.lead_moves import plan_next_action, wake_lead
from crm.actions.notes import LONGEST, locked_subject
from crm.actions.opportunities import plan_opportunity_action
from crm.errors import InvalidValue
from crm.models import Actor, CallDirection, CallLog, Contact, Disposition, Lead, LeadStatus, Opportunity

LONGEST_CALL_S = 86_400
REACHED = {Disposition.ANSWERED, Disposition.CALL_BACK}


@transaction.atomic
def log_call(
    about: Lead | Contact | Opportunity,
    *,
    by: Actor,
    direction: str,
    disposition: str,
    seconds: int = 0,
    body: str = "",
    occurred_at: datetime | None = None,
    next_action_at: datetime | None = None,
    next_action_kind: str = "",
) -> CallLog:
    """Write down a call of `seconds` (at most a day) and, with `next_action_at`, plan what comes next.

    On a lead, an outbound call that reached nobody is one more try; one that did, and any inbound call, is an
    answer, which also wakes a sleeping lead. Raises DoesNotExist of the record, PermissionRefused,
    InvalidValue naming the field. Publishes LeadChanged on a lead.
    """
    if direction not in CallDirection.values:
        raise InvalidValue(_("Say who called."), field="direction")
    if disposition not in Disposition.values:
        raise InvalidValue(_("Say what came of the call."), field="disposition")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= LONGEST_CALL_S:
        raise InvalidValue(_("Write the length in seconds, at most a day."), field="seconds")
    body = body.strip()
    if len(body) > LONGEST or "\0" in body:
        raise InvalidValue(_("Use at most 20,000 characters of plain text."), field="body")
    at = occurred_at or clock.now()
    if at > clock.now() + timedelta(minutes=1):
        raise InvalidValue(_("A call cannot lie in the future."), field="occurred_at")
    record = locked_subject(about, by=by)
    words = f"{CallDirection(direction).label}: {Disposition(disposition).label}"
    said = body.replace("\n", " ")
    summary = f"{words} – {said}" if body else words
    event = tell(record, "call.logged", summary, by=by, occurred_at=at, seconds=seconds)
    call = CallLog(
        direction=direction, disposition=disposition, seconds=seconds, body=body, occurred_at=at, event=event
    )
    call.author = by.user
    setattr(call, str(record._meta.model_name), record)
    call.save()
    if isinstance(record, Lead):
        _count(record, direction, disposition, at)
    if next_action_at is not None:
        _plan(record, by=by, at=next_action_at, kind=next_action_kind)
    return call


def _count(lead: Lead, direction: str, disposition: str, at: datetime) -> None:
    """A try that reached nobody, or the customer's own word: then tries count anew, a sleeping lead wakes."""
    if direction == CallDirection.OUT and disposition not in REACHED:
        lead.last_outbound_at = max(at, lead.last_outbound_at or at)
        lead.save_changed("last_outbound_at", *count_attempt(lead))
    else:
        lead.attempts, lead.last_inbound_at = 0, max(at, lead.last_inbound_at or at)
        if disposition in REACHED:  # they need no further answer
            lead.last_outbound_at = max(lead.last_inbound_at, lead.last_outbound_at or at)
        lead.save_changed("attempts", "last_inbound_at", "last_outbound_at")
        if lead.status == LeadStatus.NURTURING:
            wake_lead(lead.pk, by=Actor.system(), because=_("woke up: they were on the phone"))
    events.publish(events.LeadChanged(lead.pk, fields=("attempts",)))
    events.publish(events.LeadFactsChanged(lead.pk))


def _plan(record: Any, *, by: Actor, at: datetime, kind: str) -> None:
    if isinstance(record, Lead):
        plan_next_action(record.pk, by=by, at=at, kind=kind)
    elif isinstance(record, Opportunity):
        plan_opportunity_action(record.pk, by=by, at=at, kind=kind)
    else:
        raise InvalidValue(_("Only a lead or an opportunity has a next step."), field="next_action_at")
