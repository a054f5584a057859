"""Who did what that matters beyond one record: rights, exports, maintenance. Insert-only, sealed."""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from crm.models.actors import Actor, ActorKind
from crm.models.base import CurrentTransaction, Record, Xid8Field, choices_known
from crm.models.users import Role, TeamMember, User


class AuditLogQuerySet(models.QuerySet["AuditLog"]):
    def visible_to(self, who: User | Actor) -> Self:
        """All to an admin, acts of the teams' people to a manager, own acts to a rep."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or not user.is_active or user.role == Role.READ_ONLY:
            return self.none()
        if user.role == Role.ADMIN:
            return self
        mine = Q(actor=user)
        if user.role == Role.MANAGER:
            teams = TeamMember.objects.filter(user=user).values("team")
            mine |= Q(actor__in=TeamMember.objects.filter(team__in=teams).values("user"))
        return self.filter(mine)


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

    objects = AuditLogQuerySet.as_manager()

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
    """A link of the chain: `hash` = keyed hash of `prev_hash`, `row_ids` and `row_hashes`, in order.
    Each row has a hash of its own, so that a wrong one can be named.
    """

    first = models.BigIntegerField(help_text="key of the first row it seals")
    last = models.BigIntegerField(help_text="key of the last row it seals")
    row_ids = ArrayField(models.BigIntegerField())
    row_hashes = ArrayField(models.CharField(max_length=64), default=list)
    hash = models.CharField(max_length=64, unique=True)
    prev_hash = models.CharField(max_length=64, unique=True, help_text="empty for the first seal")
    sealed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"
