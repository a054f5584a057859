"""Money on its way: pipelines, their stages, opportunities, and the rates that make sums comparable."""

from datetime import datetime, timedelta
from typing import Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import ExpressionWrapper, F, Q, Value
from django.utils.translation import gettext_lazy as _

from crm import clock
from crm.errors import TransitionRefused
from crm.models.accounts import Account, Contact
from crm.models.actors import ActorKind
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import Lead, LeadSource, NextActionKind
from crm.models.ownership import LANE, WORDS, OwnedQuerySet
from crm.models.users import Team, User


class Pipeline(VersionedRecord):
    """A way from interest to order. One is the default."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    is_default = models.BooleanField(_("default"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("position", "name")
        constraints = [
            models.CheckConstraint(name="crm_pipeline_has_name", condition=~Q(name="")),
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="crm_pipeline_one_default"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class StageKind(models.TextChoices):
    OPEN = "open", _("Open")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")


class Stage(VersionedRecord):
    """A step of a pipeline. `exit_rules` names the opportunity's fields that must be filled to leave it
    forwards; `rot_days` is how long a card may lie without an event before it is called stalled.
    """

    pipeline = models.ForeignKey(Pipeline, models.PROTECT, related_name="stages", db_index=False)
    name = models.CharField(_("name"), max_length=120)
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=4, choices=StageKind, default=StageKind.OPEN)
    probability = models.PositiveSmallIntegerField(default=0, help_text=_("percent"))
    rot_days = models.PositiveSmallIntegerField(null=True, blank=True)
    wip_limit = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text=_("cards that one person may have here")
    )
    exit_rules = models.JSONField(default=list, blank=True, help_text='["amount", "expected_close"]')
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ("pipeline", "position")
        constraints = [
            models.UniqueConstraint(
                fields=["pipeline", "position"],
                name="crm_stage_position_once",
                deferrable=models.Deferrable.DEFERRED,
            ),
            models.UniqueConstraint(fields=["pipeline", "name"], name="crm_stage_name_once"),
            # Opportunity (stage, state) refers to this pair, so that an opportunity's state is its stage's.
            models.UniqueConstraint(fields=["id", "kind"], name="crm_stage_id_kind"),
            choices_known("crm_stage", "kind", StageKind.values),
            models.CheckConstraint(
                name="crm_stage_probability_fits",
                condition=Q(kind=StageKind.WON, probability=100)
                | Q(kind=StageKind.LOST, probability=0)
                | Q(kind=StageKind.OPEN, probability__range=(0, 100)),
            ),
            models.CheckConstraint(
                name="crm_stage_limits_positive",
                condition=(Q(rot_days=None) | Q(rot_days__gte=1)) & (Q(wip_limit=None) | Q(wip_limit__gte=1)),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Forecast(models.TextChoices):
    PIPELINE = "pipeline", _("Pipeline")
    BEST_CASE = "best_case", _("Best case")
    COMMIT = "commit", _("Commit")
    OMITTED = "omitted", _("Left out")


class OpportunityState(models.TextChoices):
    OPEN = "open", _("Open")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")


OPPORTUNITY_TRANSITIONS: dict[str, set[str]] = {
    OpportunityState.OPEN: {OpportunityState.WON, OpportunityState.LOST},
    OpportunityState.WON: {OpportunityState.OPEN},  # by reopen_opportunity alone
    OpportunityState.LOST: {OpportunityState.OPEN},
}


class OpportunityQuerySet(OwnedQuerySet):
    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def open(self) -> Self:
        return self.live().filter(state=OpportunityState.OPEN)

    def stalled(self, at: datetime) -> Self:
        """Open ones to which nothing has happened for as long as their stage allows."""
        allowed = F("stage__rot_days") * Value(timedelta(days=1), output_field=models.DurationField())
        last = ExpressionWrapper(Value(at) - allowed, output_field=models.DateTimeField())
        return self.open().filter(stage__rot_days__isnull=False, last_event_at__lt=last)


class Opportunity(VersionedRecord):
    """An order that may come. Its stage says how far it is; pipeline and `state` follow from the stage
    (`state` by a foreign key on the pair, so that the checks below can speak of it).
    """

    name = models.CharField(_("name"), max_length=200)
    stage = models.ForeignKey(Stage, models.PROTECT, related_name="opportunities", db_index=False)
    state = models.CharField(
        max_length=4, choices=OpportunityState, default=OpportunityState.OPEN, editable=False
    )
    stage_entered_at = models.DateTimeField(default=clock.now, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, null=True, blank=True, related_name="opportunities")
    primary_contact = models.ForeignKey(
        Contact, models.SET_NULL, null=True, blank=True, related_name="opportunities"
    )
    lead = models.ForeignKey(Lead, models.SET_NULL, null=True, blank=True, related_name="opportunities")
    source = models.ForeignKey(
        LeadSource, models.PROTECT, null=True, blank=True, related_name="opportunities", db_index=False
    )
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2, null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, default="EUR")
    probability_override = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text=_("percent; empty: the stage's")
    )
    forecast = models.CharField(max_length=9, choices=Forecast, default=Forecast.PIPELINE)
    expected_close = models.DateField(_("expected close"), null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    lost_reason = models.CharField(max_length=200, blank=True)
    next_action_at = models.DateTimeField(null=True, blank=True)
    next_action_kind = models.CharField(max_length=8, choices=NextActionKind, blank=True)
    last_event_at = models.DateTimeField(default=clock.now, editable=False, help_text="rot counts from here")
    rank = models.BigIntegerField(default=0, help_text="order within the stage, lowest first")
    owner = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="opportunities", db_index=False
    )
    team = models.ForeignKey(
        Team, models.PROTECT, null=True, blank=True, related_name="opportunities", db_index=False
    )
    deleted_at = models.DateTimeField(null=True, blank=True)
    custom = models.JSONField(default=dict, blank=True, help_text="values of CustomField, by key")
    search_text = models.TextField(default="", editable=False, help_text="folded name, account, contact")
    is_stalled = False  # not a column: set by crm.figures.board

    objects = OpportunityQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "opportunities"
        constraints = [
            models.CheckConstraint(name="crm_opportunity_has_name", condition=~Q(name="")),
            choices_known("crm_opportunity", "state", OpportunityState.values),
            choices_known("crm_opportunity", "forecast", Forecast.values),
            models.CheckConstraint(
                name="crm_opportunity_lost_has_reason",
                condition=Q(state=OpportunityState.LOST) & ~Q(lost_reason="")
                | ~Q(state=OpportunityState.LOST) & Q(lost_reason=""),
            ),
            models.CheckConstraint(
                name="crm_opportunity_closed_has_time",
                condition=Q(state=OpportunityState.OPEN, closed_at=None)
                | (~Q(state=OpportunityState.OPEN) & Q(closed_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="crm_opportunity_amount_not_negative", condition=Q(amount=None) | Q(amount__gte=0)
            ),
            models.CheckConstraint(
                name="crm_opportunity_probability_0_to_100",
                condition=Q(probability_override=None) | Q(probability_override__range=(0, 100)),
            ),
            models.CheckConstraint(
                name="crm_opportunity_next_action_whole",
                condition=Q(next_action_at=None, next_action_kind="")
                | Q(next_action_at__isnull=False, next_action_kind__in=NextActionKind.values),
            ),
        ]
        indexes = [
            models.Index(
                F("stage"), F("rank"), F("id"), name="crm_opportunity_board", condition=Q(deleted_at=None)
            ),
            models.Index(
                F("owner"),
                F("next_action_at"),
                name="crm_opportunity_owner_next",
                condition=Q(state=OpportunityState.OPEN, deleted_at=None),
            ),
            models.Index(
                F("team"),
                F("next_action_at"),
                name="crm_opportunity_team_next",
                condition=Q(state=OpportunityState.OPEN, deleted_at=None),
            ),
            models.Index(
                F("stage"),
                F("last_event_at"),
                name="crm_opportunity_stalled",
                condition=Q(state=OpportunityState.OPEN, deleted_at=None),
            ),
            models.Index(
                F("owner"),
                F("stage"),
                F("last_event_at"),
                F("id"),
                name="crm_opportunity_owner_stalled",
                condition=Q(state=OpportunityState.OPEN, deleted_at=None),
            ),
            models.Index(
                LANE,
                F("stage"),
                F("last_event_at"),
                F("id"),
                name="crm_opportunity_lane_stalled",
                condition=Q(state=OpportunityState.OPEN, deleted_at=None),
            ),
            models.Index(
                F("stage"),
                name="crm_opportunity_own_weight",
                condition=Q(state=OpportunityState.OPEN, deleted_at=None, probability_override__isnull=False),
            ),
            models.Index(F("created_at").desc(), F("id").desc(), name="crm_opportunity_created"),
            models.Index(F("closed_at").desc(), name="crm_opportunity_closed", condition=~Q(closed_at=None)),
            GinIndex(OpClass(F("search_text"), name="gin_trgm_ops"), name="crm_opportunity_search_trgm"),
            GinIndex(WORDS, name="crm_opportunity_search_words"),
            GinIndex(F("custom"), name="crm_opportunity_custom_gin"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        return self.state == OpportunityState.OPEN

    def move_to_state(self, state: OpportunityState) -> None:
        """Change state in memory; the caller sets a fitting stage and saves. Raises TransitionRefused."""
        if state not in OPPORTUNITY_TRANSITIONS[self.state]:
            raise TransitionRefused(
                _("An opportunity cannot go from %(old)s to %(new)s.")
                % {"old": self.get_state_display(), "new": OpportunityState(state).label}
            )
        self.state = state


class StageChange(Record):
    """One move of an opportunity. Append-only. The first has no `from_stage`."""

    opportunity = models.ForeignKey(Opportunity, models.CASCADE, related_name="stage_changes", db_index=False)
    from_stage = models.ForeignKey(
        Stage, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    to_stage = models.ForeignKey(Stage, models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField(default=clock.now)
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    seconds_in_from = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            choices_known("crm_stagechange", "actor_kind", ActorKind.values),
            models.CheckConstraint(
                name="crm_stagechange_duration_whole",
                condition=Q(from_stage=None, seconds_in_from=None)
                | Q(from_stage__isnull=False, seconds_in_from__isnull=False),
            ),
        ]
        indexes = [
            models.Index(F("opportunity"), F("at"), F("id"), name="crm_stagechange_of"),
            models.Index(F("to_stage"), F("at"), name="crm_stagechange_to"),
        ]

    def __str__(self) -> str:
        return f"{self.opportunity_id}: {self.from_stage_id} -> {self.to_stage_id}"


class ExchangeRate(Record):
    """On `date`, one unit of `base` is worth `rate` of `quote`; it holds until the next date."""

    base = models.CharField(max_length=3)
    quote = models.CharField(max_length=3)
    date = models.DateField()
    rate = models.DecimalField(max_digits=20, decimal_places=10)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["base", "quote", "date"], name="crm_exchangerate_once"),
            models.CheckConstraint(name="crm_exchangerate_positive", condition=Q(rate__gt=0)),
            models.CheckConstraint(name="crm_exchangerate_two_currencies", condition=~Q(base=F("quote"))),
        ]

    def __str__(self) -> str:
        return f"{self.date} {self.base}/{self.quote} {self.rate}"
