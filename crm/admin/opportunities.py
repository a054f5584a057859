"""Opportunities and what happened to them. Where one lies is changed by moving it, never by a field."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from crm.actions.opportunities import (
    assign_opportunity,
    create_opportunity,
    delete_opportunity,
    restore_opportunity,
    update_opportunity,
)
from crm.actions.opportunity_moves import (
    lose_opportunity,
    move_opportunity,
    reopen_opportunity,
    win_opportunity,
)
from crm.actions.reviews import request_review
from crm.admin.base import CheckedByAction, RecordAdmin
from crm.admin.bulk import DeletedFilter, OwnerForm, ReasonForm, SoftDeleted, do_to_each
from crm.admin.own_fields import OwnFieldFilters
from crm.models import Actor, Opportunity, OpportunityReview, Stage, StageChange, StageKind
from crm.permissions import Verb, may


class StageChoice(forms.ModelChoiceField):
    """Stages with their pipeline's name, for two pipelines may have a stage of the same name."""

    def label_from_instance(self, stage: Any) -> str:
        return f"{stage.pipeline}: {stage}"


class StageForm(forms.Form):
    """Where the opportunities go."""

    stage = StageChoice(
        Stage.objects.filter(kind=StageKind.OPEN, is_active=True, pipeline__is_active=True)
        .select_related("pipeline")
        .order_by("pipeline__position", "pipeline__name", "position"),
        label=gettext_lazy("stage"),
        widget=UnfoldAdminSelectWidget,
    )


@admin.register(Opportunity)
class OpportunityAdmin(OwnFieldFilters, SoftDeleted):
    """Orders that may come."""

    form = CheckedByAction
    change_verb, add_verb = Verb.EDIT, Verb.CREATE
    list_display = ("name", "stage", "state", "amount", "currency", "owner", "account", "expected_close")
    list_select_related = ("stage", "owner", "account")
    list_filter = ("state", "stage", "forecast", "owner", DeletedFilter)
    search_fields = ("search_text",)
    autocomplete_fields = ("account", "primary_contact", "source")
    fields = (
        "name",
        "account",
        "primary_contact",
        "source",
        "amount",
        "currency",
        "probability_override",
        "forecast",
        "expected_close",
        "custom",
        "stage",
        "state",
        "lost_reason",
        "closed_at",
        "lead",
        "owner",
        "team",
        "next_action_at",
        "next_action_kind",
        "last_review",
        "created_at",
        "updated_at",
    )
    readonly_fields = fields[10:]
    actions = ("assign", "move", "win", "lose", "reopen", "review", "remove_selected", "restore_selected")

    @admin.display(description=gettext_lazy("review"))
    def last_review(self, card: Opportunity) -> str:
        """What an agent thinks of it, as plain text, with the words that each risk rests on."""
        review = card.reviews.filter(is_current=True).prefetch_related("risks").first()
        if review is None:
            return "-"
        lines = [str(review), _("Next: %s") % review.next_step]
        lines += [f"{risk.label}: “{risk.quote}”" for risk in review.risks.all()]
        return "\n".join(lines)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one begins on top of its pipeline's first stage."""
        names = super().get_fields(request, obj)
        return names if obj else [name for name in names if name not in self.readonly_fields]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Opportunity]:
        related = ("stage", "owner", "team", "lead", "account", "primary_contact", "source")
        return super().get_queryset(request).select_related(*related)

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Opportunity:
        if record_id is None:
            return create_opportunity(by=actor, **changes)
        return update_opportunity(record_id, by=actor, **changes)

    def has_reassign_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.REASSIGN)  # type: ignore[arg-type]

    @admin.action(description=gettext_lazy("Assign"), permissions=["reassign"])
    def assign(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        title = gettext_lazy("Assign")
        return do_to_each(self, request, rows, assign_opportunity, title=title, form=OwnerForm, job="assign")

    @admin.action(description=gettext_lazy("Move to a stage"), permissions=["change"])
    def move(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        title = gettext_lazy("Move to a stage")
        return do_to_each(self, request, rows, move_opportunity, title=title, form=StageForm, job="stage")

    @admin.action(description=gettext_lazy("Mark as won"), permissions=["change"])
    def win(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        return do_to_each(self, request, rows, win_opportunity)

    @admin.action(description=gettext_lazy("Mark as lost"), permissions=["change"])
    def lose(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        title = gettext_lazy("Mark as lost")
        return do_to_each(self, request, rows, lose_opportunity, title=title, form=ReasonForm)

    @admin.action(description=gettext_lazy("Reopen"), permissions=["change"])
    def reopen(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        title = gettext_lazy("Reopen")
        return do_to_each(self, request, rows, reopen_opportunity, title=title, form=StageForm)

    @admin.action(description=gettext_lazy("Ask OpportunityAgent for a review"), permissions=["change"])
    def review(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        return do_to_each(self, request, rows, request_review)

    @admin.action(description=gettext_lazy("Delete"), permissions=["remove"])
    def remove_selected(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        return do_to_each(self, request, rows, delete_opportunity)

    @admin.action(description=gettext_lazy("Bring back"), permissions=["restore"])
    def restore_selected(self, request: HttpRequest, rows: QuerySet[Opportunity]) -> HttpResponse | None:
        return do_to_each(self, request, rows, restore_opportunity)


@admin.register(StageChange)
class StageChangeAdmin(RecordAdmin):
    """Moves of opportunities, never edited."""

    list_display = ("at", "opportunity", "from_stage", "to_stage", "by", "seconds_in_from")
    list_select_related = ("opportunity", "from_stage", "to_stage", "by")
    list_filter = ("to_stage",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StageChange]:
        visible = Opportunity.objects.visible_to(request.user)  # type: ignore[arg-type]
        return super().get_queryset(request).filter(opportunity__in=visible)


@admin.register(OpportunityReview)
class OpportunityReviewAdmin(RecordAdmin):
    """What agents thought of opportunities, never edited."""

    list_display = ("created_at", "opportunity", "band", "next_step", "is_current")
    list_select_related = ("opportunity",)
    list_filter = ("band", "is_current")
