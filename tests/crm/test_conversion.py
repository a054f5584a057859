"""A lead becomes a contact, an account, an opportunity: new, existing or none; and back, all of it."""

from datetime import timedelta
from typing import Any

import pytest

from crm import clock
from crm.actions.accounts import create_account, create_contact
from crm.actions.base import undo
from crm.actions.conversion import convert_lead
from crm.actions.conversion_offers import conversion_offers
from crm.actions.intake import receive_inquiry
from crm.actions.lead_moves import disqualify_lead
from crm.actions.opportunities import create_opportunity
from crm.actions.opportunity_moves import lose_opportunity
from crm.errors import CRMError, InvalidValue, PermissionRefused, TransitionRefused, UndoRefused
from crm.models import Account, Actor, Contact, Lead, MatchKey, Opportunity, Role, TimelineEvent, User
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
ASKED = {
    "name": "Ida Moss",
    "company": "Moss & Co",
    "email": "ida@moss.example",
    "phone": "+442079460018",
    "est_value": "18400",
    "interest": "Roof garden",
}


@pytest.fixture
def rep() -> User:
    return make_user(team=make_team())


@pytest.fixture
def lead(rep: User) -> Lead:
    return receive_inquiry(channel="manual", payload=ASKED, by=actor(rep)).lead


def keys(**of: Any) -> set[tuple[str, str]]:
    return set(MatchKey.objects.filter(**of).values_list("kind", "value"))


def test_all_three_are_made_of_what_the_lead_knows(lead: Lead, rep: User):
    done = convert_lead(lead.pk, by=actor(rep), contact={}, account={}, opportunity={})
    lead.refresh_from_db()
    assert (lead.status, lead.contact, lead.converted_by) == ("converted", done.contact, rep)
    assert (lead.converted_account, lead.converted_opportunity) == (done.account, done.opportunity)
    assert lead.converted_at is not None
    assert (lead.next_action_at, lead.outcome) == (None, "unknown")  # the opportunity will tell
    assert done.account is not None
    assert (done.account.name, done.account.domain) == ("Moss & Co", "moss.example")
    assert (done.contact.full_name, done.contact.account) == ("Ida Moss", done.account)
    assert set(done.contact.contact_points.values_list("norm", "is_primary")) == {
        ("ida@moss.example", True),
        ("+442079460018", True),
    }
    assert keys(contact=done.contact) >= {("email", "ida@moss.example"), ("phone", "+442079460018")}
    assert keys(account=done.account) == {("domain", "moss.example")}
    assert done.opportunity is not None
    assert (done.opportunity.name, str(done.opportunity.amount)) == ("Roof garden", "18400.00")
    assert (done.opportunity.lead, done.opportunity.primary_contact) == (lead, done.contact)
    assert {record.owner for record in (done.contact, done.account, done.opportunity)} == {rep}
    assert Contact.objects.get().lifecycle == "opportunity"
    story = TimelineEvent.objects.get(kind="lead.converted")
    assert (story.contact, story.account, story.opportunity) == (done.contact, done.account, done.opportunity)
    assert lead.status_changes.latest("id").to_status == "converted"


def test_existing_records_are_used_and_learn_what_the_lead_knows(lead: Lead, rep: User):
    firm = create_account(by=actor(rep), name="Moss")
    person = create_contact(by=actor(rep), full_name="I. Moss", email="ida@home.example")
    card = create_opportunity(by=actor(rep), name="Pond", account=firm)
    done = convert_lead(lead.pk, by=actor(rep), contact=person, account=firm, opportunity=card)
    assert (Contact.objects.count(), Account.objects.count(), Opportunity.objects.count()) == (1, 1, 1)
    assert Contact.objects.get().account == firm
    assert set(person.contact_points.values_list("norm", "is_primary")) == {
        ("ida@home.example", True),
        ("ida@moss.example", False),
        ("+442079460018", True),
    }
    assert ("email", "ida@moss.example") in keys(contact=person)
    assert done.opportunity is not None
    assert Opportunity.objects.get().lead == lead


def test_without_an_opportunity_converting_is_the_success(lead: Lead, rep: User):
    done = convert_lead(lead.pk, by=actor(rep), contact={})
    assert (done.account, done.opportunity) == (None, None)
    lead.refresh_from_db()
    assert (lead.outcome, lead.outcome_from) == ("won", "action")


def test_the_outcome_follows_the_opportunity(lead: Lead, rep: User):
    done = convert_lead(lead.pk, by=actor(rep), contact={}, opportunity={})
    assert done.opportunity is not None
    lose_opportunity(done.opportunity.pk, by=actor(rep), reason="Too dear")
    lead.refresh_from_db()
    assert (lead.status, lead.outcome) == ("converted", "lost")


def facts(lead: Lead) -> list[Any]:
    """What people see of everything but the story."""
    fresh = Lead.objects.values().get(pk=lead.pk)
    for trace in ("version", "updated_at"):
        del fresh[trace]
    live = [
        sorted(model.objects.live().values_list("pk", "search_text"))  # type: ignore[attr-defined]
        for model in (Contact, Account, Opportunity)
    ]
    people = sorted(Contact.objects.live().values_list("pk", "account", "lifecycle"))
    points = sorted(
        Contact.objects.live().values_list("pk", "contact_points__norm", "contact_points__is_primary")
    )
    known = sorted(MatchKey.objects.values_list("lead", "contact", "account", "kind", "value"), key=repr)
    return [fresh, live, people, points, known]


