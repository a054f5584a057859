"""Organisations and people that are known beyond a lead, made and changed by the actions of all doors."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from crm.actions.accounts import create_account, create_contact, update_account, update_contact
from crm.actions.identity_owners import assign_account, assign_contact
from crm.admin.base import CheckedByAction
from crm.admin.bulk import OwnerForm, do_to_each
from crm.admin.duplicates import MergeTwo
from crm.admin.own_fields import OwnFieldFilters
from crm.admin.privacy import PersonActs
from crm.models import Account, Actor, Contact
from crm.permissions import Verb, may


class IdentityAdmin(OwnFieldFilters, MergeTwo):
    """What stays, whatever becomes of a lead. It belongs to who makes it, and is given away by an act."""

    form = CheckedByAction
    change_verb, add_verb = Verb.EDIT, Verb.CREATE
    list_select_related: Any = ("owner", "team")
    search_fields = ("search_text",)
    readonly_fields: Any = ("owner", "team", "created_at", "updated_at")
    actions: Any = ("assign", *MergeTwo.actions)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = super().get_fields(request, obj)
        return names if obj else [name for name in names if name not in self.readonly_fields]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def has_reassign_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.REASSIGN)  # type: ignore[arg-type]

    @admin.action(description=gettext_lazy("Assign"), permissions=["reassign"])
    def assign(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        act = assign_account if self.model is Account else assign_contact
        return do_to_each(self, request, rows, act, title=gettext_lazy("Assign"), form=OwnerForm)


class AccountForm(CheckedByAction):
    """An address without a scheme is one of https."""

    website = forms.URLField(
        max_length=300,
        required=False,
        assume_scheme="https",
        label=gettext_lazy("Website"),
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(Account)
class AccountAdmin(IdentityAdmin):
    """Organisations."""

    form = AccountForm
    list_display = ("name", "domain", "industry", "country", "owner", "team")
    list_filter = ("size_band", "owner")
    fields = (
        *("name", "domain", "industry", "size_band", "website", "address", "country", "custom"),
        *IdentityAdmin.readonly_fields,
    )

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Account:
        if record_id is None:
            return create_account(by=actor, **changes)
        return update_account(record_id, by=actor, **changes)


class ContactForm(CheckedByAction):
    """With the address and the number that count, which are rows of their own."""

    email = forms.CharField(
        max_length=320, required=False, label=gettext_lazy("E-mail"), widget=UnfoldAdminTextInputWidget
    )
    phone = forms.CharField(
        max_length=60, required=False, label=gettext_lazy("Phone"), widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            points = self.instance.contact_points.filter(is_primary=True).values_list("kind", "raw")
            for kind, raw in points:
                if kind in self.fields:
                    self.fields[kind].initial = raw


@admin.register(Contact)
class ContactAdmin(IdentityAdmin, PersonActs):
    """People."""

    form = ContactForm
    list_display = ("full_name", "title", "account", "lifecycle", "do_not_contact", "owner", "team")
    list_select_related = ("account", "owner", "team")
    list_filter = ("lifecycle", "do_not_contact", "owner")
    autocomplete_fields = ("account",)
    actions = (*IdentityAdmin.actions, *PersonActs.actions)
    fields = (
        *("full_name", "title", "account", "email", "phone", "country", "locale", "time_zone"),
        *("lifecycle", "do_not_contact", "custom"),
        *IdentityAdmin.readonly_fields,
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form's own fields are none of the model's."""
        kwargs["fields"] = [
            name
            for name in self.get_fields(request, obj)
            if name not in {"email", "phone", "seen_version", *self.readonly_fields}
        ]
        return super().get_form(request, obj, change, **kwargs)

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Contact:
        if record_id is None:
            return create_contact(by=actor, **changes)
        return update_contact(record_id, by=actor, **changes)
