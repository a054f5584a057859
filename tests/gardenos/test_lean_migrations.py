"""`migrate` renders few of the historical models, and what it makes is what Django's own makes."""

import pytest
from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from gardenos.lean_migrations import LeanExecutor, LeanState, pointed_to
from tests.gardenos.test_migrations import catalogue


@pytest.fixture(scope="module")
def usual() -> ProjectState:
    return MigrationLoader(None).project_state()


def lean(usual: ProjectState) -> LeanState:
    return LeanState(usual.models, usual.real_apps).clone()


def rendered(state: LeanState) -> set[str]:
    return {model._meta.label for known in state.apps.all_models.values() for model in known.values()}


def as_told(model: type[models.Model]) -> tuple[object, ...]:
    """All that an operation may ask a model for."""
    meta = model._meta
    return (
        meta.db_table,
        [(field.name, field.column, field.db_type(connection)) for field in meta.local_fields],
        sorted(
            f"{relation.related_model._meta.label}.{relation.field.name}" for relation in meta.related_objects
        ),
        sorted(thing.name for thing in (*meta.constraints, *meta.indexes)),
    )


def test_a_model_comes_with_what_it_points_to_and_no_other(usual: ProjectState):
    state = lean(usual)
    state.apps.get_model("crm", "TeamMember")
    assert rendered(state) == {"crm.TeamMember", "crm.Team", "crm.User"}
    with pytest.raises(LookupError):
        state.apps.get_model("crm", "Nothing")


def test_every_model_is_told_as_django_tells_it(usual: ProjectState):
    state = lean(usual)
    lead = state.apps.get_model("crm.Lead")
    assert as_told(lead) == as_told(usual.apps.get_model("crm.Lead")), (
        "also who points to it, though not asked for"
    )
    known = {model._meta.label: as_told(model) for model in usual.apps.get_models(include_auto_created=True)}
    assert {m._meta.label: as_told(m) for m in state.apps.get_models(include_auto_created=True)} == known


def test_a_change_is_seen_by_the_state_after_it_and_not_by_the_one_before(usual: ProjectState):
    before = lean(usual)
    before.apps.get_model("crm", "Lead")
    after = before.clone()
    after.apps.get_model("crm", "Lead")
    migrations.AddField("lead", "made", models.IntegerField(null=True)).state_forwards("crm", after)
    assert "made" in {field.name for field in after.apps.get_model("crm", "Lead")._meta.fields}
    assert "made" not in {field.name for field in before.apps.get_model("crm", "Lead")._meta.fields}
    migrations.DeleteModel("TeamMember").state_forwards("crm", after)
    with pytest.raises(LookupError):
        after.apps.get_model("crm", "TeamMember")


def test_keys_to_oneself_and_through_a_table_are_followed(usual: ProjectState):
    assert ("crm", "team") in set(pointed_to(usual.models["crm", "team"]))
    assert ("crm", "user") in set(pointed_to(usual.models["crm", "assignmentrule"]))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_database_that_djangos_own_migrate_makes_is_the_same(
    owners_rights: None, monkeypatch: pytest.MonkeyPatch
):
    latest, first = catalogue(), []
    for back, forward in ((MigrationExecutor, LeanExecutor), (LeanExecutor, MigrationExecutor)):
        monkeypatch.setattr(migrate, "MigrationExecutor", back)
        try:
            call_command("migrate", "crm", "0002", verbosity=0)
            first.append(catalogue())
            monkeypatch.setattr(migrate, "MigrationExecutor", forward)
        finally:
            call_command("migrate", verbosity=0)
        assert catalogue() == latest
    assert first[0] == first[1] != latest
