"""Lists narrowed by own fields of which there are words to choose from."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from crm.actions.custom_fields import custom_condition
from crm.actions.custom_filters import CUSTOM
from crm.errors import InvalidValue
from crm.models import CustomField, FieldType, acting

MOST = 12  # filters of one list


class OwnFieldFilters:
    """Adds to a list's filters those of choices and of yes or no. One query a request."""

    def get_list_filter(self, request: HttpRequest) -> Sequence[Any]:
        known = getattr(request, "own_field_filters", None)
        if known is None:
            target = str(self.model._meta.model_name)  # type: ignore[attr-defined]
            fields = CustomField.objects.filter(
                target=target, is_active=True, type__in=[FieldType.CHOICE, FieldType.BOOLEAN]
            )
            known = [_filter_of(field) for field in fields.visible_to(acting())[:MOST]]
            request.own_field_filters = known  # type: ignore[attr-defined]
        return [*super().get_list_filter(request), *known]  # type: ignore[misc]


def _filter_of(field: CustomField) -> type[admin.SimpleListFilter]:
    """A filter for one field, as its kind of list wants it."""

    class OwnFieldFilter(admin.SimpleListFilter):
        title = field.label
        parameter_name = f"{CUSTOM}{field.key}"

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            if field.type == FieldType.BOOLEAN:
                return [("true", _("Yes")), ("false", _("No"))]
            return [(option, option) for option in field.options]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            value = self.value()
            if not value:
                return queryset
            try:
                return queryset.filter(custom_condition(field, "", value))
            except InvalidValue:
                return queryset.none()

    return OwnFieldFilter
