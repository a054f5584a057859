"""The proposal about a reply stands on the lead's page and in Today's preview, inert, with two buttons."""

import pytest
from django.test import Client

from crm.models import Lead
from tests.factories import make_lead, make_triage, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead() -> Lead:
    return make_lead(owner=make_user(), email="customer@example.com", message="A pond?")


@pytest.fixture
def client(lead: Lead) -> Client:
    client = Client()
    client.force_login(lead.owner)  # type: ignore[arg-type]
    return client


def test_it_is_shown_with_its_quote_and_what_accepting_does(client: Client, lead: Lead):
    make_triage(lead, text="Not <b>now</b>, later.", intent="not_now", step="sleep", wake_on="2030-05-06")
    for address in (
        f"/leads/{lead.public_id}/",
        f"/today/{lead.public_id}/",
        f"/leads/{lead.public_id}/reply/",
    ):
        page = client.get(address).content.decode()
        assert "Not &lt;b&gt;now&lt;/b&gt;, later." in page
        assert "Let the lead sleep until May 6, 2030" in page


def test_without_one_the_box_is_empty(client: Client, lead: Lead):
    assert "<article" not in client.get(f"/leads/{lead.public_id}/reply/").content.decode()


def test_accepting_answers_with_an_undo_and_a_second_click_with_a_reason(client: Client, lead: Lead):
    triage = make_triage(lead, step="call")
    address = f"/replies/{triage.public_id}/accept/"
    said = client.post(address, {"version": "1"}, HTTP_HX_REQUEST="true").content.decode()
    assert "Done: Call" in said
    assert "/undo/" in said
    assert (
        "decided already" in client.post(address, {"version": "2"}, HTTP_HX_REQUEST="true").content.decode()
    )
    lead.refresh_from_db()
    assert lead.next_action_kind == "call"
