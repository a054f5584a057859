"""Follow-ups and the mails that carried them: read here, written and approved on the lead's page."""

from typing import Any, ClassVar

from django.contrib import admin

from crm.admin.base import RecordAdmin
from crm.models import FollowUp, Lead, Message, ReplyTriage


@admin.register(FollowUp)
class FollowUpAdmin(RecordAdmin):
    """What is to be said."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("subject", "lead", "state", "approved_by", "created_at")
    list_select_related = ("lead", "approved_by")
    list_filter = ("state", "purpose")


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    """What was sent and received."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("occurred_at", "direction", "state", "subject", "lead")
    list_select_related = ("lead",)
    list_filter = ("direction", "state")


@admin.register(ReplyTriage)
class ReplyTriageAdmin(RecordAdmin):
    """What an agent proposed about a reply, and what a person decided: on the lead's page."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("created_at", "lead", "intent", "step", "wake_on", "state", "decided_by")
    list_select_related = ("lead", "decided_by")
    list_filter = ("intent", "state")
