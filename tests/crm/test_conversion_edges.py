"""Converting where somebody else has been: known persons, records that went, two at once, undo too late."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.db import connections

from crm import clock
from crm.actions import conversion
from crm.actions.accounts import create_account, create_contact
from crm.actions.base import undo
from crm.actions.conversion import convert_lead
from crm.actions.erasure import erase_person
from crm.actions.intake import receive_inquiry
from crm.actions.merging import merge_accounts, merge_contacts
from crm.actions.opportunities import create_opportunity, delete_opportunity
from crm.actions.opportunity_moves import lose_opportunity, win_opportunity
from crm.actions.personal_data import person_of
from crm.errors import CRMError, InvalidValue, UndoRefused
from crm.models import Account, Actor, Contact, ContactPoint, Lead, MatchKey, Opportunity
from tests.factories import actor, make_admin, make_lead, make_team, make_user
from tests.tables import state_of_tables

SYSTEM = Actor.system()


def ask(name: str = "Ida Moss", email: str = "ida@moss.example") -> Lead:
    return receive_inquiry(channel="form", payload={"name": name, "email": email}, by=SYSTEM).lead


def rows(model: Any) -> list[dict[str, Any]]:
    traces = ("version", "updated_at", "last_event_at")
    return [
        {name: value for name, value in row.items() if name not in traces}
        for row in model.objects.order_by("pk").values()
    ]


def facts() -> list[Any]:
    return [rows(model) for model in (Lead, Contact, Account, Opportunity, ContactPoint, MatchKey)]


@pytest.mark.django_db
def test_a_lead_of_a_known_person_is_converted_into_that_contact():
    admin = make_admin()
    first = convert_lead(ask().pk, by=actor(admin), contact={})
    again = ask()
    assert again.contact == first.contact
    before = facts()
    done = convert_lead(again.pk, by=actor(admin), contact={}, opportunity={})
    assert done.contact == first.contact
    assert Contact.objects.count() == 1
    undo(done.lead.undo_offer.public_id, by=actor(admin))
    now = facts()
    del now[3], before[3]  # the opportunity stays, deleted
    assert now == before


@pytest.mark.django_db
def test_a_new_contact_in_so_many_words_and_one_that_may_not_be_seen_is_a_new_one():
    admin, team = make_admin(), make_team()
    known = convert_lead(ask().pk, by=actor(admin), contact={}).contact
    other = convert_lead(ask().pk, by=actor(admin), contact={"full_name": "Bo Moss"}).contact
    assert other != known
    rep = make_user(team=team)
    mine = make_lead(owner=rep, team=team, contact=known)
    assert convert_lead(mine.pk, by=actor(rep), contact={}).contact.owner == rep


def erased() -> dict[str, Any]:
    contact = create_contact(by=SYSTEM, full_name="Cy", email="cy@example.org")
    erase_person(person_of(contact=contact), by=SYSTEM)
    return {"contact": contact}


def merged_contact() -> dict[str, Any]:
    winner, loser = (create_contact(by=SYSTEM, full_name=name) for name in ("Cy", "Cyd"))
    merge_contacts(winner.pk, loser.pk, by=SYSTEM)
    return {"contact": loser}


def merged_account() -> dict[str, Any]:
    winner, loser = (create_account(by=SYSTEM, name=name) for name in ("Fern", "Ferns"))
    merge_accounts(winner.pk, loser.pk, by=SYSTEM)
    return {"contact": {}, "account": loser}


def deleted(model: Any, part: str, made: Any) -> dict[str, Any]:
    model.objects.filter(pk=made.pk).update(deleted_at=clock.now())
    return {"contact": {}, part: made}


def lost() -> dict[str, Any]:
    card = create_opportunity(by=SYSTEM, name="Pond")
    lose_opportunity(card.pk, by=SYSTEM, reason="Too dear")
    return {"contact": {}, "account": {"name": "Fern"}, "opportunity": card}


def deleted_card() -> dict[str, Any]:
    card = create_opportunity(by=SYSTEM, name="Pond")
    delete_opportunity(card.pk, by=SYSTEM)
    return {"contact": {}, "opportunity": card}


@pytest.mark.django_db
def test_what_went_meanwhile_is_refused_by_name_and_nothing_changes():
    lead, admin = ask(), make_admin()
    gone: dict[str, list[Any]] = {
        "contact": [
            erased,
            merged_contact,
            lambda: deleted(Contact, "contact", create_contact(by=SYSTEM, full_name="Cy")),
        ],
        "account": [
            merged_account,
            lambda: deleted(Account, "account", create_account(by=SYSTEM, name="Fern")),
        ],
        "opportunity": [lost, deleted_card],
    }
    for field, cases in gone.items():
        for case in cases:
            parts = case()
            before = state_of_tables()
            with pytest.raises(InvalidValue) as refused:
                convert_lead(lead.pk, by=actor(admin), **parts)
            assert refused.value.field == field
            assert state_of_tables() == before
    assert convert_lead(lead.pk, by=actor(admin), contact={}).lead.status == "converted"


@pytest.mark.django_db
def test_a_chosen_opportunity_learns_what_it_lacks_and_forgets_it_again():
    admin, lead = make_admin(), ask()
    firm, known = create_account(by=SYSTEM, name="Fern"), create_contact(by=SYSTEM, full_name="Cy")
    bare = create_opportunity(by=SYSTEM, name="Pond")
    full = create_opportunity(by=SYSTEM, name="Roof", account=firm, primary_contact=known)
    for card in (bare, full):
        before = facts()
        done = convert_lead(lead.pk, by=actor(admin), contact={}, account={"name": "Moss"}, opportunity=card)
        card.refresh_from_db()
        assert card.lead == lead
        assert card.account == (done.account if card == bare else firm)
        assert card.primary_contact == (done.contact if card == bare else known)
        assert done.contact.lifecycle == ("opportunity" if card == bare else "lead")
        undo(done.lead.undo_offer.public_id, by=actor(admin))
        now = facts()
        for made, kept in ((now[1], before[1]), (now[2], before[2])):  # what was made stays, deleted
            assert made[len(kept) :][0]["deleted_at"]
            del made[len(kept) :]
        now[4] = now[4][: len(before[4])]
        assert now == before


@pytest.mark.django_db
def test_an_open_opportunity_of_the_lead_decides_even_when_converting_does_not_name_it():
    lead, admin = ask(), make_admin()
    card = create_opportunity(by=SYSTEM, name="Pond", lead=lead)
    convert_lead(lead.pk, by=actor(admin), contact={})
    lead.refresh_from_db()
    assert lead.outcome == "unknown"
    win_opportunity(card.pk, by=actor(admin))
    lead.refresh_from_db()
    assert lead.outcome == "won"
    late = ask("Bo", "bo@example.org")
    sold = create_opportunity(by=SYSTEM, name="Hedge")
    win_opportunity(sold.pk, by=SYSTEM)
    done = convert_lead(late.pk, by=actor(admin), contact={}, opportunity=Opportunity.objects.get(pk=sold.pk))
    assert (done.lead.outcome, done.contact.lifecycle) == ("won", "customer")


@pytest.mark.django_db
def test_undo_stays_away_from_what_others_use_by_now(noon: Any):
    admin = make_admin()

    def asks_again(done: Any) -> None:
        assert ask().contact == done.contact

    def is_chosen(done: Any) -> None:
        convert_lead(ask("Bo", "bo@example.org").pk, by=actor(make_admin()), contact={}, account=done.account)

    def gets_a_card(done: Any) -> None:
        create_opportunity(by=actor(make_admin()), name="Hedge", primary_contact=done.contact)

    for use in (asks_again, is_chosen, gets_a_card):
        Lead.objects.filter(status="new").update(status="disqualified", disqualify_reason="x")
        lead = make_lead(name="Ida", email="ida@moss.example", company="Moss")
        done = convert_lead(
            lead.pk, by=actor(admin), contact={"full_name": "Ida"}, account={}, opportunity={}
        )
        use(done)
        before = state_of_tables()
        with pytest.raises(UndoRefused):
            undo(done.lead.undo_offer.public_id, by=actor(admin))
        assert state_of_tables() == before


@pytest.mark.django_db(transaction=True)
def test_of_people_who_choose_differently_at_once_one_wins_whole():
    admin, lead = make_admin(), ask()
    person, firm = create_contact(by=SYSTEM, full_name="Cy"), create_account(by=SYSTEM, name="Fern")
    card = create_opportunity(by=SYSTEM, name="Pond")
    choices: list[dict[str, Any]] = [
        {"contact": {}},
        {"contact": person},
        {"contact": person, "account": firm, "opportunity": {}},
        {"contact": {}, "account": {"name": "Moss"}, "opportunity": card},
        {"contact": person, "account": {"name": "Moss"}, "opportunity": card},
        {"contact": {"email": "ida@moss.example"}, "account": firm},
    ]

    def act(parts: dict[str, Any]) -> Any:
        try:
            return convert_lead(lead.pk, by=actor(admin), **parts)
        except CRMError:
            return None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(choices)) as pool:
        done = [result for result in pool.map(act, choices) if result]
    assert len(done) == 1
    lead.refresh_from_db()
    assert lead.contact == done[0].contact
    assert set(Contact.objects.all()) == {person, done[0].contact}
    assert set(Account.objects.all()) == {firm, done[0].account} - {None}
    assert set(Opportunity.objects.all()) == {card, done[0].opportunity} - {None}


@pytest.mark.django_db(transaction=True)
def test_two_who_convert_crosswise_do_not_lock_each_other_out(monkeypatch: pytest.MonkeyPatch):
    """Each takes the contact on whom the other's opportunity hangs."""
    admin = make_admin()
    people = [create_contact(by=SYSTEM, full_name=name) for name in ("Ida", "Bo")]
    cards = [create_opportunity(by=SYSTEM, name="Pond", primary_contact=person) for person in people]
    leads = [make_lead(), make_lead()]
    both_hold_one = Barrier(2)

    def meet(contact: Contact) -> None:
        with suppress(BrokenBarrierError):  # as it should be: the second waits before it holds anything
            both_hold_one.wait(timeout=0.5)

    monkeypatch.setattr(conversion, "refuse_erased", meet)

    def act(number: int) -> str:
        try:
            card = cards[1 - number]
            return convert_lead(
                leads[number].pk, by=actor(admin), contact=people[number], opportunity=card
            ).lead.status
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(act, range(2))) == ["converted", "converted"]
