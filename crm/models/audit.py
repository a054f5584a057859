"""Who did what that matters beyond one record: rights, exports, maintenance. Insert-only, sealed."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F
from django.db.models.functions import Now

from crm.models.actors import ActorKind
from crm.models.base import CurrentTransaction, Record, Xid8Field, choices_known
from crm.models.users import User


class AuditLog(Record):
    """One act. No personal data of customers: `target_id` is a public id, `data` holds field names, numbers
    and keyed hashes.
    """

    at = models.DateTimeField(db_default=Now())
    xid = Xid8Field(db_default=CurrentTransaction(), editable=False)
    action = models.CharField(max_length=60, help_text="e.g. user.role_changed, leads.exported")
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    actor = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="audit_entries", db_index=False
    )
    actor_label = models.CharField(max_length=120, blank=True)
    target = models.CharField(max_length=60, blank=True, help_text="e.g. crm.user")
    target_id = models.CharField(max_length=60, blank=True)
    summary = models.CharField(max_length=300)
    data = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "audit log"
        constraints = [choices_known("crm_auditlog", "actor_kind", ActorKind.values)]
        indexes = [
            models.Index(F("at").desc(), F("id").desc(), name="crm_auditlog_newest"),
            models.Index(F("actor"), F("at").desc(), name="crm_auditlog_actor"),
            models.Index(F("xid"), F("id"), name="crm_auditlog_order"),
        ]

    def __str__(self) -> str:
        return self.summary


class AuditSeal(models.Model):
    """A link of the chain: `hash` = keyed hash of `prev_hash` and of the rows in `row_ids`, in order."""

    first = models.BigIntegerField(help_text="key of the first row it seals")
    last = models.BigIntegerField(help_text="key of the last row it seals")
    row_ids = ArrayField(models.BigIntegerField())
    hash = models.CharField(max_length=64, unique=True)
    prev_hash = models.CharField(max_length=64, unique=True, help_text="empty for the first seal")
    sealed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"
