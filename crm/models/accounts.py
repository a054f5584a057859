"""Identity: the organisations and the people that are known, beyond the lead that brought them."""

from typing import Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from crm.models.base import VersionedRecord, choices_known
from crm.models.ownership import WORDS, OwnedQuerySet
from crm.models.users import Team, User


class SizeBand(models.TextChoices):
    """Number of people who work there."""

    ONE = "1", _("1")
    TO_10 = "2-10", _("2 to 10")
    TO_50 = "11-50", _("11 to 50")
    TO_250 = "51-250", _("51 to 250")
    TO_1000 = "251-1000", _("251 to 1,000")
    MORE = "1001+", _("more than 1,000")


class IdentityQuerySet(OwnedQuerySet):
    def live(self) -> Self:
        return self.filter(merged_into=None, deleted_at=None)


class Account(VersionedRecord):
    """An organisation. Opportunities hang on it, so it cannot go while one is left."""

    name = models.CharField(_("name"), max_length=200)
    domain = models.CharField(_("domain"), max_length=253, blank=True, help_text=_("lower case, ASCII"))
    industry = models.CharField(_("industry"), max_length=120, blank=True)
    size_band = models.CharField(_("size"), max_length=8, choices=SizeBand, blank=True)
    website = models.URLField(_("website"), max_length=300, blank=True)
    address = models.TextField(_("address"), blank=True, max_length=500)
    country = models.CharField(_("country"), max_length=2, blank=True)
    owner = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="accounts", db_index=False
    )
    team = models.ForeignKey(
        Team, models.PROTECT, null=True, blank=True, related_name="accounts", db_index=False
    )
    merged_into = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="merged")
    deleted_at = models.DateTimeField(null=True, blank=True)
    custom = models.JSONField(default=dict, blank=True, help_text="values of CustomField, by key")
    search_text = models.TextField(default="", editable=False, help_text="folded name and domain")

    objects = IdentityQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(name="crm_account_has_name", condition=~Q(name="")),
            models.CheckConstraint(
                name="crm_account_size_known", condition=Q(size_band="") | Q(size_band__in=SizeBand.values)
            ),
            models.CheckConstraint(
                name="crm_account_not_merged_into_itself",
                condition=Q(merged_into=None) | ~Q(merged_into=F("id")),
            ),
        ]
        indexes = [
            models.Index(F("owner"), F("id").desc(), name="crm_account_owner"),
            models.Index(F("team"), F("id").desc(), name="crm_account_team"),
            models.Index(fields=["domain"], name="crm_account_domain", condition=~Q(domain="")),
            GinIndex(OpClass(F("search_text"), name="gin_trgm_ops"), name="crm_account_search_trgm"),
            GinIndex(WORDS, name="crm_account_search_words"),
            GinIndex(F("custom"), name="crm_account_custom_gin"),
        ]

    def __str__(self) -> str:
        return self.name


class Lifecycle(models.TextChoices):
    LEAD = "lead", _("Lead")
    OPPORTUNITY = "opportunity", _("Opportunity")
    CUSTOMER = "customer", _("Customer")
    CHURNED = "churned", _("Churned")


class Contact(VersionedRecord):
    """A person, whatever number of leads they have been."""

    full_name = models.CharField(_("name"), max_length=200)
    title = models.CharField(_("job title"), max_length=120, blank=True)
    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True, related_name="contacts")
    locale = models.CharField(_("language"), max_length=10, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    owner = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="contacts", db_index=False
    )
    team = models.ForeignKey(
        Team, models.PROTECT, null=True, blank=True, related_name="contacts", db_index=False
    )
    do_not_contact = models.BooleanField(_("do not contact"), default=False)
    lifecycle = models.CharField(max_length=11, choices=Lifecycle, default=Lifecycle.LEAD)
    merged_into = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="merged")
    deleted_at = models.DateTimeField(null=True, blank=True)
    custom = models.JSONField(default=dict, blank=True, help_text="values of CustomField, by key")
    search_text = models.TextField(
        default="", editable=False, help_text="folded name, e-mail, phone digits; kept by actions"
    )

    objects = IdentityQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(name="crm_contact_has_name", condition=~Q(full_name="")),
            choices_known("crm_contact", "lifecycle", Lifecycle.values),
            models.CheckConstraint(
                name="crm_contact_not_merged_into_itself",
                condition=Q(merged_into=None) | ~Q(merged_into=F("id")),
            ),
        ]
        indexes = [
            models.Index(F("owner"), F("id").desc(), name="crm_contact_owner"),
            models.Index(F("team"), F("id").desc(), name="crm_contact_team"),
            GinIndex(OpClass(F("search_text"), name="gin_trgm_ops"), name="crm_contact_search_trgm"),
            GinIndex(WORDS, name="crm_contact_search_words"),
            GinIndex(F("custom"), name="crm_contact_custom_gin"),
        ]

    def __str__(self) -> str:
        return self.full_name
