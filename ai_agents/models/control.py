"""What people set about the agents, beyond the pools: what a day may cost for all, or for one person."""

from django.db import models
from django.db.models import Q

from crm.models.base import Record


class BudgetCap(Record):
    """What a day (UTC) may cost in one scope, from now on. A pool's own cap is AgentPool.budget_day_usd."""

    scope = models.CharField(
        max_length=60, unique=True, help_text='"all", "replay", or "user:" and the key of a person'
    )
    usd_day = models.DecimalField(max_digits=12, decimal_places=6)

    class Meta:
        ordering = ("scope",)
        constraints = [
            models.CheckConstraint(name="ai_agents_budgetcap_not_negative", condition=Q(usd_day__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: {self.usd_day} USD a day"
