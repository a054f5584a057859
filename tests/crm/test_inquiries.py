"""What people decide about inquiries that came in: spam, or none."""

from typing import Any

import pytest

from crm.actions.capture import Submission, submit_form
from crm.actions.capture_forms import save_capture_form
from crm.actions.inquiries import accept_inquiry, mark_as_spam
from crm.actions.intake import receive_inquiry, receive_public_inquiry
from crm.actions.spam import Signals
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import (
    Actor,
    AuditLog,
    Channel,
    Consent,
    Inquiry,
    InquiryState,
    Lead,
    LeadStatus,
    OptIn,
    Role,
    TimelineEvent,
)
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


def sent_by_form(*, opt_in: OptIn = OptIn.NONE, **changes: Any) -> Inquiry:
    asked = [
        {"name": "name", "label": "Name", "is_required": True},
        {"name": "email", "label": "E-mail", "is_required": True},
    ]
    form = save_capture_form(
        None,
        by=actor(make_admin()),
        **{"name": "Garden", "slug": "garden", "source": make_source("web"), "fields": asked},
        consent_text="You may answer me.",
        opt_in=opt_in,
    )
    values = {"values": {"name": "Ada", "email": "ada@firm.example"}, "has_agreed": True, **changes}
    return submit_form(form, Submission(**values))


def test_without_consent_it_is_accepted_only_with_a_reason_that_is_kept():
    by, inquiry = actor(make_admin()), sent_by_form(has_agreed=False)
    before = state_of_tables()
    for reason in ("", "  "):
        with pytest.raises(TransitionRefused, match="did not give the consent"):
            accept_inquiry(inquiry.pk, by=by, without_consent=reason)
    with pytest.raises(InvalidValue) as refused:
        accept_inquiry(inquiry.pk, by=by, without_consent="x" * 201)
    assert refused.value.field == "without_consent"
    assert state_of_tables() == before
    accepted = accept_inquiry(inquiry.pk, by=by, without_consent="She called  and asked.")
    assert accepted.state == InquiryState.CREATED
    told = TimelineEvent.objects.get(lead=accepted.lead, kind="inquiry.accepted")
    assert (told.actor, "consent: She called and asked." in told.summary) == (by.user, True)
    kept = AuditLog.objects.get(action="inquiry.accepted_without_consent")
    assert (kept.actor, kept.target_id) == (by.user, str(inquiry.public_id))
    assert not Consent.objects.exists()


def test_spam_without_consent_needs_the_same_reason():
    inquiry = sent_by_form(has_agreed=False, signals=Signals(honeypot=True))
    assert (inquiry.state, inquiry.error) == (InquiryState.SPAM, "The consent is missing.")
    with pytest.raises(TransitionRefused, match="did not give the consent"):
        accept_inquiry(inquiry.pk, by=actor(make_admin()))


def test_a_reason_for_what_needs_none_is_refused():
    inquiry = sent_by_form(values={"name": "", "email": "ada@firm.example"})
    assert inquiry.state == InquiryState.FAILED
    with pytest.raises(InvalidValue, match="agreed"):
        accept_inquiry(inquiry.pk, by=actor(make_admin()), without_consent="Why not")


def test_what_was_kept_apart_keeps_the_consent_that_came_with_it():
    inquiry = sent_by_form(values={"name": "", "email": "ada@firm.example"}, address="203.0.113.0/24")
    accepted = accept_inquiry(inquiry.pk, by=actor(make_admin()))
    consent = Consent.objects.get()
    assert (consent.lead, consent.norm, consent.text) == (
        accepted.lead,
        "ada@firm.example",
        "You may answer me.",
    )
    assert (consent.at, consent.evidence["network"]) == (inquiry.received_at, "203.0.113.0/24")


def test_a_consent_that_a_link_should_have_confirmed_is_none():
    inquiry = sent_by_form(opt_in=OptIn.DOUBLE, values={"name": "", "email": "ada@firm.example"})
    assert accept_inquiry(inquiry.pk, by=actor(make_admin())).state == InquiryState.CREATED
    assert not Consent.objects.exists()


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
