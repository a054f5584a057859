"""What happened, for people to read."""

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.models.actors import ActorKind
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import Lead


class TimelineEvent(Record):
    """One line of a lead's story. Append-only: the database refuses UPDATE and DELETE outside maintenance."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="timeline", db_index=False)
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
        constraints = [choices_known("crm_timelineevent", "actor_kind", ActorKind.values)]
        indexes = [models.Index(F("lead"), F("occurred_at").desc(), F("id").desc(), name="crm_timeline_lead")]

    def __str__(self) -> str:
        return self.summary


class Note(VersionedRecord):
    """What a colleague wrote down about a lead."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="notes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="notes")
    body = models.TextField(_("note"), max_length=20_000)
    event = models.OneToOneField(TimelineEvent, models.CASCADE, related_name="note")

    class Meta:
        constraints = [models.CheckConstraint(name="crm_note_has_body", condition=~models.Q(body=""))]

    def __str__(self) -> str:
        return self.body[:60]
