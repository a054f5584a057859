"""What the next message to a lead is for, told from what happened on it."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import F, OuterRef, Subquery

from crm import clock
from crm.models import CallLog, Disposition, Lead, Lifecycle, Opportunity, OpportunityState, Purpose

LONG_SILENCE = timedelta(days=180)  # after this, whoever bought before is written to anew
# Stages have names of their own in each house. No stage of another meaning has one of these words.
_QUOTE_STAGE = r"\m(quot|propos|offer|angebot|offert|devis|presupuest|propuest|preventiv)"


def purposes_of(lead_ids: Collection[int]) -> dict[int, str]:
    """Lead id -> a Purpose, by whoever spoke last. One query; leads that are gone are left out.

    The customer: a first answer, or `other`, an answer in the middle of a talk. We, on the telephone: after a
    call. We, in writing: a quote sent when an open opportunity stands in a stage of that name, else no reply.
    Nobody for half a year, or nobody ever: renewal for customers, win-back for former ones, else a first
    answer.
    """
    calls = CallLog.objects.filter(lead=OuterRef("pk"), disposition=Disposition.ANSWERED)
    quotes = Opportunity.objects.filter(
        lead=OuterRef("pk"), state=OpportunityState.OPEN, deleted_at=None, stage__name__iregex=_QUOTE_STAGE
    )
    leads = (
        Lead.objects.filter(pk__in=lead_ids)
        .annotate(
            called_at=Subquery(calls.order_by("-occurred_at").values("occurred_at")[:1]),
            quoted_at=Subquery(quotes.order_by("-stage_entered_at").values("stage_entered_at")[:1]),
            lifecycle=F("contact__lifecycle"),
        )
        .values_list(
            "pk", "last_inbound_at", "last_outbound_at", "called_at", "quoted_at", "lifecycle", named=True
        )
    )
    now = clock.now()
    return {
        row.pk: _purpose(
            now, row.last_inbound_at, row.last_outbound_at, row.called_at, row.quoted_at, row.lifecycle
        )
        for row in leads
    }


def _purpose(
    now: datetime,
    they_wrote: datetime | None,
    we_wrote: datetime | None,
    called: datetime | None,
    quoted: datetime | None,
    lifecycle: str | None,
) -> str:
    last = max((at for at in (they_wrote, we_wrote, called) if at), default=None)
    is_silent = last is None or last < now - LONG_SILENCE
    if is_silent and lifecycle == Lifecycle.CHURNED:
        return Purpose.WIN_BACK
    if is_silent and lifecycle == Lifecycle.CUSTOMER:
        return Purpose.RENEWAL
    if last is not None and last == called:  # a call counts as their word and as ours
        return Purpose.AFTER_CALL
    if last is None or last == they_wrote:
        return Purpose.OTHER if we_wrote else Purpose.FIRST_ANSWER
    return Purpose.QUOTE_SENT if quoted and quoted >= (they_wrote or quoted) else Purpose.NO_REPLY
