"""Own fields that some roles alone read, or fill in, at each door that shows, finds, exports or changes."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from ai_agents.actions.lead_facts import features_now
from ai_agents.agents.facts import Wanted, facts_of
from crm import clock
from crm.actions.imports import map_import
from crm.actions.leads import update_lead
from crm.actions.set_up import save_custom_field
from crm.errors import ImportRefused, InvalidValue
from crm.models import Actor, CustomField, Lead, Role
from tests.factories import make_admin, make_import, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
SECRET = "forty-two percent"


class Scene:
    """A lead with a field for managers, one that reps read and managers fill in, and one for everybody."""

    def __init__(self) -> None:
        self.team = make_team()
        self.people = {role: make_user(role, team=self.team) for role in Role}
        fields = (("margin", Role.MANAGER, Role.MANAGER), ("grade", Role.REP, Role.MANAGER))
        for key, read, write in (*fields, ("size", Role.READ_ONLY, Role.REP)):
            CustomField.objects.create(target="lead", key=key, label=key, read_from=read, write_from=write)
        custom = {"margin": SECRET, "grade": "A", "size": "Large"}
        self.lead = make_lead(owner=self.people[Role.REP], team=self.team, custom=custom)
        self.api, self.page = f"/api/v1/leads/{self.lead.public_id}/", f"/leads/{self.lead.public_id}/"

    def client(self, role: Role) -> Client:
        client = Client(raise_request_exception=False)
        client.force_login(self.people[role])
        return client

    def change(self, role: Role, **custom: Any) -> int:
        version = Lead.objects.get(pk=self.lead.pk).version
        answer = self.client(role).patch(
            self.api,
            {"custom": custom},
            content_type="application/json",
            headers={"If-Match": f'"{version}"'},
        )
        return answer.status_code


READ = {
    Role.ADMIN: {"margin", "grade", "size"},
    Role.MANAGER: {"margin", "grade", "size"},
    Role.REP: {"grade", "size"},
    Role.READ_ONLY: {"size"},
}


def test_each_role_reads_its_fields_and_finds_by_them_alone():
    scene = Scene()
    for role, keys in READ.items():
        client = scene.client(role)
        assert set(client.get(scene.api).json()["custom"]) == keys
        assert (SECRET in client.get(scene.page).content.decode()) is ("margin" in keys)
        for path in ("/api/v1/leads/?custom:margin=x", "/leads/?custom:margin=x"):
            assert client.get(path).status_code == (200 if "margin" in keys else 400)


def test_a_field_that_one_may_not_fill_in_stays_and_one_that_one_may_not_read_is_none():
    scene = Scene()
    assert scene.change(Role.REP, grade="B") == 403
    assert scene.change(Role.REP, margin="B") == 400  # as for a field that there is not
    assert scene.change(Role.REP, grade="A", size="Small") == 200  # unchanged
    assert scene.change(Role.MANAGER, grade="B") == 200
    assert Lead.objects.get(pk=scene.lead.pk).custom == {"margin": SECRET, "grade": "B", "size": "Small"}
    path = f"{scene.page}fields/custom:grade/"
    answer = scene.client(Role.REP).post(
        path, {"value": "C", "version": "9", "was": "B"}, headers={"HX-Request": "true"}
    )
    assert "not fill it in" in answer.content.decode()
    path = f"{scene.page}fields/custom:margin/"
    assert scene.client(Role.REP).post(path, {"value": "C", "version": "9", "was": ""}).status_code == 404


def test_exports_imports_and_forms_hold_to_it():
    scene = Scene()
    body = {"target": "lead", "format": "csv", "columns": ["name", "custom:margin"]}
    asked = {
        role: scene.client(role).post("/api/v1/exports/", body, content_type="application/json")
        for role in READ
    }
    assert {role: answer.status_code for role, answer in asked.items()} == {
        Role.ADMIN: 202, Role.MANAGER: 202, Role.REP: 400, Role.READ_ONLY: 403,
    }  # fmt: skip
    job = make_import(scene.people[Role.REP])
    for key in ("margin", "grade"):
        with pytest.raises(ImportRefused, match="may not fill in") as refused:
            map_import(job.pk, by=Actor.of(scene.people[Role.REP]), mapping={"Name": f"custom:{key}"})
        assert refused.value.field == "Name"
    map_import(job.pk, by=Actor.of(scene.people[Role.REP]), mapping={"Name": "custom:size"})


def test_the_admin_shows_a_manager_what_managers_read():
    scene = Scene()
    CustomField.objects.filter(key="margin").update(read_from=Role.ADMIN, write_from=Role.ADMIN)
    update_lead(scene.lead.pk, by=Actor.of(make_admin()), custom={"margin": f"{SECRET} more"})
    for role in (Role.ADMIN, Role.MANAGER):
        for what in ("change", "history"):
            shown = scene.client(role).get(f"/admin/crm/lead/{scene.lead.pk}/{what}/")
            assert shown.status_code == 200
            assert (SECRET in shown.content.decode()) is (role == Role.ADMIN), (role, what)


def test_agents_read_what_everybody_reads():
    """Their reasons quote the record to whoever sees the lead."""
    scene = Scene()
    assert {one.key for one in features_now() if one.key.startswith("custom:")} == {"custom:size"}
    (facts,) = facts_of([Wanted(scene.lead.pk)], today=clock.now())
    assert "Large" in str(facts)
    assert SECRET not in str(facts)


def test_who_may_not_read_a_field_cannot_be_made_to_fill_it_in():
    admin = Actor.of(make_admin())
    field = save_custom_field(None, by=admin, target="lead", key="margin", label="Margin")
    assert (field.read_from, field.write_from) == (Role.READ_ONLY, Role.REP)
    with pytest.raises(InvalidValue, match="must be able to read"):
        save_custom_field(field.pk, by=admin, read_from=Role.ADMIN)
    for wrong in ({"read_from": "admin"}, {"write_from": "read_only"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            CustomField.objects.filter(pk=field.pk).update(**wrong)
    save_custom_field(field.pk, by=admin, read_from=Role.ADMIN, write_from=Role.ADMIN, is_required=True)
    rep = make_user(team=make_team())
    client = Client()
    client.force_login(rep)
    made = client.post(
        "/api/v1/leads/", {"name": "Ada", "email": "a@b.example"}, content_type="application/json"
    )
    assert made.status_code == 201, "nobody is asked for what they may not fill in"
