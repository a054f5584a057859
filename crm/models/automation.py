"""What happens by itself, and who outside hears of it: rules and webhooks."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.users import User


class Rule(VersionedRecord):
    """When an event of this type comes and the condition fits, do these actions."""

    name = models.CharField(max_length=120, unique=True)
    event = models.CharField(max_length=60, help_text="wire name, e.g. lead.created")
    condition = models.JSONField(default=dict, blank=True)
    actions = models.JSONField(default=list)
    position = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=False)

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name


class RuleRun(Record):
    """That a rule answered an event: once."""

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="runs", db_index=False)
    event_key = models.CharField(max_length=120)
    result = models.JSONField(default=dict)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "event_key"], name="crm_rulerun_once")]

    def __str__(self) -> str:
        return self.event_key


class WebhookEndpoint(VersionedRecord):
    """Somebody's address that wants to hear of events. Secrets are stored encrypted or not at all."""

    url = models.URLField(max_length=500)
    events = models.JSONField(default=list)
    secrets = models.JSONField(default=list, help_text="newest first; all sign while a rotation lasts")
    is_active = models.BooleanField(default=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    failing_since = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.url


class DeliveryState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    FAILED = "failed", _("Given up")


class WebhookDelivery(Record):
    """One event to one endpoint, however often it is tried."""

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries", db_index=False)
    event = models.UUIDField(help_text="id of the event, the same at every try")
    type = models.CharField(max_length=60)
    body = models.JSONField(default=dict)
    state = models.CharField(max_length=9, choices=DeliveryState, default=DeliveryState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="HTTP status of the last try")
    next_try_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="crm_webhookdelivery_once"),
            choices_known("crm_webhookdelivery", "state", DeliveryState.values),
        ]
        indexes = [
            models.Index(
                F("next_try_at"),
                name="crm_webhookdelivery_due",
                condition=Q(state=DeliveryState.WAITING),
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.state}"
