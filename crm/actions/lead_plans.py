"""When to do what next with a lead. A lead in work is never left without it.

A `new` lead needs no plan: it waits for its first answer, and the clock for that runs. A sleeping one has its
wake-up. For a `working` one, whoever acts says what comes next; where nobody can be asked, it is a review.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from crm import clock
from crm.errors import InvalidValue
from crm.models import Lead, LeadStatus, NextActionKind

PLAN_FIELDS = ("next_action_at", "next_action_kind")
PLAN_MOST = timedelta(days=3_660)  # ten years, both ways: what is further off was mistyped
REVIEW_AFTER = timedelta(days=1)  # planned where an act leaves nothing else to do


def set_plan(lead: Lead, at: datetime | None, kind: str) -> tuple[str, ...]:
    """Plan in memory. Returns the fields to save. Raises InvalidValue naming the field."""
    if at is None:
        if lead.next_action_at is None:
            raise InvalidValue(
                _("Say what comes next: a next step, or let the lead sleep, or disqualify it."),
                field="next_action_at",
            )
        return ()
    lead.next_action_at, lead.next_action_kind = checked_plan(at, kind, field="next_action_")
    return PLAN_FIELDS


def checked_plan(at: datetime, kind: str, *, field: str = "") -> tuple[datetime, str]:
    """Time in UTC and kind. Raises InvalidValue (`at`, `kind`, with `field` in front)."""
    if abs(at - clock.now()) > PLAN_MOST:
        raise InvalidValue(_("Choose a time within ten years."), field=f"{field}at")
    if kind not in NextActionKind.values:
        raise InvalidValue(
            _("Choose what to do: call, e-mail, meeting, to do or review."), field=f"{field}kind"
        )
    return at.astimezone(UTC), kind


def plan_if_none(lead: Lead, *, after: timedelta = timedelta(0)) -> tuple[str, ...]:
    """Plan a review of a working lead that has no plan. Returns the fields to save."""
    if lead.status != LeadStatus.WORKING or lead.next_action_at is not None:
        return ()
    lead.next_action_at, lead.next_action_kind = clock.now() + after, NextActionKind.REVIEW
    return PLAN_FIELDS


def default_plan() -> dict[str, Any]:
    """What doors without a question for it hand to an act that needs a plan: a review tomorrow."""
    return {"next_action_at": clock.now() + REVIEW_AFTER, "next_action_kind": NextActionKind.REVIEW}


def planned(lead: Lead) -> dict[str, Any]:
    """The plan as JSON, for an undo."""
    at = lead.next_action_at
    return {"next_action_at": at and at.isoformat(), "next_action_kind": lead.next_action_kind}


def restore_plan(lead: Lead, plan: dict[str, Any]) -> tuple[str, ...]:
    """Put back what `planned` noted. Returns the fields to save."""
    if not plan:
        return ()
    at = plan["next_action_at"]
    lead.next_action_at = datetime.fromisoformat(at) if at else None
    lead.next_action_kind = plan["next_action_kind"]
    return PLAN_FIELDS
