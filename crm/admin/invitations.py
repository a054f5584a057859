"""Invitations: made, sent again and revoked here; never shown with their link."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.actions.invitations import invite_user, resend_invitation, revoke_invitation
from crm.admin.base import RecordAdmin
from crm.errors import CRMError
from crm.models import Actor, Invitation, Role, Team, User
from crm.permissions import Verb


@admin.register(Invitation)
class InvitationAdmin(RecordAdmin):
    """Who was asked in. Managers see those into their own teams."""

    see_verb = add_verb = Verb.INVITE
    list_display = ("email", "role", "team", "invited_by", "expires_at", "accepted_at", "revoked_at")
    list_select_related = ("team", "invited_by")
    list_filter = ("role",)
    search_fields = ("email", "name")
    fields = ("email", "name", "role", "team")
    autocomplete_fields = ("team",)
    actions = ("resend", "revoke")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Managers choose among their own teams."""
        assert isinstance(request.user, User)
        teams = Team.objects.all() if request.user.role == Role.ADMIN else Team.objects.of(request.user)
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "queryset": teams})

    def has_send_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Invitation:
        invitation, _link = invite_user(changes.pop("email"), by=actor, **changes)
        return invitation

    @admin.action(description=gettext_lazy("Send again"), permissions=["send"])
    def resend(self, request: HttpRequest, invitations: QuerySet[Invitation]) -> None:
        self._each(request, invitations, resend_invitation, _("Sent again: %s"))

    @admin.action(description=gettext_lazy("Revoke"), permissions=["send"])
    def revoke(self, request: HttpRequest, invitations: QuerySet[Invitation]) -> None:
        self._each(request, invitations, revoke_invitation, _("Revoked: %s"))

    def _each(self, request: HttpRequest, rows: QuerySet[Invitation], act: Any, words: str) -> None:
        assert isinstance(request.user, User)
        for pk, email in list(rows.values_list("pk", "email")):
            try:
                act(pk, by=Actor.of(request.user))
            except CRMError as refused:
                messages.error(request, f"{email}: {refused}")
            else:
                messages.success(request, words % email)
