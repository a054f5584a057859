"""Leads, where they come from, how they are reached and how they are recognised."""

from datetime import datetime
from typing import Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Exists, F, Func, Q, Subquery, Value
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.errors import TransitionRefused
from crm.models.accounts import Account, Contact
from crm.models.actors import Actor, ActorKind
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.ownership import LANE, WORDS, OwnedQuerySet, exactly_one
from crm.models.users import Role, Team, TeamMember, User


class Channel(models.TextChoices):
    FORM = "form", _("Web form")
    EMAIL = "email", _("E-mail")
    API = "api", _("API")
    CSV = "csv", _("Import")
    PHONE = "phone", _("Phone")
    MANUAL = "manual", _("By hand")


class LeadSource(VersionedRecord):
    """Where leads come from; external ids are unique within it."""

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=8, choices=Channel, default=Channel.MANUAL)
    campaign = models.CharField(max_length=120, blank=True)
    monthly_cost = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    currency = models.CharField(max_length=3, default="EUR")
    default_team = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="sources")
    default_pipeline = models.ForeignKey(
        "crm.Pipeline", models.PROTECT, null=True, blank=True, related_name="sources"
    )
    default_stage = models.ForeignKey(
        "crm.Stage", models.PROTECT, null=True, blank=True, related_name="sources"
    )
    default_country = models.CharField(
        max_length=2, blank=True, help_text=_("ISO code; how phone numbers without a country are read")
    )
    answer_minutes = models.PositiveIntegerField(
        _("answer within (minutes)"),
        default=1_440,
        db_default=1_440,
        help_text=_("Who writes is to be answered in this time, counted in the owner's working hours."),
    )
    key_hash = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        ordering = ("name",)
        constraints = [
            choices_known("crm_leadsource", "kind", Channel.values),
            models.CheckConstraint(
                name="crm_leadsource_answers_in_a_month", condition=Q(answer_minutes__range=(1, 43_200))
            ),
        ]

    def __str__(self) -> str:
        return self.name


class LeadStatus(models.TextChoices):
    NEW = "new", _("New")
    WORKING = "working", _("Working")
    NURTURING = "nurturing", _("Nurturing")
    CONVERTED = "converted", _("Converted")
    DISQUALIFIED = "disqualified", _("Disqualified")


OPEN_STATUSES = (LeadStatus.NEW, LeadStatus.WORKING, LeadStatus.NURTURING)
AWAKE_STATUSES = (LeadStatus.NEW, LeadStatus.WORKING)
TRANSITIONS: dict[str, set[str]] = {
    LeadStatus.NEW: {
        LeadStatus.WORKING,
        LeadStatus.NURTURING,
        LeadStatus.CONVERTED,
        LeadStatus.DISQUALIFIED,
    },
    LeadStatus.WORKING: {LeadStatus.NURTURING, LeadStatus.CONVERTED, LeadStatus.DISQUALIFIED},
    LeadStatus.NURTURING: {LeadStatus.WORKING, LeadStatus.CONVERTED, LeadStatus.DISQUALIFIED},
    LeadStatus.CONVERTED: set(),
    LeadStatus.DISQUALIFIED: {LeadStatus.WORKING},
}


class LeadKind(models.TextChoices):
    PERSON = "person", _("Person")
    BUSINESS = "business", _("Business")


class Outcome(models.TextChoices):
    UNKNOWN = "unknown", _("Unknown")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")


class OutcomeFrom(models.TextChoices):
    ACTION = "action", _("Action")
    IMPORT = "import", _("Import")


class NextActionKind(models.TextChoices):
    CALL = "call", _("Call")
    EMAIL = "email", _("E-mail")
    MEETING = "meeting", _("Meeting")
    TODO = "todo", _("To do")
    REVIEW = "review", _("Review")


class ScoreSource(models.TextChoices):
    RULES = "rules", _("Rules")
    STATISTICS = "statistics", _("Statistics")
    MODEL = "model", _("Model estimate")
    OVERRIDE = "override", _("Set by a person")


