"""Tags and saved views."""

from typing import Any

from django.contrib import admin

from crm.actions.tags import save_tag
from crm.admin.base import RecordAdmin
from crm.models import Actor, SavedView, Tag
from crm.permissions import Verb


@admin.register(Tag)
class TagAdmin(RecordAdmin):
    """Words that people stick on records."""

    change_verb = add_verb = see_verb = Verb.SET_UP
    list_display = ("name", "colour", "created_at")
    list_filter = ("colour",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "colour")

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Tag:
        return save_tag(record_id, by=actor, **changes)


@admin.register(SavedView)
class SavedViewAdmin(RecordAdmin):
    """Lists as people like them: read here, saved beside the list."""

    see_verb = Verb.SET_UP
    list_display = ("name", "target", "owner", "shared_with", "team", "updated_at")
    list_select_related = ("owner", "team")
    list_filter = ("target", "shared_with")
    search_fields = ("name",)
    autocomplete_fields = ("owner", "team")
