"""The board: the first cards of each stage, how many there are and what they are worth."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from crm import clock
from crm.figures.dashboard import counts
from crm.figures.money import Rates, Total, add_up
from crm.figures.scope import Asker
from crm.models import Opportunity, OpportunityState, Pipeline, Stage, StageKind, User
from crm.models.pipelines import OpportunityQuerySet

SHOWN = 50  # cards of a stage; the rest by `more_cards`


@dataclass(frozen=True, slots=True)
class Column:
    """A stage with its first cards. `more_after` is where `more_cards` goes on, None at the end."""

    stage: Stage
    cards: list[Opportunity]
    n: int
    total: Total
    more_after: tuple[int, int] | None


def board(pipeline: Pipeline, who: Asker, *, currency: str, owner: User | None = None) -> list[Column]:
    """The open stages in their order, for what the asker may see, or `owner`'s cards of it.

    Five statements, whatever the pipeline holds: its stages, the top cards of all of them at once (each
    branch reads the first rows of one index range), their counts from the summaries, the amounts whose
    probability is not their stage's, the rates. A card says by `is_stalled` that nothing happened to it for
    as long as its stage allows.
    """
    stages = list(pipeline.stages.filter(kind=StageKind.OPEN, is_active=True).order_by("position"))
    if not stages:
        return []
    branches = [_cards(stage, who, owner).order_by("rank", "pk")[: SHOWN + 1] for stage in stages]
    cards = branches[0].union(*branches[1:], all=True) if branches[1:] else branches[0]
    lying: dict[int, list[Opportunity]] = {stage.pk: [] for stage in stages}
    for card in cards:
        lying[card.stage_id].append(card)
    narrow = {"owner_id": owner.pk} if owner else {}
    counted = {
        row.group["stage_id"]: row
        for row in counts(
            who, "opportunity", "stage_id", status=OpportunityState.OPEN, stage_id__in=list(lying), **narrow
        )
    }
    today = clock.now().date()
    own_weights = _own_weights(stages, who, owner)
    rates = Rates.load(currency, {of for row in counted.values() for of in row.amounts}, until=today)
    columns = []
    for stage in stages:
        row = counted.get(stage.pk)
        parts = [
            (of, today, amount, amount * stage.probability / 100 + own_weights.get((stage.pk, of), 0), 0)
            for of, amount in (row.amounts if row else {}).items()
            if amount
        ]
        shown = sorted(lying[stage.pk], key=lambda card: (card.rank, card.pk))
        columns.append(
            Column(
                stage,
                mark_stalled(stage, shown[:SHOWN], clock.now()),
                row.n if row else 0,
                add_up(parts, currency=currency, rates=rates),
                _end_of(shown[:SHOWN]) if len(shown) > SHOWN else None,
            )
        )
    return columns


def more_cards(
    stage: Stage, who: Asker, *, after: tuple[int, int], owner: User | None = None, limit: int = SHOWN
) -> tuple[list[Opportunity], tuple[int, int] | None]:
    """The next cards of a stage behind (rank, id), and where to go on. One statement."""
    rank, pk = after
    behind = Q(rank__gt=rank) | Q(rank=rank, pk__gt=pk)
    # the plain comparison on rank lets the index begin where the page does
    rows = _cards(stage, who, owner).filter(behind, rank__gte=rank).order_by("rank", "pk")
    found = list(rows[: limit + 1])
    shown = mark_stalled(stage, found[:limit], clock.now())
    return shown, _end_of(shown) if len(found) > limit else None


def _own_weights(stages: list[Stage], who: Asker, owner: User | None) -> dict[tuple[int, str], Decimal]:
    """By stage and currency: what probabilities of cards' own add to amount times the stage's probability.
    One statement, by the index of the few cards that have one.
    """
    cards = Opportunity.objects.visible_to(who).filter(
        stage__in=stages, state=OpportunityState.OPEN, probability_override__isnull=False
    )
    cards = cards.filter(owner=owner) if owner else cards
    more = F("amount") * (F("probability_override") - F("stage__probability")) / Decimal(100)
    rows = cards.order_by().values("stage_id", "currency").annotate(more=Coalesce(Sum(more), Decimal(0)))
    return {(row["stage_id"], row["currency"]): row["more"] for row in rows}


def _cards(stage: Stage, who: Asker, owner: User | None) -> OpportunityQuerySet:
    cards = Opportunity.objects.visible_to(who).filter(stage=stage)
    cards = cards.filter(owner=owner) if owner else cards
    return cards.select_related("account", "primary_contact", "owner").defer("search_text", "custom")


def _end_of(cards: list[Opportunity]) -> tuple[int, int]:
    return cards[-1].rank, cards[-1].pk


def mark_stalled(stage: Stage, cards: list[Opportunity], at: datetime) -> list[Opportunity]:
    """Set `is_stalled` on cards of this stage."""
    for card in cards:
        card.is_stalled = (
            card.is_open
            and stage.rot_days is not None
            and card.last_event_at < at - timedelta(days=stage.rot_days)
        )
    return cards
