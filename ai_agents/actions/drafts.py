"""What became of the agents' drafts, by the prompt that asked for them: what tells a better prompt."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Avg, Count, Q

from crm.models import FollowUp, FollowUpState


@dataclass(frozen=True, slots=True)
class DraftFigures:
    """Drafts of one prompt version that were made in a period, as they stand now.

    `drafted` counts all of them, `needs_writing` those whose text was refused. `as_drafted` are the sent ones
    whose approver changed no word, `edit_ratio` the mean share of words changed in all that were sent (see
    crm.actions.edit_ratio). `reasons` are codes of RejectReason with their numbers.
    """

    prompt: str
    drafted: int
    needs_writing: int
    sent: int
    as_drafted: int
    edit_ratio: float | None
    rejected: int
    overtaken: int  # out of date or expired before anybody decided
    reasons: Mapping[str, int]


def draft_figures(since: datetime, until: datetime) -> list[DraftFigures]:
    """By prompt version, the newest first. Drafts of the scripted model are not counted. Two statements."""
    made = FollowUp.objects.filter(
        agent_task__isnull=False, created_at__gte=since, created_at__lt=until
    ).exclude(provider="scripted")
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    dismissed = made.filter(state=FollowUpState.REJECTED).order_by()
    for prompt, reason, n in dismissed.values_list("agent_task__prompt_version", "reject_reason").annotate(
        n=Count("pk")
    ):
        reasons[prompt][reason] += n
    sent = Q(state=FollowUpState.SENT)
    over = Q(state__in=[FollowUpState.STALE, FollowUpState.EXPIRED])
    rows = (
        made.order_by()
        .values("agent_task__prompt_version")
        .annotate(
            drafted=Count("pk"),
            needs_writing=Count("pk", filter=Q(original_subject="")),
            sent=Count("pk", filter=sent),
            as_drafted=Count("pk", filter=sent & Q(edit_ratio=0)),
            mean=Avg("edit_ratio", filter=sent),
            rejected=Count("pk", filter=Q(state=FollowUpState.REJECTED)),
            overtaken=Count("pk", filter=over),
        )
    )
    found = [
        DraftFigures(
            prompt=(prompt := row["agent_task__prompt_version"]),
            drafted=row["drafted"],
            needs_writing=row["needs_writing"],
            sent=row["sent"],
            as_drafted=row["as_drafted"],
            edit_ratio=row["mean"],
            rejected=row["rejected"],
            overtaken=row["overtaken"],
            reasons=dict(reasons[prompt].most_common()),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: _version(one.prompt), reverse=True)


def _version(prompt: str) -> tuple[str, int]:
    name, _dot, number = prompt.rpartition(".v")
    return name, int(number) if number.isdigit() else 0
