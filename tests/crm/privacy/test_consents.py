"""Consents are written down, bans are kept, and neither depends on the address being known for ever."""

from datetime import timedelta
from typing import Any

import pytest

from crm import clock
from crm.actions.approvals import approve_follow_up, why_not_sendable
from crm.actions.consents import (
    address_hash,
    has_consent,
    is_suppressed,
    lift_suppression,
    record_consent,
    suppress,
    suppressed_among,
)
from crm.actions.messages import claim_due_messages
from crm.errors import ApprovalRefused, InvalidValue, PermissionRefused
from crm.models import (
    Actor,
    AuditLog,
    Consent,
    Contact,
    ContactPoint,
    MessageState,
    Role,
    Suppression,
    TimelineEvent,
)
from tests.factories import actor, make_admin, make_follow_up, make_lead, make_user

pytestmark = pytest.mark.django_db
CUSTOMER = Actor.customer("Ida")


def test_the_newest_word_counts():
    for state in ("given", "withdrawn", "given"):
        record_consent(by=CUSTOMER, address="Ida@Example.org", purpose="news", state=state)
    assert has_consent("email", "ida@example.org", "news")
    record_consent(by=CUSTOMER, address="ida@example.org", purpose="news", state="withdrawn")
    assert not has_consent("email", "ida@example.org", "news")
    assert not has_consent("email", "ida@example.org", "offers"), "of another purpose nobody spoke"
    assert Consent.objects.count() == 4, "each word is kept"


def test_a_consent_is_part_of_the_story():
    lead = make_lead()
    record_consent(by=CUSTOMER, address="ida@example.org", purpose="news", lead=lead, evidence={"form": "x"})
    assert TimelineEvent.objects.get(lead=lead).summary == "agreed to: news"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"address": "nonsense"}, "address"),
        ({"purpose": ""}, "purpose"),
        ({"purpose": "x" * 61}, "purpose"),
        ({"state": "perhaps"}, "state"),
        ({"basis": "because"}, "basis"),
        ({"channel": "pigeon"}, "channel"),
        ({"channel": "phone", "address": "12"}, "address"),
    ],
)
def test_a_wrong_consent_names_its_field_and_leaves_nothing(values: dict[str, Any], field: str):
    sound = {"by": CUSTOMER, "address": "ida@example.org", "purpose": "news"}
    with pytest.raises(InvalidValue) as refused:
        record_consent(**{**sound, **values})
    assert refused.value.field == field
    assert not Consent.objects.exists()
    assert record_consent(**sound).pk


def test_a_banned_address_stays_banned_without_the_address():
    row = suppress("email", "Ida@Example.org", by=actor(make_user()), reason="unsubscribed")
    Suppression.objects.filter(pk=row.pk).update(norm="")
    assert is_suppressed("email", "ida@example.org")
    assert not is_suppressed("email", "other@example.org")
    assert suppress("email", "ida@example.org", by=CUSTOMER, reason="bounced").reason == "unsubscribed"


def test_the_hash_depends_on_the_key(settings: Any):
    before = address_hash("email", "ida@example.org")
    settings.AUDIT_KEY = "another key of more than thirty-two characters"
    assert address_hash("email", "ida@example.org") != before


def test_a_ban_is_told_on_the_open_leads_it_concerns():
    lead, other = make_lead(email="ida@example.org"), make_lead(email="other@example.org")
    suppress("email", "ida@example.org", by=actor(make_user()), reason="manual")
    assert [event.lead for event in TimelineEvent.objects.filter(kind="address.suppressed")] == [lead]
    points = ContactPoint.objects.filter(lead__in=[lead, other])
    assert suppressed_among(points) == {lead.contact_points.get().pk}


def test_only_an_admin_lifts_a_ban_and_says_why():
    row = suppress("phone", "+442079460018", by=CUSTOMER, reason="manual")
    with pytest.raises(PermissionRefused):
        lift_suppression(row.pk, by=actor(make_user(Role.MANAGER)), note="asked")
    with pytest.raises(InvalidValue, match="Say why"):
        lift_suppression(row.pk, by=actor(make_admin()), note=" ")
    lift_suppression(row.pk, by=actor(make_admin()), note="asked by letter")
    assert not is_suppressed("phone", "+442079460018")
    assert AuditLog.objects.filter(action="address.released").count() == 1


def test_a_reader_bans_nobody():
    with pytest.raises(PermissionRefused):
        suppress("email", "ida@example.org", by=actor(make_user(Role.READ_ONLY)), reason="manual")


def sendable(user: Any, settings: Any) -> Any:
    settings.MAIL_CATCHER = True
    lead = make_lead(email="customer@example.com", owner=user)
    return make_follow_up(lead)


def test_nothing_is_approved_for_a_banned_address(settings: Any):
    user = make_user()
    follow_up = sendable(user, settings)
    suppress("email", "customer@example.com", by=CUSTOMER, reason="unsubscribed")
    with pytest.raises(ApprovalRefused, match="must not be written to"):
        approve_follow_up(follow_up.pk, by=actor(user))


def test_a_ban_between_approval_and_sending_holds_the_message(settings: Any):
    user = make_user()
    follow_up = sendable(user, settings)
    approve_follow_up(follow_up.pk, by=actor(user))
    suppress("email", "customer@example.com", by=CUSTOMER, reason="unsubscribed")
    assert claim_due_messages(clock.now() + timedelta(minutes=1)) == []
    follow_up.message.refresh_from_db()
    assert follow_up.message.state == MessageState.FAILED
    assert "must not be written to" in follow_up.message.error


def test_a_person_who_asked_not_to_be_contacted_gets_nothing(settings: Any):
    user = make_user()
    follow_up = sendable(user, settings)
    assert why_not_sendable(follow_up) == ""
    follow_up.lead.contact = Contact.objects.create(full_name="Ida", do_not_contact=True)
    follow_up.lead.save()
    assert "does not want to be contacted" in why_not_sendable(follow_up)
