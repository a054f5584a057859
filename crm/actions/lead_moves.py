"""The arrows of a lead's life, one action each. Converting has a module of its own."""

from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, lead_for_change, offer_undo, tell, undoable
from crm.actions.lead_plans import REVIEW_AFTER, checked_plan, plan_if_none, set_plan
from crm.actions.lead_status import STATUS_FIELDS, WAKING_FIELDS, change_status, put_back, wake_up
from crm.errors import InvalidValue, TransitionRefused
from crm.models import Actor, Lead, LeadStatus, NextActionKind, Outcome, OutcomeFrom, Undo

SNOOZE_MOST_DAYS = 730
TIMES = ("snoozed_until", "next_action_at", "outcome_at")
MOVED = (*TIMES, "next_action_kind", "disqualify_reason", "outcome", "outcome_from")


@transaction.atomic
def start_work(
    lead_id: int, *, by: Actor, next_action_at: datetime | None = None, next_action_kind: str = ""
) -> Lead:
    """new -> working. Needs a plan, here or on the lead.

    Raises TransitionRefused, InvalidValue (`next_action_at`). Publishes LeadChanged. Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    if lead.status != LeadStatus.NEW:
        raise TransitionRefused(_("Work on this lead has begun already, or is over."))
    before = snapshot(lead)
    change_status(lead, LeadStatus.WORKING, by=by)
    lead.save_changed(*STATUS_FIELDS, *set_plan(lead, next_action_at, next_action_kind))
    _told(lead, "start_work", "lead.work_started", _("started work"), before, by=by)
    return lead


@transaction.atomic
def reopen_lead(
    lead_id: int, *, by: Actor, next_action_at: datetime | None = None, next_action_kind: str = ""
) -> Lead:
    """disqualified -> working; the outcome is unknown again. Needs a plan.

    Raises TransitionRefused, InvalidValue (`next_action_at`). Publishes LeadChanged. Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    if lead.status != LeadStatus.DISQUALIFIED:
        raise TransitionRefused(_("Only a disqualified lead can be reopened."))
    before = snapshot(lead)
    change_status(lead, LeadStatus.WORKING, by=by)
    lead.disqualify_reason, lead.outcome, lead.outcome_at, lead.outcome_from = "", Outcome.UNKNOWN, None, ""
    set_plan(lead, next_action_at, next_action_kind)
    lead.save_changed(*STATUS_FIELDS, *MOVED)
    _told(lead, "reopen_lead", "lead.reopened", _("reopened"), before, by=by)
    return lead


@transaction.atomic
def disqualify_lead(lead_id: int, *, by: Actor, reason: str) -> Lead:
    """Take a lead out of the work, with the reason; its outcome is lost.

    Raises Lead.DoesNotExist, PermissionRefused, InvalidValue (`reason`), TransitionRefused.
    Publishes LeadDisqualified and LeadChanged. Undoable.
    """
    reason = _one_line(reason, "reason")
    if not reason:
        raise InvalidValue(_("Say why the lead is disqualified."), field="reason")
    if len(reason) > 200:
        raise InvalidValue(_("Use at most 200 characters."), field="reason")
    lead = lead_for_change(lead_id, by=by)
    before = snapshot(lead)
    change_status(lead, LeadStatus.DISQUALIFIED, by=by)
    lead.disqualify_reason = reason
    lead.snoozed_until, lead.next_action_at, lead.next_action_kind = None, None, ""
    lead.outcome, lead.outcome_at, lead.outcome_from = Outcome.LOST, clock.now(), OutcomeFrom.ACTION
    lead.save_changed(*STATUS_FIELDS, *MOVED)
    _told(lead, "disqualify_lead", "lead.disqualified", _("disqualified: %s") % reason, before, by=by)
    events.publish(events.LeadDisqualified(lead.pk, lead.owner_id))
    return lead


@transaction.atomic
def snooze_lead(lead_id: int, *, by: Actor, until: datetime, reason: str = "") -> Lead:
    """Let a lead sleep until then; it wakes by itself, or at once when the customer writes. One that sleeps
    already sleeps until the new time.

    Raises InvalidValue (`until`, not in the future or more than two years off), TransitionRefused.
    Publishes LeadChanged. Undoable.
    """
    now = clock.now()
    if not 0 < (until - now).total_seconds() < SNOOZE_MOST_DAYS * 86_400:
        raise InvalidValue(_("Choose a time in the future, at most two years from now."), field="until")
    until, reason = until.astimezone(UTC), _one_line(reason, "reason")
    lead = lead_for_change(lead_id, by=by)
    before = snapshot(lead)
    if lead.status != LeadStatus.NURTURING:
        change_status(lead, LeadStatus.NURTURING, by=by)
    lead.snoozed_until = until
    lead.next_action_at, lead.next_action_kind = until, lead.next_action_kind or NextActionKind.REVIEW
    lead.save_changed(*WAKING_FIELDS)
    words = _("snoozed: %s") % reason[:200] if reason else _("snoozed")
    _told(lead, "snooze_lead", "lead.snoozed", words, before, by=by, at=until)
    return lead


