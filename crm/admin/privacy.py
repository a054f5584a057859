"""What people allowed and forbade, and requests to be told or forgotten. Each act calls its action."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from crm.actions.consents import lift_suppression, record_consent, suppress, withdraw_consent
from crm.actions.privacy_requests import approve_request, carry_out_erasure, refuse_request, request_privacy
from crm.admin.base import CheckedByAction, RecordAdmin
from crm.admin.bulk import ReasonForm, do_to_each
from crm.admin.duplicates import ask
from crm.admin.people import SetUpAdmin
from crm.models import Actor, Consent, ErasureLedger, PrivacyKind, PrivacyRequest, Suppression
from crm.permissions import Verb, may


class AddressForm(CheckedByAction):
    """An address as people write it; the action brings it to its normal form."""

    address = forms.CharField(
        max_length=320, label=gettext_lazy("Address"), widget=UnfoldAdminTextInputWidget
    )


class AddedAddress(RecordAdmin):
    """A model whose rows are made of an address, and never changed."""

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            names = [name for name in self.get_fields(request) if name != "address"]
            kwargs |= {"form": AddressForm, "fields": names}
        return super().get_form(request, obj, change, **kwargs)


@admin.register(Consent)
class ConsentAdmin(AddedAddress):
    """Who agreed to what. Rows are never changed: taking it back is a row more, and the newest counts."""

    add_verb = Verb.EDIT
    list_display = ("at", "norm", "channel", "purpose", "state", "basis", "lead", "contact")
    list_select_related = ("lead", "contact")
    list_filter = ("state", "channel", "basis")
    autocomplete_fields = ("lead", "contact")
    fields = (
        *("at", "state", "channel", "norm", "purpose", "basis", "lead", "contact", "form"),
        *("text", "text_version", "evidence"),
    )
    actions = ("withdraw",)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            return ["channel", "address", "purpose", "basis", "lead", "contact", "text"]
        return super().get_fields(request, obj)

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Consent:
        return record_consent(by=actor, evidence={"entered": "by hand"}, **changes)

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    @admin.action(description=gettext_lazy("Write down that it was taken back"), permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, rows: QuerySet[Consent]) -> HttpResponse | None:
        return do_to_each(self, request, rows, withdraw_consent)


class NoteForm(forms.Form):
    """Why an address may be written to again."""

    note = forms.CharField(max_length=200, label=gettext_lazy("reason"), widget=UnfoldAdminTextInputWidget)


@admin.register(Suppression)
class SuppressionAdmin(SetUpAdmin, AddedAddress):
    """Addresses that must not be written to."""

    change_verb = None
    list_display = ("norm", "channel", "reason", "note", "by", "created_at")
    list_select_related = ("by",)
    list_filter = ("channel", "reason")
    fields = ("channel", "norm", "reason", "note", "by", "created_at")
    actions = ("lift",)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ["channel", "address", "reason", "note"] if obj is None else super().get_fields(request, obj)

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Suppression:
        return suppress(changes.pop("channel"), changes.pop("address"), by=actor, **changes)

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    @admin.action(description=gettext_lazy("May be written to again"), permissions=["lift"])
    def lift(self, request: HttpRequest, rows: QuerySet[Suppression]) -> HttpResponse | None:
        title = gettext_lazy("May be written to again")
        return do_to_each(self, request, rows, lift_suppression, title=title, form=NoteForm)


class PrivacyForm(forms.Form):
    """What somebody asked for."""

    kind = forms.ChoiceField(
        choices=PrivacyKind, label=gettext_lazy("what they ask for"), widget=UnfoldAdminSelectWidget
    )
    reason = forms.CharField(
        max_length=200, required=False, label=gettext_lazy("reason"), widget=UnfoldAdminTextInputWidget
    )


class PersonActs(RecordAdmin):
    """A list of people, in whose name an export or an erasure can be asked for."""

    actions: Any = ("ask_privacy",)

    def has_privacy_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.PRIVACY_REQUEST)  # type: ignore[arg-type]

    @admin.action(description=gettext_lazy("Ask for export or erasure"), permissions=["privacy"])
    def ask_privacy(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        def act(key: int, *, by: Actor, kind: str, reason: str) -> PrivacyRequest:
            person: Any = self.model._default_manager.visible_to(by).get(pk=key)  # type: ignore[attr-defined]
            return request_privacy(kind, by=by, reason=reason, **{str(self.model._meta.model_name): person})

        title = gettext_lazy("Ask for export or erasure")
        return do_to_each(self, request, rows, act, title=title, form=PrivacyForm)


@admin.register(PrivacyRequest)
class PrivacyRequestAdmin(RecordAdmin):
    """Who asked to be told or forgotten. Asked for in the lists of leads and contacts; an admin decides."""

    see_verb = Verb.PRIVACY_REQUEST
    list_display = ("created_at", "kind", "state", "requested_by", "approved_by", "done_at", "reason")
    list_select_related = ("requested_by", "approved_by")
    list_filter = ("kind", "state")
    fields = (
        *("kind", "state", "reason", "lead_ids", "contact_ids"),
        *("requested_by", "approved_by", "done_at", "counts", "created_at"),
    )
    actions = ("approve", "refuse", "erase")

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.PRIVACY_APPROVE)  # type: ignore[arg-type]

    @admin.action(description=gettext_lazy("Approve"), permissions=["approve"])
    def approve(self, request: HttpRequest, rows: QuerySet[PrivacyRequest]) -> HttpResponse | None:
        return do_to_each(self, request, rows, approve_request)

    @admin.action(description=gettext_lazy("Refuse"), permissions=["approve"])
    def refuse(self, request: HttpRequest, rows: QuerySet[PrivacyRequest]) -> HttpResponse | None:
        return do_to_each(self, request, rows, refuse_request, title=gettext_lazy("Refuse"), form=ReasonForm)

    @admin.action(description=gettext_lazy("Erase these people"), permissions=["approve"])
    def erase(self, request: HttpRequest, rows: QuerySet[PrivacyRequest]) -> HttpResponse | None:
        """First who and how much, then the doing."""
        if "confirmed" in request.POST:
            return do_to_each(self, request, rows, carry_out_erasure)
        told = [
            _("%(kind)s, asked by %(who)s on %(day)s: %(leads)d leads and %(contacts)d contacts, for good.")
            % {
                "kind": row.get_kind_display(),
                "who": row.requested_by or _("the operator"),
                "day": f"{row.created_at:%Y-%m-%d}",
                "leads": len(row.lead_ids),
                "contacts": len(row.contact_ids),
            }
            for row in rows[:20]
        ]
        return ask(self, request, rows, title=_("Erase these people"), told=told)


@admin.register(ErasureLedger)
class ErasureLedgerAdmin(SetUpAdmin):
    """Who was erased, without saying who. Written by erasure alone."""

    change_verb = add_verb = None
    list_display = ("erased_at", "request", "replayed_at")
    list_select_related = ("request",)
    fields = ("erased_at", "request", "replayed_at", "lead_ids", "contact_ids", "address_hashes")
