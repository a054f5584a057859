"""What people have to do, and what they did: tasks, calls, files; who gets which lead, who is told."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.models.accounts import Account, Contact
from crm.models.actors import Actor
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import Lead
from crm.models.ownership import at_least_one, exactly_one
from crm.models.pipelines import Opportunity
from crm.models.timeline import TimelineEvent
from crm.models.users import Role, Team, TeamMember, User


class TaskKind(models.TextChoices):
    CALL = "call", _("Call")
    EMAIL = "email", _("E-mail")
    MEETING = "meeting", _("Meeting")
    TODO = "todo", _("To do")
    REVIEW = "review", _("Review")


class TaskStatus(models.TextChoices):
    OPEN = "open", _("Open")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Cancelled")


class TaskOrigin(models.TextChoices):
    HUMAN = "human", _("By hand")
    RULE = "rule", _("Rule")
    SEQUENCE = "sequence", _("Sequence")
    AI = "ai", _("Agent")


class Priority(models.IntegerChoices):
    HIGH = 1, _("High")
    NORMAL = 2, _("Normal")
    LOW = 3, _("Low")


class Recurrence(models.TextChoices):
    NONE = "", _("Once")
    DAILY = "daily", _("Every day")
    WEEKLY = "weekly", _("Every week")
    MONTHLY = "monthly", _("Every month")
    YEARLY = "yearly", _("Every year")


class TaskQuerySet(models.QuerySet["Task"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Tasks of this person or given by them, a manager's team's, and those on records that they may
        read.
        """
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        if not user.is_active:
            return self.none()
        mine = Q(assignee=user) | Q(created_by=user)
        if user.role == Role.MANAGER:
            mine |= Q(assignee__in=TeamMember.objects.filter(team__members__user=user).values("user"))
        return self.filter(
            mine
            | Q(lead__in=Lead.objects.visible_to(user))
            | Q(opportunity__in=Opportunity.objects.visible_to(user))
            | Q(contact__in=Contact.objects.visible_to(user))
        )

    def open(self) -> Self:
        return self.filter(state=TaskStatus.OPEN)


