"""What one agent's results ask of another: a score leads to a draft for each promising lead that awaits an
answer. Set-based, for a pump's many results.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from django.db.models import Exists, F, OuterRef, Q

from ai_agents.actions.requests import ANALYSIS, DRAFT, request_drafts
from ai_agents.agents.base import Finished
from ai_agents.agents.facts import LeadFacts
from ai_agents.models import AgentPool
from crm.actions.consents import suppressed_among
from crm.actions.purposes import purposes_of
from crm.models import Actor, Channel, ContactPoint, FollowUp, Inquiry, Lead, PointKind, ScoreSource

PRIORITY = 3


def draft_for_promising(lead_ids: Iterable[int], known: Mapping[int, LeadFacts] | None = None) -> int:
    """Queue drafts for those of the leads whose blend reaches the pool's `draft_from`. Returns how many.

    They must be open, have asked us something (an imported row has not), not be answered since, have no draft
    waiting, and not have forbidden us to write. `known` as in request_drafts. Rules alone do not lead to a
    draft: a judgement that has read the words follows within seconds.
    """
    pool = AgentPool.objects.filter(kind=DRAFT).only("draft_from").first()
    if pool is None:
        return 0
    asked = Inquiry.objects.filter(lead=OuterRef("pk")).exclude(channel=Channel.CSV)
    answered = Q(last_outbound_at__isnull=False) & (
        Q(last_inbound_at=None) | Q(last_inbound_at__lt=F("last_outbound_at"))
    )
    leads = (
        Lead.objects.open()
        .filter(Exists(asked), pk__in=list(lead_ids), score__gte=pool.draft_from)
        .exclude(score_source=ScoreSource.RULES)
        .exclude(answered)
        .exclude(Exists(FollowUp.objects.unsent().filter(lead=OuterRef("pk"))))
        .exclude(contact__do_not_contact=True)
        .order_by("pk")
    )
    wanted = set(leads.values_list("pk", flat=True))
    wanted -= _barred(wanted)
    return request_drafts(purposes_of(wanted), by=Actor.system(), priority=PRIORITY, known=known or {})


def _barred(lead_ids: Collection[int]) -> set[int]:
    """Those whose address must not be written to: a draft for them could never be sent. Two queries."""
    if not lead_ids:
        return set()
    points = list(ContactPoint.objects.filter(lead__in=lead_ids, kind=PointKind.EMAIL, is_primary=True))
    banned = suppressed_among(points)
    return {point.lead_id for point in points if point.pk in banned and point.lead_id}


def _draft_for_scored(finished: Sequence[Finished]) -> None:
    known = {done.task.lead_id: done.facts for done in finished if done.task.lead_id}
    draft_for_promising(known, known)


# Kind -> what is asked for once its results are stored, in the same transaction.
FOLLOW_ON: dict[str, Callable[[Sequence[Finished]], None]] = {ANALYSIS: _draft_for_scored}
