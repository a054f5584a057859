"""Numbers kept ready for the screens."""

from django.db import models
from django.db.models import F


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

    class Meta:
        indexes = [
            models.Index(F("subject"), F("team_id"), F("owner_id"), F("status"), name="crm_dashboardcount_of")
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.status} {self.n}"
