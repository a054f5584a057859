"""Follow-ups: what is to be said, by whom it was approved, and the message that carried it."""

import hashlib
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.errors import TransitionRefused
from crm.models.actors import Actor
from crm.models.base import VersionedRecord, choices_known
from crm.models.leads import Lead
from crm.models.ownership import LANE
from crm.models.timeline import TimelineEvent
from crm.models.users import Team, User


class FollowUpState(models.TextChoices):
    GENERATED = "generated", _("Draft ready")
    EDITED = "edited", _("Edited")
    APPROVED = "approved", _("Approved")
    SCHEDULED = "scheduled", _("Sending")
    SENT = "sent", _("Sent")
    REJECTED = "rejected", _("Dismissed")
    STALE = "stale", _("Out of date")
    EXPIRED = "expired", _("Expired")


UNSENT_STATES = (
    FollowUpState.GENERATED,
    FollowUpState.EDITED,
    FollowUpState.APPROVED,
    FollowUpState.SCHEDULED,
)
_ENDS = {FollowUpState.REJECTED, FollowUpState.STALE, FollowUpState.EXPIRED}
FOLLOW_UP_TRANSITIONS: dict[str, set[str]] = {
    FollowUpState.GENERATED: {FollowUpState.EDITED, FollowUpState.APPROVED, *_ENDS},
    FollowUpState.EDITED: {FollowUpState.EDITED, FollowUpState.APPROVED, *_ENDS},
    FollowUpState.APPROVED: {FollowUpState.EDITED, FollowUpState.SCHEDULED, *_ENDS},
    FollowUpState.SCHEDULED: {FollowUpState.APPROVED, FollowUpState.SENT, *_ENDS},
    FollowUpState.SENT: set(),
    FollowUpState.REJECTED: set(),
    FollowUpState.STALE: set(),
    FollowUpState.EXPIRED: set(),
}


class Purpose(models.TextChoices):
    FIRST_ANSWER = "first_answer", _("First answer")
    AFTER_CALL = "after_call", _("After a call")
    QUOTE_SENT = "quote_sent", _("Quote sent")
    NO_REPLY = "no_reply", _("No reply")
    RENEWAL = "renewal", _("Renewal")
    WIN_BACK = "win_back", _("Win back")
    OTHER = "other", _("Other")


class Tone(models.TextChoices):
    WARM = "warm", _("Warm")
    NEUTRAL = "neutral", _("Matter-of-fact")
    FORMAL = "formal", _("Formal")


class Length(models.TextChoices):
    """At most so many words: `MOST_WORDS`."""

    SHORT = "short", _("Short")
    MEDIUM = "medium", _("Medium")
    LONG = "long", _("Long")


MOST_WORDS = {Length.SHORT: 60, Length.MEDIUM: 100, Length.LONG: 150}


class Language(models.TextChoices):
    """Those whose words the checks of a draft know. ISO 639-1."""

    ENGLISH = "en", _("English")
    GERMAN = "de", _("German")
    FRENCH = "fr", _("French")
    SPANISH = "es", _("Spanish")
    ITALIAN = "it", _("Italian")
    DUTCH = "nl", _("Dutch")


def follow_up_hash(to_address: str, subject: str, body: str) -> str:
    """SHA-256 (hex) of what leaves the house: recipient, subject and body, as in the database's check."""
    return hashlib.sha256(f"{to_address}\n{subject}\n\n{body}".encode()).hexdigest()