@transaction.atomic
def wake_lead(lead_id: int, *, by: Actor, because: str = "") -> Lead:
    """nurturing -> working, to be looked at now.

    Raises TransitionRefused. Publishes LeadChanged. Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    if lead.status != LeadStatus.NURTURING:
        raise TransitionRefused(_("This lead is not asleep."))
    before = snapshot(lead)
    wake_up(lead, by=by).save()
    lead.save_changed(*WAKING_FIELDS)
    _told(lead, "wake_lead", "lead.woken", because or _("woke up"), before, by=by)
    return lead


def wake_due_leads(at: datetime, *, limit: int = 500) -> int:
    """Wake every lead whose time has come, one transaction each. Returns how many."""
    due = Lead.objects.open().filter(status=LeadStatus.NURTURING, snoozed_until__lte=at)
    woken = 0
    for lead_id in list(due.order_by("snoozed_until").values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            asleep = Lead.objects.open().filter(
                status=LeadStatus.NURTURING, snoozed_until__lte=at, pk=lead_id
            )
            if asleep.select_for_update(of=("self",), skip_locked=True).first():
                wake_lead(lead_id, by=Actor.system())
                woken += 1
    return woken


@transaction.atomic
def plan_next_action(
    lead_id: int, *, by: Actor, at: datetime | None, kind: str = "", version: int | None = None
) -> Lead:
    """Say when to do what next. A new lead becomes working.

    None takes the plan away, which a person cannot do to an open lead: it would fall asleep. Where the system
    does so (a task is over and nothing follows), a review a day later takes its place.
    Raises InvalidValue (`kind`, `at`), VersionConflict, TransitionRefused (closed). Publishes LeadChanged.
    Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    check_version(lead, version)
    if not lead.is_open:
        raise TransitionRefused(_("This lead is closed; reopen it first."))
    before = snapshot(lead)
    if at is None and by.user is not None:
        raise InvalidValue(
            _("An open lead needs a next step. Choose another, let the lead sleep, or disqualify it."),
            field="at",
        )
    if at is None:
        lead.next_action_at, lead.next_action_kind = lead.snoozed_until, ""
        if lead.snoozed_until:
            lead.next_action_kind = NextActionKind.REVIEW
        plan_if_none(lead, after=REVIEW_AFTER)
    else:
        lead.next_action_at, lead.next_action_kind = checked_plan(at, kind)
    if lead.status == LeadStatus.NEW and at is not None:
        change_status(lead, LeadStatus.WORKING, by=by)
    lead.save_changed(*WAKING_FIELDS)
    label = NextActionKind(kind).label.lower() if at else NextActionKind.REVIEW.label.lower()
    words = _("planned: %s") % label if lead.next_action_at else _("cleared the next step")
    kind_of_event = "lead.next_action_planned"
    _told(lead, "plan_next_action", kind_of_event, words, before, by=by, at=lead.next_action_at)
    return lead


def snapshot(lead: Lead) -> dict[str, Any]:
    """What an arrow changes, as JSON, for its undo."""
    values = {name: getattr(lead, name) for name in MOVED}
    for name in TIMES:
        values[name] = values[name] and values[name].isoformat()
    return {"lead": lead.pk, "status": lead.status, **values}


def restore_snapshot(lead: Lead, before: dict[str, Any], *, by: Actor) -> tuple[str, ...]:
    """Put back in memory what `snapshot` noted. Returns the fields to save."""
    put_back(lead, before["status"], by=by)
    for name in MOVED:
        value = before[name]
        setattr(lead, name, datetime.fromisoformat(value) if value and name in TIMES else value)
    return (*STATUS_FIELDS, *MOVED)


_TAKEN_BACK = {
    "start_work": "lead.work_stopped",
    "reopen_lead": "lead.disqualified",
    "disqualify_lead": "lead.reopened",
    "snooze_lead": "lead.woken",
    "wake_lead": "lead.snoozed",
    "plan_next_action": "lead.next_action_planned",
}


def _undo_move(row: Undo, by: Actor) -> None:
    lead = lead_for_change(row.before["lead"], by=by)
    lead.save_changed(*restore_snapshot(lead, row.before, by=by))
    tell(lead, _TAKEN_BACK[row.action], _("took back: %s") % row.label, by=by)
    events.publish(events.LeadChanged(lead.pk, fields=("status", *MOVED)))


for _action in _TAKEN_BACK:
    undoable(_action)(_undo_move)


def _labels(action: str) -> str:
    return {
        "start_work": _("Started work on %s"),
        "reopen_lead": _("Reopened %s"),
        "disqualify_lead": _("Disqualified %s"),
        "snooze_lead": _("Snoozed %s"),
        "wake_lead": _("Woke %s"),
        "plan_next_action": _("Planned %s"),
    }[action]


def _told(
    lead: Lead,
    action: str,
    kind: str,
    summary: str,
    before: dict[str, Any],
    *,
    by: Actor,
    at: datetime | None = None,
) -> None:
    """The line of the story (with `at`, a time that screens show in the reader's zone), undo, event."""
    tell(lead, kind, summary, by=by, **({"at": at.isoformat()} if at else {}))
    offer_undo(action, by=by, label=_labels(action) % lead.name, before=before, rows=[lead])
    changed = tuple(
        name for name, old in {**snapshot(lead)}.items() if name != "lead" and before[name] != old
    )
    events.publish(events.LeadChanged(lead.pk, fields=changed))


def _one_line(text: str, field: str) -> str:
    """The text with single blanks. Raises InvalidValue for NUL, which no column can hold."""
    if "\0" in text:
        raise InvalidValue(_("This text holds characters that cannot be stored."), field=field)
    return " ".join(text.split())
