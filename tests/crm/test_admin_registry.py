"""One walk over every registered page of the admin: relations are looked up, lists cost the same for any
number of rows, every page opens for an admin and shows nobody else what they may not see.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteMixin
from django.db import IntegrityError, connection, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm.models import Role, SavedView, Stage, Team, TeamMember, User
from gardenos import urls  # noqa: F401  it takes third parties' pages out
from tests.crm.valid_rows import SPECIAL, a, values_of
from tests.factories import make_admin, make_team, make_user

pytestmark = pytest.mark.django_db
FEW, MANY = 3, 30
INLINES: dict[type[models.Model], str] = {TeamMember: "team", Stage: "pipeline"}  # rows -> their page's field
SEEN_BY_ALL: dict[type[models.Model], dict[str, Any]] = {SavedView: {"shared_with": "all"}}


class Rows:
    """Makes many rows of any model, each pointing to rows of its own, so that a query per row shows."""

    def __init__(self) -> None:
        self._pools: dict[type[models.Model], list[Any]] = {}

    def of(self, model: type[models.Model]) -> list[Any]:
        if model not in self._pools:
            self._pools[model] = []  # a circle ends here
            wanted = self._relations(model)
            self._pools[model] = model._default_manager.bulk_create(
                model(**self._values(model, wanted, n)) for n in range(MANY)
            )
        return self._pools[model]

    def _relations(self, model: type[models.Model]) -> dict[str, list[Any]]:
        """The relations that a row of it may have all at once, and what they may point to."""
        wanted: dict[str, list[Any]] = {}
        given = SPECIAL[model]() if model in SPECIAL else {}
        for field in model._meta.local_concrete_fields:
            if not isinstance(field, models.ForeignKey) or field.name in given:
                continue
            if field.related_model is model or not (pool := self.of(field.related_model)):  # type: ignore[arg-type]
                continue
            if not field.null or self._holds(model, {**wanted, field.name: pool}):
                wanted[field.name] = pool
        return wanted

    def _holds(self, model: type[models.Model], wanted: dict[str, list[Any]]) -> bool:
        try:
            with transaction.atomic():
                model._default_manager.create(**self._values(model, wanted, 0))
                transaction.set_rollback(True)
        except IntegrityError:
            return False
        return True

    def _values(self, model: type[models.Model], wanted: dict[str, list[Any]], n: int) -> dict[str, Any]:
        given = {name: pool[n] for name, pool in wanted.items()}
        return values_of(model, **given, **SEEN_BY_ALL.get(model, {}))


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def plain_choices(response: Any) -> Iterator[str]:
    """Relations that a person would have to find in a list of all rows."""
    inlines = [one.formset.empty_form for one in response.context["inline_admin_formsets"]]
    for form in (response.context["adminform"].form, *inlines):
        for name, field in form.fields.items():
            widget = getattr(field.widget, "widget", field.widget)
            if isinstance(field, forms.ModelChoiceField) and not isinstance(
                widget, AutocompleteMixin | forms.HiddenInput
            ):
                yield name


def counted(client: Client, path: str) -> tuple[Any, int]:
    with CaptureQueriesContext(connection) as seen:
        response = client.get(path)
    text = " ".join(query["sql"] for query in seen)
    assert text.count("COUNT(*)") <= text.count("LIMIT 2000"), f"{path} counts all rows"
    return response, len(seen)


def test_lists_cost_the_same_and_forms_look_relations_up(monkeypatch: pytest.MonkeyPatch):
    rows, wrong = Rows(), list[str]()
    client = signed_in(make_admin())
    manager = signed_in(make_user(Role.MANAGER, team=make_team()))
    outside = [signed_in(make_user(role, team=make_team())) for role in (Role.REP, Role.READ_ONLY)]
    client.get("/admin/")  # what is looked up once is looked up now
    for model, page in admin.site._registry.items():
        name, base = model._meta.label, f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        row, counts = rows.of(model)[-1], []
        for size in (FEW, MANY):
            monkeypatch.setattr(page, "list_per_page", size)
            response, count = counted(client, base)
            shown = len(response.context["cl"].result_list) if response.status_code == 200 else 0
            if shown != size:
                wrong.append(f"{name} list: {response.status_code}, {shown} of {size} rows")
            counts.append(count)
        if counts[0] != counts[1]:
            wrong.append(f"{name} list: {counts[0]} statements for {FEW} rows, {counts[1]} for {MANY}")
        pages = [f"{base}{row.pk}/change/", f"{base}{row.pk}/history/"]
        pages += [f"{base}add/"] if page.add_verb is not None else []  # type: ignore[attr-defined]
        for path in pages:
            response = client.get(path)
            if response.status_code != 200:
                wrong.append(f"{path}: {response.status_code}")
            elif not path.endswith("/history/"):
                wrong += [f"{path}: {field} is a list of all rows" for field in plain_choices(response)]
        foreign = pages[:2] if model not in SEEN_BY_ALL else []
        wrong += [f"{path} opens for a manager" for path in foreign if manager.get(path).status_code == 200]
        wrong += [
            f"{path} is not refused" for one in outside for path in pages if one.get(path).status_code != 302
        ]
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize("model", INLINES, ids=lambda model: model._meta.label)
def test_a_page_with_many_rows_on_it_costs_the_same(model: type[models.Model]):
    client = signed_in(make_admin())
    parent = a(model._meta.get_field(INLINES[model]).related_model)  # type: ignore[arg-type]
    path = f"/admin/crm/{parent._meta.model_name}/{parent.pk}/change/"
    client.get(path)
    counts = []
    for n in range(1, MANY + 1):
        a(model, **{INLINES[model]: parent})
        if n in {FEW, MANY}:
            response, count = counted(client, path)
            assert [len(one.formset.forms) for one in response.context["inline_admin_formsets"]] == [n]
            counts.append(count)
    assert counts[0] == counts[1]


def test_the_walk_sees_a_query_per_row_and_a_plain_choice(monkeypatch: pytest.MonkeyPatch):
    def members(team: Team) -> int:
        return len(team.members.all())

    page = admin.site._registry[Team]
    monkeypatch.setattr(page, "list_display", ("name", members))
    monkeypatch.setattr(page, "autocomplete_fields", ())
    monkeypatch.setattr(admin.site, "_registry", {Team: page})
    with pytest.raises(AssertionError, match=r"statements for 3 rows[^$]*parent is a list of all rows"):
        test_lists_cost_the_same_and_forms_look_relations_up(monkeypatch)