class FollowUpQuerySet(models.QuerySet["FollowUp"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Follow-ups of the leads this person may read."""
        return self.filter(lead__in=Lead.objects.visible_to(who))

    def unsent(self) -> Self:
        return self.filter(state__in=UNSENT_STATES)


class FollowUp(VersionedRecord):
    """A message to a lead, drafted by an agent or a person, sent only as a person approved it.

    The body holds everything that is sent, signature and footer included. `body_sha256` is kept true by the
    database; `approved_sha256` is what the approver saw.
    """

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="follow_ups")
    owner = models.ForeignKey(
        User,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        db_index=False,
        help_text="the lead's, as its team: so Today finds a person's drafts. Kept by triggers",
    )
    team = models.ForeignKey(
        Team, models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    channel = models.CharField(max_length=8, default="email")
    purpose = models.CharField(max_length=12, choices=Purpose, default=Purpose.FIRST_ANSWER)
    tone = models.CharField(max_length=8, choices=Tone, blank=True, db_default="", default="")
    length = models.CharField(max_length=6, choices=Length, blank=True, db_default="", default="")
    language = models.CharField(
        max_length=2, choices=Language, blank=True, db_default="", default="", help_text="asked for"
    )
    instruction = models.CharField(
        max_length=500, blank=True, db_default="", default="", help_text="in whose words it was asked for"
    )
    to_address = models.CharField(max_length=320, blank=True)
    subject = models.CharField(_("subject"), max_length=200)
    body = models.TextField(_("message"), max_length=20_000)
    body_sha256 = models.CharField(max_length=64, editable=False)
    original_subject = models.CharField(max_length=200, blank=True, editable=False)
    original_body = models.TextField(blank=True, editable=False, help_text="as the agent wrote it")
    facts_used = models.JSONField(default=list, blank=True)
    marks = models.JSONField(
        default=list,
        blank=True,
        db_default=Value([], models.JSONField()),
        help_text='sentences of original_body with what they rest on: {"start", "end", "facts": [id]}',
    )
    agent_task = models.ForeignKey(
        "ai_agents.AgentTask", models.PROTECT, null=True, blank=True, related_name="follow_ups"
    )
    context_event = models.ForeignKey(
        TimelineEvent,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="the newest event the author knew",
    )
    provider = models.CharField(max_length=20, blank=True, help_text='"scripted" marks a sample')
    model = models.CharField(max_length=120, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    state = models.CharField(max_length=10, choices=FollowUpState, default=FollowUpState.GENERATED)
    needs_writing = models.CharField(
        max_length=300, blank=True, help_text="why the agent's text was refused; a person has to write"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="approvals"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    reject_reason = models.CharField(max_length=200, blank=True)
    reject_note = models.CharField(max_length=300, blank=True, db_default="", default="")
    edit_ratio = models.FloatField(
        null=True,
        blank=True,
        help_text="share of an agent's words that its approver changed, 0 to 1; NULL: not approved, or no"
        " agent's text",
    )
    settled_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="when it was sent, dismissed, or out of date"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="follow_ups"
    )

    objects = FollowUpQuerySet.as_manager()

    class Meta:
        constraints = [
            choices_known("crm_followup", "state", FollowUpState.values),
            choices_known("crm_followup", "channel", ["email"]),
            choices_known("crm_followup", "tone", ["", *Tone.values]),
            choices_known("crm_followup", "length", ["", *Length.values]),
            choices_known("crm_followup", "language", ["", *Language.values]),
            models.CheckConstraint(
                name="crm_followup_approved_as_it_is",
                condition=~Q(state__in=[FollowUpState.APPROVED, FollowUpState.SCHEDULED, FollowUpState.SENT])
                | Q(
                    approved_by__isnull=False,
                    approved_at__isnull=False,
                    approved_sha256=F("body_sha256"),
                ),
            ),
            models.CheckConstraint(
                name="crm_followup_rejected_has_reason",
                condition=~Q(state=FollowUpState.REJECTED) | ~Q(reject_reason=""),
            ),
            models.CheckConstraint(
                name="crm_followup_edit_ratio_0_to_1",
                condition=Q(edit_ratio=None) | Q(edit_ratio__range=(0, 1)),
            ),
            models.CheckConstraint(
                name="crm_followup_sent_has_recipient",
                condition=~Q(state__in=[FollowUpState.SCHEDULED, FollowUpState.SENT]) | ~Q(to_address=""),
            ),
        ]
        indexes = [
            models.Index(F("lead"), F("created_at").desc(), name="crm_followup_lead"),
            models.Index(F("created_at").desc(), F("id").desc(), name="crm_followup_created"),
            models.Index(F("settled_at"), name="crm_followup_settled", condition=Q(settled_at__isnull=False)),
            models.Index(
                F("created_at").desc(),
                F("id").desc(),
                name="crm_followup_unsent",
                condition=Q(state__in=list(UNSENT_STATES)),
            ),
            models.Index(
                F("owner"),
                F("created_at"),
                F("lead"),
                name="crm_followup_owner_unsent",
                condition=Q(state__in=list(UNSENT_STATES)),
            ),
            models.Index(
                LANE,
                F("created_at"),
                F("lead"),
                name="crm_followup_lane_unsent",
                condition=Q(state__in=list(UNSENT_STATES)),
            ),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def is_sample(self) -> bool:
        return self.provider == "scripted"

    def move_to(self, state: FollowUpState) -> None:
        """Change state in memory; the caller saves. Raises TransitionRefused."""
        if state not in FOLLOW_UP_TRANSITIONS[self.state]:
            raise TransitionRefused(
                _("A follow-up cannot go from %(old)s to %(new)s.")
                % {"old": self.get_state_display(), "new": FollowUpState(state).label}
            )
        self.state = state

    def save_changed(self, *fields: str) -> None:
        """As every record; a new state also tells since when the follow-up is over, if it is."""
        if "state" not in fields:
            return super().save_changed(*fields)
        is_over = not FOLLOW_UP_TRANSITIONS[self.state]
        self.settled_at = (self.settled_at or clock.now()) if is_over else None
        return super().save_changed(*fields, "settled_at")

    def rehash(self) -> None:
        """Bring body_sha256 in line with the text; call it after every change of address, subject or body."""
        self.body_sha256 = follow_up_hash(self.to_address, self.subject, self.body)


class Direction(models.TextChoices):
    IN = "in", _("Received")
    OUT = "out", _("Sent")


class MessageState(models.TextChoices):
    DRAFT = "draft", _("Draft")
    QUEUED = "queued", _("Waiting to be sent")
    SENDING = "sending", _("Sending")
    SENT = "sent", _("Sent")
    UNCERTAIN = "uncertain", _("Not known whether it was sent")
    BOUNCED = "bounced", _("Bounced")
    FAILED = "failed", _("Failed")
    RECEIVED = "received", _("Received")


class Message(VersionedRecord):
    """A mail in or out. An outgoing one carries exactly the bytes of its approved follow-up (trigger)."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="messages")
    follow_up = models.OneToOneField(FollowUp, models.CASCADE, null=True, blank=True, related_name="message")
    direction = models.CharField(max_length=3, choices=Direction)
    state = models.CharField(max_length=10, choices=MessageState)
    mail_account = models.CharField(max_length=120, blank=True, help_text="the mailbox it came through")
    message_id = models.CharField(max_length=250, blank=True)
    thread = models.CharField(max_length=250, blank=True, help_text="Message-ID of the first in the thread")
    headers = models.JSONField(default=dict, blank=True)
    from_address = models.CharField(max_length=320)
    to_address = models.CharField(max_length=320)
    subject = models.CharField(max_length=998, blank=True)
    text = models.TextField(blank=True)
    send_at = models.DateTimeField(null=True, blank=True, help_text="not before this")
    sending_since = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True, help_text="the server's answer, without addresses")
    event = models.OneToOneField(
        TimelineEvent, models.SET_NULL, null=True, blank=True, related_name="message"
    )
    occurred_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["mail_account", "message_id"],
                condition=~Q(message_id=""),
                nulls_distinct=False,
                name="crm_message_id_once",
            ),
            choices_known("crm_message", "direction", Direction.values),
            choices_known("crm_message", "state", MessageState.values),
            models.CheckConstraint(
                name="crm_message_in_is_received",
                condition=Q(direction=Direction.IN, state=MessageState.RECEIVED)
                | (Q(direction=Direction.OUT) & ~Q(state=MessageState.RECEIVED)),
            ),
            models.CheckConstraint(
                name="crm_message_sent_has_time",
                condition=~Q(state=MessageState.SENT) | Q(sent_at__isnull=False),
            ),
            models.CheckConstraint(
                name="crm_message_out_has_follow_up",
                condition=Q(direction=Direction.IN) | Q(follow_up__isnull=False),
            ),
        ]
        indexes = [
            models.Index(F("lead"), F("occurred_at").desc(), name="crm_message_lead"),
            models.Index(
                F("send_at"),
                name="crm_message_due",
                condition=Q(state__in=[MessageState.QUEUED, MessageState.SENDING]),
            ),
        ]

    def __str__(self) -> str:
        return self.subject
