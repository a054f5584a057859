"""Whose inquiry it is: one person stays one, whatever keys come in, in any order, from many doors at once."""

import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from crm import clock
from crm.actions.erasure import erase_person
from crm.actions.intake import process_inquiry, receive_inquiry, receive_public_inquiry
from crm.actions.leads import disqualify_lead
from crm.actions.merging import merge_leads
from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import win_opportunity
from crm.actions.personal_data import person_of
from crm.actions.persons import contact_of
from crm.actions.spam import Signals
from crm.actions.unmerging import undo_merge
from crm.errors import CRMError
from crm.models import (
    Account,
    Actor,
    Channel,
    Contact,
    DuplicateCandidate,
    Inquiry,
    InquiryState,
    Lead,
    MergeLog,
    TimelineEvent,
)
from tests.factories import make_admin, make_source

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system()


def arrive(**payload: str) -> Lead:
    return receive_inquiry(channel=Channel.FORM, payload=payload, by=SYSTEM).lead


def close(lead: Lead) -> None:
    disqualify_lead(lead.pk, by=SYSTEM, reason="no budget")


def persons() -> int:
    """Leads that are not merged, grouped by contact."""
    rows = Lead.objects.filter(merged_into=None).values_list("pk", "contact_id")
    return len({("contact", contact) if contact else ("lead", pk) for pk, contact in rows})


# --- coming back -------------------------------------------------------------------------------------------
def test_who_comes_back_after_the_end_gets_a_new_lead_and_both_hang_on_one_contact():
    Account.objects.create(name="Fern & Co", domain="fern.example")
    old = arrive(name="Anna Berg", email="anna@fern.example", phone="+442079460018")
    close(old)
    new = arrive(name="A. Berg", phone="+442079460018")
    old.refresh_from_db()
    assert new.pk != old.pk
    assert new.contact == old.contact
    contact = Contact.objects.get()
    assert (contact.full_name, contact.account.domain) == ("Anna Berg", "fern.example")
    assert contact.contact_points.count() == 2
    assert "Came back" in TimelineEvent.objects.get(lead=new, kind="inquiry.received").summary
    assert persons() == 1
    assert arrive(name="Anna", email="anna@fern.example") == new  # never a second open one
    assert Lead.objects.count() == 2


def test_a_known_contact_without_any_lead_gets_one_that_is_linked():
    contact = contact_of(arrive(name="Anna Berg", email="anna@example.org"))
    Lead.objects.update(deleted_at=clock.now())
    assert arrive(name="Anna Berg", email="ANNA+x@example.org").contact == contact


def test_an_inquiry_between_an_open_and_a_closed_lead_links_them_and_is_attached():
    closed = arrive(name="Anna Berg", email="anna@example.org")
    close(closed)
    opened = arrive(name="Anna Berg", phone="+442079460018")
    lead = arrive(name="Anna Berg", email="anna@example.org", phone="+442079460018")
    closed.refresh_from_db()
    assert lead == opened
    assert lead.contact == closed.contact is not None


# --- several matches ---------------------------------------------------------------------------------------
def test_keys_of_two_open_leads_in_one_inquiry_make_one_lead_of_them_the_older():
    first = arrive(name="Anna Berg", email="anna@example.org")
    second = arrive(name="Berg, Anna", phone="+442079460018", company="Fern & Co")
    lead = arrive(name="anna berg", email="anna@example.org", phone="+44 20 7946 0018")
    assert lead == first
    assert lead.company == "Fern & Co"
    log = MergeLog.objects.get()
    assert (log.winner_lead, log.loser_lead, log.actor_kind) == (first, second, "system")
    assert Inquiry.objects.filter(lead=first).count() == 3
    undo_merge(log.pk, by=Actor.of(make_admin()))
    second.refresh_from_db()
    assert second.merged_into is None


def test_people_of_different_names_are_not_merged_but_asked_about():
    anna = arrive(name="Anna Berg", email="anna@example.org")
    otto = arrive(name="Otto Schmidt", phone="+442079460018")
    lead = arrive(name="Anna Berg", email="anna@example.org", phone="+442079460018")
    assert lead == anna
    candidate = DuplicateCandidate.objects.get()
    assert (candidate.lead_a, candidate.lead_b) == (anna, otto)
    assert "names differ" in candidate.reasons[0]
    assert not MergeLog.objects.exists()


