"""The arrows of a lead's life, one action each. Converting has a module of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, lead_for_change
from crm.actions.lead_plans import REVIEW_AFTER, checked_plan, plan_if_none, set_plan
from crm.actions.lead_status import (
    STATUS_FIELDS,
    WAKING_FIELDS,
    arrow_back,
    put_back,
    status_arrow,
    wake_up,
)
from crm.actions.steps import Step, take, undoable_step
from crm.errors import InvalidValue, TransitionRefused
from crm.models import (
    Actor,
    Lead,
    LeadStatus,
    LeadStatusChange,
    NextActionKind,
    Outcome,
    OutcomeFrom,
    Undo,
)

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
    arrow = status_arrow(lead, LeadStatus.WORKING, by=by)
    fields = (*STATUS_FIELDS, *set_plan(lead, next_action_at, next_action_kind))
    words = _("started work")
    step = _step(lead, "start_work", "lead.work_started", words, before, fields=fields, added=[arrow])
    take([step], by=by)
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
    arrow = status_arrow(lead, LeadStatus.WORKING, by=by)
    lead.disqualify_reason, lead.outcome, lead.outcome_at, lead.outcome_from = "", Outcome.UNKNOWN, None, ""
    set_plan(lead, next_action_at, next_action_kind)
    fields, words = (*STATUS_FIELDS, *MOVED), _("reopened")
    take([_step(lead, "reopen_lead", "lead.reopened", words, before, fields=fields, added=[arrow])], by=by)
    return lead


@transaction.atomic
def disqualify_lead(lead_id: int, *, by: Actor, reason: str) -> Lead:
    """Take a lead out of the work, with the reason; its outcome is lost.

    Raises Lead.DoesNotExist, PermissionRefused, InvalidValue (`reason`), TransitionRefused.
    Publishes LeadDisqualified and LeadChanged. Undoable.
    """
    reason = checked_reason(reason)
    lead = lead_for_change(lead_id, by=by)
    take([disqualification(lead, by=by, reason=reason)], by=by)
    return lead


def checked_reason(reason: str) -> str:
    """The reason in one line. Raises InvalidValue (`reason`)."""
    reason = _one_line(reason, "reason")
    if not reason:
        raise InvalidValue(_("Say why the lead is disqualified."), field="reason")
    if len(reason) > 200:
        raise InvalidValue(_("Use at most 200 characters."), field="reason")
    return reason


def disqualification(lead: Lead, *, by: Actor, reason: str) -> Step:
    """The step of `disqualify_lead`, with its refusals. `reason` is checked."""
    before = snapshot(lead)
    arrow = status_arrow(lead, LeadStatus.DISQUALIFIED, by=by)
    lead.disqualify_reason = reason
    lead.snoozed_until, lead.next_action_at, lead.next_action_kind = None, None, ""
    lead.outcome, lead.outcome_at, lead.outcome_from = Outcome.LOST, clock.now(), OutcomeFrom.ACTION
    return _step(
        lead,
        "disqualify_lead",
        "lead.disqualified",
        _("disqualified: %s") % reason,
        before,
        fields=(*STATUS_FIELDS, *MOVED),
        added=[arrow],
        happened=[events.LeadDisqualified(lead.pk, lead.owner_id)],
    )


@transaction.atomic
def snooze_lead(lead_id: int, *, by: Actor, until: datetime, reason: str = "") -> Lead:
    """Let a lead sleep until then; it wakes by itself, or at once when the customer writes. One that sleeps
    already sleeps until the new time.

    Raises InvalidValue (`until`, not in the future or more than two years off), TransitionRefused.
    Publishes LeadChanged. Undoable.
    """
    until, reason = checked_sleep(until, reason)
    lead = lead_for_change(lead_id, by=by)
    take([snoozing(lead, by=by, until=until, reason=reason)], by=by)
    return lead


def checked_sleep(until: datetime, reason: str) -> tuple[datetime, str]:
    """The time in UTC and the reason in one line. Raises InvalidValue (`until`, `reason`)."""
    if not 0 < (until - clock.now()).total_seconds() < SNOOZE_MOST_DAYS * 86_400:
        raise InvalidValue(_("Choose a time in the future, at most two years from now."), field="until")
    return until.astimezone(UTC), _one_line(reason, "reason")


def snoozing(lead: Lead, *, by: Actor, until: datetime, reason: str) -> Step:
    """The step of `snooze_lead`, with its refusals. `until` and `reason` are checked."""
    before = snapshot(lead)
    added = []
    if lead.status != LeadStatus.NURTURING:
        added.append(status_arrow(lead, LeadStatus.NURTURING, by=by))
    lead.snoozed_until = until
    lead.next_action_at, lead.next_action_kind = until, lead.next_action_kind or NextActionKind.REVIEW
    words = _("snoozed: %s") % reason[:200] if reason else _("snoozed")
    return _step(
        lead, "snooze_lead", "lead.snoozed", words, before, fields=WAKING_FIELDS, added=added, at=until
    )


@transaction.atomic
def wake_lead(lead_id: int, *, by: Actor, because: str = "") -> Lead:
    """nurturing -> working, to be looked at now.

    Raises TransitionRefused. Publishes LeadChanged. Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    if lead.status != LeadStatus.NURTURING:
        raise TransitionRefused(_("This lead is not asleep."))
    before = snapshot(lead)
    arrow, words = wake_up(lead, by=by), because or _("woke up")
    step = _step(lead, "wake_lead", "lead.woken", words, before, fields=WAKING_FIELDS, added=[arrow])
    take([step], by=by)
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
    added = []
    if lead.status == LeadStatus.NEW and at is not None:
        added.append(status_arrow(lead, LeadStatus.WORKING, by=by))
    label = NextActionKind(kind).label.lower() if at else NextActionKind.REVIEW.label.lower()
    words = _("planned: %s") % label if lead.next_action_at else _("cleared the next step")
    step = _step(
        lead,
        "plan_next_action",
        "lead.next_action_planned",
        words,
        before,
        fields=WAKING_FIELDS,
        added=added,
        at=lead.next_action_at,
    )
    take([step], by=by)
    return lead


