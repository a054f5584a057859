"""Agents' proposals and opinions: triaged replies and reviewed opportunities."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm.models.actors import Actor
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import Lead
from crm.models.messages import Message
from crm.models.pipelines import Opportunity
from crm.models.scores import FactorSource
from crm.models.users import User

RULE = "rule"  # the provider of a proposal that plain code made


class ReplyIntent(models.TextChoices):
    INTERESTED = "interested", _("Interested")
    QUESTION = "question", _("Asks a question")
    NOT_NOW = "not_now", _("Not now")
    NOT_INTERESTED = "not_interested", _("Not interested")
    OUT_OF_OFFICE = "out_of_office", _("Out of office")
    UNSUBSCRIBE = "unsubscribe", _("Wants no more mail")
    SPAM = "spam", _("Spam")


class ReplyStep(models.TextChoices):
    """What a person may accept with one click. None of it happens by itself."""

    ANSWER = "answer", _("Answer by e-mail")
    CALL = "call", _("Call")
    MEETING = "meeting", _("Propose a meeting")
    SLEEP = "sleep", _("Let the lead sleep")
    DISQUALIFY = "disqualify", _("Disqualify")
    SUPPRESS = "suppress", _("Never write to this address again")


class ProposalState(models.TextChoices):
    PROPOSED = "proposed", _("Proposed")
    ACCEPTED = "accepted", _("Accepted")
    DISMISSED = "dismissed", _("Dismissed")
    STALE = "stale", _("Out of date")


class ReplyTriageQuerySet(models.QuerySet["ReplyTriage"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Those of the leads this person may read."""
        return self.filter(lead__in=Lead.objects.visible_to(who))

    def proposed(self) -> Self:
        return self.filter(state=ProposalState.PROPOSED)


class ReplyTriage(VersionedRecord):
    """What an agent, or a rule, read in a customer's message and proposes. A person accepts or dismisses it.

    `quote` stands in the message's normalised text from `quote_start` to `quote_end`, in code points.
    """

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="reply_triages")
    message = models.ForeignKey(Message, models.CASCADE, related_name="triages")
    intent = models.CharField(max_length=14, choices=ReplyIntent)
    step = models.CharField(max_length=10, choices=ReplyStep)
    wake_on = models.DateField(null=True, blank=True, help_text="until when to let the lead sleep")
    summary = models.CharField(max_length=300)
    quote = models.CharField(max_length=400)
    quote_start = models.PositiveIntegerField()
    quote_end = models.PositiveIntegerField()
    state = models.CharField(max_length=9, choices=ProposalState, default=ProposalState.PROPOSED)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    task = models.ForeignKey(
        "ai_agents.AgentTask",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="reply_triages",
        help_text="none: a rule proposes it",
    )
    provider = models.CharField(
        max_length=20, blank=True, help_text='"scripted" marks a sample, "rule" plain code'
    )
    model = models.CharField(max_length=120, blank=True)
    prompt = models.CharField(max_length=60, blank=True)

    objects = ReplyTriageQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "reply triages"
        constraints = [
            models.UniqueConstraint(
                fields=["message"],
                condition=Q(state=ProposalState.PROPOSED),
                name="crm_replytriage_one_proposed",
            ),
            choices_known("crm_replytriage", "intent", ReplyIntent.values),
            choices_known("crm_replytriage", "step", ReplyStep.values),
            choices_known("crm_replytriage", "state", ProposalState.values),
            models.CheckConstraint(
                name="crm_replytriage_quote_has_place",
                condition=~Q(quote="") & Q(quote_end__gt=F("quote_start")),
            ),
            models.CheckConstraint(
                name="crm_replytriage_task_or_rule",
                condition=Q(task=None, provider=RULE) | (Q(task__isnull=False) & ~Q(provider=RULE)),
            ),
            models.CheckConstraint(
                name="crm_replytriage_sleep_has_date",
                condition=~Q(step=ReplyStep.SLEEP) | Q(wake_on__isnull=False),
            ),
            models.CheckConstraint(
                name="crm_replytriage_decided_by_somebody",
                condition=~Q(state__in=[ProposalState.ACCEPTED, ProposalState.DISMISSED])
                | Q(decided_by__isnull=False, decided_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_intent_display()}: {self.summary}"

    @property
    def is_sample(self) -> bool:
        return self.provider == "scripted"


class WinBand(models.TextChoices):
    """A model's percentage would claim more than it knows."""

    UNLIKELY = "unlikely", _("Unlikely, under 25 %")
    OPEN = "open", _("Open, 25 to 50 %")
    LIKELY = "likely", _("Likely, 50 to 75 %")
    VERY_LIKELY = "very_likely", _("Very likely, over 75 %")


class OpportunityReviewQuerySet(models.QuerySet["OpportunityReview"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Those of the opportunities this person may read."""
        return self.filter(opportunity__in=Opportunity.objects.visible_to(who))


class OpportunityReview(Record):
    """What an agent thinks of an opportunity: an opinion, asked for by a person. A new one retires the old.

    It changes neither stage nor forecast.
    """

    opportunity = models.ForeignKey(Opportunity, models.CASCADE, related_name="reviews")
    is_current = models.BooleanField(default=True)
    summary = models.CharField(max_length=400)
    next_step = models.CharField(max_length=200)
    band = models.CharField(max_length=11, choices=WinBand)
    dropped_risks = models.PositiveSmallIntegerField(
        default=0, help_text="risks whose quote was not found in the record"
    )
    task = models.ForeignKey("ai_agents.AgentTask", models.PROTECT, related_name="opportunity_reviews")
    provider = models.CharField(max_length=20, blank=True, help_text='"scripted" marks a sample')
    model = models.CharField(max_length=120, blank=True)
    prompt = models.CharField(max_length=60, blank=True)

    objects = OpportunityReviewQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["opportunity"],
                condition=Q(is_current=True),
                name="crm_opportunityreview_one_current",
            ),
            choices_known("crm_opportunityreview", "band", WinBand.values),
        ]

    def __str__(self) -> str:
        return f"{self.get_band_display()}: {self.summary}"

    @property
    def is_sample(self) -> bool:
        return self.provider == "scripted"


class OpportunityRisk(models.Model):
    """One risk, in the record's own words: `start` and `end` count code points of the normalised text."""

    review = models.ForeignKey(OpportunityReview, models.CASCADE, related_name="risks", db_index=False)
    position = models.PositiveSmallIntegerField(default=0)
    label = models.CharField(max_length=120)
    quote = models.CharField(max_length=400)
    source_kind = models.CharField(max_length=8, choices=FactorSource)
    source_id = models.BigIntegerField(null=True, blank=True)
    field = models.CharField(max_length=60, blank=True)
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()

    class Meta:
        ordering = ("position",)
        constraints = [
            models.UniqueConstraint(fields=["review", "position"], name="crm_opportunityrisk_position_once"),
            models.CheckConstraint(
                name="crm_opportunityrisk_has_place",
                condition=~Q(quote="")
                & Q(source_kind__in=FactorSource.values)
                & (Q(source_id__isnull=False) | ~Q(field=""))
                & Q(end__gt=F("start")),
            ),
        ]

    def __str__(self) -> str:
        return self.label