SWITCHBOARD = "+49 30 5555 0110"


def test_colleagues_with_one_switchboard_number_stay_themselves_and_people_are_asked():
    ada = arrive(name="Ada Berg", email="ada@firm.example", phone=SWITCHBOARD)
    bob = arrive(name="Bob Tann", email="bob@firm.example", phone=SWITCHBOARD)
    close(ada)
    cyd = arrive(name="Cyd Wald", email="cyd@firm.example", phone=SWITCHBOARD)
    assert persons() == 3
    assert {lead.name for lead in Lead.objects.all()} == {"Ada Berg", "Bob Tann", "Cyd Wald"}
    asked = {(pair.lead_a_id, pair.lead_b_id) for pair in DuplicateCandidate.objects.all()}
    assert (ada.pk, bob.pk) in asked
    assert not MergeLog.objects.exists()
    erase_person(person_of(lead=Lead.objects.get(pk=ada.pk)), by=SYSTEM)
    assert Lead.objects.filter(pk__in=[bob.pk, cyd.pk], name__in=["Bob Tann", "Cyd Wald"]).count() == 2


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(
            {"name": "Berg, Ada", "email": "ada@home.example"}, id="the same name written otherwise"
        ),
        pytest.param({"name": "A. Berg", "email": "ada@home.example"}, id="an initial"),
        pytest.param({"name": "Ada", "email": "ada@home.example"}, id="a first name"),
        pytest.param({"name": "Bob Tann"}, id="without an address of their own, whoever calls"),
    ],
)
def test_a_number_proves_a_person_whose_name_does_not_say_otherwise(again):
    ada = arrive(name="Ada Berg", email="ada@firm.example", phone=SWITCHBOARD)
    assert arrive(phone=SWITCHBOARD, **again) == ada


def test_a_caller_on_a_shared_number_makes_no_one_person_of_its_people():
    ada = arrive(name="Ada Berg", email="ada@firm.example", phone=SWITCHBOARD)
    bob = arrive(name="Bob Tann", email="bob@firm.example", phone=SWITCHBOARD)
    assert arrive(name="Somebody", phone=SWITCHBOARD) == ada
    bob.refresh_from_db()
    assert bob.merged_into is None


def test_what_people_took_apart_stays_apart():
    arrive(name="Anna Berg", email="anna@example.org")
    arrive(name="Anna Berg", phone="+442079460018")
    both = {"name": "Anna Berg", "email": "anna@example.org", "phone": "+442079460018"}
    arrive(**both)
    undo_merge(MergeLog.objects.get().pk, by=Actor.of(make_admin()))
    arrive(**both)
    assert Lead.objects.filter(merged_into=None).count() == 2


def test_two_contacts_that_a_key_proves_one_become_the_older():
    leads = [arrive(name="Anna Berg", email="a@example.org"), arrive(name="Anna Berg", phone="+442079460018")]
    first, second = [contact_of(lead) for lead in leads]
    for lead, contact in zip(leads, (first, second), strict=True):
        lead.contact = contact
        lead.save_changed("contact")
        close(lead)
    new = arrive(name="Anna Berg", email="a@example.org", phone="+442079460018")
    second.refresh_from_db()
    assert second.merged_into == first
    assert set(Lead.objects.values_list("contact", flat=True)) == {first.pk}
    assert new.contact == first


# --- unsure ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (
            {"name": "Anna Berg", "company": "Fern & Co", "phone": "+442079460018"},
            {"name": "Ana Bergh", "company": "Fern & Co", "phone": "+442079460019"},
            "Name and company",
        ),
        (
            {"name": "Anna Berg", "company": "Fern and Company", "phone": "+442079460018"},
            {"name": "Anna Berg", "company": "Fern Company", "phone": "+442079460019"},
            "Name and company",
        ),
        (
            {"name": "José Berg", "email": "jose@fern.example"},
            {"name": "Jose Berg", "email": "j.berg@fern.example"},
            "Same mail domain",
        ),
    ],
)
def test_who_may_be_known_gets_a_lead_and_people_are_asked(one, other, reason):
    first, second = arrive(**one), arrive(**other)
    candidate = DuplicateCandidate.objects.get()
    assert (candidate.lead_a, candidate.lead_b) == (first, second)
    assert reason in candidate.reasons[0]
    assert 60 <= candidate.score <= 100


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Otto Schmidt", "company": "Fern & Co", "email": "otto@fern.example"},
        {"name": "Anna Berg", "company": "Grün GmbH", "email": "anna@gmail.com"},
        {"name": "Anna Berg", "email": "anna.b@gmail.com"},
    ],
)
def test_a_colleague_or_a_namesake_is_nobody_to_ask_about(other):
    arrive(name="Anna Berg", company="Fern & Co", email="anna@fern.example")
    arrive(name="Anna Berg", email="a.berg@gmail.com")
    arrive(**other)
    assert not DuplicateCandidate.objects.exists()


