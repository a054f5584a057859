"""The replay lab's tables: which prompt is in use, and past leads asked again with another one."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from crm.models.base import Record, choices_known


class ReplayState(models.TextChoices):
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")


class Replay(Record):
    """Past leads with known outcomes, asked twice: with what is in use (`present`) and with a `candidate`.

    No score of a lead is touched. `report` is written at the end, see ai_agents.actions.replays.report.
    """

    kind = models.CharField(max_length=40)
    provider = models.CharField(max_length=20)
    present_prompt = models.CharField(max_length=60)
    present_model = models.CharField(max_length=120)
    candidate_prompt = models.CharField(max_length=60)
    candidate_model = models.CharField(max_length=120)
    leads = models.PositiveIntegerField(help_text="how many are asked about")
    known_days = models.PositiveSmallIntegerField(
        help_text="what came later than this after the lead, or after its outcome, is not shown"
    )
    state = models.CharField(max_length=8, choices=ReplayState, default=ReplayState.RUNNING)
    note = models.CharField(max_length=200, blank=True, help_text="why it stopped")
    report = models.JSONField(default=dict, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    busy_until = models.DateTimeField(null=True, blank=True, help_text="a worker is at it")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        constraints = [
            choices_known("ai_agents_replay", "state", ReplayState.values),
            models.CheckConstraint(
                name="ai_agents_replay_compares",
                condition=~Q(
                    candidate_prompt=models.F("present_prompt"), candidate_model=models.F("present_model")
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.candidate_prompt} against {self.present_prompt}"


class Arm(models.TextChoices):
    PRESENT = "present", _("In use")
    CANDIDATE = "candidate", _("Candidate")


class AnswerState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    ANSWERED = "answered", _("Answered")
    INVALID = "invalid", _("Not readable")
    REFUSED = "refused", _("Refused")
    FAILED = "failed", _("No answer")
    UNREAD = "unread", _("Nothing to read")


class ReplayAnswer(models.Model):
    """What one arm made of one lead. `lead_key` is the lead's key, not a reference: it outlives the lead."""

    replay = models.ForeignKey(Replay, models.CASCADE, related_name="answers", db_index=False)
    arm = models.CharField(max_length=9, choices=Arm)
    lead_key = models.BigIntegerField()
    won = models.BooleanField()
    known_until = models.DateTimeField()
    state = models.CharField(max_length=8, choices=AnswerState, default=AnswerState.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    fit = models.PositiveSmallIntegerField(null=True, blank=True)
    action = models.CharField(max_length=20, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    task = models.ForeignKey(
        "ai_agents.AgentTask", models.SET_NULL, null=True, blank=True, related_name="replay_answers"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["replay", "lead_key", "arm"], name="ai_agents_replayanswer_once"),
            choices_known("ai_agents_replayanswer", "arm", Arm.values),
            choices_known("ai_agents_replayanswer", "state", AnswerState.values),
            models.CheckConstraint(
                name="ai_agents_replayanswer_answered_has_fit",
                condition=~Q(state=AnswerState.ANSWERED) | Q(fit__isnull=False, fit__range=(0, 100)),
            ),
        ]
        indexes = [
            models.Index(
                fields=["replay", "id"],
                name="ai_agents_replay_waiting",
                condition=Q(state=AnswerState.WAITING),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.arm} {self.lead_key}: {self.state}"


class PromptUse(Record):
    """From now on, this version of a kind's prompt is in use: the newest row of the kind counts."""

    kind = models.CharField(max_length=40)
    prompt = models.CharField(max_length=60)
    previous = models.CharField(max_length=60)
    because = models.CharField(max_length=200, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    by_label = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ("-pk",)
        constraints = [
            models.CheckConstraint(
                name="ai_agents_promptuse_changes", condition=~Q(prompt=models.F("previous"))
            ),
        ]
        indexes = [models.Index(fields=["kind", "-id"], name="ai_agents_promptuse_newest")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.prompt}"
