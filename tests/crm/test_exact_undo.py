"""Taking a change back leaves lead and contact exactly as they were: addresses, keys, own fields, all."""

from threading import Thread
from typing import Any

import pytest
from django.db import connection, connections, transaction

from crm.actions.accounts import create_account, create_contact, update_account, update_contact
from crm.actions.base import undo
from crm.actions.identity import lock_identities
from crm.actions.intake import receive_inquiry
from crm.actions.leads import update_lead
from crm.models import (
    Account,
    Actor,
    Contact,
    ContactPoint,
    CustomField,
    Lead,
    MatchKey,
    PointState,
    Undo,
    User,
)
from tests.factories import actor, make_admin

SYSTEM = Actor.system()
FIRST, SECOND = "Ida.Moss@home.example", "ida@moss.example"
CHANGES: tuple[dict[str, Any], ...] = (
    {"email": "new@fern.example"},
    {"email": SECOND},  # what was the second address takes the place of the first
    {"email": ""},
    {"phone": "030 901820", "country": "DE"},
    {"name": "Cy Fern", "company": "Fern Ltd"},
    {"custom": {"pond": True, "plot": None}},
    {"title": "Owner", "est_value": "18400", "email": "new@fern.example"},
)


@pytest.fixture
def admin() -> User:
    CustomField.objects.create(key="plot", label="Plot", type="number")
    CustomField.objects.create(key="pond", label="Pond", type="boolean")
    for target in ("contact", "account"):
        CustomField.objects.create(target=target, key="pond", label="Pond", type="boolean")
    return make_admin()


def ask(**payload: Any) -> Lead:
    return receive_inquiry(channel="form", payload=payload, by=SYSTEM).lead


@pytest.fixture
def lead() -> Lead:
    """Asked three times, each time with something new; mail to its first address came back."""
    ask(
        name="Ida Moss", email=FIRST, phone="020 7946 0018", country="GB", company="Ida Moss", external_id="7"
    )
    ask(name="I. Moss", email=FIRST, phone="+442079460018", external_id="8")
    ask(name="Ida", email=SECOND, phone="+442079460018", company="Moss & Co")
    lead = Lead.objects.get()
    ContactPoint.objects.filter(norm=FIRST.lower()).update(state=PointState.BOUNCED)
    Lead.objects.update(custom={"plot": 400})
    return lead


def rows(model: Any) -> list[dict[str, Any]]:
    traces = ("version", "updated_at") if hasattr(model, "version") else ()
    return [
        {name: value for name, value in row.items() if name not in traces}
        for row in model.objects.order_by("pk").values()
    ]


def facts() -> list[Any]:
    return [rows(model) for model in (Lead, Contact, Account, ContactPoint, MatchKey)]


@pytest.mark.django_db
def test_a_change_of_a_lead_is_taken_back_to_the_last_column(lead: Lead, admin: User):
    assert lead.contact_points.filter(kind="email").count() == 2
    for changes in CHANGES:
        before = facts()
        changed = update_lead(lead.pk, by=actor(admin), **changes)
        assert facts() != before, changes
        undo(changed.undo_offer.public_id, by=actor(admin))
        assert facts() == before, changes


@pytest.mark.django_db
def test_a_change_of_a_contact_or_account_is_taken_back_to_the_last_column(admin: User):
    by = actor(admin)
    firm = create_account(by=by, name="Moss & Co", domain="moss.example")
    person = create_contact(by=by, full_name="Ida", email=FIRST, phone="020 7946 0018", country="GB")
    ContactPoint.objects.create(contact=person, kind="email", raw=SECOND, norm=SECOND)
    ContactPoint.objects.filter(norm=FIRST.lower()).update(state=PointState.BOUNCED)
    MatchKey.objects.create(contact=person, kind="email", value="ida@old.example")  # learned elsewhere
    MatchKey.objects.create(account=firm, kind="domain", value="moss-gardens.example")
    changes = [one for one in CHANGES if not {"name", "custom", "est_value"} & set(one)]
    more: tuple[dict[str, Any], ...] = ({"full_name": "Cy"}, {"account": firm}, {"custom": {"pond": True}})
    acts: list[tuple[Any, int, dict[str, Any]]] = [
        (update_contact, person.pk, one) for one in (*changes, *more)
    ]
    acts += [
        (update_account, firm.pk, one) for one in ({"domain": "fern.example"}, {"custom": {"pond": True}})
    ]
    for act, pk, values in acts:
        before = facts()
        changed = act(pk, by=by, **values)
        assert facts() != before, values
        undo(changed.undo_offer.public_id, by=by)
        assert facts() == before, values


@pytest.mark.django_db
def test_a_phone_number_is_read_as_one_of_the_country_that_comes_with_it(lead: Lead, admin: User):
    update_lead(lead.pk, by=actor(admin), phone="030 901820", country="DE")
    assert lead.contact_points.get(kind="phone", is_primary=True).norm == "+4930901820"
    person = create_contact(by=actor(admin), full_name="Ida", phone="020 7946 0018", country="GB")
    update_contact(person.pk, by=actor(admin), phone="030 901820", country="DE")
    assert person.contact_points.get().norm == "+4930901820"


def is_waiting_for_a_key() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_undo", [False, True])
def test_who_changes_an_address_waits_for_its_key_before_holding_the_lead(is_undo: bool):
    """An intake holds the key and then wants the lead; who came the other way round would meet it."""
    admin, lead = make_admin(), ask(name="Ida", email=FIRST)
    if is_undo:
        update_lead(lead.pk, by=actor(admin), email=SECOND)
    failures: list[BaseException] = []

    def change() -> None:
        try:
            if is_undo:
                undo(Undo.objects.get().public_id, by=actor(admin))
            else:
                update_lead(lead.pk, by=actor(admin), email=SECOND)
        except BaseException as failed:
            failures.append(failed)
        finally:
            connections.close_all()

    thread = Thread(target=change)
    with transaction.atomic():
        lock_identities([("email", FIRST.lower())])
        thread.start()
        while not is_waiting_for_a_key():
            assert thread.is_alive()
        Lead.objects.select_for_update(nowait=True).get(pk=lead.pk)
    thread.join()
    assert not failures
    assert MatchKey.objects.filter(kind="email").get().value == (FIRST.lower() if is_undo else SECOND)
