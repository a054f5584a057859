"""Leads and what belongs to them. Edited by the same action as everywhere; scores and history only read."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from crm.actions.leads import update_lead
from crm.admin.base import RecordAdmin
from crm.admin.bulk import DeletedFilter
from crm.admin.duplicates import MergeTwo
from crm.admin.lead_acts import LeadActs
from crm.admin.own_fields import OwnFieldFilters
from crm.admin.privacy import PersonActs
from crm.models import (
    Account,
    Actor,
    Contact,
    ContactPoint,
    Lead,
    LeadStatusChange,
    Opportunity,
    Score,
    ScoreOutcome,
    ScoreOverride,
    TimelineEvent,
)
from crm.permissions import Verb


@admin.register(Lead)
class LeadAdmin(OwnFieldFilters, LeadActs, MergeTwo, PersonActs):
    """Repair of a lead's own fields."""

    change_verb = Verb.EDIT
    list_display = ("name", "company", "status", "score", "owner", "source", "created_at")
    list_select_related = ("owner", "source")
    list_filter = ("status", "source", "owner", "is_ai_off", DeletedFilter)
    ordering = ("-created_at",)
    actions = (*LeadActs.actions, *MergeTwo.actions, *PersonActs.actions)
    search_fields = ("search_text",)
    fields = (
        "name",
        "company",
        "title",
        "country",
        "interest",
        "est_value",
        "currency",
        "mailing_address",
        "physical_address",
        "custom",
        "status",
        "disqualify_reason",
        "owner",
        "team",
        "source",
        "score",
        "score_source",
        "next_action_at",
        "is_ai_off",
        "created_at",
        "updated_at",
    )
    readonly_fields = fields[10:]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lead]:
        return super().get_queryset(request).select_related("owner", "team", "source")

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Lead:
        assert record_id is not None  # leads come in by receive_inquiry, never here
        return update_lead(record_id, by=actor, **changes)


@admin.register(ContactPoint)
class ContactPointAdmin(RecordAdmin):
    """Ways to reach leads and contacts."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead, "contact": Contact}
    list_display = ("raw", "kind", "lead", "contact", "is_primary", "state")
    list_select_related = ("lead", "contact")
    list_filter = ("kind", "state")


@admin.register(Score)
class ScoreAdmin(RecordAdmin):
    """Judgements, never edited."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("lead", "kind", "value", "band", "is_current", "provider", "created_at")
    list_select_related = ("lead",)
    list_filter = ("kind", "is_current")


@admin.register(ScoreOutcome)
class ScoreOutcomeAdmin(RecordAdmin):
    """What came of scored leads: how scores are graded."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("at", "lead", "score", "label", "horizon_days")
    list_select_related = ("lead", "score")
    list_filter = ("label", "horizon_days")


@admin.register(ScoreOverride)
class ScoreOverrideAdmin(RecordAdmin):
    """Where a person knew better, and why."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("created_at", "lead", "score", "value", "user", "reason")
    list_select_related = ("lead", "score", "user")


@admin.register(TimelineEvent)
class TimelineEventAdmin(RecordAdmin):
    """What happened."""

    hangs_on: ClassVar[dict[str, Any]] = {
        "lead": Lead,
        "contact": Contact,
        "account": Account,
        "opportunity": Opportunity,
    }
    list_display = (
        "occurred_at",
        "kind",
        "lead",
        "contact",
        "account",
        "opportunity",
        "actor_label",
        "summary",
    )
    list_select_related = ("lead", "contact", "account", "opportunity")
    list_filter = ("actor_kind",)


@admin.register(LeadStatusChange)
class LeadStatusChangeAdmin(RecordAdmin):
    """Moves of leads from status to status, never edited."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("at", "lead", "from_status", "to_status", "by", "seconds_in_from")
    list_select_related = ("lead", "by")
    list_filter = ("to_status",)
