"""What people allowed, what they forbade, and what was erased."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.models.accounts import Contact
from crm.models.actors import Actor
from crm.models.base import Record, choices_known
from crm.models.leads import CaptureForm, Lead
from crm.models.users import Role, User


class ReachChannel(models.TextChoices):
    EMAIL = "email", _("E-mail")
    PHONE = "phone", _("Phone")


class SuppressionReason(models.TextChoices):
    UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
    BOUNCED = "bounced", _("Bounced")
    COMPLAINED = "complained", _("Complained")
    ERASED = "erased", _("Asked to be erased")
    MANUAL = "manual", _("Entered by hand")


class Suppression(Record):
    """An address that must not be written to. `norm_hash` (keyed) decides; `norm` is emptied by erasure, so
    that the ban outlives the address.
    """

    channel = models.CharField(max_length=5, choices=ReachChannel)
    norm = models.CharField(max_length=320, blank=True)
    norm_hash = models.CharField(max_length=64)
    reason = models.CharField(max_length=12, choices=SuppressionReason)
    note = models.CharField(max_length=200, blank=True)
    by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["norm_hash", "channel"], name="crm_suppression_once"),
            choices_known("crm_suppression", "channel", ReachChannel.values),
            choices_known("crm_suppression", "reason", SuppressionReason.values),
            models.CheckConstraint(name="crm_suppression_has_hash", condition=~Q(norm_hash="")),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.reason}"


class ConsentState(models.TextChoices):
    GIVEN = "given", _("Given")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class LawfulBasis(models.TextChoices):
    """GDPR, article 6 (1) (a), (b), (f)."""

    CONSENT = "consent", _("Consent")
    CONTRACT = "contract", _("Contract or its preparation")
    LEGITIMATE_INTEREST = "legitimate_interest", _("Legitimate interest")


class ConsentQuerySet(models.QuerySet["Consent"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Of leads and contacts that this person may read; of nobody's (not confirmed yet), an admin's."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        return self.filter(
            Q(lead__in=Lead.objects.visible_to(user)) | Q(contact__in=Contact.objects.visible_to(user))
        )


class Consent(Record):
    """That somebody agreed, or took it back: to what, in which words (`text`, `text_version`), and how that
    is known (`evidence`). The newest row for (address, purpose) counts.
    """

    lead = models.ForeignKey(Lead, models.SET_NULL, null=True, blank=True, related_name="consents")
    contact = models.ForeignKey(Contact, models.SET_NULL, null=True, blank=True, related_name="consents")
    form = models.ForeignKey(CaptureForm, models.PROTECT, null=True, blank=True, related_name="consents")
    channel = models.CharField(max_length=5, choices=ReachChannel, default=ReachChannel.EMAIL)
    norm = models.CharField(max_length=320, blank=True)
    norm_hash = models.CharField(max_length=64)
    purpose = models.CharField(max_length=60)
    basis = models.CharField(max_length=19, choices=LawfulBasis, default=LawfulBasis.CONSENT)
    state = models.CharField(max_length=9, choices=ConsentState)
    text = models.CharField(max_length=1_000, blank=True)
    text_version = models.CharField(max_length=60, blank=True)
    evidence = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(default=clock.now)

    objects = ConsentQuerySet.as_manager()

    class Meta:
        constraints = [
            choices_known("crm_consent", "channel", ReachChannel.values),
            choices_known("crm_consent", "basis", LawfulBasis.values),
            choices_known("crm_consent", "state", ConsentState.values),
            models.CheckConstraint(name="crm_consent_has_purpose", condition=~Q(purpose="")),
            models.CheckConstraint(name="crm_consent_has_hash", condition=~Q(norm_hash="")),
        ]
        indexes = [models.Index(F("norm_hash"), F("purpose"), F("at").desc(), name="crm_consent_newest")]

    def __str__(self) -> str:
        return f"{self.purpose} {self.state}"


class PrivacyKind(models.TextChoices):
    EXPORT = "export", _("Export")
    ERASE = "erase", _("Erasure")


class PrivacyState(models.TextChoices):
    REQUESTED = "requested", _("Requested")
    APPROVED = "approved", _("Approved")
    DONE = "done", _("Done")
    REFUSED = "refused", _("Refused")


class PrivacyRequestQuerySet(models.QuerySet["PrivacyRequest"]):
    def visible_to(self, who: User | Actor) -> Self:
        """An admin's are all, anybody else's their own."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        return self.filter(requested_by=user) if user.is_active else self.none()


class PrivacyRequest(Record):
    """Somebody asks what is known about them, or to be forgotten. Holds no personal data: `lead_ids` and
    `contact_ids` are public ids, `counts` numbers by table.
    """

    kind = models.CharField(max_length=6, choices=PrivacyKind)
    state = models.CharField(max_length=9, choices=PrivacyState, default=PrivacyState.REQUESTED)
    lead_ids = models.JSONField(default=list)
    contact_ids = models.JSONField(default=list)
    reason = models.CharField(max_length=200, blank=True)
    requested_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    approved_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    done_at = models.DateTimeField(null=True, blank=True)
    counts = models.JSONField(default=dict)

    objects = PrivacyRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            choices_known("crm_privacyrequest", "kind", PrivacyKind.values),
            choices_known("crm_privacyrequest", "state", PrivacyState.values),
            models.CheckConstraint(
                name="crm_privacyrequest_done_has_time",
                condition=~Q(state=PrivacyState.DONE) | Q(done_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class ErasureLedger(Record):
    """Who was erased, without saying who: public ids, and keyed hashes of addresses ("email:<hash>"). Kept
    outside of the backups too, and replayed after a restore.
    """

    lead_ids = models.JSONField(default=list)
    contact_ids = models.JSONField(default=list)
    address_hashes = models.JSONField(default=list)
    erased_at = models.DateTimeField(default=clock.now)
    replayed_at = models.DateTimeField(null=True, blank=True)
    request = models.ForeignKey(
        PrivacyRequest, models.PROTECT, null=True, blank=True, related_name="erasures"
    )

    class Meta:
        verbose_name_plural = "erasure ledger"

    def __str__(self) -> str:
        return f"{self.erased_at:%Y-%m-%d}"
