"""What lies beside records: notes, calls, files."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from crm.actions.attachments import add_attachment, remove_attachment
from crm.actions.audit import audit
from crm.admin.base import ActionForm, RecordAdmin, the_only_one
from crm.errors import CRMError, InvalidValue
from crm.models import Actor, Attachment, CallLog, Note, Role, User
from crm.permissions import Verb


@admin.register(Note)
class NoteAdmin(RecordAdmin):
    """Notes. An admin may open another's private one, for audit: that is written down."""

    list_display = ("created_at", "author", "lead", "opportunity", "is_private", "shown")
    list_select_related = ("author", "lead", "opportunity")
    list_filter = ("is_private",)
    fields = ("author", "lead", "contact", "account", "opportunity", "is_private", "body", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Note]:
        user = request.user
        if isinstance(user, User) and user.is_active and user.role == Role.ADMIN:
            return Note.objects.order_by("-pk")
        return super().get_queryset(request)

    @admin.display(description=gettext_lazy("note"))
    def shown(self, note: Note) -> str:
        return "" if note.is_private else note.body[:80]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        note = self.get_object(request, object_id) if object_id else None
        if isinstance(note, Note) and note.is_private and note.author_id != request.user.pk:
            who = Actor.of(request.user)  # type: ignore[arg-type]
            audit("note.read", "a private note was opened in the admin site", by=who, target=note)
        return super().changeform_view(request, object_id, form_url, extra_context)


@admin.register(CallLog)
class CallLogAdmin(RecordAdmin):
    """Calls."""

    list_display = ("occurred_at", "direction", "disposition", "seconds", "lead", "opportunity", "author")
    list_select_related = ("lead", "opportunity", "author")
    list_filter = ("direction", "disposition")


ABOUT = ("lead", "contact", "account", "opportunity")


class AttachmentForm(ActionForm):
    """A file to store, and the one record that it belongs to: the page says so in words."""

    file = forms.FileField(label=gettext_lazy("File"))

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), *ABOUT}  # type: ignore[misc]


@admin.register(Attachment)
class AttachmentAdmin(RecordAdmin):
    """Files beside records."""

    add_verb = Verb.CREATE
    list_display = (
        "file_name",
        "content_type",
        "size_bytes",
        "lead",
        "uploaded_by",
        "created_at",
        "download",
    )
    list_select_related = ("lead", "uploaded_by")
    fields = (
        "download", "file_name", "content_type", "size_bytes", "sha256", "lead", "contact", "account",
        "opportunity", "uploaded_by", "created_at",
    )  # fmt: skip
    readonly_fields = ("download",)
    autocomplete_fields = ABOUT
    actions = ("remove",)

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            kwargs |= {"form": AttachmentForm, "fields": ABOUT}
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ["file", *ABOUT] if obj is None else super().get_fields(request, obj)

    @admin.display(description=gettext_lazy("download"))
    def download(self, attachment: Attachment) -> str:
        address = reverse("crm:attachment", args=[attachment.public_id])
        return format_html('<a href="{}">{}</a>', address, _("Download"))

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Attachment:
        about, file = the_only_one(changes, ABOUT), changes["file"]
        if about is None:
            raise InvalidValue(_("Choose the record that it belongs to."), field="lead")
        return add_attachment(about, by=actor, file=file, file_name=file.name)

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    @admin.action(description=gettext_lazy("Remove"), permissions=["remove"])
    def remove(self, request: HttpRequest, attachments: QuerySet[Attachment]) -> None:
        done = 0
        for attachment in attachments.order_by("pk")[:200]:
            try:
                remove_attachment(attachment.pk, by=Actor.of(request.user))  # type: ignore[arg-type]
                done += 1
            except CRMError as refused:
                messages.error(request, f"{attachment.file_name}: {refused}")
        if done:
            messages.success(request, ngettext("%d file removed.", "%d files removed.", done) % done)
