"""How people come in."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from crm.models.actors import Actor
from crm.models.base import Record, choices_known
from crm.models.users import Role, Team, User


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def visible_to(self, who: User | Actor) -> Self:
        """All for admins, those into a manager's own teams for managers."""
        user = who.user if isinstance(who, Actor) else who
        if user is None:
            return self
        if user.is_active and user.role == Role.ADMIN:
            return self
        if not (user.is_active and user.role == Role.MANAGER):
            return self.none()
        return self.filter(team__in=Team.objects.of(user))

    def open(self) -> Self:
        """Neither used nor revoked; perhaps too old."""
        return self.filter(accepted_at=None, revoked_at=None)

    def valid(self, at: datetime) -> Self:
        return self.open().filter(expires_at__gt=at)


class Invitation(Record):
    """A link by mail that makes one user, once, before it expires. Only the token's hash is kept."""

    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=120, blank=True)
    role = models.CharField(max_length=12, choices=Role, default=Role.REP)
    team = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="invitations")
    token_sha256 = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="invitations")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.OneToOneField(User, models.PROTECT, null=True, blank=True, related_name="invitation")
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=Q(accepted_at=None, revoked_at=None),
                name="crm_invitation_one_open",
            ),
            choices_known("crm_invitation", "role", Role.values),
            models.CheckConstraint(
                name="crm_invitation_accepted_whole",
                condition=Q(accepted_at=None, accepted_by=None)
                | Q(accepted_at__isnull=False, accepted_by__isnull=False, revoked_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.email
