"""What one agent's results ask of another: a score leads to a draft for each promising lead that awaits an
answer. Set-based, for a pump's many results.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from django.db.models import Exists, F, OuterRef, Q

from ai_agents.actions.requests import ANALYSIS, DRAFT, request_drafts
from ai_agents.agents.base import Finished
from ai_agents.agents.facts import LeadFacts
from ai_agents.models import AgentPool
from crm.actions.purposes import purposes_of
from crm.models import Actor, Channel, FollowUp, Inquiry, Lead, ScoreSource

PRIORITY = 3


def draft_for_promising(lead_ids: Iterable[int], known: Mapping[int, LeadFacts] | None = None) -> int:
    """Queue drafts for those of the leads whose blend reaches the pool's `draft_from`. Returns how many.

    They must be open, have asked us something (an imported row has not), not be answered since, and have no
    draft waiting. `known` as in request_drafts. Rules alone do not lead to a draft: a judgement that has
    read the words follows within seconds.
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
        .order_by("pk")
    )
    purposes = purposes_of(list(leads.values_list("pk", flat=True)))
    return request_drafts(purposes, by=Actor.system(), priority=PRIORITY, known=known or {})


def _draft_for_scored(finished: Sequence[Finished]) -> None:
    known = {done.task.lead_id: done.facts for done in finished if done.task.lead_id}
    draft_for_promising(known, known)


# Kind -> what is asked for once its results are stored, in the same transaction.
FOLLOW_ON: dict[str, Callable[[Sequence[Finished]], None]] = {ANALYSIS: _draft_for_scored}
