"""Records that may be the same person or organisation, and what was merged into what."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm.models.accounts import Account, Contact
from crm.models.actors import ActorKind
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import Lead
from crm.models.users import User


class MergeTarget(models.TextChoices):
    LEAD = "lead", _("Leads")
    CONTACT = "contact", _("Contacts")
    ACCOUNT = "account", _("Accounts")


class CandidateState(models.TextChoices):
    OPEN = "open", _("To be decided")
    MERGED = "merged", _("Merged")
    DISMISSED = "dismissed", _("Not the same")


def _pair(target: str) -> Q:
    others = {f"{kind}_{side}": None for kind in MergeTarget.values if kind != target for side in ("a", "b")}
    both = {f"{target}_{side}__isnull": False for side in ("a", "b")}  # a < NULL would be unknown, and pass
    return Q(target=target, **{f"{target}_a__lt": F(f"{target}_b")}, **both, **others)


class DuplicateCandidate(VersionedRecord):
    """Two records that may be one: a < b, once per pair. `score` 0 to 100; `reasons` are sentences."""

    target = models.CharField(max_length=7, choices=MergeTarget, default=MergeTarget.LEAD)
    lead_a = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="+", db_index=False)
    lead_b = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="+")
    contact_a = models.ForeignKey(
        Contact, models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    contact_b = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="+")
    account_a = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    account_b = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    score = models.PositiveSmallIntegerField()
    reasons = models.JSONField(default=list)
    state = models.CharField(max_length=9, choices=CandidateState, default=CandidateState.OPEN)
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            choices_known("crm_duplicatecandidate", "target", MergeTarget.values),
            choices_known("crm_duplicatecandidate", "state", CandidateState.values),
            models.CheckConstraint(
                name="crm_duplicatecandidate_a_before_b",
                condition=_pair("lead") | _pair("contact") | _pair("account"),
            ),
            models.CheckConstraint(
                name="crm_duplicatecandidate_score_0_to_100", condition=Q(score__range=(0, 100))
            ),
            *(
                models.UniqueConstraint(
                    fields=[f"{target}_a", f"{target}_b"],
                    condition=Q(target=target),
                    name=f"crm_duplicatecandidate_{target}s_once",
                )
                for target in MergeTarget.values
            ),
        ]
        indexes = [
            # Deleting a record asks for its pairs; the rule against doubles knows them by target only.
            *(
                models.Index(
                    fields=[f"{target}_a"],
                    name=f"crm_candidate_{target}_a",
                    condition=Q(**{f"{target}_a__isnull": False}),
                )
                for target in ("lead", "contact", "account")
            ),
            models.Index(
                F("score").desc(),
                F("id").desc(),
                name="crm_duplicatecandidate_open",
                condition=Q(state=CandidateState.OPEN),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} {self.score}"


class MergeLog(Record):
    """A merge, with all that it takes to undo it.

    `loser` is the record's row as it was; `winner_before` the winner's values that were changed, and
    `winner_after` what the merge made of them, so that undo knows a later edit; `moved` the ids of the rows
    that changed hands, by table and column; `removed` whole rows that were dropped because the winner had
    their like; `altered` values of rows that lost a mark (primary, current) or were rewritten, by table, row
    and column; `created` the ids of rows that the merge itself wrote; `keys` the match keys that each had.
    `winner_version` and `loser_version`: as the merge left them.
    """

    target = models.CharField(max_length=7, choices=MergeTarget)
    winner_lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="+")
    loser_lead = models.ForeignKey(Lead, models.CASCADE, null=True, blank=True, related_name="+")
    winner_contact = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="+")
    loser_contact = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="+")
    winner_account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    loser_account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    winner_before = models.JSONField(default=dict)
    winner_after = models.JSONField(default=dict)
    loser = models.JSONField(default=dict)
    moved = models.JSONField(default=dict)
    removed = models.JSONField(default=dict)
    altered = models.JSONField(default=dict)
    created = models.JSONField(default=dict)
    keys = models.JSONField(default=dict, help_text='{"winner": [[kind, value], ...], "loser": [...]}')
    winner_version = models.PositiveIntegerField(default=1)
    loser_version = models.PositiveIntegerField(default=1)
    actor_kind = models.CharField(max_length=8, choices=ActorKind)
    by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    expires_at = models.DateTimeField(help_text="until then it may be undone")
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            choices_known("crm_mergelog", "target", MergeTarget.values),
            choices_known("crm_mergelog", "actor_kind", ActorKind.values),
            models.CheckConstraint(
                name="crm_mergelog_two_of_a_kind",
                condition=Q(
                    ~Q(winner_lead=F("loser_lead")),
                    target="lead",
                    winner_lead__isnull=False,
                    loser_lead__isnull=False,
                )
                | Q(
                    ~Q(winner_contact=F("loser_contact")),
                    target="contact",
                    winner_contact__isnull=False,
                    loser_contact__isnull=False,
                )
                | Q(
                    ~Q(winner_account=F("loser_account")),
                    target="account",
                    winner_account__isnull=False,
                    loser_account__isnull=False,
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} {self.created_at:%Y-%m-%d}"
