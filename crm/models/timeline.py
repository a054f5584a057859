"""What happened, for people to read."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.models.accounts import Account, Contact
from crm.models.actors import Actor, ActorKind
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import Lead
from crm.models.ownership import at_least_one
from crm.models.pipelines import Opportunity
from crm.models.users import User


class TimelineEvent(Record):
    """One line of the story of a lead, contact, account or opportunity. Append-only: the database refuses
    UPDATE and DELETE outside maintenance.
    """

    lead = models.ForeignKey(
        Lead, models.CASCADE, null=True, blank=True, related_name="timeline", db_index=False
    )
    contact = models.ForeignKey(
        Contact, models.CASCADE, null=True, blank=True, related_name="timeline", db_index=False
    )
    account = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="timeline", db_index=False
    )
    opportunity = models.ForeignKey(
        Opportunity, models.CASCADE, null=True, blank=True, related_name="timeline", db_index=False
    )
    occurred_at = models.DateTimeField(default=clock.now)
    kind = models.CharField(max_length=40, help_text="the wire name of what happened, e.g. lead.disqualified")
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="timeline_events"
    )
    actor_label = models.CharField(max_length=120, blank=True)
    summary = models.CharField(max_length=300)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = [
            choices_known("crm_timelineevent", "actor_kind", ActorKind.values),
            at_least_one("crm_timelineevent", "lead", "contact", "account", "opportunity"),
        ]
        indexes = [
            models.Index(F("lead"), F("occurred_at").desc(), F("id").desc(), name="crm_timeline_lead"),
            *(
                models.Index(
                    F(subject),
                    F("occurred_at").desc(),
                    F("id").desc(),
                    name=f"crm_timeline_{subject}",
                    condition=Q(**{f"{subject}__isnull": False}),
                )
                for subject in ("contact", "account", "opportunity")
            ),
        ]

    def __str__(self) -> str:
        return self.summary


class NoteQuerySet(models.QuerySet["Note"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Notes on records that this person may read, without other people's private ones (an admin's either:
        those are for audit, which the admin site writes down).
        """
        user = who.user if isinstance(who, Actor) else who
        if user is None:
            return self.filter(is_private=False)
        if not user.is_active:
            return self.none()
        return self.filter(Q(is_private=False) | Q(author=user)).filter(
            Q(author=user)
            | Q(lead__in=Lead.objects.visible_to(user))
            | Q(contact__in=Contact.objects.visible_to(user))
            | Q(account__in=Account.objects.visible_to(user))
            | Q(opportunity__in=Opportunity.objects.visible_to(user))
        )


class Note(VersionedRecord):
    """What a colleague wrote down. A private one is for its author and for audit, not for the manager."""

    lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="notes")
    contact = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="notes")
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="notes")
    opportunity = models.ForeignKey(Opportunity, models.CASCADE, null=True, blank=True, related_name="notes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="notes")
    body = models.TextField(_("note"), max_length=20_000)
    is_private = models.BooleanField(_("private"), default=False)
    event = models.OneToOneField(TimelineEvent, models.CASCADE, related_name="note")

    objects = NoteQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(name="crm_note_has_body", condition=~Q(body="")),
            at_least_one("crm_note", "lead", "contact", "account", "opportunity"),
        ]

    def __str__(self) -> str:
        return self.body[:60]
