"""Pipelines with their stages, and the rates that make their sums comparable."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from crm.actions.exchange_rates import set_exchange_rate
from crm.actions.pipelines import (
    add_stage,
    archive_pipeline,
    archive_stage,
    reorder_stages,
    restore_pipeline,
    restore_stage,
    save_pipeline,
    set_default_pipeline,
    update_stage,
)
from crm.admin.base import CheckedByAction
from crm.admin.bulk import do_to_each
from crm.admin.people import SetUpAdmin
from crm.models import Actor, ExchangeRate, Pipeline, Stage


class StageForm(forms.ModelForm):
    """A stage with its place in the row; the places are numbered anew when saved."""

    place = forms.IntegerField(
        label=gettext_lazy("place"),
        required=False,
        min_value=0,
        max_value=999,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    class Meta:
        model = Stage
        fields = ("name", "kind", "probability", "rot_days", "wip_limit", "exit_rules")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["place"].initial = self.instance.position


class StageInline(TabularInline):
    """The pipeline's stages in their order. One that is no longer used goes to the archive by its action."""

    model = Stage
    form = StageForm
    fields = ("place", "name", "kind", "probability", "rot_days", "wip_limit", "exit_rules")
    ordering = ("position",)
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return SetUpAdmin.has_module_permission(admin.site._registry[Pipeline], request)  # type: ignore[arg-type]

    has_add_permission = has_change_permission = has_view_permission

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # opportunities' history refers to stages


@admin.register(Pipeline)
class PipelineAdmin(SetUpAdmin):
    """Ways from interest to order."""

    list_display = ("name", "is_default", "is_active", "position")
    search_fields = ("name",)
    ordering = ("position", "name")
    fields = ("name", "position", "is_default", "is_active")
    readonly_fields = ("is_default", "is_active")
    inlines = (StageInline,)
    actions = ("make_default", "archive", "restore")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()  # a new one begins with the usual stages

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Pipeline:
        return save_pipeline(record_id, by=actor, **changes)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)  # fills in what the change message lists
        actor, places = Actor.of(request.user), {}  # type: ignore[arg-type]
        for row in formset.forms:
            if not row.cleaned_data or not (row.instance.pk or row.has_changed()):
                continue
            names = [name for name in row.changed_data if name in StageForm.Meta.fields]
            values = {name: row.cleaned_data[name] for name in names}
            stage_id = row.instance.pk
            if stage_id is None:
                stage_id = add_stage(form.instance.pk, by=actor, **values).pk
            elif values:
                update_stage(stage_id, by=actor, **values)
            places[stage_id] = row.cleaned_data["place"] or 0
        stages = (
            Stage.objects.filter(pipeline=form.instance).order_by("position").values_list("pk", "position")
        )
        order = [pk for pk, position in sorted(stages, key=lambda s: (places.get(s[0]) or s[1], s[1]))]
        reorder_stages(form.instance.pk, by=actor, order=order)

    @admin.action(description=gettext_lazy("Make it the default"), permissions=["change"])
    def make_default(self, request: HttpRequest, rows: QuerySet[Pipeline]) -> HttpResponse | None:
        return do_to_each(self, request, rows, set_default_pipeline)

    @admin.action(description=gettext_lazy("Archive"), permissions=["change"])
    def archive(self, request: HttpRequest, rows: QuerySet[Pipeline]) -> HttpResponse | None:
        return do_to_each(self, request, rows, archive_pipeline)

    @admin.action(description=gettext_lazy("Take out of the archive"), permissions=["change"])
    def restore(self, request: HttpRequest, rows: QuerySet[Pipeline]) -> HttpResponse | None:
        return do_to_each(self, request, rows, restore_pipeline)


@admin.register(Stage)
class StageAdmin(SetUpAdmin):
    """Stages of all pipelines: found and archived here, made and put in order on their pipeline's page."""

    add_verb = None
    list_display = (
        "name",
        "pipeline",
        "position",
        "kind",
        "probability",
        "rot_days",
        "wip_limit",
        "is_active",
    )
    list_select_related = ("pipeline",)
    list_filter = ("pipeline", "kind", "is_active")
    search_fields = ("name", "pipeline__name")
    ordering = ("pipeline__position", "pipeline__name", "position")
    fields = (
        "pipeline",
        "name",
        "position",
        "kind",
        "probability",
        "rot_days",
        "wip_limit",
        "exit_rules",
        "is_active",
    )
    readonly_fields = ("pipeline", "position", "is_active")
    actions = ("archive", "restore")

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Stage:
        assert record_id is not None  # they are made on the pipeline's page
        return update_stage(record_id, by=actor, **changes)

    @admin.action(description=gettext_lazy("Archive"), permissions=["change"])
    def archive(self, request: HttpRequest, rows: QuerySet[Stage]) -> HttpResponse | None:
        return do_to_each(self, request, rows, archive_stage)

    @admin.action(description=gettext_lazy("Take out of the archive"), permissions=["change"])
    def restore(self, request: HttpRequest, rows: QuerySet[Stage]) -> HttpResponse | None:
        return do_to_each(self, request, rows, restore_stage)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(SetUpAdmin):
    """What currencies are worth, day by day."""

    form = CheckedByAction
    list_display = ("date", "base", "quote", "rate")
    list_filter = ("base", "quote")
    ordering = ("-date", "base", "quote")
    fields = ("date", "base", "quote", "rate")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("date", "base", "quote") if obj else ()  # another day or pair is another rate

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        saved = set_exchange_rate(
            by=Actor.of(request.user),  # type: ignore[arg-type]
            base=obj.base,
            quote=obj.quote,
            on=obj.date,
            rate=obj.rate,
        )
        obj.pk = saved.pk
        obj.refresh_from_db()
