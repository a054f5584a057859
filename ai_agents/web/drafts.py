"""The part of the agents' page that tells what became of drafts."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils.translation import gettext as _

from ai_agents.actions.drafts import DraftFigures, draft_figures
from crm import clock
from crm.actions.follow_ups import RejectReason

DAYS = 90
SHOWN = 6  # prompt versions


@dataclass(frozen=True, slots=True)
class DraftRow:
    """One prompt version as text."""

    prompt: str
    drafted: str
    refused: str
    sent: str
    as_drafted: str
    changed: str
    dismissed: str
    reasons: str  # the most frequent first


def draft_rows() -> list[DraftRow]:
    """In two queries."""
    now = clock.now()
    return [_row(one) for one in draft_figures(now - timedelta(days=DAYS), now)[:SHOWN]]


def _row(one: DraftFigures) -> DraftRow:
    reasons = [
        _("%(reason)s (%(n)d)") % {"reason": RejectReason(reason).label, "n": n}
        for reason, n in one.reasons.items()
        if reason in RejectReason.values
    ]
    return DraftRow(
        prompt=one.prompt,
        drafted=f"{one.drafted:,}",
        refused=f"{one.needs_writing:,}",
        sent=f"{one.sent:,}",
        as_drafted=f"{one.as_drafted / one.sent:.0%}" if one.sent else "–",
        changed=f"{one.edit_ratio:.0%}" if one.edit_ratio is not None else "–",
        dismissed=f"{one.rejected:,}",
        reasons=", ".join(reasons),
    )
