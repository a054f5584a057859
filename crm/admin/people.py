"""People, teams, sources and own fields: an admin's to set up."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from unfold.admin import TabularInline

from crm.actions.leaving import work_of
from crm.actions.set_up import (
    remove_member,
    save_custom_field,
    save_source,
    save_team,
    set_member,
    update_user,
)
from crm.admin.base import RecordAdmin
from crm.models import Actor, CustomField, LeadSource, Team, TeamMember, User
from crm.permissions import Verb


class SetUpAdmin(RecordAdmin):
    """A model that only who may set up sees and changes."""

    see_verb = Verb.SET_UP
    change_verb: Verb | None = Verb.SET_UP
    add_verb: Verb | None = Verb.SET_UP


@admin.register(User)
class UserAdmin(SetUpAdmin):
    """People who sign in. They come by invitation, so there is no page to add one."""

    add_verb = None
    list_display = ("name", "email", "role", "is_active", "is_accepting", "last_login")
    list_filter = ("role", "is_active")
    search_fields = ("name", "email")
    ordering = ("name",)
    fields = (
        "email",
        "name",
        "role",
        "is_active",
        "time_zone",
        "locale",
        "working_hours",
        "capacity",
        "is_accepting",
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Says beside the fields what would be handed back if this person were deactivated."""
        names = self.get_fields(request, obj)
        if obj is None or not obj.is_active:
            return [(None, {"fields": names})]
        counts = ", ".join(f"{count} {name}" for name, count in work_of(obj).items())
        words = _("Deactivating ends their access at once and puts into their teams' pools: %s.") % counts
        return [(None, {"fields": names, "description": words})]

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> User:
        assert record_id is not None  # people come by invitation
        return update_user(record_id, by=actor, **changes)


class RowSelect(AutocompleteSelect):
    """Autocomplete that does not ask the database for what the row was read with, once for each row."""

    shown: Model | None = None

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        if self.shown is None or list(value) != [str(self.shown.pk)]:
            return super().optgroups(name, value, attrs)
        return [(None, [self.create_option(name, self.shown.pk, str(self.shown), True, 0)], 0)]


class TeamMemberForm(forms.ModelForm):
    """Knows the person that its row shows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "user" in self.fields:
            self.fields["user"].widget.widget.shown = self.instance.user


class TeamMemberInline(TabularInline):
    """Who is in the team."""

    model = TeamMember
    form = TeamMemberForm
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[TeamMember]:
        return super().get_queryset(request).select_related("user", "team")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["widget"] = RowSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return isinstance(request.user, User) and SetUpAdmin.has_module_permission(_team_admin(), request)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(Team)
class TeamAdmin(SetUpAdmin):
    """Groups that share a pool of leads."""

    list_display = ("name", "parent", "hides_addresses", "created_at")
    list_select_related = ("parent",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "parent", "hides_addresses")
    autocomplete_fields = ("parent",)
    inlines = (TeamMemberInline,)

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Team:
        return save_team(record_id, by=actor, **changes)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)  # fills in what the change message lists
        actor = Actor.of(request.user)  # type: ignore[arg-type]
        for row in formset.forms:
            if not row.has_changed() or not row.cleaned_data:
                continue
            is_gone = row in formset.deleted_forms
            if row.instance.pk and (is_gone or "user" in row.changed_data):
                remove_member(form.instance, User.objects.get(pk=row.initial["user"]), by=actor)
            if not is_gone:
                set_member(form.instance, row.cleaned_data["user"], by=actor, role=row.cleaned_data["role"])


def _team_admin() -> TeamAdmin:
    return admin.site._registry[Team]  # type: ignore[return-value]


@admin.register(LeadSource)
class LeadSourceAdmin(SetUpAdmin):
    """Where leads come from."""

    list_display = (
        "name",
        "code",
        "kind",
        "default_team",
        "default_pipeline",
        "default_stage",
        "campaign",
        "answer_minutes",
    )
    list_select_related = ("default_team", "default_pipeline", "default_stage")
    autocomplete_fields = ("default_team", "default_pipeline", "default_stage")
    list_filter = ("kind",)
    search_fields = ("name", "code")
    ordering = ("name",)
    fields = (
        "name",
        "code",
        "kind",
        "campaign",
        "monthly_cost",
        "currency",
        "default_team",
        "default_country",
        "default_pipeline",
        "default_stage",
        "answer_minutes",
    )

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> LeadSource:
        return save_source(record_id, by=actor, **changes)


@admin.register(CustomField)
class CustomFieldAdmin(SetUpAdmin):
    """Fields of the customer's own."""

    list_display = ("label", "target", "key", "type", "read_from", "write_from", "position", "is_active")
    list_filter = ("target", "is_active")
    ordering = ("target", "position", "label")
    fields = (
        "target",
        "label",
        "key",
        "type",
        "options",
        "position",
        "is_required",
        "is_active",
        "is_scored",
        "read_from",
        "write_from",
    )

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> CustomField:
        return save_custom_field(record_id, by=actor, **changes)
