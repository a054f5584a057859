"""How people find things again: saved views and tags."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from crm.models.accounts import Account, Contact
from crm.models.actors import Actor
from crm.models.base import Record, VersionedRecord, choices_known
from crm.models.leads import FieldTarget, Lead
from crm.models.ownership import exactly_one
from crm.models.pipelines import Opportunity
from crm.models.users import Team, User


class Layout(models.TextChoices):
    LIST = "list", _("List")
    BOARD = "board", _("Board")


class Sharing(models.TextChoices):
    USER = "user", _("Only me")
    TEAM = "team", _("My team")
    ALL = "all", _("Everybody")


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def visible_to(self, who: User | Actor) -> Self:
        """Own ones, those shared with a team of this person, and those shared with everybody."""
        user = who.user if isinstance(who, Actor) else who
        if user is None:
            return self
        if not user.is_active:
            return self.none()
        mine = Q(owner=user) | Q(shared_with=Sharing.ALL)
        return self.filter(mine | Q(shared_with=Sharing.TEAM, team__members__user=user)).distinct()


class SavedView(VersionedRecord):
    """A list as somebody likes it. `filters` are the list's own query parameters, checked when used."""

    owner = models.ForeignKey(User, models.CASCADE, related_name="views", db_index=False)
    name = models.CharField(_("name"), max_length=120)
    target = models.CharField(max_length=12, choices=FieldTarget, default=FieldTarget.LEAD)
    filters = models.JSONField(default=dict, blank=True)
    columns = models.JSONField(default=list, blank=True)
    sort = models.CharField(max_length=60, blank=True)
    layout = models.CharField(max_length=5, choices=Layout, default=Layout.LIST)
    shared_with = models.CharField(max_length=4, choices=Sharing, default=Sharing.USER)
    team = models.ForeignKey(Team, models.CASCADE, null=True, blank=True, related_name="views")
    position = models.PositiveSmallIntegerField(default=0)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        ordering = ("position", "name")
        constraints = [
            models.UniqueConstraint(F("owner"), F("target"), Lower("name"), name="crm_savedview_name_once"),
            choices_known("crm_savedview", "target", FieldTarget.values),
            choices_known("crm_savedview", "layout", Layout.values),
            choices_known("crm_savedview", "shared_with", Sharing.values),
            models.CheckConstraint(name="crm_savedview_has_name", condition=~Q(name="")),
            models.CheckConstraint(
                name="crm_savedview_team_when_shared",
                condition=Q(shared_with=Sharing.TEAM, team__isnull=False)
                | (~Q(shared_with=Sharing.TEAM) & Q(team=None)),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TagColour(models.TextChoices):
    GREY = "grey", _("Grey")
    GREEN = "green", _("Green")
    BLUE = "blue", _("Blue")
    AMBER = "amber", _("Amber")
    RED = "red", _("Red")


class Tag(VersionedRecord):
    """A word that people stick on records."""

    name = models.CharField(_("name"), max_length=60)
    colour = models.CharField(max_length=5, choices=TagColour, default=TagColour.GREY)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(Lower("name"), name="crm_tag_name_once"),
            choices_known("crm_tag", "colour", TagColour.values),
            models.CheckConstraint(name="crm_tag_has_name", condition=~Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name


class Tagging(Record):
    """A tag on a record. Lists filter by EXISTS on it."""

    tag = models.ForeignKey(Tag, models.CASCADE, related_name="taggings")
    lead = models.ForeignKey(
        Lead, models.CASCADE, null=True, blank=True, related_name="taggings", db_index=False
    )
    contact = models.ForeignKey(
        Contact, models.CASCADE, null=True, blank=True, related_name="taggings", db_index=False
    )
    account = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="taggings", db_index=False
    )
    opportunity = models.ForeignKey(
        Opportunity, models.CASCADE, null=True, blank=True, related_name="taggings", db_index=False
    )

    class Meta:
        constraints = [
            exactly_one("crm_tagging", "lead", "contact", "account", "opportunity"),
            *(
                models.UniqueConstraint(
                    fields=[owner, "tag"],
                    condition=Q(**{f"{owner}__isnull": False}),
                    name=f"crm_tagging_once_per_{owner}",
                )
                for owner in ("lead", "contact", "account", "opportunity")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tag_id}"
