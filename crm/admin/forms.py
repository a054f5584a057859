"""Public forms: what they ask, who may show them, and the lines to copy into a site."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.actions.capture_forms import ASKED, save_capture_form
from crm.admin.people import SetUpAdmin
from crm.models import Actor, CaptureForm


@admin.register(CaptureForm)
class CaptureFormAdmin(SetUpAdmin):
    """Public forms."""

    list_display = ("name", "slug", "source", "opt_in", "is_active")
    list_select_related = ("source",)
    list_filter = ("is_active", "opt_in")
    search_fields = ("name", "slug")
    ordering = ("name",)
    autocomplete_fields = ("source",)
    fields = (
        "name",
        "slug",
        "source",
        "fields",
        "intro",
        "button",
        "thanks",
        "consent_text",
        "consent_version",
        "opt_in",
        "allowed_origins",
        "locale",
        "is_active",
        "preview",
        "snippet",
    )
    readonly_fields = ("consent_version", "preview", "snippet")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = super().get_fields(request, obj)
        return names if obj else [name for name in names if name not in self.readonly_fields]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        asked = [("name", _("Name"), False), ("email", _("E-mail"), True), ("message", _("Message"), False)]
        fields = [{"name": name, "label": label, "is_required": must} for name, label, must in asked]
        return {"fields": fields, **super().get_changeform_initial_data(request)}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "fields":
            field.help_text = _(
                'A list such as [{"name": "email", "label": "E-mail", "is_required": true}]. Names: %s, '
                "custom:KEY for an own field."
            ) % ", ".join(ASKED)
        return field

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> CaptureForm:
        return save_capture_form(record_id, by=actor, **changes)

    @admin.display(description=gettext_lazy("Preview"))
    def preview(self, form: CaptureForm) -> str:
        address = f"{settings.SITE_URL}/f/{form.slug}/"
        return format_html('<a href="{}" target="_blank" rel="noopener">{}</a>', address, address)

    @admin.display(description=gettext_lazy("To copy into a site"))
    def snippet(self, form: CaptureForm) -> str:
        frame = f'<iframe src="{settings.SITE_URL}/f/{form.slug}/embed/" title="{form.name}"></iframe>'
        post = f'<form method="post" action="{settings.SITE_URL}/f/{form.slug}/">'
        names = ", ".join(
            [*(one["name"] for one in form.fields), *(["consent"] if form.consent_text else [])]
        )
        words = _("In a frame:"), _("Or your own form, with these field names:")
        return format_html(
            "{}<br><code>{}</code><br>{} {}<br><code>{}</code>", words[0], frame, words[1], names, post
        )
