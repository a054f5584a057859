"""Who reads a record that has an owner and a team: the one rule behind every `visible_to` (THREATS 7)."""

from typing import Any, Self

from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Case, Exists, F, Func, OuterRef, Q, Value, When
from django.db.models.functions import Coalesce

from crm.models.actors import Actor
from crm.models.users import Role, TeamMember, User

# The words of `search_text` as they are, no parser between: what search by the beginnings of words looks in.
WORDS = Func(
    F("search_text"),
    template="array_to_tsvector(array_remove(string_to_array(%(expressions)s, ' '), ''))",
    output_field=SearchVectorField(),
)

# Whose reach a row is in, beyond its owner's, as one number: t for the pool of team t, -1 - t for what
# members of t own, 0 and -1 without a team. The SQL of crm.models.today says the same.
LANE = Case(
    When(owner=None, then=Coalesce(F("team"), 0)),
    default=Value(-1) - Coalesce(F("team"), 0),
    output_field=models.BigIntegerField(),
)


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows with `owner` and `team`. `live` is what exists at all; a model with soft deletion narrows it."""

    def live(self) -> Self:
        """Neither deleted nor merged into another."""
        return self

    def visible_to(self, who: User | Actor) -> Self:
        """What this person may read: all, their teams', or their own and their teams' pool."""
        return self.live().in_reach_of(who)

    def in_reach_of(self, who: User | Actor) -> Self:
        """The same rule without `live`: for those who bring deleted records back."""
        if isinstance(who, Actor):
            if who.user is None:
                return self
            who = who.user
        if not who.is_active:
            return self.none()
        if who.role == Role.ADMIN:
            return self
        in_my_team = Exists(TeamMember.objects.filter(user=who, team=OuterRef("team")))
        if who.role in {Role.MANAGER, Role.READ_ONLY}:
            return self.filter(Q(owner=who) | in_my_team)
        return self.filter(Q(owner=who) | Q(in_my_team, owner=None))


def exactly_one(table: str, *fields: str) -> models.CheckConstraint:
    """The row belongs to exactly one of these."""
    any_one = Q()
    for field in fields:
        others = {f"{other}__isnull": True for other in fields if other != field}
        any_one |= Q(**{f"{field}__isnull": False}, **others)
    return models.CheckConstraint(name=f"{table}_exactly_one_owner", condition=any_one)


def at_least_one(table: str, *fields: str) -> models.CheckConstraint:
    """The row belongs to at least one of these."""
    any_one = Q()
    for field in fields:
        any_one |= Q(**{f"{field}__isnull": False})
    return models.CheckConstraint(name=f"{table}_has_subject", condition=any_one)
