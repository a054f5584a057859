"""What a salesperson sees and can do when sending takes a while, fails, or nobody knows."""

from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils.html import escape

from crm import clock
from crm.actions.follow_ups import approve_follow_up, write_follow_up
from crm.actions.messages import claim_due_messages, finish_sending
from crm.mail.transport import Delivery, Outcome
from crm.models import FollowUp, Message, Role
from tests.factories import actor, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def team():
    return make_team()


@pytest.fixture
def ann(team):
    return make_user(team=team, name="Ann", signature="Kind regards\nAnn")


@pytest.fixture
def lead(ann, team):
    return make_lead(email="cara@example.com", owner=ann, team=team)


def client_of(user) -> Client:
    client = Client()
    client.force_login(user, backend=django_settings.AUTHENTICATION_BACKENDS[0])
    return client


def after_a_try(lead, ann, outcome: Outcome, reason: str = "") -> FollowUp:
    """A message that was approved and tried once, with this outcome."""
    follow_up = write_follow_up(lead.pk, by=actor(ann), subject="Visit", body="I come on Monday.")
    approve_follow_up(follow_up.pk, by=actor(ann))
    at = clock.now() + timedelta(seconds=9)
    (claim,) = claim_due_messages(at)
    delivery = Delivery(outcome, reason)
    finish_sending(claim.message_id, version=claim.version, delivery=delivery, at=at)
    return follow_up


def box(user, lead) -> str:
    return client_of(user).get(f"/leads/{lead.public_id}/draft/").content.decode()


def test_an_uncertain_message_asks_whether_it_arrived(lead, ann):
    follow_up = after_a_try(lead, ann, Outcome.UNKNOWN)
    html = box(ann, lead)
    assert "Not known whether it was sent" in html
    assert f"/follow-ups/{follow_up.public_id}/settle/" in html


@pytest.mark.parametrize(("outcome", "state"), [("sent", "sent"), ("not_sent", "approved")])
def test_the_answer_settles_it(lead, ann, outcome, state):
    follow_up = after_a_try(lead, ann, Outcome.UNKNOWN)
    url = f"/follow-ups/{follow_up.public_id}/settle/"
    assert client_of(ann).post(url, {"outcome": outcome}).status_code == 302
    follow_up.refresh_from_db()
    assert follow_up.state == state


def test_a_wrong_answer_changes_nothing(lead, ann):
    follow_up = after_a_try(lead, ann, Outcome.UNKNOWN)
    client_of(ann).post(f"/follow-ups/{follow_up.public_id}/settle/", {"outcome": "perhaps"})
    assert Message.objects.get().state == "uncertain"


def test_who_only_reads_is_not_asked_and_a_stranger_finds_nothing(lead, ann, team):
    follow_up = after_a_try(lead, ann, Outcome.UNKNOWN)
    url = f"/follow-ups/{follow_up.public_id}/settle/"
    reader = make_user(Role.READ_ONLY, team=team)
    assert "/settle/" not in box(reader, lead)
    client_of(reader).post(url, {"outcome": "sent"})
    assert client_of(make_user()).post(url, {"outcome": "sent"}).status_code == 404
    assert Message.objects.get().state == "uncertain"


def test_while_the_mail_server_is_not_ready_the_next_try_is_shown_and_editing_takes_it_back(lead, ann):
    follow_up = after_a_try(lead, ann, Outcome.LATER, "the mail server asked for another try (SMTP 451)")
    html = box(ann, lead)
    assert "next try" in html
    assert "SMTP 451" in html
    form = client_of(ann).get(f"/leads/{lead.public_id}/?edit=1").content.decode()
    assert f"/follow-ups/{follow_up.public_id}/edit/" in form


def test_a_refused_message_says_why_and_can_be_approved_again(lead, ann):
    after_a_try(lead, ann, Outcome.REFUSED, "the mail server refused it (SMTP 550)")
    html = box(ann, lead)
    assert "Not sent: the mail server refused it (SMTP 550)" in html
    assert "Approve and send" in html


@pytest.mark.parametrize("path", ["/leads/{id}/write/", "/leads/{id}/?write=1"])
def test_a_new_message_starts_with_the_signature_so_that_what_is_read_is_what_is_sent(lead, ann, path):
    html = client_of(ann).get(path.format(id=lead.public_id)).content.decode()
    assert escape("\n\n\nKind regards\nAnn</textarea>").replace("&lt;/textarea&gt;", "</textarea>") in html


def test_a_signature_alone_is_no_message(lead, ann):
    form = {"subject": "Visit", "body": "\r\n\r\nKind regards\r\nAnn", "then": "approve"}
    html = client_of(ann).post(f"/leads/{lead.public_id}/write/", form).content.decode()
    assert "Write something above your signature." in html
    assert not FollowUp.objects.exists()
