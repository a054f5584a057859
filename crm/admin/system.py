"""Tokens, imports and jobs."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy, ngettext

from crm.actions.tokens import revoke_token
from crm.admin.base import RecordAdmin
from crm.models import Actor, ApiToken, ImportJob, Job
from crm.permissions import Verb


@admin.register(ApiToken)
class ApiTokenAdmin(RecordAdmin):
    """Programs' ways in. Made by `manage.py create_api_token`, shut here."""

    see_verb = Verb.SET_UP
    list_display = ("name", "user", "scopes", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    fields = ("name", "user", "key", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    @admin.action(description=gettext_lazy("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        ids = list(tokens.values_list("pk", flat=True))
        for token_id in ids:
            revoke_token(token_id, by=Actor.of(request.user))  # type: ignore[arg-type]
        done = ngettext("%d token opens nothing any more.", "%d tokens open nothing any more.", len(ids))
        messages.success(request, done % len(ids))


@admin.register(ImportJob)
class ImportJobAdmin(RecordAdmin):
    """Files of leads."""

    see_verb = Verb.IMPORT
    list_display = (
        "file_name",
        "state",
        "rows_total",
        "rows_created",
        "rows_failed",
        "created_by",
        "created_at",
    )
    list_select_related = ("created_by",)
    list_filter = ("state",)


@admin.register(Job)
class JobAdmin(RecordAdmin):
    """Long work."""

    see_verb = Verb.SET_UP
    list_display = ("kind", "state", "done", "total", "created_by", "created_at")
    list_select_related = ("created_by",)
    list_filter = ("state",)
