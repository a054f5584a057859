"""What every admin page stands on: the same rights, record rules and actions as the other doors.

Django's permissions decide nothing here. A page is read-only unless its class names the verb and the action
that change the record; a form carries the version it showed, so that nobody overwrites what they have not
seen. Lists count to CappedPaginator.most and run no query per row.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from crm.actions.search import matching
from crm.admin.history import SHOWN, changes_of
from crm.errors import CRMError, InvalidValue
from crm.models import Actor, User
from crm.permissions import Owned, Reach, Verb, may, reach, without_kept_fields

SEEN = "seen_version"


class CappedPaginator(Paginator):
    """Counts no further than `most`, so that the last page costs little more than the first."""

    most = 2_000

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[: self.most].count()  # type: ignore[attr-defined]


class ActionForm(forms.ModelForm):
    """Remembers the version it showed, and shows what the action refused without losing what was typed."""

    request: HttpRequest  # set by RecordAdmin.get_form

    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not hasattr(self.instance, "version"):
            del self.fields[SEEN]
        elif SEEN in self.fields:
            self.fields[SEEN].initial = self.instance.version

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        refused: CRMError | None = getattr(self.request, "refused", None)
        if refused is not None:
            name = refused.field.partition(".")[0]  # custom.budget: that of the own fields
            self.add_error(name if name in self.fields else None, str(refused))
        elif (
            self.instance.pk and SEEN in self.fields and self.cleaned_data.get(SEEN) != self.instance.version
        ):
            self.add_error(None, _("Someone else changed this first. Open it again to see their values."))
        return cleaned


class CheckedByAction(ActionForm):
    """For actions that look at every value: they say in words what a constraint only names."""

    def _get_validation_exclusions(self) -> set[str]:
        return {field.name for field in self._meta.model._meta.fields}


class RecordAdmin(ModelAdmin):
    """One model's pages. Read-only as it is; see the module's docstring."""

    form = ActionForm
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    sortable_by: ClassVar[Any] = ()
    ordering: ClassVar[Any] = ("-pk",)
    compressed_fields = True

    see_verb = Verb.SEE
    change_verb: Verb | None = None
    add_verb: Verb | None = None
    hangs_on: ClassVar[dict[str, type[Owned]]] = {}  # who reads one of these records reads the row

    def save_by_action(self, actor: Actor, record_id: int | None, **changes: Any) -> Model:
        """Call the action that makes (record_id None) or changes the record; `version` is among changes."""
        raise NotImplementedError

    # --- rights ---------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        if self.hangs_on and reach(_user(request), Verb.SEE) != Reach.ALL:
            reads = Q()
            for name, model in self.hangs_on.items():
                reads |= Q(**{f"{name}__in": model._default_manager.visible_to(_user(request))})  # type: ignore[attr-defined]
            return rows.filter(reads)
        return rows.visible_to(_user(request)) if hasattr(rows, "visible_to") else rows

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _opens_admin(request) and reach(_user(request), self.see_verb) != Reach.NONE

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_module_permission(request)  # which rows: get_queryset

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if self.change_verb is None or not _opens_admin(request):
            return False
        return may(_user(request), self.change_verb, obj if isinstance(obj, Owned) else None)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.add_verb is not None and _opens_admin(request) and may(_user(request), self.add_verb)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # people are deactivated, leads disqualified; the rest is history

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what list_filter offers: any other lookup could spell out a hidden column letter by letter."""
        for item in self.list_filter if request is None else self.get_list_filter(request):
            name = item[0] if isinstance(item, tuple) else getattr(item, "parameter_name", item)
            if lookup in {name, f"{name}__exact", f"{name}__id__exact", f"{name}__isnull"}:
                return True
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Without the own fields that this person may not read. Saving goes by actions, which keep them."""
        record = super().get_object(request, object_id, from_field)
        if record is not None and isinstance(getattr(record, "custom", None), dict):
            record.custom = without_kept_fields(_user(request), str(self.opts.model_name), record.custom)
        if record is not None and isinstance(getattr(record, "payload", None), dict):
            own = without_kept_fields(_user(request), "lead", record.payload.get("custom") or {})
            record.payload = (
                {**record.payload, "custom": own} if "custom" in record.payload else record.payload
            )
        return record

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A filter's value that the database cannot hold (NUL) is a bad request."""
        try:
            return super().changelist_view(request, extra_context)
        except DataError:
            raise BadRequest("A filter's value is none that could be stored.") from None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """Also what autocomplete asks, whose form lets NUL through. What has a search text is found by it."""
        if tuple(self.search_fields) == ("search_text",):
            return (matching(queryset, search_term) if search_term.strip() else queryset), False
        return super().get_search_results(request, queryset, search_term.replace("\0", ""))

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What the triggers kept, instead of Django's log of what the admin alone did."""
        record = self.get_object(request, unquote(object_id))
        if record is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, record):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of %s") % record,
            "changes": changes_of(record),
            "shown": SHOWN,
            "object": record,
            "opts": self.opts,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/record_history.html", context)

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """Kept by the triggers and the timeline."""

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """Kept by the triggers and the timeline."""

    # --- relations ------------------------------------------------------------------------------------------

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        """A relation whose own page this person may not open gets a plain list: autocomplete would refuse."""
        pages = self.admin_site._registry
        return [
            name
            for name in super().get_autocomplete_fields(request)
            if (page := pages.get(_target(self.model, name))) and page.has_view_permission(request)  # type: ignore[arg-type]
        ]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only what this person may see can be chosen."""
        rows = db_field.remote_field.model._default_manager.all()
        if hasattr(rows, "visible_to"):
            kwargs.setdefault("queryset", rows.visible_to(_user(request)))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    # --- saving ---------------------------------------------------------------------------------------------

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = list(super().get_fields(request, obj))
        is_versioned = (
            obj is not None and hasattr(obj, "version") and self.has_change_permission(request, obj)
        )
        return [*(name for name in fields if name != SEEN), *([SEEN] if is_versioned else [])]

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        return type(form.__name__, (form,), {"request": request})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A refusal of the action becomes an error of the form, which is then shown as it was sent."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except CRMError as refused:
            request.refused = refused  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        names = form.changed_data if change else form.fields
        changes = {name: form.cleaned_data[name] for name in names if name != SEEN}
        if change and SEEN in form.cleaned_data:
            changes["version"] = form.cleaned_data[SEEN]
        saved = self.save_by_action(Actor.of(_user(request)), obj.pk, **changes)
        obj.pk = saved.pk
        obj.refresh_from_db()


def the_only_one(values: dict[str, Any], names: Sequence[str]) -> Any:
    """Take the record that something is about out of the values, or None. Raises InvalidValue for two."""
    found = [(name, record) for name in names if (record := values.pop(name, None)) is not None]
    if len(found) > 1:
        raise InvalidValue(_("Choose one record that it is about, not two."), field=found[1][0])
    return found[0][1] if found else None


def keep_only_ours(site: admin.AdminSite) -> None:
    """Unregister every page that does not stand on RecordAdmin.

    Third parties' pages know nothing of our rights; with django-q2's Schedule page its user can run any
    function. Call it once all apps are loaded.
    """
    for model, model_admin in list(site._registry.items()):
        if not isinstance(model_admin, RecordAdmin):
            site.unregister(model)


def _target(model: type[Model], name: str) -> type[Model]:
    return model._meta.get_field(name).related_model  # type: ignore[return-value]


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the admin's views let nobody else in
    return request.user


def _opens_admin(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_staff