class LeadQuerySet(OwnedQuerySet):
    def live(self) -> Self:
        """Neither deleted nor merged into another."""
        return self.filter(deleted_at=None, merged_into=None)

    def open(self) -> Self:
        return self.live().filter(status__in=OPEN_STATUSES)

    def due(self, at: datetime) -> Self:
        """Open leads whose next action is due at `at`."""
        return self.open().filter(next_action_at__lte=at)

    def asleep(self) -> Self:
        """Open leads for which nothing is planned."""
        return self.open().filter(next_action_at=None)

    def hottest_first(self) -> Self:
        return self.order_by(F("score").desc(nulls_last=True), "-id")

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")


_OPEN = Q(status__in=list(OPEN_STATUSES), deleted_at=None, merged_into=None)
_AWAKE = Q(status__in=list(AWAKE_STATUSES), deleted_at=None, merged_into=None)
_WAITS = _AWAKE & Q(answer_due_at__isnull=False)
_TRIED = _AWAKE & Q(attempts__gte=F("max_attempts"))
_UNPLANNED = _AWAKE & Q(next_action_at=None, answer_due_at=None)


class Lead(VersionedRecord):
    """Someone who may buy: the work item. No unique e-mail, because people come back."""

    name = models.CharField(_("name"), max_length=200)
    company = models.CharField(_("company"), max_length=200, blank=True)
    title = models.CharField(_("job title"), max_length=120, blank=True)
    kind = models.CharField(max_length=8, choices=LeadKind, default=LeadKind.PERSON)
    mailing_address = models.TextField(_("mailing address"), blank=True, max_length=500)
    physical_address = models.TextField(_("site address"), blank=True, max_length=500)
    country = models.CharField(_("country"), max_length=2, blank=True)
    interest = models.CharField(_("interest"), max_length=300, blank=True)
    est_value = models.DecimalField(
        _("estimated value"), max_digits=14, decimal_places=2, null=True, blank=True
    )
    currency = models.CharField(_("currency"), max_length=3, default="EUR")
    status = models.CharField(_("status"), max_length=12, choices=LeadStatus, default=LeadStatus.NEW)
    status_changed_at = models.DateTimeField(default=clock.now, editable=False)
    disqualify_reason = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.UNKNOWN)
    outcome_at = models.DateTimeField(null=True, blank=True)
    outcome_from = models.CharField(max_length=6, choices=OutcomeFrom, blank=True)
    # No index of its own where a longer one begins with the key: each costs every write.
    owner = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="leads", db_index=False
    )
    team = models.ForeignKey(
        Team, models.PROTECT, null=True, blank=True, related_name="leads", db_index=False
    )
    source = models.ForeignKey(LeadSource, models.PROTECT, related_name="leads")
    next_action_at = models.DateTimeField(null=True, blank=True)
    next_action_kind = models.CharField(max_length=8, choices=NextActionKind, blank=True)
    snoozed_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="outbound tries since the last answer")
    max_attempts = models.PositiveSmallIntegerField(default=6)
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    last_outbound_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="the first message since the last answer before it: the answer's clock runs from here",
    )
    answer_due_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="when who spoke last is to be answered; NULL: nobody waits. Kept by a trigger",
    )
    score = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="0 to 100: the current blend, NULL while not scored"
    )
    score_source = models.CharField(max_length=10, choices=ScoreSource, blank=True)
    contact = models.ForeignKey(
        Contact,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="leads",
        db_index=False,
        help_text="the person, once known: leads of one contact are one person asking again",
    )
    converted_at = models.DateTimeField(null=True, blank=True)
    converted_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="leads_converted", db_index=False
    )
    converted_account = models.ForeignKey(
        Account, models.SET_NULL, null=True, blank=True, related_name="converted_leads", db_index=False
    )
    converted_opportunity = models.ForeignKey(
        "crm.Opportunity",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="converted_leads",
        db_index=False,
    )
    is_ai_off = models.BooleanField(
        _("no AI"), default=False, help_text=_("no agent reads this lead, nothing of it goes to a model")
    )
    merged_into = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="merged", db_index=False
    )
    deleted_at = models.DateTimeField(null=True, blank=True)
    custom = models.JSONField(default=dict, blank=True, help_text="values of CustomField, by key")
    search_text = models.TextField(
        default="", editable=False, help_text="folded name, company, e-mail, phone digits; kept by actions"
    )

    objects = LeadQuerySet.as_manager()

    class Meta:
        constraints = [
            choices_known("crm_lead", "status", LeadStatus.values),
            choices_known("crm_lead", "kind", LeadKind.values),
            choices_known("crm_lead", "outcome", Outcome.values),
            models.CheckConstraint(name="crm_lead_has_name", condition=~Q(name="")),
            models.CheckConstraint(
                name="crm_lead_score_0_to_100", condition=Q(score=None) | Q(score__range=(0, 100))
            ),
            models.CheckConstraint(
                name="crm_lead_score_has_source",
                condition=Q(score=None, score_source="")
                | Q(score__isnull=False, score_source__in=ScoreSource.values),
            ),
            models.CheckConstraint(
                name="crm_lead_converted_has_time",
                condition=Q(status=LeadStatus.CONVERTED, converted_at__isnull=False)
                | (~Q(status=LeadStatus.CONVERTED) & Q(converted_at=None)),
            ),
            models.CheckConstraint(
                name="crm_lead_disqualified_has_reason",
                condition=~Q(status=LeadStatus.DISQUALIFIED) | ~Q(disqualify_reason=""),
            ),
            models.CheckConstraint(
                name="crm_lead_nurturing_has_wake_time",
                condition=~Q(status=LeadStatus.NURTURING) | Q(snoozed_until__isnull=False),
            ),
            models.CheckConstraint(
                name="crm_lead_outcome_has_time_and_origin",
                condition=Q(outcome=Outcome.UNKNOWN, outcome_at=None, outcome_from="")
                | Q(
                    outcome__in=[Outcome.WON, Outcome.LOST],
                    outcome_at__isnull=False,
                    outcome_from__in=OutcomeFrom.values,
                ),
            ),
            models.CheckConstraint(
                name="crm_lead_next_action_whole",
                condition=Q(next_action_at=None, next_action_kind="")
                | Q(next_action_at__isnull=False, next_action_kind__in=NextActionKind.values),
            ),
            models.CheckConstraint(
                name="crm_lead_value_not_negative", condition=Q(est_value=None) | Q(est_value__gte=0)
            ),
            models.CheckConstraint(
                name="crm_lead_not_merged_into_itself",
                condition=Q(merged_into=None) | ~Q(merged_into=F("id")),
            ),
        ]
        indexes = [
            # Today walks these, each reason in its own order: by owner, and by pool or team (LANE).
            models.Index(
                F("owner"), F("next_action_at"), F("id"), name="crm_lead_owner_next", condition=_OPEN
            ),
            models.Index(
                F("owner"), F("answer_due_at"), F("id"), name="crm_lead_owner_answer", condition=_WAITS
            ),
            models.Index(
                F("owner"), F("status_changed_at"), F("id"), name="crm_lead_owner_tried", condition=_TRIED
            ),
            models.Index(
                F("owner"),
                F("status"),
                F("status_changed_at"),
                F("id"),
                name="crm_lead_owner_unplanned",
                condition=_UNPLANNED,
            ),
            models.Index(
                LANE,
                F("next_action_at"),
                F("id"),
                name="crm_lead_lane_next",
                condition=_OPEN & Q(next_action_at__isnull=False),
            ),
            models.Index(LANE, F("answer_due_at"), F("id"), name="crm_lead_lane_answer", condition=_WAITS),
            models.Index(LANE, F("status_changed_at"), F("id"), name="crm_lead_lane_tried", condition=_TRIED),
            models.Index(
                LANE,
                F("status"),
                F("status_changed_at"),
                F("id"),
                name="crm_lead_lane_unplanned",
                condition=_UNPLANNED,
            ),
            models.Index(F("score").desc(nulls_last=True), F("id").desc(), name="crm_lead_score_desc"),
            models.Index(F("created_at").desc(), F("id").desc(), name="crm_lead_created_desc"),
            models.Index(
                F("owner"), F("status"), F("created_at").desc(), F("id").desc(), name="crm_lead_owner_status"
            ),
            models.Index(F("team"), F("created_at").desc(), F("id").desc(), name="crm_lead_team_created"),
            models.Index(F("contact"), F("id"), name="crm_lead_contact", condition=Q(contact__isnull=False)),
            models.Index(F("merged_into"), name="crm_lead_merged", condition=Q(merged_into__isnull=False)),
            models.Index(
                F("converted_account"),
                name="crm_lead_converted_account",
                condition=Q(converted_account__isnull=False),
            ),
            models.Index(
                F("converted_opportunity"),
                name="crm_lead_converted_opp",
                condition=Q(converted_opportunity__isnull=False),
            ),
            models.Index(
                F("outcome_at").desc(),
                F("id").desc(),
                name="crm_lead_outcome_newest",
                condition=Q(outcome_at__isnull=False),
            ),
            models.Index(F("snoozed_until"), name="crm_lead_asleep", condition=Q(status="nurturing")),
            models.Index(F("deleted_at"), name="crm_lead_deleted", condition=Q(deleted_at__isnull=False)),
            GinIndex(OpClass(F("search_text"), name="gin_trgm_ops"), name="crm_lead_search_trgm"),
            GinIndex(WORDS, name="crm_lead_search_words"),
            GinIndex(F("custom"), name="crm_lead_custom_gin"),
        ]

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def has_tried_enough() -> Q:
        """As often as was meant, without an answer."""
        return Q(attempts__gte=F("max_attempts"))

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def band(self) -> str:
        """hot from 75, warm from 50, cool below; "none" while not scored."""
        return band_of(self.score)

    def move_to(self, status: LeadStatus) -> None:
        """Change status in memory; the caller saves. Raises TransitionRefused."""
        if status not in TRANSITIONS[self.status]:
            raise TransitionRefused(
                _("A lead cannot go from %(old)s to %(new)s.")
                % {"old": self.get_status_display(), "new": LeadStatus(status).label}
            )
        self.status = status
        self.status_changed_at = clock.now()


