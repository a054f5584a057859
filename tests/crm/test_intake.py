"""Whatever arrives becomes an inquiry, then finds or makes its lead."""

import threading

import pytest
from django.db import connection

from crm import clock
from crm.actions.intake import receive_inquiry
from crm.actions.leads import snooze_lead
from crm.errors import InvalidValue, PermissionRefused
from crm.models import Actor, Channel, Inquiry, Lead, LeadStatus, MatchKey, Role, TimelineEvent
from tests.factories import actor, make_admin, make_source, make_team, make_user

pytestmark = pytest.mark.django_db
ANNA = {
    "name": "Anna Berg",
    "email": "Anna.Berg+web@Gärten.example",
    "phone": "020 7946 0018",
    "country": "gb",
}


def arrive(**payload):
    return receive_inquiry(channel=Channel.FORM, payload=payload or ANNA, by=Actor.system())


def test_a_first_inquiry_makes_a_lead_with_its_ways_to_be_reached_and_recognised():
    result = arrive(**ANNA, message="Can you quote a pond?")
    assert result.created
    lead = result.lead
    points = {p.kind: (p.raw, p.norm, p.is_primary) for p in lead.contact_points.all()}
    assert points["email"][1] == "anna.berg+web@xn--grten-gra.example"
    assert points["phone"][1:] == ("+442079460018", True)
    assert set(lead.match_keys.values_list("kind", "value")) >= {
        ("email", "anna.berg@xn--grten-gra.example"),
        ("email", "anna.berg+web@xn--grten-gra.example"),
        ("phone", "+442079460018"),
        ("domain", "xn--grten-gra.example"),
    }
    assert "anna berg" in lead.search_text
    assert "442079460018" in lead.search_text
    event = TimelineEvent.objects.get(lead=lead, kind="inquiry.received")
    assert "Can you quote a pond?" in event.summary
    assert event.actor_kind == "customer"


def test_a_second_inquiry_of_the_same_person_never_makes_a_second_open_lead():
    first = arrive(**ANNA)
    again = arrive(name="A. Berg", email="anna.berg@gärten.example", company="Berg AG")
    assert again.lead == first.lead
    assert not again.created
    again.lead.refresh_from_db()
    assert (again.lead.name, again.lead.company) == ("Anna Berg", "Berg AG")  # fills what is empty
    assert Lead.objects.count() == 1
    assert Inquiry.objects.filter(lead=first.lead).count() == 2


def test_a_sleeping_lead_wakes_when_the_customer_asks_again():
    lead = arrive(**ANNA).lead
    snooze_lead(lead.pk, by=Actor.system(), until=clock.now() + clock.timezone.timedelta(days=9))
    lead = arrive(**ANNA).lead
    assert lead.status == LeadStatus.WORKING
    assert lead.snoozed_until is None


def test_a_resend_with_the_same_key_changes_nothing():
    source = make_source("shop")
    send = lambda: receive_inquiry(
        channel="api", payload=ANNA, by=Actor.system(), source=source, idempotency_key="order-1"
    )
    first, again = send(), send()
    assert first.inquiry == again.inquiry
    assert again.created
    assert Inquiry.objects.count() == 1


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "name"),
        ({"name": "A", "email": "nobody"}, "email"),
        ({"name": "A", "email": "a@b"}, "email"),
        ({"name": "A", "email": "a@b.example\r\nBcc: x@y.example"}, "email"),
        ({"name": "A", "phone": "ring me"}, "phone"),
        ({"name": "A" * 201}, "name"),
        ({"name": "A\0"}, "name"),
        ({"name": "A\ud800"}, "name"),
        ({"name": ["A"]}, "name"),
        ({"name": "A", "est_value": "NaN"}, "est_value"),
        ({"name": "A", "est_value": "-1"}, "est_value"),
        ({"name": "A", "est_value": "1e99"}, "est_value"),
        ({"name": "A", "country": "Germany"}, "country"),
        ({"name": "A", "currency": "€"}, "currency"),
        ({"name": "A", "custom": {"ghost": 1}}, "custom.ghost"),
        ({"name": "A", "owner": 1}, "owner"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_written(payload, field):
    with pytest.raises(InvalidValue) as refused:
        receive_inquiry(channel="api", payload=payload, by=Actor.system())
    assert refused.value.field == field
    assert not Lead.objects.exists()
    assert not Inquiry.objects.exists()


def test_reading_rights_do_not_let_anybody_create():
    with pytest.raises(PermissionRefused):
        receive_inquiry(channel="manual", payload=ANNA, by=actor(make_user(Role.READ_ONLY)))


def test_a_lead_entered_by_hand_is_its_authors_and_one_by_api_goes_to_the_pool():
    rep = make_user(team=make_team())
    by_hand = receive_inquiry(channel="manual", payload={"name": "Ida"}, by=actor(rep)).lead
    token = Actor.api(rep, label="shop", scopes=frozenset({"write"}))
    by_api = receive_inquiry(channel="api", payload={"name": "Ole"}, by=token).lead
    assert by_hand.owner == rep
    assert by_api.owner is None
    assert by_api.team == rep.memberships.get().team
    assert Lead.objects.visible_to(rep).count() == 2


def test_intake_takes_a_bounded_number_of_queries(django_assert_max_num_queries):
    arrive(**ANNA)
    with django_assert_max_num_queries(39):
        arrive(name="Bo", email="bo@example.org", phone="+442079460019")


@pytest.mark.django_db(transaction=True)
def test_twenty_doors_at_once_make_one_lead():
    make_admin()
    make_source("form", name="Form")
    failures = []

    def knock(n):
        try:
            arrive(name=f"Anna {n}", email="anna@example.org" if n % 2 else "ANNA+x@example.org")
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    doors = [threading.Thread(target=knock, args=(n,)) for n in range(20)]
    for door in doors:
        door.start()
    for door in doors:
        door.join()
    assert not failures
    assert Lead.objects.count() == 1
    assert Inquiry.objects.count() == 20
    assert MatchKey.objects.filter(kind="email").count() == 2
