"""The arrows of a lead's life in the admin's list: each asks what it needs, then calls the action."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from crm.actions.ai_switch import switch_ai
from crm.actions.conversion import convert_lead
from crm.actions.conversion_offers import conversion_offers
from crm.actions.lead_plans import default_plan
from crm.actions.leads import (
    assign_lead,
    delete_lead,
    disqualify_lead,
    reopen_lead,
    restore_lead,
    snooze_lead,
)
from crm.actions.tags import tag_record, untag_record
from crm.admin.bulk import OwnerForm, ReasonForm, SoftDeleted, TagForm, do_to_each
from crm.admin.duplicates import ask
from crm.errors import CRMError
from crm.models import Actor, Lead
from crm.permissions import Verb, may

NEW, NONE = "new", "none"
PARTS = (
    ("contact", gettext_lazy("Contact")),
    ("account", gettext_lazy("Account")),
    ("opportunity", gettext_lazy("Opportunity")),
)


class SnoozeForm(forms.Form):
    """Until when the leads sleep."""

    until = forms.DateTimeField(
        label=gettext_lazy("until"), widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"})
    )
    reason = forms.CharField(
        max_length=200, required=False, label=gettext_lazy("reason"), widget=UnfoldAdminTextInputWidget
    )


class LeadActs(SoftDeleted):
    """A list of leads on which people act. One lead that refuses does not hold back the others."""

    actions: Any = (
        *("convert", "assign", "disqualify", "reopen", "snooze"),
        *("stick_tag", "take_tag_off", "ai_off", "ai_on"),
        *("remove_selected", "restore_selected"),
    )

    def has_reassign_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.REASSIGN)  # type: ignore[arg-type]

    @admin.action(description=gettext_lazy("Assign"), permissions=["reassign"])
    def assign(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        title = gettext_lazy("Assign")
        return do_to_each(self, request, rows, assign_lead, title=title, form=OwnerForm, job="assign")

    @admin.action(description=gettext_lazy("Disqualify"), permissions=["change"])
    def disqualify(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        title = gettext_lazy("Disqualify")
        return do_to_each(
            self, request, rows, disqualify_lead, title=title, form=ReasonForm, job="disqualify"
        )

    @admin.action(description=gettext_lazy("Reopen"), permissions=["change"])
    def reopen(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        def act(lead_id: int, *, by: Actor) -> Lead:
            return reopen_lead(lead_id, by=by, **default_plan())

        return do_to_each(self, request, rows, act)

    @admin.action(description=gettext_lazy("Snooze"), permissions=["change"])
    def snooze(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        title = gettext_lazy("Snooze")
        return do_to_each(self, request, rows, snooze_lead, title=title, form=SnoozeForm, job="snooze")

    @admin.action(description=gettext_lazy("Tag"), permissions=["change"])
    def stick_tag(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        act = partial(tag_record, "lead")
        return do_to_each(self, request, rows, act, title=gettext_lazy("Tag"), form=TagForm, job="tag")

    @admin.action(description=gettext_lazy("Take a tag off"), permissions=["change"])
    def take_tag_off(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        act, title = partial(untag_record, "lead"), gettext_lazy("Take a tag off")
        return do_to_each(self, request, rows, act, title=title, form=TagForm, job="untag")

    @admin.action(description=gettext_lazy("No AI: let no agent read them"), permissions=["change"])
    def ai_off(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        return do_to_each(self, request, rows, partial(switch_ai, is_off=True))

    @admin.action(description=gettext_lazy("Let agents read them"), permissions=["change"])
    def ai_on(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        return do_to_each(self, request, rows, partial(switch_ai, is_off=False))

    @admin.action(description=gettext_lazy("Delete"), permissions=["remove"])
    def remove_selected(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        return do_to_each(self, request, rows, delete_lead)

    @admin.action(description=gettext_lazy("Restore"), permissions=["restore"])
    def restore_selected(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        return do_to_each(self, request, rows, restore_lead)

    @admin.action(description=gettext_lazy("Convert"), permissions=["change"])
    def convert(self, request: HttpRequest, rows: QuerySet[Lead]) -> HttpResponse | None:
        leads = list(rows[:2])
        if len(leads) != 1:
            messages.error(request, _("Select one row."))
            return None
        by = Actor.of(request.user)  # type: ignore[arg-type]
        form, offered = _conversion_form(
            leads[0], request.POST if "confirmed" in request.POST else None, by=by
        )
        if not form.is_valid():
            return ask(self, request, rows, title=_("Convert"), form=form)
        parts = {name: offered[name][form.cleaned_data[name]] for name, _label in PARTS}
        try:
            convert_lead(leads[0].pk, by=by, **parts)
        except (CRMError, Lead.DoesNotExist) as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("%s is converted.") % leads[0])
        return None


def _conversion_form(lead: Lead, data: Any, *, by: Actor) -> tuple[forms.Form, dict[str, dict[str, Any]]]:
    """A form with a choice for each part, the best offer first; and what each choice stands for."""
    offers = conversion_offers(lead, by=by)
    form = forms.Form(data)
    offered: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {
        "contact": offers.contacts,
        "account": offers.accounts,
        "opportunity": offers.opportunities,
    }
    for name, label in PARTS:
        offered[name] = {str(row.pk): row for row in found[name]} | {NEW: {}}
        choices = [*((str(row.pk), str(row)) for row in found[name]), (NEW, _new(lead, name))]
        if name != "contact":
            offered[name][NONE] = None
            choices.append((NONE, _("None")))
        else:  # a new one in so many words: without any, it would be the one that the lead hangs on already
            offered[name][NEW] = {"full_name": lead.name}
        form.fields[name] = forms.ChoiceField(choices=choices, label=label, widget=UnfoldAdminSelectWidget)
    return form, offered


def _new(lead: Lead, part: str) -> str:
    name = {"contact": lead.name, "account": lead.company, "opportunity": lead.interest or lead.name}[part]
    return _("New: %s") % (name or "–")
