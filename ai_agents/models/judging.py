"""What agents learn from outcomes, and how the providers do: tables that scores and calls are decided by."""

from uuid import uuid4

from django.db import models
from django.db.models import Q

from crm import clock
from crm.models.base import choices_known


class CircuitState(models.TextChoices):
    """closed: calls go through. open: none does until `retry_at`. half_open: one call tries; when nothing was
    heard of it by `retry_at`, another may.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class ProviderHealth(models.Model):
    """The circuit of one provider's model, shared by all pumps."""

    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=120)
    state = models.CharField(max_length=9, choices=CircuitState, default=CircuitState.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="in a row")
    recent = models.CharField(
        max_length=20, blank=True, default="", db_default="", help_text="the last calls: + answered, - failed"
    )
    opens = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="times in a row that it opened"
    )
    reason = models.CharField(max_length=200, blank=True, help_text="of the last failure")
    ms = models.PositiveIntegerField(default=0, db_default=0, help_text="of a call, a moving average")
    slow_since = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True, help_text="from when one call may try")
    probe = models.UUIDField(null=True, blank=True, help_text="the token of the call that tries")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "model"], name="ai_agents_providerhealth_once"),
            choices_known("ai_agents_providerhealth", "state", CircuitState.values),
            models.CheckConstraint(
                name="ai_agents_providerhealth_open_has_times",
                condition=~Q(state__in=[CircuitState.OPEN, CircuitState.HALF_OPEN])
                | Q(opened_at__isnull=False, retry_at__isnull=False),
            ),
            models.CheckConstraint(
                name="ai_agents_providerhealth_probe_while_half_open",
                condition=Q(state=CircuitState.HALF_OPEN, probe__isnull=False)
                | (~Q(state=CircuitState.HALF_OPEN) & Q(probe__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model}: {self.state}"


class ScoringModel(models.Model):
    """One fit of the statistical score on the CRM's own outcomes. At most one is active."""

    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    fitted_at = models.DateTimeField(default=clock.now)
    rows = models.PositiveIntegerField(help_text="leads with an outcome that it was fitted on")
    weights = models.JSONField(default=dict, help_text="feature -> weight, the intercept beside them")
    metrics = models.JSONField(default=dict, help_text="AUC, Brier, ECE on held-out leads, and the base rate")
    is_active = models.BooleanField(default=False)
    note = models.CharField(max_length=200, blank=True, help_text="why it is, or is not, active")
    is_pinned = models.BooleanField(
        default=False, db_default=False, help_text="a person chose it: no refit takes its place"
    )
    scored_to = models.BigIntegerField(
        default=0, db_default=0, help_text="key of the last lead that was scored by it, in their order"
    )
    scored_at = models.DateTimeField(null=True, blank=True, help_text="when all open leads were")

    class Meta:
        ordering = ("-fitted_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=Q(is_active=True), name="ai_agents_scoringmodel_one_active"
            ),
            models.CheckConstraint(name="ai_agents_scoringmodel_has_rows", condition=Q(rows__gte=1)),
            models.CheckConstraint(
                name="ai_agents_scoringmodel_active_has_weights",
                condition=Q(is_active=False) | ~Q(weights={}),
            ),
            models.CheckConstraint(
                name="ai_agents_scoringmodel_pinned_is_active",
                condition=Q(is_pinned=False) | Q(is_active=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.fitted_at:%Y-%m-%d}, {self.rows} leads"
