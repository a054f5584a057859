"""What people decide about inquiries that came in: spam, or none."""

from typing import Any

import pytest

from crm.actions.inquiries import accept_inquiry, mark_as_spam
from crm.actions.intake import receive_inquiry, receive_public_inquiry
from crm.errors import PermissionRefused, TransitionRefused
from crm.models import Actor, Channel, Inquiry, InquiryState, Lead, LeadStatus, Role
from tests.factories import actor, make_admin, make_lead, make_source, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
SPAM = {"name": "Ada", "email": "ada@mailinator.com", "message": "A pond?"}


def arrived(**fields: Any) -> Inquiry:
    return receive_public_inquiry(
        channel=Channel.FORM, payload=fields or SPAM, source=make_source("web"), utm={}
    )


def test_spam_that_is_none_becomes_a_lead():
    inquiry = arrived()
    assert (inquiry.state, Lead.objects.count()) == (InquiryState.SPAM, 0)
    accepted = accept_inquiry(inquiry.pk, by=actor(make_admin()))
    assert (accepted.state, accepted.lead.name) == (InquiryState.CREATED, "Ada")
    with pytest.raises(TransitionRefused, match="in work already"):
        accept_inquiry(inquiry.pk, by=actor(make_admin()))


def test_what_cannot_be_read_is_refused_with_its_reason_and_stays():
    by, inquiry = actor(make_admin()), arrived(name="", email="nobody", message="Hello")
    assert inquiry.state == InquiryState.FAILED
    before = state_of_tables()
    with pytest.raises(TransitionRefused, match="is not an e-mail address"):
        accept_inquiry(inquiry.pk, by=by)
    assert state_of_tables() == before
    mark_as_spam(inquiry.pk, by=by)
    assert Inquiry.objects.get().state == InquiryState.SPAM


def test_what_waits_for_its_senders_link_is_not_accepted_for_them():
    inquiry = receive_public_inquiry(
        channel=Channel.FORM,
        payload={**SPAM, "email": "ada@example.com"},
        source=make_source("web"),
        hold=True,
    )
    with pytest.raises(TransitionRefused, match="confirmation"):
        accept_inquiry(inquiry.pk, by=actor(make_admin()))


def test_a_lead_of_nothing_but_spam_ends_and_comes_back_with_its_inquiry():
    by = actor(make_admin())
    payload = {"name": "Ada", "email": "ada@example.com", "message": "Buy this"}
    first = receive_inquiry(channel="form", payload=payload, by=Actor.system()).inquiry
    mark_as_spam(first.pk, by=by)
    lead = Lead.objects.get()
    assert (lead.status, lead.disqualify_reason) == (LeadStatus.DISQUALIFIED, "Spam")
    with pytest.raises(TransitionRefused, match="already"):
        mark_as_spam(first.pk, by=by)
    assert accept_inquiry(first.pk, by=by).state == InquiryState.CREATED
    lead.refresh_from_db()
    assert (lead.status, lead.disqualify_reason) == (LeadStatus.WORKING, "")


def test_a_lead_that_asked_something_else_too_goes_on_without_the_spam():
    by = actor(make_admin())
    payload = {"name": "Ada", "email": "ada@example.com"}
    receive_inquiry(channel="form", payload={**payload, "message": "A pond?"}, by=Actor.system())
    again = receive_inquiry(
        channel="form", payload={**payload, "message": "Casino"}, by=Actor.system()
    ).inquiry
    assert mark_as_spam(again.pk, by=by).state == InquiryState.SPAM
    assert Lead.objects.get().is_open
    assert not Inquiry.objects.genuine().filter(pk=again.pk).exists()
    assert accept_inquiry(again.pk, by=by).state == InquiryState.ATTACHED


def test_who_may_decide():
    ours, theirs = make_team(), make_team()
    ours_source, theirs_source = make_source("a", default_team=ours), make_source("b", default_team=theirs)
    mine = receive_public_inquiry(channel=Channel.FORM, payload=SPAM, source=ours_source)
    other = receive_public_inquiry(channel=Channel.FORM, payload=SPAM, source=theirs_source)
    nobodys = receive_public_inquiry(channel=Channel.FORM, payload=SPAM, source=make_source("c"))
    manager, second = make_user(Role.MANAGER, team=ours), make_user(Role.MANAGER, team=theirs)
    assert set(Inquiry.objects.visible_to(manager)) == {mine, nobodys}, (
        "the first team's pool takes what is nobody's"
    )
    assert set(Inquiry.objects.visible_to(second)) == {other}
    assert Inquiry.objects.visible_to(make_admin()).count() == 3
    rep = make_user(team=ours)
    for user in (
        rep,
        make_user(Role.READ_ONLY, team=ours),
        make_user(Role.MANAGER, is_active=False, team=ours),
    ):
        assert not Inquiry.objects.visible_to(user).exists()
    for act, inquiry in ((accept_inquiry, other), (mark_as_spam, other)):
        with pytest.raises(Inquiry.DoesNotExist):
            act(inquiry.pk, by=actor(manager))
    lead = make_lead(team=ours, message="Hello")
    with pytest.raises(PermissionRefused):  # in the pool: the rep reads it and may not change it
        mark_as_spam(lead.inquiries.get().pk, by=actor(rep))
    Lead.objects.filter(pk=lead.pk).update(owner=rep)
    assert mark_as_spam(lead.inquiries.get().pk, by=actor(rep)).state == InquiryState.SPAM
