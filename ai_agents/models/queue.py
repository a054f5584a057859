"""The agents' queue: pools of workers, tasks, calls, and the pumps' leases."""

from decimal import Decimal
from typing import Self
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from crm.models.base import Record, VersionedRecord, choices_known


class AgentPool(VersionedRecord):
    """How many agents of one kind may work at a time, and on what."""

    kind = models.CharField(max_length=40, unique=True)
    provider = models.CharField(max_length=20, blank=True, help_text="empty: as AI_PROVIDER says")
    model = models.CharField(max_length=120, blank=True, help_text="empty: as AI_MODEL says")
    min_concurrency = models.PositiveSmallIntegerField(default=0)  # what the autoscaler keeps ready
    max_concurrency = models.PositiveSmallIntegerField(default=64)
    target = models.PositiveSmallIntegerField(default=2, help_text="calls in flight at a time")
    is_auto = models.BooleanField(
        default=False, db_default=False, help_text="the autoscaler moves the target"
    )
    rpm = models.PositiveIntegerField(default=0, help_text="requests a minute, 0 = no limit")
    paced_until = models.DateTimeField(null=True, blank=True, help_text="calls up to then are given away")
    budget_day_usd = models.DecimalField(
        max_digits=12, decimal_places=4, null=True, blank=True, help_text="NULL: only the overall budget"
    )
    draft_from = models.PositiveSmallIntegerField(
        default=60, help_text="a blend at or above this queues a draft"
    )
    paused = models.BooleanField(default=False)
    paused_because = models.CharField(max_length=200, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("kind",)
        constraints = [
            models.CheckConstraint(  # a person may set a target below what the autoscaler keeps ready
                name="ai_agents_agentpool_target_in_bounds",
                condition=Q(target__lte=F("max_concurrency"), min_concurrency__lte=F("max_concurrency")),
            ),
            models.CheckConstraint(name="ai_agents_agentpool_max_256", condition=Q(max_concurrency__lte=256)),
            models.CheckConstraint(
                name="ai_agents_agentpool_draft_from_0_to_100", condition=Q(draft_from__lte=100)
            ),
        ]

    def __str__(self) -> str:
        return self.kind


class TaskState(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    DEAD = "dead", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class AgentTaskQuerySet(models.QuerySet["AgentTask"]):
    def live(self) -> Self:
        return self.filter(state__in=[TaskState.QUEUED, TaskState.RUNNING])


class AgentTask(Record):
    """One piece of work for an agent. This table is the queue; django-q2's rows only say "look"."""

    kind = models.CharField(max_length=40)
    lead = models.ForeignKey("crm.Lead", models.SET_NULL, null=True, blank=True, related_name="agent_tasks")
    opportunity = models.ForeignKey(
        "crm.Opportunity",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="agent_tasks",
        db_index=False,
        help_text="set where it is about one; `lead` is then its lead",
    )
    dedup_key = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=TaskState, default=TaskState.QUEUED)
    priority = models.PositiveSmallIntegerField(default=5, help_text="0 first, 9 last")
    run_after = models.DateTimeField(db_default=Now())
    deadline = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="counted when claimed")
    rate_limited = models.PositiveSmallIntegerField(default=0, help_text="429s, which cost no attempt")
    lost = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="leases lost together with others', which cost no attempt"
    )
    max_attempts = models.PositiveSmallIntegerField(default=3)
    input_hash = models.CharField(max_length=64, blank=True)
    prompt_version = models.CharField(max_length=60, blank=True)
    params = models.JSONField(default=dict, blank=True, help_text="purpose, instruction; no personal data")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    requested_as = models.CharField(max_length=120, blank=True)
    error = models.CharField(max_length=60, blank=True, help_text="code of the last failure")
    reserved_usd = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    started_at = models.DateTimeField(null=True, blank=True)
    called_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="since when it may call a model; empty while a pump has it in hand",
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = AgentTaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["dedup_key"],
                condition=Q(state__in=[TaskState.QUEUED, TaskState.RUNNING]),
                name="ai_agents_agenttask_once",
            ),
            choices_known("ai_agents_agenttask", "state", TaskState.values),
            models.CheckConstraint(
                name="ai_agents_agenttask_priority_0_to_9", condition=Q(priority__range=(0, 9))
            ),
            models.CheckConstraint(
                name="ai_agents_agenttask_running_has_lease",
                condition=~Q(state=TaskState.RUNNING)
                | Q(lease_until__isnull=False, lease_token__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["kind", "priority", "run_after", "id"],
                name="ai_agents_task_queued",
                condition=Q(state=TaskState.QUEUED),
            ),
            models.Index(
                fields=["lease_until"], name="ai_agents_task_running", condition=Q(state=TaskState.RUNNING)
            ),
            models.Index(fields=["lead", "kind", "-id"], name="ai_agents_task_lead"),
            models.Index(
                fields=["opportunity", "kind", "-id"],
                name="ai_agents_task_opportunity",
                condition=Q(opportunity__isnull=False),
            ),
            models.Index(fields=["kind", "state", "-finished_at"], name="ai_agents_task_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class CallStatus(models.TextChoices):
    OK = "ok", _("Answered")
    INVALID = "invalid", _("Not readable")
    REFUSED = "refused", _("Refused")
    TIMEOUT = "timeout", _("Timed out")
    ERROR = "error", _("Error")
    RATE_LIMITED = "rate_limited", _("Rate limited")
    OVER_BUDGET = "over_budget", _("Over budget")


class AgentCall(Record):
    """One call to a model, written before its answer is read. Append-only; numbers outlive texts."""

    task = models.ForeignKey(AgentTask, models.PROTECT, related_name="calls")
    attempt = models.PositiveSmallIntegerField()
    is_repair = models.BooleanField(default=False)
    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=120)
    status = models.CharField(max_length=12, choices=CallStatus)
    tokens_in = models.PositiveIntegerField(null=True, blank=True)
    tokens_cached = models.PositiveIntegerField(null=True, blank=True)
    tokens_out = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    ms = models.PositiveIntegerField(default=0)
    request_id = models.CharField(max_length=120, blank=True)
    input = models.JSONField(default=dict, help_text="what the model saw, personal data masked")
    output = models.TextField(blank=True)
    error = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [
            choices_known("ai_agents_agentcall", "status", CallStatus.values),
            models.CheckConstraint(
                name="ai_agents_agentcall_ok_has_cost",
                condition=~Q(status=CallStatus.OK)
                | Q(tokens_in__isnull=False, tokens_out__isnull=False, cost_usd__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["-created_at"], name="ai_agents_call_created")]

    def __str__(self) -> str:
        return f"{self.model} {self.status}"


class PumpLease(models.Model):
    """Who may claim tasks now. One row a slot; released as soon as claiming stops."""

    slot = models.PositiveSmallIntegerField(primary_key=True)
    token = models.UUIDField(default=uuid4)
    until = models.DateTimeField(db_default=Now())
    kicked_at = models.DateTimeField(
        null=True, blank=True, help_text="a pump was queued and has not started yet"
    )
    info = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"pump {self.slot}"


class Budget(models.Model):
    """What a day may cost. `reserved` is set aside before a call, `spent` booked after it. USD."""

    scope = models.CharField(max_length=60, default="all", help_text='"all", a kind of work, or a person')
    day = models.DateField()
    cap = models.DecimalField(max_digits=12, decimal_places=6)
    reserved = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    spent = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="when it first did not reach")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "day"], name="ai_agents_budget_once_a_day"),
            models.CheckConstraint(
                name="ai_agents_budget_not_negative", condition=Q(reserved__gte=0, spent__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.day}"


class ModelPrice(models.Model):
    """USD per million tokens of one model, from a date on."""

    provider = models.CharField(max_length=20)
    model = models.CharField(max_length=120)
    valid_from = models.DateField()
    usd_in = models.DecimalField(max_digits=10, decimal_places=4)
    usd_cached = models.DecimalField(max_digits=10, decimal_places=4)
    usd_out = models.DecimalField(max_digits=10, decimal_places=4)
    note = models.CharField(max_length=200, blank=True, help_text="where the price was read")

    class Meta:
        ordering = ("provider", "model", "-valid_from")
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model", "valid_from"], name="ai_agents_modelprice_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.valid_from}"
