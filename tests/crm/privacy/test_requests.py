"""Who may ask, who may let it happen, and that one alone does not erase a crowd."""

from typing import Any

import pytest

from crm.actions import privacy_requests
from crm.actions.personal_data import ERASED
from crm.actions.privacy_requests import approve_request, carry_out_erasure, refuse_request, request_privacy
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused
from crm.models import Actor, AuditLog, Contact, PrivacyRequest, Role
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ledger(settings: Any, tmp_path: Any) -> None:
    settings.ERASURE_LEDGER = tmp_path / "erasures.jsonl"


def test_asked_by_a_rep_approved_by_an_admin_and_done():
    rep, admin = make_user(), make_admin()
    lead = make_lead(name="Ida", email="ida@example.org", owner=rep)
    request = request_privacy("erase", by=actor(rep), lead=lead)
    with pytest.raises(TransitionRefused, match="already"):
        request_privacy("erase", by=actor(rep), lead=lead)
    with pytest.raises(TransitionRefused, match="requested"):
        carry_out_erasure(request.pk, by=actor(admin))
    approve_request(request.pk, by=actor(admin))
    done = carry_out_erasure(request.pk, by=actor(admin))
    lead.refresh_from_db()
    request.refresh_from_db()
    assert (lead.name, request.state, request.counts["crm.lead"]) == (ERASED, "done", 1)
    assert done.entry.request == request
    actions = AuditLog.objects.order_by("pk").values_list("action", flat=True)
    assert [a for a in actions if a.startswith("privacy")] == [
        "privacy.erase_requested",
        "privacy.erase_approved",
    ]


def test_a_rep_approves_nothing_and_asks_nothing_of_foreign_leads():
    rep = make_user()
    request = request_privacy("erase", by=actor(rep), lead=make_lead(owner=rep))
    for role in (Role.REP, Role.MANAGER, Role.READ_ONLY):
        with pytest.raises(PermissionRefused):
            approve_request(request.pk, by=actor(make_user(role)))
    with pytest.raises(PermissionRefused):
        request_privacy("export", by=actor(rep), lead=make_lead(team=make_team()))


def test_a_crowd_needs_two_admins(monkeypatch: Any):
    monkeypatch.setattr(privacy_requests, "PRIVACY_ALONE", 1)
    one, other = make_admin(), make_admin()
    contact = Contact.objects.create(full_name="Ida")
    make_lead(contact=contact)
    request = request_privacy("erase", by=actor(one), contact=contact)
    with pytest.raises(PermissionRefused, match="second admin"):
        approve_request(request.pk, by=actor(one))
    assert approve_request(request.pk, by=actor(other)).state == "approved"


def test_a_refusal_says_why():
    admin, lead = make_admin(), make_lead()
    request = request_privacy("export", by=actor(admin), lead=lead)
    with pytest.raises(InvalidValue):
        refuse_request(request.pk, by=actor(admin), reason=" ")
    refuse_request(request.pk, by=actor(admin), reason="not the person")
    with pytest.raises(TransitionRefused):
        approve_request(request.pk, by=actor(admin))


@pytest.mark.parametrize(
    ("values", "field"),
    [({"kind": "sell"}, "kind"), ({"lead": None}, "person"), ({"reason": "x" * 201}, "reason")],
)
def test_a_wrong_request_names_its_field(values: dict[str, Any], field: str):
    sound: dict[str, Any] = {"kind": "export", "lead": make_lead()}
    with pytest.raises(InvalidValue) as refused:
        request_privacy(by=Actor.system(), **{**sound, **values})
    assert refused.value.field == field
    assert not PrivacyRequest.objects.exists()
    assert request_privacy(by=Actor.system(), **sound).pk