def snapshot(lead: Lead) -> dict[str, Any]:
    """What an arrow changes, as JSON, for its undo."""
    values = {name: getattr(lead, name) for name in MOVED}
    for name in TIMES:
        values[name] = values[name] and values[name].isoformat()
    since = lead.status_changed_at.isoformat()
    return {"lead": lead.pk, "status": lead.status, "status_changed_at": since, **values}


def since_of(before: dict[str, Any]) -> datetime | None:
    """Since when it had the status that `snapshot` noted."""
    since = before.get("status_changed_at")
    return datetime.fromisoformat(since) if since else None


def restore_snapshot(lead: Lead, before: dict[str, Any], *, by: Actor) -> tuple[str, ...]:
    """Put back in memory what `snapshot` noted, with the line of history. Returns the fields to save."""
    put_back(lead, before["status"], by=by, since=since_of(before))
    return restore_moved(lead, before)


def restore_moved(lead: Lead, before: dict[str, Any]) -> tuple[str, ...]:
    """The same without the status. Returns the fields to save, those of the status included."""
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


@undoable_step(*_TAKEN_BACK)
def _undo_move(row: Undo, lead: Lead, by: Actor, given: None) -> Step:
    arrow = arrow_back(lead, row.before["status"], by=by, since=since_of(row.before))
    return Step(
        lead,
        restore_moved(lead, row.before),
        kind=_TAKEN_BACK[row.action],
        summary=_("took back: %s") % row.label,
        added=[arrow] if arrow else [],
        happened=[events.LeadChanged(lead.pk, fields=("status", *MOVED))],
    )


def _labels(action: str) -> str:
    return {
        "start_work": _("Started work on %s"),
        "reopen_lead": _("Reopened %s"),
        "disqualify_lead": _("Disqualified %s"),
        "snooze_lead": _("Snoozed %s"),
        "wake_lead": _("Woke %s"),
        "plan_next_action": _("Planned %s"),
    }[action]


def _step(
    lead: Lead,
    action: str,
    kind: str,
    summary: str,
    before: dict[str, Any],
    *,
    fields: tuple[str, ...],
    added: Sequence[LeadStatusChange] = (),
    happened: Sequence[object] = (),
    at: datetime | None = None,
) -> Step:
    """An arrow; `at` is a time of the story that screens show in the reader's zone."""
    untold = {"lead", "status_changed_at"}
    changed = tuple(
        name for name, old in snapshot(lead).items() if name not in untold and before[name] != old
    )
    return Step(
        lead,
        fields,
        kind=kind,
        summary=summary,
        label=_labels(action) % lead.name,
        undo=action,
        before=before,
        data={"at": at.isoformat()} if at else {},
        added=added,
        happened=[events.LeadChanged(lead.pk, fields=changed), *happened],
    )


def _one_line(text: str, field: str) -> str:
    """The text with single blanks. Raises InvalidValue for NUL, which no column can hold."""
    if "\0" in text:
        raise InvalidValue(_("This text holds characters that cannot be stored."), field=field)
    return " ".join(text.split())