@pytest.mark.parametrize("existing", [False, True])
def test_undo_reverses_all_of_it_within_eight_seconds(lead: Lead, rep: User, noon, existing: bool):
    parts: dict[str, Any] = {"contact": {}, "account": {}, "opportunity": {}}
    if existing:
        parts = {
            "contact": create_contact(by=actor(rep), full_name="I. Moss", email="ida@home.example"),
            "account": create_account(by=actor(rep), name="Moss"),
            "opportunity": create_opportunity(by=actor(rep), name="Pond"),
        }
    before, told = facts(lead), TimelineEvent.objects.count()
    done = convert_lead(lead.pk, by=actor(rep), **parts)
    assert facts(lead) != before
    undo(done.lead.undo_offer.public_id, by=actor(rep))
    assert facts(lead) == before
    assert TimelineEvent.objects.count() > told + 1  # the story keeps both
    again = convert_lead(lead.pk, by=actor(rep), contact={})
    with clock.frozen(noon + timedelta(seconds=9)), pytest.raises(UndoRefused):
        undo(again.lead.undo_offer.public_id, by=actor(rep))


def closed(lead: Lead) -> None:
    disqualify_lead(lead.pk, by=Actor.system(), reason="No garden")


def merged(lead: Lead) -> None:
    Lead.objects.filter(pk=lead.pk).update(merged_into=make_lead())


def nothing(lead: Lead) -> None:
    """As it is."""


@pytest.mark.parametrize(
    ("first", "parts", "refusal", "field"),
    [
        (closed, {"contact": {}}, TransitionRefused, ""),
        (merged, {"contact": {}}, Lead.DoesNotExist, ""),
        (nothing, {"contact": {"full_name": " "}}, InvalidValue, "contact.full_name"),
        (nothing, {"contact": {"email": "nobody"}}, InvalidValue, "contact.email"),
        (nothing, {"contact": {}, "account": {"name": ""}}, InvalidValue, "account.name"),
        (nothing, {"contact": {}, "account": {"domain": "gmail.com"}}, InvalidValue, "account.domain"),
        (nothing, {"contact": {}, "opportunity": {"amount": "-1"}}, InvalidValue, "opportunity.amount"),
        (nothing, {"contact": {}, "opportunity": {"currency": "EURO"}}, InvalidValue, "opportunity.currency"),
        (nothing, {"contact": {}, "opportunity": {"ghost": 1}}, InvalidValue, "opportunity.ghost"),
    ],
)
def test_a_refused_conversion_names_what_is_wrong_and_changes_nothing(
    lead: Lead, rep: User, first, parts, refusal, field
):
    first(lead)
    before = facts(lead)
    with pytest.raises(refusal) as refused:
        convert_lead(lead.pk, by=actor(rep), **parts)
    if isinstance(refused.value, CRMError):
        assert refused.value.field == field
    assert facts(lead) == before
    assert not Contact.objects.exists()


def test_records_of_others_cannot_be_converted_into(lead: Lead, rep: User):
    stranger = make_user(team=make_team())
    for part in (
        {"contact": create_contact(by=actor(stranger), full_name="Bo")},
        {"contact": {}, "account": create_account(by=actor(stranger), name="Bo Ltd")},
        {"contact": {}, "opportunity": create_opportunity(by=actor(stranger), name="Pond")},
    ):
        with pytest.raises(InvalidValue, match="no such"):
            convert_lead(lead.pk, by=actor(rep), **part)
    pool = create_contact(by=actor(make_admin()), full_name="Cy")
    Contact.objects.filter(pk=pool.pk).update(owner=None, team=lead.team)
    with pytest.raises(PermissionRefused):
        convert_lead(lead.pk, by=actor(rep), contact=pool)
    reader = make_user(Role.READ_ONLY, team=lead.team)
    with pytest.raises(PermissionRefused):
        convert_lead(lead.pk, by=actor(reader), contact={})
    lead.refresh_from_db()
    assert lead.status == "new"


def test_offers_are_what_looks_the_same_and_may_be_seen(lead: Lead, rep: User, django_assert_max_num_queries):
    both = create_contact(by=actor(rep), full_name="I. M.", email="ida@moss.example", phone="+442079460018")
    one = create_contact(by=actor(rep), full_name="Ida", phone="+442079460018")
    create_contact(by=actor(make_user()), full_name="Ida", email="ida@moss.example")  # not mine
    create_contact(by=actor(rep), full_name="Ida Moss")  # a name proves nothing
    near = create_account(by=actor(rep), name="Moss and Co")
    sure = create_account(by=actor(rep), name="Gardens", domain="moss.example")
    create_account(by=actor(rep), name="Fern")
    card = create_opportunity(by=actor(rep), name="Pond", account=near)
    with django_assert_max_num_queries(8):
        offers = conversion_offers(lead, by=actor(rep))
    assert offers.contacts == [both, one]
    assert offers.accounts == [sure, near]
    assert offers.opportunities == [card]
