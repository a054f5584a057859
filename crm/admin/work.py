"""Tasks, who gets which lead, and what people are told. Tasks change by the actions that all doors share."""

from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from crm import clock
from crm.actions.assignment import save_assignment_rule
from crm.actions.work import (
    cancel_task,
    complete_task,
    create_task,
    reassign_task,
    snooze_task,
    update_task,
)
from crm.admin.base import ActionForm, RecordAdmin, the_only_one
from crm.admin.bulk import do_to_each
from crm.admin.people import SetUpAdmin
from crm.models import Actor, AssignmentLog, AssignmentRule, Lead, Notification, Task, User
from crm.permissions import Reach, Verb, may_work_on, reach

ABOUT = ("lead", "opportunity", "contact")


class AssigneeForm(forms.Form):
    """Who is to do it."""

    assignee = forms.ModelChoiceField(
        User.objects.active().order_by("name"),
        label=gettext_lazy("give to"),
        widget=UnfoldAdminSelectWidget,
    )


class TaskForm(ActionForm):
    """The action says in words what a series lacks, or two records are too many; constraints give names."""

    def _get_validation_exclusions(self) -> set[str]:
        return {*super()._get_validation_exclusions(), "recurrence", *ABOUT}  # type: ignore[misc]


@admin.register(Task)
class TaskAdmin(RecordAdmin):
    """What people have to do."""

    change_verb, add_verb = Verb.EDIT, Verb.CREATE
    form = TaskForm
    list_display = ("title", "kind", "state", "due_at", "assignee", "lead", "opportunity", "priority")
    list_select_related = ("assignee", "lead", "opportunity")
    list_filter = ("state", "kind", "assignee")
    search_fields = ("title",)
    fields = (
        "title",
        "kind",
        "notes",
        "due_at",
        "remind_at",
        "priority",
        "recurrence",
        "recurs_every",
        "recurs_until",
        "assignee",
        *ABOUT,
        "state",
        "outcome",
        "done_at",
        "done_by",
        "reminded_at",
        "created_by",
    )
    readonly_fields = fields[13:]
    autocomplete_fields = ("assignee", *ABOUT)
    actions = ("complete", "snooze_a_day", "snooze_a_week", "give", "cancel")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (not isinstance(obj, Task) or may_work_on(request.user, obj))  # type: ignore[arg-type]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """What a task is about stays. Choosing among all users is for who may see them: set-up."""
        locked = [*super().get_readonly_fields(request, obj)]
        if obj is not None:
            locked += ABOUT
        if reach(request.user, Verb.SET_UP) == Reach.NONE:  # type: ignore[arg-type]
            locked.append("assignee")
        return locked

    @transaction.atomic
    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Task:
        assignee = changes.pop("assignee", None)
        if record_id is None:
            about = the_only_one(changes, ABOUT)
            return create_task(by=actor, about=about, assignee=assignee, **changes)
        if assignee is not None:
            changes["version"] = reassign_task(
                record_id, by=actor, assignee=assignee, version=changes["version"]
            ).version
        return update_task(record_id, by=actor, **changes)

    @admin.action(description=gettext_lazy("Mark as done"), permissions=["change"])
    def complete(self, request: HttpRequest, tasks: QuerySet[Task]) -> HttpResponse | None:
        return do_to_each(self, request, tasks, complete_task)

    @admin.action(description=gettext_lazy("Cancel"), permissions=["change"])
    def cancel(self, request: HttpRequest, tasks: QuerySet[Task]) -> HttpResponse | None:
        return do_to_each(self, request, tasks, cancel_task)

    @admin.action(description=gettext_lazy("Put off until tomorrow"), permissions=["change"])
    def snooze_a_day(self, request: HttpRequest, tasks: QuerySet[Task]) -> HttpResponse | None:
        return do_to_each(self, request, tasks, partial(snooze_task, until=clock.now() + timedelta(days=1)))

    @admin.action(description=gettext_lazy("Put off for a week"), permissions=["change"])
    def snooze_a_week(self, request: HttpRequest, tasks: QuerySet[Task]) -> HttpResponse | None:
        return do_to_each(self, request, tasks, partial(snooze_task, until=clock.now() + timedelta(days=7)))

    @admin.action(description=gettext_lazy("Give to somebody"), permissions=["change"])
    def give(self, request: HttpRequest, tasks: QuerySet[Task]) -> HttpResponse | None:
        return do_to_each(
            self, request, tasks, reassign_task, title=_("Give these tasks to"), form=AssigneeForm
        )


@admin.register(Notification)
class NotificationAdmin(RecordAdmin):
    """Who was told what."""

    list_display = ("created_at", "user", "kind", "text", "read_at")
    list_select_related = ("user",)
    list_filter = ("kind",)


@admin.register(AssignmentRule)
class AssignmentRuleAdmin(SetUpAdmin):
    """Who gets a new lead. The first one that fits decides."""

    list_display = ("position", "name", "method", "team", "is_active", "condition")
    list_display_links = ("name",)
    list_select_related = ("team",)
    list_filter = ("is_active", "method")
    search_fields = ("name",)
    ordering = ("position", "pk")
    fields = ("name", "position", "is_active", "condition", "method", "team", "users")
    autocomplete_fields = ("team", "users")

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> AssignmentRule:
        return save_assignment_rule(record_id, by=actor, **changes)


@admin.register(AssignmentLog)
class AssignmentLogAdmin(RecordAdmin):
    """Why a lead went to whom."""

    hangs_on: ClassVar[dict[str, Any]] = {"lead": Lead}
    list_display = ("at", "lead", "chosen", "rule", "reason")
    list_select_related = ("lead", "chosen", "rule")
    list_filter = ("rule",)