def band_of(score: int | None) -> str:
    """The band of a score: hot, warm, cool, or none."""
    if score is None:
        return "none"
    return "hot" if score >= 75 else "warm" if score >= 50 else "cool"


class LeadStatusChange(Record):
    """One arrow of a lead's life. Append-only. The first has no `from_status`."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="status_changes", db_index=False)
    from_status = models.CharField(max_length=12, choices=LeadStatus, blank=True)
    to_status = models.CharField(max_length=12, choices=LeadStatus)
    at = models.DateTimeField(default=clock.now)
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    seconds_in_from = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            choices_known("crm_leadstatuschange", "to_status", LeadStatus.values),
            choices_known("crm_leadstatuschange", "from_status", ["", *LeadStatus.values]),
            choices_known("crm_leadstatuschange", "actor_kind", ActorKind.values),
            models.CheckConstraint(
                name="crm_leadstatuschange_duration_whole",
                condition=Q(from_status="", seconds_in_from=None)
                | (~Q(from_status="") & Q(seconds_in_from__isnull=False)),
            ),
        ]
        indexes = [models.Index(F("lead"), F("at"), F("id"), name="crm_leadstatuschange_of")]

    def __str__(self) -> str:
        return f"{self.lead_id}: {self.from_status} -> {self.to_status}"


class OptIn(models.TextChoices):
    NONE = "none", _("None")
    DOUBLE = "double", _("By a link that is mailed to them")


class CaptureForm(VersionedRecord):
    """A public form that brings inquiries. `fields`: [{"name", "label", "is_required"}, ...], names as
    `receive_inquiry` takes them, "custom:<key>" included. A changed consent text gets a new version.
    """

    source = models.ForeignKey(LeadSource, models.PROTECT, related_name="forms")
    name = models.CharField(_("name"), max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    fields = models.JSONField(default=list)
    intro = models.CharField(_("introduction"), max_length=500, blank=True)
    button = models.CharField(_("button"), max_length=60, blank=True)
    thanks = models.CharField(_("thank-you text"), max_length=500, blank=True)
    consent_text = models.CharField(_("consent text"), max_length=1_000, blank=True)
    consent_version = models.PositiveIntegerField(default=1, editable=False)
    allowed_origins = models.JSONField(
        default=list, blank=True, help_text=_('sites that may show or post it: ["https://www.example.com"]')
    )
    opt_in = models.CharField(max_length=6, choices=OptIn, default=OptIn.NONE)
    locale = models.CharField(max_length=10, default="en")
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            choices_known("crm_captureform", "opt_in", OptIn.values),
            models.CheckConstraint(name="crm_captureform_has_name", condition=~Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name


class InquiryState(models.TextChoices):
    RECEIVED = "received", _("Received")
    ATTACHED = "attached", _("Attached")
    CREATED = "created", _("Created a lead")
    SPAM = "spam", _("Spam")
    FAILED = "failed", _("Failed")


class InquiryQuerySet(models.QuerySet["Inquiry"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Those of leads that this person may read. What has no lead (spam, failed, not confirmed) is a
        manager's if it would go into the pool of a team of theirs, and an admin's.
        """
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        of_leads = Q(lead__in=Lead.objects.visible_to(user))
        if not user.is_active or user.role != Role.MANAGER:
            return self.filter(of_leads)
        mine = TeamMember.objects.filter(user=user)
        first = Team.objects.order_by("pk").values("pk")[:1]
        pool = Q(source__default_team__in=mine.values("team")) | Q(
            Exists(mine.filter(team=Subquery(first))), source__default_team=None
        )
        return self.filter(of_leads | Q(pool, lead=None))

    def genuine(self) -> Self:
        """What nobody and nothing marked as spam."""
        return self.exclude(state=InquiryState.SPAM)


