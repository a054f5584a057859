"""The audit log: read by admins, and by managers as far as their people acted. Never changed."""

from django.contrib import admin

from crm.admin.base import RecordAdmin
from crm.models import AuditLog, AuditSeal
from crm.permissions import Verb


@admin.register(AuditLog)
class AuditLogAdmin(RecordAdmin):
    """Who did what beyond one record."""

    see_verb = Verb.AUDIT
    list_display = ("at", "action", "actor_label", "summary", "target", "target_id")
    list_filter = ("action", "actor_kind")
    search_fields = ("action", "target_id")
    fields = (
        "at",
        "action",
        "summary",
        "actor_kind",
        "actor",
        "actor_label",
        "target",
        "target_id",
        "data",
        "request_id",
    )

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        return super().get_queryset(request).select_related("actor")


@admin.register(AuditSeal)
class AuditSealAdmin(RecordAdmin):
    """The chain over it."""

    see_verb = Verb.SET_UP
    list_display = ("sealed_at", "first", "last", "hash")
    fields = ("sealed_at", "first", "last", "hash", "prev_hash")