# --- from the open internet --------------------------------------------------------------------------------
def public(payload: dict[str, Any], **more: Any) -> Inquiry:
    return receive_public_inquiry(channel="form", payload=payload, source=make_source("site"), **more)


def test_a_public_inquiry_makes_a_lead_or_joins_it():
    first = public({"name": "Anna", "email": "anna@example.org"}, utm={"utm_source": "ad"})
    again = public({"name": "Anna", "email": "anna@example.org"})
    assert (first.state, again.state) == (InquiryState.CREATED, InquiryState.ATTACHED)
    assert first.utm == {"utm_source": "ad"}
    assert first.lead == again.lead


def test_spam_is_kept_with_its_reasons_and_makes_no_lead():
    inquiry = public({"name": "Anna", "email": "anna@example.org"}, signals=Signals(honeypot=True))
    assert inquiry.state == InquiryState.SPAM
    assert inquiry.spam_score == 100
    assert inquiry.spam_reasons
    assert not Lead.objects.exists()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"name": "Anna", "email": "nobody"}, "email: "),
        ({}, "name: "),
        ({"name": "A\0", "message": "\ud800" + "x" * 60_000}, "message: "),
        ({"name": ["a"], "more": {"x": object()}}, "name: "),
    ],
)
def test_what_cannot_be_read_is_kept_as_failed_with_the_reason(payload, reason):
    inquiry = public(payload)
    assert inquiry.state == InquiryState.FAILED
    assert inquiry.error.startswith(reason)
    assert not Lead.objects.exists()


def test_an_inquiry_is_kept_when_the_intake_itself_breaks_and_can_be_run_again(monkeypatch):
    def broken(*_args: Any) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr("crm.actions.intake.bring_together", broken)
        inquiry = public({"name": "Anna", "email": "anna@example.org"})
    assert inquiry.state == InquiryState.FAILED
    assert "RuntimeError" in inquiry.error
    assert process_inquiry(inquiry.pk).state == InquiryState.CREATED


def test_a_held_inquiry_waits_until_it_is_processed_and_a_resend_is_the_same():
    anna = {"name": "Anna", "email": "anna@example.org"}
    held = public(anna, hold=True, idempotency_key="k")
    assert (held.state, held.lead) == (InquiryState.RECEIVED, None)
    assert process_inquiry(held.pk).state == InquiryState.CREATED
    assert public(anna, idempotency_key="k") == held
    assert process_inquiry(held.pk).lead == Lead.objects.get()