class Inquiry(Record):
    """What came in, as it came in. Never edited, may repeat; `idempotency_key` makes a resend harmless."""

    # crm_inquiry_once_per_key begins with the source: a second index would only mislead the planner.
    source = models.ForeignKey(LeadSource, models.PROTECT, related_name="inquiries", db_index=False)
    form = models.ForeignKey(
        CaptureForm, models.PROTECT, null=True, blank=True, related_name="inquiries", db_index=False
    )
    channel = models.CharField(max_length=8, choices=Channel)
    payload = models.JSONField(default=dict)
    message = models.TextField(blank=True, help_text="the customer's own words")
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001 NULL is "no key"
    utm = models.JSONField(default=dict, blank=True)
    spam_score = models.PositiveSmallIntegerField(default=0)
    spam_reasons = models.JSONField(default=list, blank=True, help_text="why it looks like spam, in words")
    state = models.CharField(max_length=8, choices=InquiryState, default=InquiryState.RECEIVED)
    error = models.CharField(max_length=300, blank=True, help_text="why no lead could be made of it")
    lead = models.ForeignKey(
        Lead, models.SET_NULL, null=True, blank=True, related_name="inquiries", db_index=False
    )
    received_at = models.DateTimeField(default=clock.now)

    objects = InquiryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "inquiries"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "idempotency_key"],  # NULLs differ: without a key, anything goes
                name="crm_inquiry_once_per_key",
            ),
            choices_known("crm_inquiry", "channel", Channel.values),
            choices_known("crm_inquiry", "state", InquiryState.values),
        ]
        indexes = [
            models.Index(F("lead"), F("received_at").desc(), name="crm_inquiry_lead"),
            models.Index(
                F("received_at").desc(),
                name="crm_inquiry_without_lead",
                condition=Q(state__in=[InquiryState.RECEIVED, InquiryState.SPAM, InquiryState.FAILED]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.received_at:%Y-%m-%d}"


class FormConfirmation(Record):
    """Double opt-in: the inquiry waits (state received) until the link in the mail is followed."""

    inquiry = models.OneToOneField(Inquiry, models.CASCADE, related_name="confirmation")
    token_sha256 = models.CharField(max_length=64, unique=True)
    mailed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.inquiry_id}"


class PointKind(models.TextChoices):
    EMAIL = "email", _("E-mail")
    PHONE = "phone", _("Phone")
    URL = "url", _("Website")


class PointState(models.TextChoices):
    UNVERIFIED = "unverified", _("Not verified")
    OK = "ok", _("Works")
    BOUNCED = "bounced", _("Bounced")
    INVALID = "invalid", _("Invalid")


class ContactPoint(Record):
    """A way to reach a lead or a contact: `raw` as given, `norm` for comparison (lower-case address, E.164
    number).
    """

    lead = models.ForeignKey(
        Lead, models.CASCADE, null=True, blank=True, related_name="contact_points", db_index=False
    )
    contact = models.ForeignKey(
        Contact, models.CASCADE, null=True, blank=True, related_name="contact_points", db_index=False
    )
    kind = models.CharField(max_length=5, choices=PointKind)
    raw = models.CharField(max_length=320)
    norm = models.CharField(max_length=320)
    is_primary = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=PointState, default=PointState.UNVERIFIED)

    class Meta:
        constraints = [
            exactly_one("crm_contactpoint", "lead", "contact"),
            models.UniqueConstraint(fields=["lead", "kind", "norm"], name="crm_contactpoint_once_per_lead"),
            models.UniqueConstraint(
                fields=["lead", "kind"], condition=Q(is_primary=True), name="crm_contactpoint_one_primary"
            ),
            models.UniqueConstraint(
                fields=["contact", "kind", "norm"],
                condition=Q(contact__isnull=False),
                name="crm_contactpoint_once_per_contact",
            ),
            models.UniqueConstraint(
                fields=["contact", "kind"],
                condition=Q(is_primary=True, contact__isnull=False),
                name="crm_contactpoint_contact_primary",
            ),
            choices_known("crm_contactpoint", "kind", PointKind.values),
            choices_known("crm_contactpoint", "state", PointState.values),
            models.CheckConstraint(name="crm_contactpoint_has_norm", condition=~Q(norm="")),
        ]
        indexes = [models.Index(fields=["kind", "norm"], name="crm_contactpoint_norm")]

    def __str__(self) -> str:
        return self.raw


