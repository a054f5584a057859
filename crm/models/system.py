"""What keeps the doors honest: tokens, idempotency, jobs, undo, the live feed, rates, heartbeats."""

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from crm.models.base import CurrentTransaction, Record, Xid8Field, choices_known


class ApiToken(Record):
    """A program's way in. Shown once as `gos_<key>_<secret>`; only a peppered hash of the secret is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=120)
    key = models.CharField(max_length=16, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class IdempotencyKey(models.Model):
    """The stored answer to a POST, so that a resend gets the same one. Kept 48 h."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    token = models.ForeignKey(ApiToken, models.CASCADE, null=True, related_name="+")
    route = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True, help_text="NULL while the first request runs")
    answer = models.BinaryField(null=True)
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "token", "route", "key"],
                nulls_distinct=False,
                name="crm_idempotencykey_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"


class JobState(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class Job(Record):
    """Long work that people can watch: sliced, resumable, safe to leave."""

    kind = models.CharField(max_length=40)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="jobs")
    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    cursor = models.JSONField(default=dict, help_text="where the next slice goes on")
    result = models.JSONField(default=dict)
    error = models.CharField(max_length=300, blank=True)
    import_job = models.OneToOneField(
        "crm.ImportJob", models.CASCADE, null=True, blank=True, related_name="job"
    )
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [choices_known("crm_job", "state", JobState.values)]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class Undo(models.Model):
    """How to take an action back: what the rows were, and the versions they must still have."""

    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    action = models.CharField(max_length=60)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="undos")
    label = models.CharField(max_length=200)
    before = models.JSONField()
    versions = models.JSONField(help_text='{"crm.lead": {"<id>": version after the action}}')
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    undone_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.label


class BulkState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    CHANGED = "changed", _("Changed")
    SAME = "same", _("Was so already")
    REFUSED = "refused", _("Refused")
    UNDONE = "undone", _("Taken back")
    KEPT = "kept", _("Kept, because it has changed since")


class BulkRow(models.Model):
    """One record of a bulk job, written down before the first is touched. `undo` holds what it was before."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="rows", db_index=False)
    record_id = models.BigIntegerField(help_text="key of the job's target")
    state = models.CharField(max_length=8, choices=BulkState, default=BulkState.WAITING)
    message = models.CharField(max_length=300, blank=True, help_text="why it was refused or kept")
    undo = models.ForeignKey(Undo, models.SET_NULL, null=True, blank=True, related_name="bulk_rows")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "record_id"], name="crm_bulkrow_once_per_job"),
            choices_known("crm_bulkrow", "state", BulkState.values),
        ]
        indexes = [models.Index(fields=["job", "state", "record_id"], name="crm_bulkrow_next")]

    def __str__(self) -> str:
        return f"{self.record_id} {self.state}"


class OutboxEvent(models.Model):
    """One thing that happened, for browsers and webhooks: ids only. Ordered by (xid, id); kept 24 h."""

    id = models.BigAutoField(primary_key=True)
    xid = Xid8Field(db_default=CurrentTransaction())
    topic = models.CharField(max_length=80)
    type = models.CharField(max_length=60)
    ids = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["topic", "xid", "id"], name="crm_outbox_topic"),
            models.Index(fields=["xid", "id"], name="crm_outbox_order"),
            models.Index(fields=["at"], name="crm_outbox_at"),
        ]

    def __str__(self) -> str:
        return f"{self.type} on {self.topic}"


class LiveEpoch(models.Model):
    """One random row. Renewed after a logical restore, so that old cursors are known as old."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.CharField(max_length=16)

    class Meta:
        constraints = [models.CheckConstraint(name="crm_liveepoch_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return self.epoch


class Heartbeat(models.Model):
    """Proof of progress: each cluster and long job stamps its row."""

    name = models.CharField(max_length=60, primary_key=True)
    at = models.DateTimeField(db_default=Now())
    info = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class RateHit(models.Model):
    """UNLOGGED: hits of one bucket in one window. Lost in a crash, which only forgives a few hits."""

    bucket = models.CharField(max_length=120)
    window = models.BigIntegerField(help_text="number of the window since 1970")
    hits = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(F("bucket"), F("window"), name="crm_ratehit_once")]

    def __str__(self) -> str:
        return f"{self.bucket} {self.hits}"
