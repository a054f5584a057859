"""Follow-ups and the mails that carried them: read here, written and approved on the lead's page."""

from django.contrib import admin

from crm.admin.base import RecordAdmin
from crm.models import FollowUp, Message


@admin.register(FollowUp)
class FollowUpAdmin(RecordAdmin):
    """What is to be said."""

    lead_path = "lead"
    list_display = ("subject", "lead", "state", "approved_by", "created_at")
    list_select_related = ("lead", "approved_by")
    list_filter = ("state", "purpose")


@admin.register(Message)
class MessageAdmin(RecordAdmin):
    """What was sent and received."""

    lead_path = "lead"
    list_display = ("occurred_at", "direction", "state", "subject", "lead")
    list_select_related = ("lead",)
    list_filter = ("direction", "state")
