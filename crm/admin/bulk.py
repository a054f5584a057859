"""Acts on many rows at once: some by their action, one transaction each; all of a list by a bulk job.

And what was deleted.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from crm.actions.bulk import start_bulk
from crm.admin.base import RecordAdmin
from crm.admin.duplicates import ask
from crm.errors import CRMError
from crm.models import Actor, Tag, User
from crm.permissions import Verb, may

MOST_AT_ONCE = 500  # rows of one request; more belong to a job


class OwnerForm(forms.Form):
    """To whom the records go."""

    owner = forms.ModelChoiceField(
        User.objects.active().order_by("name"),
        required=False,
        empty_label=gettext_lazy("nobody: back to the team's pool"),
        label=gettext_lazy("owner"),
        widget=UnfoldAdminSelectWidget,
    )


class TagForm(forms.Form):
    """Which tag."""

    tag = forms.ModelChoiceField(
        Tag.objects.order_by("name"), label=gettext_lazy("tag"), widget=UnfoldAdminSelectWidget
    )


class ReasonForm(forms.Form):
    """Why it is done."""

    reason = forms.CharField(max_length=200, label=gettext_lazy("reason"), widget=UnfoldAdminTextInputWidget)


def do_to_each(
    page: RecordAdmin,
    request: HttpRequest,
    rows: QuerySet[Any],
    act: Callable[..., Any],
    *,
    title: Any = "",
    form: type[forms.Form] | None = None,
    job: str = "",
) -> HttpResponse | None:
    """Call `act(key, by=..., **answers)` for each of the selected rows; `form`, if any, is asked first.

    Says how many were done, how many were refused, and the first refusal. More than MOST_AT_ONCE, and all of
    a list, are done by the bulk job that is called `job`, if there is one.
    """
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    is_job = job and (len(keys) > MOST_AT_ONCE or request.POST.get("select_across") == "1")
    if len(keys) > MOST_AT_ONCE and not is_job:
        messages.error(request, _("Select at most %d at a time.") % MOST_AT_ONCE)
        return None
    answers: dict[str, Any] = {}
    if form is not None:
        filled = form(request.POST if "confirmed" in request.POST else None)
        if not filled.is_valid():
            return ask(page, request, rows, title=title, form=filled)
        answers = filled.cleaned_data
    if is_job:
        _start(request, job, str(page.opts.model_name), rows, answers)
        return None
    actor, refusals = Actor.of(request.user), []  # type: ignore[arg-type]
    for key in keys:
        try:
            act(key, by=actor, **answers)
        except CRMError as refused:
            refusals.append(str(refused))
        except page.model.DoesNotExist:  # gone, or out of reach, since the list was drawn
            refusals.append(_("There is no such record, or you may not see it."))
    _say(request, len(keys) - len(refusals), refusals)
    return None


def _start(request: HttpRequest, act: str, target: str, rows: QuerySet[Any], answers: dict[str, Any]) -> None:
    """Hand the rows to a bulk job, and say where it is watched and taken back."""
    try:
        job = start_bulk(act, by=Actor.of(request.user), target=target, records=rows, **answers)  # type: ignore[arg-type]
    except CRMError as refused:
        messages.error(request, str(refused))
        return
    words = ngettext("Working on %d record.", "Working on %d records.", job.total) % job.total
    place = reverse("crm:bulk", args=[job.public_id])
    messages.success(request, format_html('{} <a href="{}">{}</a>', words, place, _("Watch, or undo")))


def _say(request: HttpRequest, done: int, refusals: list[str]) -> None:
    if done:
        messages.success(request, ngettext("Done for %d record.", "Done for %d records.", done) % done)
    if refusals:
        words = ngettext(
            "%(n)d was left as it is: %(why)s", "%(n)d were left as they are: %(why)s", len(refusals)
        )
        messages.error(request, words % {"n": len(refusals), "why": refusals[0]})


class DeletedFilter(admin.SimpleListFilter):
    """Shows what was deleted instead of what is there; SoftDeleted.get_queryset reads it."""

    title = gettext_lazy("deleted")
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", gettext_lazy("Deleted"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class SoftDeleted(RecordAdmin):
    """Records that are deleted softly: a filter shows them, an act brings them back."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        if not _shows_deleted(request):
            return super().get_queryset(request)
        assert isinstance(request.user, User)
        return self.model._default_manager.filter(deleted_at__isnull=False).in_reach_of(request.user)  # type: ignore[attr-defined]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        """A deleted record has no page."""
        return None if _shows_deleted(request) else super().get_list_display_links(request, list_display)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """A deleted record can be brought back, and nothing else."""
        acts = super().get_actions(request)
        is_deleted = _shows_deleted(request)
        return {name: act for name, act in acts.items() if (name == "restore_selected") is is_deleted}

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.DELETE)  # type: ignore[arg-type]

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request) and may(request.user, Verb.RESTORE)  # type: ignore[arg-type]


def _shows_deleted(request: HttpRequest) -> bool:
    return request.GET.get("deleted") == "yes"
