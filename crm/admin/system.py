"""Tokens, imports and jobs."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from crm.actions.imports import preview_undo_import, undo_import
from crm.actions.tokens import revoke_token
from crm.admin.base import RecordAdmin
from crm.admin.duplicates import ask
from crm.errors import CRMError
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
    actions = ("undo",)

    def has_import_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    @admin.action(description=gettext_lazy("Undo this import"), permissions=["import"])
    def undo(self, request: HttpRequest, jobs: QuerySet[ImportJob]) -> HttpResponse | None:
        """First what it would do, then the doing, by the queue."""
        by, found = Actor.of(request.user), list(jobs[:2])  # type: ignore[arg-type]
        if len(found) != 1:
            messages.error(request, _("Select one import."))
            return None
        try:
            if "confirmed" not in request.POST:
                return ask(self, request, jobs, title=_("Undo this import"), told=_told(found[0], by))
            undo_import(found[0].pk, by=by)
        except CRMError as refused:
            messages.error(request, str(refused))
            return None
        messages.success(request, _("The import is being undone; its page shows how far it is."))
        return None


def _told(job: ImportJob, by: Actor) -> list[str]:
    """What undo would do with this import, kept rows by name."""
    count = preview_undo_import(job.pk, by=by)
    counted = _("%(removed)s leads are removed, %(restored)s rows put back, %(kept)s kept.") % {
        "removed": f"{count.removed:,}",
        "restored": f"{count.restored:,}",
        "kept": f"{count.kept:,}",
    }
    rows = [
        _("line %(line)s, %(lead)s: %(reason)s")
        % {"line": row.line_no, "lead": row.lead, "reason": row.reason}
        for row in count.examples
    ]
    return [counted, *rows]


@admin.register(Job)
class JobAdmin(RecordAdmin):
    """Long work."""

    see_verb = Verb.SET_UP
    list_display = ("kind", "state", "done", "total", "error", "created_by", "created_at", "finished_at")
    list_select_related = ("created_by",)
    list_filter = ("state",)
