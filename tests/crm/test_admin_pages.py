"""Pages for inquiries, identities, consents, bans and privacy: each act of theirs goes through its action."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from crm.actions.accounts import create_account, create_contact
from crm.actions.capture import Submission, submit_form
from crm.actions.capture_forms import save_capture_form
from crm.actions.consents import has_consent, is_suppressed
from crm.actions.intake import receive_public_inquiry
from crm.actions.opportunities import create_opportunity
from crm.models import (
    Account,
    Attachment,
    Channel,
    Consent,
    Contact,
    ErasureLedger,
    Inquiry,
    Lead,
    MatchKey,
    Opportunity,
    PrivacyRequest,
    PrivacyState,
    Role,
    Suppression,
    Task,
    User,
)
from tests.crm.test_admin import ADMIN, errors_of, form_of, url_of
from tests.factories import actor, make_admin, make_lead, make_source, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss() -> User:
    return make_admin()


@pytest.fixture
def client(boss: User) -> Client:
    return signed_in(boss)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, page: str, name: str, *rows: Any, **answers: Any) -> str:
    """What is said after an act on these rows, which was confirmed."""
    data = {"action": name, "_selected_action": [row.pk for row in rows], "confirmed": "1", **answers}
    response = client.post(f"{ADMIN}crm/{page}/", data, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context.get("messages", ()))


def added(client: Client, page: str, **values: Any) -> Any:
    address = f"{ADMIN}crm/{page}/add/"
    return client.post(address, form_of(client.get(address)) | values)


def changed(client: Client, record: Any, **values: Any) -> Any:
    return client.post(url_of(record), form_of(client.get(url_of(record))) | values)


def test_spam_is_seen_accepted_and_marked(client: Client):
    payload = {"name": "Ada", "email": "ada@mailinator.com", "message": "A pond?"}
    inquiry = receive_public_inquiry(channel=Channel.FORM, payload=payload, source=make_source("web"))
    assert "A pond?" in client.get(f"{ADMIN}crm/inquiry/?state__exact=spam").content.decode()
    assert "throw-away" in client.get(url_of(inquiry)).content.decode()
    assert "Done for 1" in act(client, "inquiry", "accept", inquiry)
    assert Lead.objects.get().name == "Ada"
    assert "left as it is" in act(client, "inquiry", "accept", inquiry)
    assert "Done for 1" in act(client, "inquiry", "mark_spam", inquiry)
    assert Inquiry.objects.get().state == "spam"


def test_what_lacks_its_consent_says_so_and_is_accepted_with_a_reason(client: Client, boss: User):
    asked = [{"name": "email", "label": "E-mail", "is_required": True}]
    form = save_capture_form(
        None,
        by=actor(boss),
        **{"name": "Garden", "slug": "garden", "source": make_source("web"), "fields": asked},
        consent_text="You may answer me.",
    )
    inquiry = submit_form(form, Submission(values={"email": "ada@firm.example"}))
    assert "The consent is missing." in client.get(f"{ADMIN}crm/inquiry/").content.decode()
    assert "did not give the consent" in act(client, "inquiry", "accept", inquiry)
    data = {"action": "accept_without_consent", "_selected_action": [inquiry.pk]}
    asked_for = client.post(f"{ADMIN}crm/inquiry/", data)
    assert "Why this is right" in asked_for.content.decode()
    assert not Lead.objects.exists()
    said = act(client, "inquiry", "accept_without_consent", inquiry, without_consent="She called.")
    assert "Done for 1" in said
    assert Inquiry.objects.get().lead == Lead.objects.get()


def test_match_keys_are_found_by_whole_values_only(client: Client):
    lead = make_lead(email="ada@example.com", phone="+442079460018")
    for text, found in (("ADA@example.com", 1), ("+44 20 7946 0018", 1), ("ada", 0), ("example.com", 0)):
        rows = client.get(f"{ADMIN}crm/matchkey/", {"q": text}).context["cl"].result_list
        assert len(rows) == found, text
    assert client.get(url_of(MatchKey.objects.filter(lead=lead).first())).status_code == 200


def test_an_account_is_made_and_changed_by_its_action(client: Client, boss: User):
    assert "should look like example.com" in errors_of(
        added(client, "account", name="Ponds", domain="gmail.com")
    )
    assert added(client, "account", name="Ponds", domain="PONDS.example").status_code == 302
    account = Account.objects.get()
    assert (account.domain, account.owner) == ("ponds.example", boss)
    assert account.match_keys.count() == 1
    old = form_of(client.get(url_of(account)))
    assert changed(client, account, website="ponds.example").status_code == 302
    account.refresh_from_db()
    assert (account.website, account.version) == ("https://ponds.example", 2)
    assert "Someone else changed this first" in errors_of(
        client.post(url_of(account), old | {"name": "Lakes"})
    )


def test_a_contact_is_made_and_changed_with_its_address_and_number(client: Client, boss: User):
    account = create_account(by=actor(boss), name="Ponds")
    bad = added(client, "contact", full_name="Ada", email="nobody")
    assert "is not an e-mail address" in errors_of(bad)
    assert (
        added(client, "contact", full_name="Ada", email="ada@ponds.example", account=account.pk).status_code
        == 302
    )
    contact = Contact.objects.get()
    assert form_of(client.get(url_of(contact)))["email"] == "ada@ponds.example"
    assert changed(client, contact, phone="+44 20 7946 0018").status_code == 302
    contact.refresh_from_db()
    assert (contact.version, contact.account) == (2, account)
    assert set(contact.contact_points.values_list("norm", flat=True)) == {
        "ada@ponds.example",
        "+442079460018",
    }
    old = form_of(client.get(url_of(contact)))
    assert changed(client, contact, title="Head").status_code == 302
    assert "Someone else changed this first" in errors_of(
        client.post(url_of(contact), old | {"title": "Boss"})
    )
    assert "Only a customer" in errors_of(changed(client, contact, lifecycle="churned"))


def test_accounts_and_contacts_are_given_to_others_and_back_to_the_pool(client: Client, boss: User):
    rep = make_user(team=(team := make_team()))
    account = create_account(by=actor(boss), name="Ponds")
    contact = create_contact(by=actor(boss), full_name="Ada")
    for record in (account, contact):
        page = record._meta.model_name
        assert "Done for 1" in act(client, page, "assign", record, owner=rep.pk)
        record.refresh_from_db()
        assert (record.owner, record.team, record.version) == (rep, team, 2)
        assert "Done for 1" in act(client, page, "assign", record, owner="")
        record.refresh_from_db()
        assert record.owner is None


def test_a_manager_changes_the_teams_identities_and_reads_no_others():
    team = make_team()
    manager = signed_in(make_user(Role.MANAGER, team=team))
    ours = create_account(by=actor(make_user(team=team)), name="Ours")
    theirs = create_account(by=actor(make_user(team=make_team())), name="Theirs")
    assert changed(manager, ours, name="Still ours").status_code == 302
    assert manager.post(url_of(theirs), {"name": "Mine"}).status_code == 302
    assert set(Account.objects.values_list("name", flat=True)) == {"Still ours", "Theirs"}


def test_what_hangs_on_a_contact_is_read_by_who_reads_the_contact():
    team = make_team()
    ours = create_contact(by=actor(make_user(team=team)), full_name="Ada", email="ada@ponds.example")
    create_contact(by=actor(make_user(team=make_team())), full_name="Bo", email="bo@ponds.example")
    manager = signed_in(make_user(Role.MANAGER, team=team))
    for page in ("contactpoint", "timelineevent"):
        rows = list(manager.get(f"{ADMIN}crm/{page}/").context["cl"].result_list)
        assert [row.contact for row in rows] == [ours], page


def test_a_consent_is_written_down_and_taken_back(client: Client):
    lead = make_lead(name="Ada")
    consent = {"channel": "email", "purpose": "news", "lead": lead.pk, "basis": "consent"}
    assert "should look like" in errors_of(added(client, "consent", **consent, address="ada"))
    assert added(client, "consent", **consent, address="ADA@example.com").status_code == 302
    given = Consent.objects.get()
    assert has_consent("email", "ada@example.com", "news")
    assert "Done for 1" in act(client, "consent", "withdraw", given)
    assert not has_consent("email", "ada@example.com", "news")
    assert "taken back" in act(client, "consent", "withdraw", Consent.objects.get(state="withdrawn"))
    assert Consent.objects.count() == 2
    stranger = make_user(Role.MANAGER, team=make_team())
    assert "Done" not in act(signed_in(stranger), "consent", "withdraw", given)


def test_a_ban_is_made_and_lifted_with_a_reason(client: Client):
    assert (
        added(client, "suppression", channel="email", address="Ada@example.com", reason="manual").status_code
        == 302
    )
    ban = Suppression.objects.get()
    assert is_suppressed("email", "ada@example.com")
    assert (
        "This field is required"
        in client.post(
            f"{ADMIN}crm/suppression/",
            {"action": "lift", "_selected_action": ban.pk, "confirmed": "1", "note": ""},
        ).content.decode()
    )
    assert "Done for 1" in act(client, "suppression", "lift", ban, note="They asked for it")
    assert not Suppression.objects.exists()


def test_an_erasure_is_asked_for_approved_and_carried_out(client: Client):
    team = make_team()
    lead, manager = (
        make_lead(name="Ada", email="ada@example.com", team=team),
        make_user(Role.MANAGER, team=team),
    )
    answers = {"kind": "erase", "reason": "by letter"}
    assert "Done for 1" in act(signed_in(manager), "lead", "ask_privacy", lead, **answers)
    assert "asked for already" in act(client, "lead", "ask_privacy", lead, **answers)
    request = PrivacyRequest.objects.get()
    assert "Done" not in act(signed_in(manager), "privacyrequest", "approve", request)
    assert "left as it is" in act(client, "privacyrequest", "erase", request)
    assert "Done for 1" in act(client, "privacyrequest", "approve", request)
    asked = client.post(f"{ADMIN}crm/privacyrequest/", {"action": "erase", "_selected_action": request.pk})
    assert "1 leads and 0 contacts, for good" in asked.content.decode()
    assert Lead.objects.get().name == "Ada"
    assert "Done for 1" in act(client, "privacyrequest", "erase", request)
    assert Lead.objects.get().name != "Ada"
    assert ErasureLedger.objects.count() == 1
    assert act(
        client, "contact", "ask_privacy", create_contact(by=actor(manager), full_name="Bo"), kind="export"
    )
    other = PrivacyRequest.objects.get(kind="export")
    assert "Done for 1" in act(client, "privacyrequest", "refuse", other, reason="not them")
    assert PrivacyRequest.objects.get(pk=other.pk).state == PrivacyState.REFUSED


def test_ai_is_switched_off_and_on_for_the_chosen_leads(client: Client):
    leads = [make_lead(), make_lead()]
    assert "Done for 2" in act(client, "lead", "ai_off", *leads)
    assert Lead.objects.filter(is_ai_off=True).count() == 2
    assert "Done for 1" in act(client, "lead", "ai_on", leads[0])
    assert list(Lead.objects.filter(is_ai_off=True)) == [leads[1]]


def test_a_task_is_about_one_record_at_most(client: Client, boss: User):
    lead, contact = make_lead(owner=boss), create_contact(by=actor(boss), full_name="Bo")
    card = create_opportunity(by=actor(boss), name="Pond")
    two = added(client, "task", title="Call", lead=lead.pk, contact=contact.pk)
    assert "not two" in errors_of(two)
    for about in (lead, contact, card):
        name = about._meta.model_name
        assert added(client, "task", title=name, **{name: about.pk}).status_code == 302
        assert getattr(Task.objects.get(title=name), name) == about


def test_a_file_belongs_to_exactly_one_record(client: Client, boss: User):
    lead, account = make_lead(owner=boss), create_account(by=actor(boss), name="Ponds")
    create_contact(by=actor(boss), full_name="Bo")
    create_opportunity(by=actor(boss), name="Pond")
    records = [lead, account, Contact.objects.get(), Opportunity.objects.get()]

    def plan() -> SimpleUploadedFile:
        return SimpleUploadedFile("plan.txt", b"a plan")

    assert "Choose the record" in errors_of(added(client, "attachment", file=plan()))
    assert "not two" in errors_of(added(client, "attachment", file=plan(), lead=lead.pk, account=account.pk))
    for record in records:
        name = record._meta.model_name
        assert added(client, "attachment", file=plan(), **{name: record.pk}).status_code == 302
        assert Attachment.objects.filter(**{name: record}).count() == 1
