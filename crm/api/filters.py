"""Query parameters are checked like a body: known names, one value each, of the right type."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from django_filters.utils import translate_validation
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request


def refuse_unknown(request: Request, known: Iterable[str], *, repeatable: Iterable[str] = ()) -> None:
    """Raises ValidationError (400) for a parameter we do not know, given twice, or empty."""
    known = set(known)
    errors = {}
    for name, values in request.query_params.lists():
        if name not in known:
            errors[name] = [_("There is no such parameter here.")]
        elif len(values) > 1 and name not in repeatable:
            errors[name] = [_("This parameter is given more than once.")]
        elif not all(values):
            errors[name] = [_("This parameter needs a value.")]
    if errors:
        raise ValidationError({_shown(name): reasons for name, reasons in errors.items()}, code="unknown")


def _shown(name: str) -> str:
    return name[:100].replace("\0", "\\0")


class StrictFilterBackend(filters.DjangoFilterBackend):
    """django-filter, except that a page without filters does not pay for building the form."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        names = filter_names(view)
        if not any(name in request.query_params for name in names):
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        if not filterset.is_valid():
            raise translate_validation(filterset.errors)
        return filterset.qs


def filter_names(view: Any) -> set[str]:
    """The filters this view offers."""
    filterset = getattr(view, "filterset_class", None)
    return set(filterset.base_filters) if filterset else set()


def moment_of(text: str) -> datetime | None:
    """The aware time that an RFC 3339 text names, or None; without an offset it names none."""
    try:
        moment = parse_datetime(text) if len(text) <= 40 else None
    except ValueError:
        return None
    return moment if moment is not None and moment.utcoffset() is not None else None


class Rfc3339Field(forms.Field):
    """A point in time with its offset, as in 2026-03-01T09:00:00Z."""

    def to_python(self, value: str | None) -> datetime | None:
        moment = moment_of(value) if value else None
        if value and moment is None:
            raise forms.ValidationError(_("A time with its offset, for example 2026-03-01T09:00:00Z."))
        return moment


class TimeFilter(filters.Filter):
    field_class = Rfc3339Field


class PersonField(forms.Field):
    """A user's public id, or `me`, or `none`."""

    def to_python(self, value: str | None) -> UUID | str | None:
        if not value or value in {"me", "none"}:
            return value or None
        try:
            return UUID(value)
        except ValueError as error:
            raise forms.ValidationError(_("The public id of a user, `me` or `none`.")) from error


class PersonFilter(filters.Filter):
    """`?owner=me`: the caller; `?owner=none`: nobody; else a user's public id."""

    field_class = PersonField

    def filter(self, qs: QuerySet, value: UUID | str | None) -> QuerySet:
        if value is None:
            return qs
        if value == "me":
            return qs.filter(**{self.field_name: self.parent.request.user.pk})
        if value == "none":
            return qs.filter(**{f"{self.field_name}__isnull": True})
        return qs.filter(**{f"{self.field_name}__public_id": value})


class WholeNumberFilter(filters.Filter):
    """A whole number within `min_value` and `max_value`."""

    field_class = forms.IntegerField