# --- many at once ------------------------------------------------------------------------------------------
def at_once(calls: Iterable[Callable[[], Any]], *, threads: int) -> list[Exception]:
    """Run the calls on this many threads, each with its own connection. Returns what was raised."""
    failures: list[Exception] = []

    def run(call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            failures.append(error)

    pool = ThreadPoolExecutor(threads)
    list(pool.map(run, calls))
    barrier = threading.Barrier(threads)
    closing = [pool.submit(lambda: (barrier.wait(10), connection.close())) for _ in range(threads)]
    [done.result() for done in closing]
    pool.shutdown()
    return failures


@pytest.mark.django_db(transaction=True)
def test_fifty_doors_at_once_attach_to_one_lead():
    make_source("form", name="Form")
    calls = [
        lambda n=n: arrive(
            name="Anna Berg",
            **(
                {"email": f"anna+{n}@example.org"},
                {"phone": "+442079460018"},
                {"email": "ANNA@example.org", "phone": "+44 20 7946 0018"},
            )[n % 3],
        )
        for n in range(50)
    ]
    arrive(name="Anna Berg", email="anna@example.org", phone="+442079460018")
    assert not at_once(calls, threads=50)
    assert Lead.objects.count() == 1
    assert Inquiry.objects.filter(lead=Lead.objects.get()).count() == 51


@pytest.mark.django_db(transaction=True)
def test_fifty_merges_and_inquiries_at_once_end_in_one_lead_without_deadlock():
    make_source("form", name="Form")
    keys = [
        {"email": f"anna{n}@example.org"} if n % 2 else {"phone": f"+4420794600{n:02d}"} for n in range(10)
    ]
    leads = [arrive(name="Anna Berg", **key) for key in keys]
    bridges = [{**one, **two} for one, two in pairwise(keys)]
    calls: list[Callable[[], Any]] = []
    for n in range(25):
        bridge = bridges[n % len(bridges)]
        calls.append(lambda bridge=bridge: arrive(name="Anna Berg", **bridge))
        one, two = random.Random(n).sample(leads, 2)
        calls.append(lambda one=one, two=two: merge_leads(one.pk, two.pk, by=SYSTEM))
    failures = at_once(calls, threads=50)
    assert [error for error in failures if not isinstance(error, CRMError | Lead.DoesNotExist)] == []
    for bridge in bridges:  # whatever the order was, one more round finds them all
        arrive(name="Anna Berg", **bridge)
    assert persons() == 1
    assert Inquiry.objects.filter(lead__merged_into=None).count() == 10 + 25 + 9


@pytest.mark.django_db(transaction=True)
def test_asking_again_and_opening_and_winning_opportunities_wait_for_each_other_in_one_order():
    make_source("form", name="Form")
    by = Actor.of(make_admin())
    lead = arrive(name="Ada Berg", email="ada@berg.example")
    contact = lead.contact = contact_of(lead)
    lead.save_changed("contact")

    def win() -> None:
        card = create_opportunity(by=by, name="Pond", lead=lead, primary_contact=contact)
        win_opportunity(card.pk, by=by)

    def ask() -> None:
        arrive(name="Ada Berg", email="ada@berg.example")

    assert at_once([ask, win] * 16, threads=8) == []
    assert Inquiry.objects.filter(lead=lead).count() == 17


def shuffled_inquiries(people: int, count: int, *, seed: int) -> list[dict[str, str]]:
    """Inquiries of these people: some with both keys, half with one alone, all in another dress."""
    rng, made = random.Random(seed), []
    for n in range(count):
        person = n % people
        first, last = f"Name{person:03d}", f"Berg{person * 7919 % 997:03d}"
        name = rng.choice(
            [f"{first} {last}", f"{first} {last}".upper(), f"{last}, {first}", f"{first[0]}. {last}"]
        )
        email = f"{first}.{last}".lower() + rng.choice(["", "+web", "+Shop"]) + "@Firm.example"
        national = f"30 555 {person:05d}"
        phone = rng.choice(
            [f"+49 {national}", f"0{national}", f"0049-{national}", f"(0{national[:2]}) {national[3:]}"]
        )
        payload = {"name": name, "country": "DE"}
        keys = {"email": rng.choice([email, email.lower(), email.upper()]), "phone": phone}
        # The first of each carries both: each shares a key with another. 5 of 7 of the rest are half of all.
        one_key = n >= people and n % 7 < 5
        payload |= {kind: keys[kind] for kind in [rng.choice(["email", "phone"])]} if one_key else keys
        made.append(payload)
    rng.shuffle(made)
    return made


def people_from_eight_doors(people: int, count: int) -> None:
    make_source("form", name="Form")
    inquiries = shuffled_inquiries(people, count, seed=7)
    failures = at_once([lambda one=one: arrive(**one) for one in inquiries], threads=8)
    assert not failures
    assert Inquiry.objects.count() == count
    assert Inquiry.objects.filter(lead__isnull=False, lead__merged_into=None).count() == count
    assert persons() == people


@pytest.mark.django_db(transaction=True)
def test_two_hundred_inquiries_of_sixty_people_from_eight_doors_make_sixty_people():
    people_from_eight_doors(60, 200)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_thousand_inquiries_of_three_hundred_people_from_eight_doors_make_three_hundred():
    people_from_eight_doors(300, 1_000)
