"""An own field that is required: who makes a record fills it in, nobody empties it, nothing is lost."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from crm.actions.accounts import create_account, create_contact, update_account, update_contact
from crm.actions.base import undo
from crm.actions.conversion import convert_lead
from crm.actions.intake import receive_inquiry
from crm.actions.leads import update_lead
from crm.actions.opportunities import create_opportunity, update_opportunity
from crm.errors import InvalidValue
from crm.models import (
    Actor,
    Channel,
    CustomField,
    FieldType,
    ImportRow,
    Inquiry,
    Lead,
)
from tests.crm.imports.files import counts, csv_of, run
from tests.crm.web.pages import HTMX, signed_in
from tests.crm.web.test_forms import make_form, send
from tests.factories import actor, make_admin, make_lead, make_source

pytestmark = pytest.mark.django_db


def needed(target: str = "lead", key: str = "budget", **fields: Any) -> CustomField:
    return CustomField.objects.create(
        **{"target": target, "key": key, "label": "Budget", "type": FieldType.NUMBER, "is_required": True}
        | fields
    )


def lead_of(*, by: Actor, **payload: Any) -> Lead:
    return receive_inquiry(channel=Channel.MANUAL, payload={"name": "Ida", **payload}, by=by).lead


WAYS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "lead": (lead_of, update_lead),
    "account": (lambda **values: create_account(name="Moss", **values), update_account),
    "contact": (lambda **values: create_contact(full_name="Ida", **values), update_contact),
    "opportunity": (lambda **values: create_opportunity(name="Roof", **values), update_opportunity),
}


@pytest.mark.parametrize("target", WAYS)
def test_a_person_fills_it_in_and_nobody_empties_it(target: str):
    make, change = WAYS[target]
    needed(target)
    by = actor(make_admin())
    with pytest.raises(InvalidValue, match="“Budget” is needed") as refused:
        make(by=by)
    assert refused.value.field == "custom.budget"
    record = make(by=by, custom={"budget": 7})
    for empty in (None, ""):
        with pytest.raises(InvalidValue) as refused:
            change(record.pk, by=by, custom={"budget": empty})
        assert refused.value.field == "custom.budget"
    assert change(record.pk, by=by, custom={"budget": 8}).custom == {"budget": 8}


@pytest.mark.parametrize("target", WAYS)
def test_a_record_from_before_it_was_required_can_be_worked_with(target: str):
    make, change = WAYS[target]
    by = actor(make_admin())
    record = make(by=by)
    field = needed(target)
    needed(target, key="size", label="Size")
    name = {"contact": "full_name"}.get(target, "name")
    assert getattr(change(record.pk, by=by, **{name: "Another"}), name) == "Another"
    filled = change(record.pk, by=by, custom={"budget": 7})  # one at a time
    undo(filled.undo_offer.public_id, by=by)
    assert type(record)._default_manager.get(pk=record.pk).custom == {}
    field.is_active = False
    field.save()
    CustomField.objects.filter(key="size").update(is_required=False)
    assert make(by=by).custom == {}, "a retired field asks nobody"


def test_converting_and_the_system_ask_nobody():
    for target in ("account", "contact", "opportunity"):
        needed(target)
    made = convert_lead(make_lead(name="Ida").pk, by=actor(make_admin()), contact={}, opportunity={})
    assert (made.contact.custom, made.opportunity.custom) == ({}, {})
    needed("lead")
    assert lead_of(by=Actor.system()).custom == {}


def test_who_asks_again_is_known_without_it():
    needed()
    by = actor(make_admin())
    lead_of(by=by, email="ida@example.com", custom={"budget": 7})
    assert lead_of(by=by, email="ida@example.com").custom == {"budget": 7}


def test_the_page_of_a_new_lead_asks_for_it():
    needed()
    needed(key="size", label="Size", type=FieldType.CHOICE, options=["S", "L"], position=1)
    client = signed_in(make_admin())
    assert 'name="custom.budget"' in client.get("/leads/new/").content.decode()
    missing = client.post("/leads/new/", {"name": "Ida", "custom.budget": "7"})
    assert missing.status_code == 422
    assert 'id="id_custom.size_error"' in missing.content.decode()
    wrong = client.post("/leads/new/", {"name": "Ida", "custom.budget": "much", "custom.size": "L"})
    assert (wrong.status_code, Lead.objects.exists()) == (422, False)
    assert 'id="id_custom.budget_error"' in wrong.content.decode()
    assert (
        client.post("/leads/new/", {"name": "Ida", "custom.budget": "7.5", "custom.size": "L"}).status_code
        == 302
    )
    assert Lead.objects.get().custom == {"budget": 7.5, "size": "L"}


def test_the_page_of_a_lead_shows_what_is_missing_and_keeps_what_is_there():
    lead = make_lead(name="Ida")
    needed()
    client = signed_in(make_admin())
    assert "Budget" in client.get(f"/leads/{lead.public_id}/details/", **HTMX).content.decode()
    address = f"/leads/{lead.public_id}/fields/custom:budget/"
    client.post(address, {"value": "7", "version": "1", "was": ""}, **HTMX)
    lead.refresh_from_db()
    assert lead.custom == {"budget": 7}
    answer = client.post(address, {"value": "", "version": "2", "was": "7"}, **HTMX)
    assert "is needed" in answer.content.decode()


def test_the_admin_names_it_beside_the_own_fields():
    needed("account")
    client = Client()
    client.force_login(make_admin())
    answer = client.post("/admin/crm/account/add/", {"name": "Moss", "custom": "{}"})
    assert "“Budget” is needed." in str(answer.context["adminform"].form.errors["custom"])


def test_a_file_without_it_comes_in_and_says_so():
    needed()
    job = run(csv_of("Name,E-mail", "Ida,ida@example.org", "Bo,bo@example.org"), policy="create")
    assert counts(job) == (2, 0, 0, 0)
    assert "No column holds “Budget”, which is needed. Leads come in without it." in job.warnings
    job = run(
        csv_of("Name,E-mail,Budget", "Cem,cem@example.org,7", "Dora,dora@example.org,"),
        mapping={"Budget": "custom:budget"},
    )
    assert not any("Budget" in words for words in job.warnings)
    rows = ImportRow.objects.filter(job=job).values_list("lead__name", "message")
    assert dict(rows) == {"Cem": "", "Dora": "“Budget” is needed and not in this row."}


def test_a_form_that_asks_for_it_needs_it_and_another_one_does_not(client: Client):
    needed()
    asked = [{"name": "name", "label": "Name"}, {"name": "custom:budget", "label": "How much?"}]
    make_form(slug="a", fields=asked)
    make_form(slug="b", fields=asked[:1], source=make_source("b"))
    page = client.get("/f/a/").content.decode()
    assert page.index(" required", page.index('name="custom:budget"'))
    send({"name": "Ida"}, path="/f/a/")
    send({"name": "Bo"}, path="/f/b/")
    states = dict(Inquiry.objects.values_list("payload__name", "state"))
    assert states == {"Ida": "failed", "Bo": "created"}, "kept, and a person decides"
    assert "custom:budget" in Inquiry.objects.get(state="failed").error
