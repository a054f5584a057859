"""What all figures share: the period, and the asker's rows as a subquery for hand-written SQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from crm.models import Actor, Lead, Opportunity, User

Asker = User | Actor


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` (included) to `until` (left out); aware."""

    since: datetime
    until: datetime


def visible_ids(model: type[Lead] | type[Opportunity], who: Asker) -> tuple[str, tuple[Any, ...]]:
    """(SQL, its parameters) of the keys that the asker may see, for `id IN (...)`."""
    rows: QuerySet[Any] = model.objects.visible_to(who).order_by().values("pk")
    try:
        return rows.query.sql_with_params()
    except EmptyResultSet:  # somebody who no longer works here
        return "SELECT NULL::bigint WHERE false", ()


def rows_of(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    """The rows of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
