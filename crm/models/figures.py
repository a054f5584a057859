"""Numbers kept ready for the screens."""

from typing import Self

from django.db import models
from django.db.models import F, Q

from crm.models.actors import Actor
from crm.models.users import Role, TeamMember, User


class DashboardCountQuerySet(models.QuerySet["DashboardCount"]):
    def visible_to(self, who: User | Actor) -> Self:
        """The counts of the rows that this person may read: the rule of OwnedQuerySet, on groups."""
        if isinstance(who, Actor):
            if who.user is None:
                return self
            who = who.user
        if not who.is_active:
            return self.none()
        if who.role == Role.ADMIN:
            return self
        my_teams = TeamMember.objects.filter(user=who).values("team")
        if who.role in {Role.MANAGER, Role.READ_ONLY}:
            return self.filter(Q(owner_id=who.pk) | Q(team_id__in=my_teams))
        return self.filter(Q(owner_id=who.pk) | Q(owner_id=None, team_id__in=my_teams))


class DashboardCount(models.Model):
    """A summary of leads or opportunities, as a sum of changes.

    Statement triggers on the counted tables add one row for each group that a statement changed, so that
    every writer pays for its own batch and no two wait for each other; a sweep folds rows of the same
    group into one. The count of a group is the sum over its rows; groups that sum to 0 are swept away.
    """

    subject = models.CharField(max_length=12, help_text='"lead" or "opportunity"')
    status = models.CharField(max_length=12, help_text="the lead's status or the opportunity's state")
    owner_id = models.BigIntegerField(null=True)
    team_id = models.BigIntegerField(null=True)
    source_id = models.BigIntegerField(null=True)
    stage_id = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    n = models.BigIntegerField(default=0)
    amount = models.DecimalField(max_digits=20, decimal_places=2, default=0)

    objects = DashboardCountQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(F("subject"), F("team_id"), F("owner_id"), F("status"), name="crm_dashboardcount_of")
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.status} {self.n}"
