"""Messages that go out by plan: templates, sequences, and who is in which. The mailbox they come through."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from crm.models.accounts import Contact
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import Lead
from crm.models.messages import Message
from crm.models.users import User
from crm.models.work import Task, TaskKind


class MailAccount(VersionedRecord):
    """A mailbox. Its password lies in the environment, under the name that `secret_name` gives."""

    address = models.EmailField(max_length=254, unique=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="mail_accounts")
    imap_url = models.CharField(max_length=300, blank=True)
    secret_name = models.CharField(max_length=60, blank=True)
    is_active = models.BooleanField(default=True)
    last_uid = models.PositiveBigIntegerField(default=0)
    last_fetched_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.address


class Template(VersionedRecord):
    """One version of a text. Never edited once activated; a change is a new version. Whoever activates it
    approves what it sends.
    """

    key = models.SlugField(max_length=60)
    number = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=120)
    subject = models.CharField(max_length=200)
    body = models.TextField(max_length=20_000)
    locale = models.CharField(max_length=10, default="en")
    activated_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    activated_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "number"], name="crm_template_version_once"),
            models.CheckConstraint(
                name="crm_template_activated_whole",
                condition=Q(activated_at=None, activated_by=None)
                | Q(activated_at__isnull=False, activated_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"


class Sequence(VersionedRecord):
    """A series of steps. `stop_on`: any of "reply", "booking", "bounce"."""

    name = models.CharField(max_length=120, unique=True)
    is_active = models.BooleanField(default=False)
    send_window = models.JSONField(
        default=dict, blank=True, help_text='{"days": ["mon", ...], "from": "09:00", "to": "17:00"}'
    )
    stop_on = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return self.name


class StepKind(models.TextChoices):
    MAIL = "mail", _("Mail")
    TASK = "task", _("Task")


class Step(VersionedRecord):
    """One step of a version of a sequence, `wait_hours` after the one before."""

    sequence = models.ForeignKey(Sequence, models.PROTECT, related_name="steps")
    number = models.PositiveIntegerField(help_text="version of the sequence's steps")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=4, choices=StepKind)
    wait_hours = models.PositiveIntegerField(default=0)
    template = models.ForeignKey(Template, models.PROTECT, null=True, blank=True, related_name="steps")
    task_kind = models.CharField(max_length=8, choices=TaskKind, blank=True)
    task_title = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("sequence", "number", "position")
        constraints = [
            models.UniqueConstraint(fields=["sequence", "number", "position"], name="crm_step_position_once"),
            models.CheckConstraint(
                name="crm_step_mail_has_template",
                condition=Q(kind=StepKind.MAIL, template__isnull=False)
                | (Q(kind=StepKind.TASK, task_kind__in=TaskKind.values) & ~Q(task_title="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.kind}"


class EnrollmentState(models.TextChoices):
    ACTIVE = "active", _("Active")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")


class Enrollment(VersionedRecord):
    """A person in a sequence: one active at a time."""

    sequence = models.ForeignKey(Sequence, models.PROTECT, related_name="enrollments")
    number = models.PositiveIntegerField(help_text="version of the steps that it runs")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="enrollments")
    lead = models.ForeignKey(Lead, models.SET_NULL, null=True, blank=True, related_name="enrollments")
    state = models.CharField(max_length=7, choices=EnrollmentState, default=EnrollmentState.ACTIVE)
    next_step_at = models.DateTimeField(null=True, blank=True)
    stopped_because = models.CharField(max_length=120, blank=True)
    by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["contact"],
                condition=Q(state=EnrollmentState.ACTIVE),
                name="crm_enrollment_one_active",
            ),
            choices_known("crm_enrollment", "state", EnrollmentState.values),
            models.CheckConstraint(
                name="crm_enrollment_stopped_has_reason",
                condition=~Q(state=EnrollmentState.STOPPED) | ~Q(stopped_because=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sequence_id} {self.state}"


class StepRun(Record):
    """That a step was done for somebody. The key makes it happen once."""

    enrollment = models.ForeignKey(Enrollment, models.CASCADE, related_name="runs")
    step = models.ForeignKey(Step, models.PROTECT, related_name="runs")
    idempotency_key = models.CharField(max_length=120, unique=True)
    message = models.ForeignKey(Message, models.SET_NULL, null=True, blank=True, related_name="+")
    task = models.ForeignKey(Task, models.SET_NULL, null=True, blank=True, related_name="+")
    rendered_subject = models.CharField(max_length=200, blank=True)
    rendered_body = models.TextField(blank=True)
    body_sha256 = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return self.idempotency_key
