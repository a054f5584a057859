"""The order of the cards in a stage: ranks with gaps, and the locks that keep 50 movers in line.

Whoever puts a card into a stage holds that stage's row first, so that ranks and limits are decided one after
the other; then the cards, in the order of their keys. A gap that is used up is made again for this stage
alone, in the same transaction.
"""

from collections.abc import Iterable

from django.db import connection
from django.db.models import Min, Q
from django.utils.translation import gettext as _

from crm.errors import InvalidValue, TransitionRefused
from crm.models import Actor, Opportunity, Stage, User

GAP = 2**20  # between two ranks: room for 20 cards that are each put just before the last


def hold_stage(stage_id: int) -> Stage:
    """The stage with its pipeline, locked against other movers. Raises Stage.DoesNotExist."""
    held = hold_stages([stage_id])
    if not held:
        raise Stage.DoesNotExist
    return held[stage_id]


def hold_stages(stage_ids: Iterable[int]) -> dict[int, Stage]:
    """Several, in the order of their keys; by key."""
    stages = Stage.objects.select_related("pipeline").select_for_update(of=("self",), no_key=True)
    return {stage.pk: stage for stage in stages.filter(pk__in=list(stage_ids)).order_by("pk")}


def refuse_unused(stage: Stage) -> None:
    """Raises InvalidValue (`stage`) when the stage or its pipeline is archived."""
    if not stage.is_active or not stage.pipeline.is_active:
        raise InvalidValue(_("The stage “%s” is archived.") % stage.name, field="stage")


class Limits:
    """How many cards people have in stages, asked once each. Needs the locks of the stages."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], int] = {}

    def add(self, stage: Stage, owner_id: int | None, *, besides: int | None = None) -> None:
        """Count one more card of this person. Raises TransitionRefused when they have as many as one may."""
        if stage.wip_limit is None or owner_id is None:
            return
        key = (stage.pk, owner_id)
        if key not in self._counts:
            cards = Opportunity.objects.live().filter(stage=stage, owner_id=owner_id).exclude(pk=besides)
            self._counts[key] = cards.count()
        if self._counts[key] >= stage.wip_limit:
            words = _("%(owner)s already has %(limit)d in “%(stage)s”, and one may have no more there.")
            owner = User.objects.get(pk=owner_id)
            raise TransitionRefused(words % {"owner": owner, "limit": stage.wip_limit, "stage": stage.name})
        self._counts[key] += 1


def refuse_over_limit(stage: Stage, owner_id: int | None, *, besides: int | None = None) -> None:
    """Raises TransitionRefused when this person has as many cards here as one may. Needs the stage's lock."""
    Limits().add(stage, owner_id, besides=besides)


def top_rank(stage_id: int) -> int:
    """A rank above all cards of the stage. Needs the stage's lock."""
    least = Opportunity.objects.live().filter(stage=stage_id).aggregate(least=Min("rank"))["least"]
    return 0 if least is None else least - GAP


def place_card(
    card_id: int, stage: Stage, *, by: Actor, before: int | None = None, after: int | None = None
) -> int:
    """The rank for this card in this stage: directly before or after another, or on top.

    Needs the stage's lock. The card, and every card of the stage when ranks have to be renumbered, is locked
    when it returns. A neighbour that has left is passed over as long as the other one is there. Raises
    InvalidValue (`before`, `after`).
    """
    rank = _wanted_rank(card_id, stage, by, before, after)
    _hold([card_id] if rank is not None else None, card_id, stage)
    if rank is None:
        _renumber(card_id, stage)
        rank = _wanted_rank(card_id, stage, by, before, after)
        assert rank is not None  # the gaps are new, and nobody else may put a card here
    return rank


def _hold(card_ids: Iterable[int] | None, card_id: int, stage: Stage) -> None:
    wanted = Q(pk__in=card_ids) if card_ids is not None else Q(pk=card_id) | Q(stage=stage)
    list(Opportunity.objects.filter(wanted).order_by("pk").select_for_update(no_key=True).values_list("pk"))


def _wanted_rank(card_id: int, stage: Stage, by: Actor, before: int | None, after: int | None) -> int | None:
    """None when there is no number left between the two."""
    others = Opportunity.objects.live().filter(stage=stage).exclude(pk=card_id)
    if before is None and after is None:
        least = others.aggregate(least=Min("rank"))["least"]
        return 0 if least is None else least - GAP
    neighbours = {"after": after, "before": before}
    for name, key in neighbours.items():
        anchor = None if key is None else others.visible_to(by).filter(pk=key).values("rank", "pk").first()
        if anchor is None:
            continue
        if name == "after":
            behind = Q(rank__gt=anchor["rank"]) | Q(rank=anchor["rank"], pk__gt=anchor["pk"])
            low, high = anchor["rank"], others.filter(behind).order_by("rank", "pk").values("rank").first()
            return _middle(low, high["rank"] if high else low + 2 * GAP)
        ahead = Q(rank__lt=anchor["rank"]) | Q(rank=anchor["rank"], pk__lt=anchor["pk"])
        low_row = others.filter(ahead).order_by("-rank", "-pk").values("rank").first()
        return _middle(low_row["rank"] if low_row else anchor["rank"] - 2 * GAP, anchor["rank"])
    field = "after" if after is not None else "before"
    raise InvalidValue(
        _("That card is no longer in “%s”. Look at the board again.") % stage.name, field=field
    )


def _middle(low: int, high: int) -> int | None:
    return (low + high) // 2 if high - low >= 2 else None


def _renumber(card_id: int, stage: Stage) -> None:
    """Same order, full gaps. A card's version stays: nothing that people edit has changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE crm_opportunity card SET rank = numbered.nr * %s
              FROM (SELECT id, row_number() OVER (ORDER BY rank, id) AS nr FROM crm_opportunity
                     WHERE stage_id = %s AND deleted_at IS NULL AND id <> %s) numbered
             WHERE card.id = numbered.id AND card.rank <> numbered.nr * %s
            """,
            [GAP, stage.pk, card_id, GAP],
        )