class Task(VersionedRecord):
    """Something to be done by somebody. `remind_at` tells the assignee once (`reminded_at`). A task that
    `recurs` leaves its successor when it is done.
    """

    title = models.CharField(_("title"), max_length=200)
    notes = models.TextField(_("notes"), blank=True, max_length=5_000)
    kind = models.CharField(max_length=8, choices=TaskKind, default=TaskKind.TODO)
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    remind_at = models.DateTimeField(_("remind at"), null=True, blank=True)
    reminded_at = models.DateTimeField(null=True, blank=True, editable=False)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.NORMAL)
    state = models.CharField(max_length=9, choices=TaskStatus, default=TaskStatus.OPEN)
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="tasks_done")
    outcome = models.CharField(_("outcome"), max_length=300, blank=True)
    assignee = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="tasks", db_index=False
    )
    lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="tasks")
    opportunity = models.ForeignKey(Opportunity, models.CASCADE, null=True, blank=True, related_name="tasks")
    contact = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="tasks")
    origin = models.CharField(max_length=8, choices=TaskOrigin, default=TaskOrigin.HUMAN)
    recurrence = models.CharField(max_length=7, choices=Recurrence, blank=True, default=Recurrence.NONE)
    recurs_every = models.PositiveSmallIntegerField(default=1, help_text=_("every so many days, weeks ..."))
    recurs_until = models.DateField(null=True, blank=True)
    recurs_day = models.PositiveSmallIntegerField(
        null=True, blank=True, editable=False, help_text="day of the month the series began with"
    )
    recurs_time = models.TimeField(
        null=True, blank=True, editable=False, help_text="the same of the assignee's clock"
    )
    recurs_from = models.OneToOneField(
        "self", models.SET_NULL, null=True, blank=True, related_name="successor", editable=False
    )
    created_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="tasks_created")

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(name="crm_task_has_title", condition=~Q(title="")),
            choices_known("crm_task", "kind", TaskKind.values),
            choices_known("crm_task", "state", TaskStatus.values),
            choices_known("crm_task", "origin", TaskOrigin.values),
            choices_known("crm_task", "recurrence", Recurrence.values),
            models.CheckConstraint(name="crm_task_priority_known", condition=Q(priority__in=Priority.values)),
            models.CheckConstraint(
                name="crm_task_done_has_time",
                condition=Q(state=TaskStatus.DONE, done_at__isnull=False)
                | (~Q(state=TaskStatus.DONE) & Q(done_at=None)),
            ),
            models.CheckConstraint(
                name="crm_task_recurring_has_due",
                condition=Q(recurrence="") | Q(due_at__isnull=False, recurs_every__gte=1),
            ),
            models.CheckConstraint(
                name="crm_task_at_most_one_subject",
                condition=Q(lead=None, opportunity=None)
                | Q(lead=None, contact=None)
                | Q(opportunity=None, contact=None),
            ),
        ]
        indexes = [
            models.Index(
                F("assignee"),
                F("due_at"),
                F("id"),
                name="crm_task_assignee_due",
                condition=Q(state=TaskStatus.OPEN),
            ),
            models.Index(
                F("remind_at"),
                name="crm_task_to_remind",
                condition=Q(state=TaskStatus.OPEN, reminded_at=None, remind_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Disposition(models.TextChoices):
    ANSWERED = "answered", _("Spoke to them")
    NO_ANSWER = "no_answer", _("No answer")
    BUSY = "busy", _("Busy")
    VOICEMAIL = "voicemail", _("Left a message")
    WRONG_NUMBER = "wrong_number", _("Wrong number")
    CALL_BACK = "call_back", _("Asked to be called back")


class CallDirection(models.TextChoices):
    IN = "in", _("They called")
    OUT = "out", _("We called")


class CallLogQuerySet(models.QuerySet["CallLog"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Calls with or about what this person may read."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        if not user.is_active:
            return self.none()
        return self.filter(
            Q(lead__in=Lead.objects.visible_to(user))
            | Q(contact__in=Contact.objects.visible_to(user))
            | Q(opportunity__in=Opportunity.objects.visible_to(user))
        )


class CallLog(VersionedRecord):
    """A telephone call with a lead, a contact, or about an opportunity."""

    lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="calls")
    contact = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="calls")
    opportunity = models.ForeignKey(Opportunity, models.CASCADE, null=True, blank=True, related_name="calls")
    direction = models.CharField(max_length=3, choices=CallDirection, default=CallDirection.OUT)
    seconds = models.PositiveIntegerField(_("length in seconds"), default=0)
    disposition = models.CharField(max_length=12, choices=Disposition)
    body = models.TextField(_("notes"), blank=True, max_length=20_000)
    occurred_at = models.DateTimeField(default=clock.now)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="calls"
    )
    event = models.OneToOneField(TimelineEvent, models.CASCADE, related_name="call")

    objects = CallLogQuerySet.as_manager()

    class Meta:
        constraints = [
            choices_known("crm_calllog", "direction", CallDirection.values),
            choices_known("crm_calllog", "disposition", Disposition.values),
            at_least_one("crm_calllog", "lead", "contact", "opportunity"),
        ]

    def __str__(self) -> str:
        return f"{self.get_direction_display()} {self.occurred_at:%Y-%m-%d}"


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Files beside what this person may read."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        if not user.is_active:
            return self.none()
        return self.filter(
            Q(lead__in=Lead.objects.visible_to(user))
            | Q(contact__in=Contact.objects.visible_to(user))
            | Q(account__in=Account.objects.visible_to(user))
            | Q(opportunity__in=Opportunity.objects.visible_to(user))
        )


class Attachment(Record):
    """A file beside a record. Stored under a random name; served as a download, never shown inline."""

    lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="attachments")
    contact = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="attachments")
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="attachments")
    opportunity = models.ForeignKey(
        Opportunity, models.CASCADE, null=True, blank=True, related_name="attachments"
    )
    file_name = models.CharField(max_length=255, help_text="as it was uploaded")
    stored_as = models.CharField(max_length=255, unique=True, editable=False)
    content_type = models.CharField(max_length=120)
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="attachments"
    )

    objects = AttachmentQuerySet.as_manager()

    class Meta:
        constraints = [
            exactly_one("crm_attachment", "lead", "contact", "account", "opportunity"),
            models.CheckConstraint(
                name="crm_attachment_size_1_byte_to_25_mib", condition=Q(size_bytes__range=(1, 26_214_400))
            ),
        ]

    def __str__(self) -> str:
        return self.file_name


