"""Inquiries as they came in, spam and failed ones too; and what leads are recognised by."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from crm.actions.inquiries import REASON_LENGTH, accept_inquiry, mark_as_spam
from crm.actions.search_stages import keys_of_text
from crm.admin.base import RecordAdmin
from crm.admin.bulk import do_to_each
from crm.models import Inquiry, KeyKind, MatchKey
from crm.permissions import Verb, may


class WithoutConsentForm(forms.Form):
    """Why the inquiry may be used although its sender did not agree."""

    without_consent = forms.CharField(
        max_length=REASON_LENGTH,
        label=gettext_lazy("Why this is right"),
        help_text=gettext_lazy(
            "Kept in the lead's story with your name. The sender's consent stays missing."
        ),
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(Inquiry)
class InquiryAdmin(RecordAdmin):
    """What came in, as it came in. A manager also sees what would go into the pool of their team."""

    list_display = ("received_at", "channel", "source", "state", "why", "lead", "words")
    list_select_related = ("source", "lead")
    list_filter = ("state", "channel", "source")
    ordering = ("-received_at",)
    fields = (
        *("received_at", "channel", "source", "form", "state", "lead", "error"),
        *("spam_score", "spam_reasons", "message", "payload", "utm", "idempotency_key"),
    )
    actions = ("mark_spam", "accept", "accept_without_consent")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Inquiry]:
        return super().get_queryset(request).select_related("source", "lead", "form")

    @admin.display(description=gettext_lazy("words"))
    def words(self, inquiry: Inquiry) -> str:
        return inquiry.message[:80]

    @admin.display(description=gettext_lazy("why it is kept apart"))
    def why(self, inquiry: Inquiry) -> str:
        return " ".join([inquiry.error, *inquiry.spam_reasons]).strip()[:160]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.EDIT)  # type: ignore[arg-type]

    @admin.action(description=gettext_lazy("Mark as spam"), permissions=["decide"])
    def mark_spam(self, request: HttpRequest, rows: QuerySet[Inquiry]) -> HttpResponse | None:
        return do_to_each(self, request, rows, mark_as_spam)

    @admin.action(description=gettext_lazy("Not spam: accept"), permissions=["decide"])
    def accept(self, request: HttpRequest, rows: QuerySet[Inquiry]) -> HttpResponse | None:
        return do_to_each(self, request, rows, accept_inquiry)

    @admin.action(description=gettext_lazy("Accept without consent"), permissions=["decide"])
    def accept_without_consent(self, request: HttpRequest, rows: QuerySet[Inquiry]) -> HttpResponse | None:
        title = _("Accept without the sender's consent?")
        return do_to_each(self, request, rows, accept_inquiry, title=title, form=WithoutConsentForm)


@admin.register(MatchKey)
class MatchKeyAdmin(RecordAdmin):
    """What records are recognised by: derived, so never edited; see `manage.py rebuild_match_keys`."""

    list_display = ("value", "kind", "lead", "contact", "account")
    list_select_related = ("lead", "contact", "account")
    list_filter = ("kind",)
    search_fields = ("value",)
    search_help_text = gettext_lazy("A whole e-mail address, phone number or domain.")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MatchKey], search_term: str
    ) -> tuple[QuerySet[MatchKey], bool]:
        """Whole values only: an index leads to them, whatever their number."""
        if not (value := search_term.replace("\0", "").strip().lower()):
            return queryset, False
        found: Any = keys_of_text(value)
        kinds, values = ([found[0]], found[1]) if found else (KeyKind.values, [value])
        return queryset.filter(kind__in=kinds, value__in=values), False