class KeyKind(models.TextChoices):
    EMAIL = "email", _("E-mail")
    PHONE = "phone", _("Phone")
    DOMAIN = "domain", _("Domain")
    EXTERNAL = "external", _("External id")
    NAME_COMPANY = "name_company", _("Name and company")


STRONG_KEYS = (KeyKind.EMAIL, KeyKind.PHONE, KeyKind.EXTERNAL)


class MatchKeyQuerySet(models.QuerySet["MatchKey"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Keys of what this person may read."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        return self.filter(
            Q(lead__in=Lead.objects.visible_to(user))
            | Q(contact__in=Contact.objects.visible_to(user))
            | Q(account__in=Account.objects.visible_to(user))
        )


class MatchKey(models.Model):
    """What a lead, contact or account is recognised by. Derived from its data; may be rebuilt at any time.

    `value`: for email the normalised address (and the one without its plus-tag as a second row), for phone
    E.164, for external "<source id>:<id>", for domain the company's domain, for name_company both folded.
    """

    lead = models.ForeignKey(
        Lead, models.CASCADE, null=True, blank=True, related_name="match_keys", db_index=False
    )
    contact = models.ForeignKey(
        Contact, models.CASCADE, null=True, blank=True, related_name="match_keys", db_index=False
    )
    account = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="match_keys", db_index=False
    )
    kind = models.CharField(max_length=12, choices=KeyKind)
    value = models.CharField(max_length=420)

    objects = MatchKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            exactly_one("crm_matchkey", "lead", "contact", "account"),
            models.UniqueConstraint(fields=["lead", "kind", "value"], name="crm_matchkey_once_per_lead"),
            models.UniqueConstraint(
                fields=["contact", "kind", "value"],
                condition=Q(contact__isnull=False),
                name="crm_matchkey_once_per_contact",
            ),
            models.UniqueConstraint(
                fields=["account", "kind", "value"],
                condition=Q(account__isnull=False),
                name="crm_matchkey_once_per_account",
            ),
            choices_known("crm_matchkey", "kind", KeyKind.values),
        ]
        indexes = [
            models.Index(fields=["kind", "value"], name="crm_matchkey_value"),
            # Leads that may be one person, newest first: candidates of intake and import.
            models.Index(
                Func(F("value"), Value("|"), Value(1), function="split_part"),
                F("lead"),
                name="crm_matchkey_same_name",
                condition=Q(kind="name_company", lead__isnull=False),
            ),
            models.Index(
                Func(F("value"), Value("|"), Value(2), function="split_part"),
                F("lead"),
                name="crm_matchkey_same_company",
                condition=Q(kind="name_company", lead__isnull=False),
            ),
            models.Index(
                F("value"),
                F("lead"),
                name="crm_matchkey_same_domain",
                condition=Q(kind="domain", lead__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class FieldTarget(models.TextChoices):
    LEAD = "lead", _("Lead")
    CONTACT = "contact", _("Contact")
    ACCOUNT = "account", _("Account")
    OPPORTUNITY = "opportunity", _("Opportunity")


class FieldType(models.TextChoices):
    TEXT = "text", _("Text")
    NUMBER = "number", _("Number")
    BOOLEAN = "boolean", _("Yes or no")
    DATE = "date", _("Date")
    CHOICE = "choice", _("Choice")
    URL = "url", _("Link")


RANKS = (Role.READ_ONLY, Role.REP, Role.MANAGER, Role.ADMIN)  # each may what those before it may


def roles_up_to(role: str) -> tuple[Role, ...]:
    """This role and those below it."""
    return RANKS[: RANKS.index(Role(role)) + 1]


class CustomFieldQuerySet(models.QuerySet["CustomField"]):
    def visible_to(self, who: User | Actor) -> Self:
        """The fields that this person's role may read. The system reads all."""
        return self._from("read_from", who)

    def writable_by(self, who: User | Actor) -> Self:
        """The fields that this person's role may fill in."""
        return self._from("write_from", who)

    def _from(self, name: str, who: User | Actor) -> Self:
        user = who.user if isinstance(who, Actor) else who
        if user is None:
            return self
        roles = roles_up_to(user.role) if user.is_active else ()
        return self.filter(**{f"{name}__in": roles})


class CustomField(VersionedRecord):
    """A field of the customer's own. Values lie in the `custom[key]` of its target. `read_from` and
    `write_from` are the lowest roles (RANKS) that read them and that fill them in.
    """

    target = models.CharField(max_length=12, choices=FieldTarget, default=FieldTarget.LEAD)
    key = models.SlugField(max_length=60)
    label = models.CharField(max_length=120)
    type = models.CharField(max_length=8, choices=FieldType, default=FieldType.TEXT)
    options = models.JSONField(default=list, blank=True, help_text="the words of a choice field")
    position = models.PositiveSmallIntegerField(default=0)
    is_required = models.BooleanField(default=False, help_text=_("asked for in forms"))
    is_active = models.BooleanField(default=True, help_text=_("off: hidden, its values are kept"))
    is_scored = models.BooleanField(
        _("counts for the score"),
        default=True,
        db_default=True,
        help_text=_("off for what is filled in when the outcome can be seen: a score learns to copy it"),
    )
    read_from = models.CharField(
        _("read by"),
        max_length=12,
        choices=Role,
        default=Role.READ_ONLY,
        db_default=Role.READ_ONLY,
        help_text=_("this role and those above it; agents read what everybody reads"),
    )
    write_from = models.CharField(
        _("filled in by"),
        max_length=12,
        choices=Role,
        default=Role.REP,
        db_default=Role.REP,
        help_text=_("this role and those above it; forms fill in each field"),
    )

    objects = CustomFieldQuerySet.as_manager()

    class Meta:
        ordering = ("position", "label")
        constraints = [
            models.UniqueConstraint(fields=["target", "key"], name="crm_customfield_key_once"),
            choices_known("crm_customfield", "target", FieldTarget.values),
            choices_known("crm_customfield", "type", FieldType.values),
            choices_known("crm_customfield", "read_from", Role.values),
            choices_known("crm_customfield", "write_from", [Role.REP, Role.MANAGER, Role.ADMIN]),
            models.CheckConstraint(
                name="crm_customfield_written_by_readers",
                condition=Q(read_from__in=[Role.READ_ONLY, Role.REP])
                | Q(write_from=Role.ADMIN)
                | Q(read_from=Role.MANAGER, write_from=Role.MANAGER),
                violation_error_message=_("Who fills in a field must be able to read it."),
            ),
        ]

    def __str__(self) -> str:
        return self.label