class NotificationQuerySet(models.QuerySet["Notification"]):
    def of(self, user: User) -> Self:
        return self.filter(user=user)

    def unread(self) -> Self:
        return self.filter(read_at=None)

    def newest_first(self) -> Self:
        return self.order_by("-id")

    def visible_to(self, who: User | Actor) -> Self:
        """One's own; an admin reads all, to see what was told."""
        user = who.user if isinstance(who, Actor) else who
        if user is None or (user.is_active and user.role == Role.ADMIN):
            return self
        return self.filter(user=user) if user.is_active else self.none()


class Notification(Record):
    """One line for one person, until they have read it. `dedup_key` makes it come once."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="notifications", db_index=False
    )
    kind = models.CharField(max_length=40)
    text = models.CharField(max_length=300)
    lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="+")
    opportunity = models.ForeignKey(Opportunity, models.CASCADE, null=True, blank=True, related_name="+")
    task = models.ForeignKey(Task, models.CASCADE, null=True, blank=True, related_name="notifications")
    dedup_key = models.CharField(max_length=120)
    read_at = models.DateTimeField(null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "dedup_key"], name="crm_notification_once"),
            models.CheckConstraint(name="crm_notification_has_text", condition=~Q(text="")),
        ]
        indexes = [
            models.Index(F("user"), F("id").desc(), name="crm_notification_unread", condition=Q(read_at=None))
        ]

    def __str__(self) -> str:
        return self.text


class AssignmentMethod(models.TextChoices):
    FIXED = "fixed", _("One person")
    ROUND_ROBIN = "round_robin", _("In turn")
    LEAST_OPEN = "least_open", _("Fewest open leads")
    CAPACITY = "capacity", _("Free capacity, in working hours")


class AssignmentRule(VersionedRecord):
    """Who gets a new lead. The first active rule (by position) whose condition fits decides.

    `condition` is an object of lead fields and wanted values (all must fit), e.g.
    {"source": ["fair"], "country": ["DE", "AT"], "score_min": 60, "est_value_min": "10000"}; {} fits every
    lead. `cursor` remembers whose turn it was; the row is locked while choosing.
    """

    name = models.CharField(max_length=120, unique=True)
    position = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    condition = models.JSONField(default=dict, blank=True)
    method = models.CharField(max_length=11, choices=AssignmentMethod)
    team = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="assignment_rules")
    users = models.ManyToManyField(User, blank=True, related_name="assignment_rules")
    cursor = models.BigIntegerField(default=0, editable=False, help_text="key of the last one chosen")

    class Meta:
        ordering = ("position", "id")
        constraints = [choices_known("crm_assignmentrule", "method", AssignmentMethod.values)]

    def __str__(self) -> str:
        return self.name


class AssignmentLog(Record):
    """Why a lead went to whom, in one sentence. `candidates`: [{"user", "name", "open", "why_not"}, ...]."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="assignments")
    rule = models.ForeignKey(
        AssignmentRule, models.SET_NULL, null=True, blank=True, related_name="log", db_index=False
    )
    candidates = models.JSONField(default=list)
    chosen = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    reason = models.CharField(max_length=300)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.CheckConstraint(name="crm_assignmentlog_has_reason", condition=~Q(reason=""))]

    def __str__(self) -> str:
        return self.reason
