"""How likely a lead is to buy, by whom it was judged, and why."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.models.base import Record, choices_known
from crm.models.leads import Lead, Outcome, ScoreSource
from crm.models.users import User


class ScoreKind(models.TextChoices):
    RULES = "rules", _("Rules")
    STATISTICS = "statistics", _("Statistics")
    MODEL = "model", _("Model")
    BLEND = "blend", _("Blend")


class Band(models.TextChoices):
    HOT = "hot", _("Hot")
    WARM = "warm", _("Warm")
    COOL = "cool", _("Cool")


class Score(Record):
    """One judgement. Never edited: a new one retires the old (`is_current`).

    `value` is 0 to 100; for `rules` it is `base` plus the factors' points, for `model` the model's `fit`.
    The `blend` row is what `Lead.score` shows and names where it came from in `blended_from`; one that a
    person set has the public id of its ScoreOverride as `version`.
    """

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="scores", db_index=False)
    kind = models.CharField(max_length=10, choices=ScoreKind)
    value = models.PositiveSmallIntegerField()
    base = models.SmallIntegerField(default=0, help_text="points every lead starts with (rules)")
    probability = models.FloatField(null=True, blank=True)
    band = models.CharField(max_length=4, choices=Band)
    is_current = models.BooleanField(default=True)
    blended_from = models.CharField(max_length=10, blank=True)
    task = models.ForeignKey(
        "ai_agents.AgentTask", models.PROTECT, null=True, blank=True, related_name="scores"
    )
    provider = models.CharField(max_length=20, blank=True, help_text='"scripted" marks a sample')
    model = models.CharField(max_length=120, blank=True)
    version = models.CharField(max_length=60, blank=True, help_text="of the rules, prompt or weights")
    summary = models.CharField(max_length=300, blank=True)
    recommended_action = models.CharField(max_length=20, blank=True)
    timeline = models.CharField(max_length=20, blank=True)
    risks = models.JSONField(default=list, blank=True)
    missing = models.JSONField(default=list, blank=True)
    would_change = models.JSONField(
        default=list,
        db_default=[],
        blank=True,
        help_text="what would change the judgement, in a few words each",
    )
    dropped_factors = models.PositiveSmallIntegerField(
        default=0, help_text="factors whose quote was not found in the record"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["lead", "kind"], condition=Q(is_current=True), name="crm_score_one_current"
            ),
            models.CheckConstraint(name="crm_score_0_to_100", condition=Q(value__range=(0, 100))),
            models.CheckConstraint(
                name="crm_score_probability_0_to_1",
                condition=Q(probability=None) | Q(probability__range=(0, 1)),
            ),
            models.CheckConstraint(
                name="crm_score_band_fits",
                condition=Q(band=Band.HOT, value__gte=75)
                | Q(band=Band.WARM, value__range=(50, 74))
                | Q(band=Band.COOL, value__lt=50),
            ),
            models.CheckConstraint(
                name="crm_score_blend_names_origin",
                condition=~Q(kind=ScoreKind.BLEND) | Q(blended_from__in=ScoreSource.values),
            ),
            models.CheckConstraint(
                name="crm_score_model_has_task",
                condition=~Q(kind=ScoreKind.MODEL) | Q(task__isnull=False),
            ),
            choices_known("crm_score", "kind", ScoreKind.values),
        ]
        indexes = [models.Index(F("lead"), F("created_at").desc(), name="crm_score_lead")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"

    @property
    def is_sample(self) -> bool:
        return self.provider == "scripted"


class FactorSource(models.TextChoices):
    INQUIRY = "inquiry", _("Inquiry")
    MESSAGE = "message", _("Message")
    NOTE = "note", _("Note")
    CALL = "call", _("Call")
    FIELD = "field", _("Field")
    EVENT = "event", _("Event")


class ScoreFactor(models.Model):
    """One reason of a score. A verified one quotes the record: `start` and `end` count code points of its
    normalised text."""

    score = models.ForeignKey(Score, models.CASCADE, related_name="factors", db_index=False)
    position = models.PositiveSmallIntegerField(default=0)
    points = models.SmallIntegerField(default=0)
    label = models.CharField(max_length=120)
    quote = models.CharField(max_length=500, blank=True)
    source_kind = models.CharField(max_length=8, choices=FactorSource, blank=True)
    source_id = models.BigIntegerField(null=True, blank=True)
    field = models.CharField(max_length=60, blank=True)
    start = models.PositiveIntegerField(null=True, blank=True)
    end = models.PositiveIntegerField(null=True, blank=True)
    verified = models.BooleanField(default=False)

    class Meta:
        ordering = ("position",)
        constraints = [
            models.UniqueConstraint(fields=["score", "position"], name="crm_scorefactor_position_once"),
            models.CheckConstraint(
                name="crm_scorefactor_verified_has_place",
                condition=Q(verified=False)
                | (
                    ~Q(quote="")
                    & Q(source_kind__in=FactorSource.values)
                    & (Q(source_id__isnull=False) | ~Q(field=""))
                    & Q(start__isnull=False, end__gt=F("start"))
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.label


class ScoreOutcome(Record):
    """What came of a scored lead within a horizon: how the score is graded. Append-only."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="score_outcomes")
    score = models.ForeignKey(Score, models.CASCADE, related_name="outcomes", db_index=False)
    label = models.CharField(
        max_length=8, choices=[(Outcome.WON, Outcome.WON.label), (Outcome.LOST, Outcome.LOST.label)]
    )
    horizon_days = models.PositiveSmallIntegerField()
    at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["score", "horizon_days"], name="crm_scoreoutcome_once"),
            choices_known("crm_scoreoutcome", "label", [Outcome.WON, Outcome.LOST]),
            models.CheckConstraint(
                name="crm_scoreoutcome_horizon_positive", condition=Q(horizon_days__gte=1)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} in {self.horizon_days} days"


class ScoreOverride(Record):
    """A person knows better, and says why. Append-only: one without a `value` lifts those before it."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="score_overrides")
    user = models.ForeignKey(User, models.PROTECT, related_name="score_overrides")
    score = models.ForeignKey(Score, models.SET_NULL, null=True, blank=True, related_name="overrides")
    value = models.PositiveSmallIntegerField(null=True, blank=True, help_text="NULL: the machine's again")
    until = models.DateTimeField(null=True, blank=True, help_text="NULL: until it is lifted")
    reason = models.CharField(max_length=300)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="crm_scoreoverride_0_to_100",
                condition=Q(value=None, until=None) | Q(value__isnull=False, value__range=(0, 100)),
            ),
            models.CheckConstraint(name="crm_scoreoverride_has_reason", condition=~Q(reason="")),
        ]

    def __str__(self) -> str:
        return f"{'-' if self.value is None else self.value}: {self.reason}"
