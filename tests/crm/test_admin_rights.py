"""Every page of the admin, of every registered model: who gets in, what foreign rows answer, what bulk acts
touch. A new model is covered the moment it is registered.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import models, transaction
from django.test import Client

from crm import permissions
from crm.admin.base import RecordAdmin
from crm.models import Lead, Role
from crm.permissions import Reach, Verb, reach
from gardenos import urls  # noqa: F401  it takes third parties' pages out
from tests.crm.test_rights import LINES, RECORDS, World, paths_of
from tests.factories import make_follow_up, make_lead, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
MODELS: list[type[models.Model]] = sorted(admin.site._registry, key=lambda model: model._meta.label)
IDS = [model._meta.label for model in MODELS]
MISSING = 2**40


def base_of(model: type[models.Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def signed_in(user: Any) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def asked(client: Client, path: str, data: dict[str, Any] | None = None) -> int:
    """The answer; fails when a refusal or a look changed a row."""
    with transaction.atomic():
        before = state_of_tables()
        response = client.post(path, data) if data is not None else client.get(path)
        if data is None or response.status_code >= 400:
            assert state_of_tables() == before, path
        transaction.set_rollback(True)
    return response.status_code


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@pytest.mark.parametrize("role", Role)
def test_each_page_opens_for_exactly_whom_its_verbs_allow(model: type[models.Model], role: Role):
    page: Any = admin.site._registry[model]
    assert isinstance(page, RecordAdmin)
    user = make_user(role, team=make_team())
    client, base = signed_in(user), base_of(model)
    enters = role in {Role.ADMIN, Role.MANAGER}
    sees = enters and reach(user, page.see_verb) != Reach.NONE
    adds = enters and page.add_verb is not None and reach(user, page.add_verb) != Reach.NONE
    refused = 403 if enters else 302
    assert asked(client, base) == (200 if sees else refused)
    assert asked(client, f"{base}add/") == (200 if adds else refused)
    for what in ("change/", "history/", "delete/"):
        assert asked(client, f"{base}{MISSING}/{what}") in {302, 403, 404}
    assert asked(client, f"{base}{MISSING}/delete/", {"post": "yes"}) in {302, 403, 404}
    for query in ("q=%00", "_popup=1", "all=", "owner__password__startswith=md5", "_to_field=nothing"):
        assert asked(client, f"{base}?{query}") in {200, 302, 400, 403}


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_nothing_is_deleted_in_bulk_not_even_with_all_selected(model: type[models.Model]):
    make_follow_up(make_lead(email="a@example.com", message="A garden?"))
    client = signed_in(make_user(Role.ADMIN))
    numbers = [*range(1, 50), MISSING]
    for more in ({}, {"select_across": "1"}, {"select_across": "__all__"}):
        form = {"action": "delete_selected", "_selected_action": numbers, "post": "yes", **more}
        with transaction.atomic():
            before = state_of_tables()
            assert client.post(base_of(model), form).status_code in {200, 302, 403}
            assert state_of_tables() == before
            transaction.set_rollback(True)


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_every_bulk_act_leaves_rows_alone_that_the_person_does_not_see(model: type[models.Model]):
    stranger = make_user(team=(theirs := make_team()))
    lead = make_lead(owner=stranger, team=theirs, email="a@example.com", message="A garden?")
    make_follow_up(lead)
    client = signed_in(make_user(Role.MANAGER, team=make_team()))
    page: Any = admin.site._registry[model]
    acts = [act if isinstance(act, str) else act.__name__ for act in page.actions or ()]
    ids = list(model._base_manager.values_list("pk", flat=True)[:50]) or [MISSING]
    for act in [*acts, "no_such_act"]:
        for more in ({}, {"select_across": "1"}):
            form = {"action": act, "_selected_action": ids, "index": "0", **more}
            with transaction.atomic():
                before = state_of_tables()
                assert client.post(base_of(model), form).status_code in {200, 302, 403}
                assert state_of_tables() == before, act
                transaction.set_rollback(True)


def _autocompletes() -> Iterator[tuple[type[models.Model], str]]:
    for model in MODELS:
        for name in admin.site._registry[model].autocomplete_fields:
            yield model, name


@pytest.mark.parametrize("role", Role)
def test_autocomplete_offers_only_rows_that_the_person_sees(role: Role):
    user = make_user(role, team=make_team())
    foreign = make_lead(name="Foreign", owner=make_user(team=(theirs := make_team())), team=theirs)
    client = signed_in(user)
    for model, name in _autocompletes():
        target = model._meta.get_field(name).related_model
        query = {
            "app_label": model._meta.app_label,
            "model_name": model._meta.model_name,
            "field_name": name,
            "term": "",
        }
        response = client.get("/admin/autocomplete/", query)
        assert response.status_code in {200, 302, 403, 404}, query
        if response.status_code == 200 and target is Lead and role != Role.ADMIN:
            assert str(foreign.pk) not in [row["id"] for row in response.json()["results"]]
        if role not in {Role.ADMIN, Role.MANAGER}:
            assert response.status_code in {302, 403}


# --- does the matrix see anything at all? -----------------------------------------------------------------

MUTATIONS = [
    (Role.MANAGER, Verb.EDIT, Reach.NONE),
    (Role.MANAGER, Verb.SEE, Reach.NONE),
    (Role.REP, Verb.EDIT, Reach.OWN_OR_POOL),
    (Role.REP, Verb.REASSIGN, Reach.NONE),
    (Role.REP, Verb.SEND, Reach.TEAM),
    (Role.REP, Verb.SET_UP, Reach.ALL),
    (Role.READ_ONLY, Verb.CREATE, Reach.OWN),
    (Role.READ_ONLY, Verb.EDIT, Reach.TEAM),
    (Role.MANAGER, Verb.SET_UP, Reach.ALL),
    (Role.MANAGER, Verb.INVITE, Reach.NONE),
]
WATCHED = (
    "POST /api/v1/leads/",
    "PATCH /api/v1/leads/{lead}/",
    "POST /api/v1/leads/{lead}/assign/",
    "PATCH /api/v1/follow-ups/{follow_up}/",
    "GET /admin/{set_up}/",
    "GET /admin/{read}/",
    "GET /admin/crm/invitation/add/",
    "GET /imports/",
    "POST /agents/{pool}/scale/",
    "POST /leads/new/",
)


def surprises(caller: str) -> list[str]:
    """Lines of WATCHED that answer otherwise than rights.txt says."""
    world, found = World(caller), []
    for line in (line for line in LINES if line.name in WATCHED):
        expected = line.answers[caller]
        records = RECORDS if len(expected) > 1 else ("own",)
        for path in paths_of(line):
            for record, wanted in zip(records, expected, strict=True):
                if wanted != "-" and (got := world.ask(line, record, path)) != wanted:
                    found.append(f"{line.name} {record}: {got}")
    return found


@pytest.mark.parametrize("caller", ["manager", "rep", "read_only"])
def test_the_watched_lines_exist_and_are_right_while_no_rule_is_changed(caller: str):
    assert {line.name for line in LINES} >= set(WATCHED)
    assert surprises(caller) == []


@pytest.mark.parametrize(("role", "verb", "to"), MUTATIONS, ids=lambda value: str(value))
def test_one_changed_rule_turns_the_matrix_red(monkeypatch: Any, role: Role, verb: Verb, to: Reach):
    monkeypatch.setitem(permissions.RIGHTS[role], verb, to)
    assert surprises(role.value)
