"""Every act on a follow-up, from every state: where it leads, or that it is refused and changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from crm.actions.approvals import approve_follow_up
from crm.actions.follow_ups import (
    edit_follow_up,
    expire_follow_ups,
    mark_stale,
    reject_follow_up,
)
from crm.actions.messages import claim_due_messages, finish_sending
from crm.errors import ApprovalRefused, CRMError, TransitionRefused
from crm.mail.transport import Delivery, Outcome
from crm.models import FollowUp, FollowUpState, Message
from tests.factories import actor, make_admin, make_follow_up, make_lead
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db
UNSENT = {"generated", "edited", "approved", "scheduled"}
ADDRESS = "customer@example.com"


def send(follow_up: FollowUp) -> None:
    for claim in claim_due_messages(timezone.now()):
        finish_sending(
            claim.message_id, version=claim.version, delivery=Delivery(Outcome.SENT), at=timezone.now()
        )


ACTS: dict[str, tuple[Callable[[FollowUp, Any], Any], str, set[str]]] = {  # act, where to, from where
    "edit": (lambda f, by: edit_follow_up(f.pk, by=by, version=None, body="Other."), "edited", UNSENT),
    "approve": (
        lambda f, by: approve_follow_up(f.pk, by=by),
        "scheduled",
        {"generated", "edited", "approved"},
    ),
    "reject": (lambda f, by: reject_follow_up(f.pk, by=by, reason="other"), "rejected", UNSENT),
}
SWEEPS: dict[str, tuple[Callable[[FollowUp, Any], Any], str, set[str]]] = {  # these pass by what does not fit
    "send": (lambda f, by: send(f), "sent", {"scheduled"}),
    "go stale": (lambda f, by: mark_stale(f.lead_id, because="they wrote"), "stale", UNSENT),
    "expire": (
        lambda f, by: expire_follow_ups(at=timezone.now() + timedelta(days=31)),
        "expired",
        {"generated", "edited", "approved"},
    ),
}


def follow_up_in(state: str, *, message_state: str = "queued") -> tuple[FollowUp, Any]:
    by = make_admin()
    lead = make_lead(email=ADDRESS)
    fields: dict[str, Any] = {"state": FollowUpState(state)}
    if state in {"approved", "scheduled", "sent"}:
        fields |= {"approved_by": by, "approved_at": timezone.now()}
    if state == "rejected":
        fields["reject_reason"] = "other"
    follow_up = make_follow_up(lead, **fields)
    if state in {"scheduled", "sent"}:
        Message.objects.create(
            lead=lead,
            follow_up=follow_up,
            direction="out",
            state=message_state if state == "scheduled" else "sent",
            sent_at=timezone.now() if state == "sent" else None,
            sending_since=timezone.now() if message_state != "queued" else None,
            send_at=timezone.now() - timedelta(seconds=1),
            from_address="a@example.com",
            to_address=ADDRESS,
            subject=follow_up.subject,
            text=follow_up.body,
            message_id="<1@example.com>",
        )
    return follow_up, actor(by)


@pytest.mark.parametrize("state", FollowUpState.values)
@pytest.mark.parametrize("act", [*ACTS, *SWEEPS])
def test_every_act_leads_where_it_should_or_is_refused(act: str, state: str, settings: Any):
    settings.MAIL_CATCHER = True
    deed, to, from_where = (ACTS | SWEEPS)[act]
    follow_up, by = follow_up_in(state)
    before = state_of_tables()
    if state in from_where:
        deed(follow_up, by)
    elif act in SWEEPS:
        deed(follow_up, by)
        assert state_of_tables() == before
    else:
        with pytest.raises((TransitionRefused, ApprovalRefused)):
            deed(follow_up, by)
        assert state_of_tables() == before
    follow_up.refresh_from_db()
    assert follow_up.state == (to if state in from_where else state)


@pytest.mark.parametrize("message_state", ["sending", "uncertain"])
@pytest.mark.parametrize("act", ["edit", "approve", "reject", "go stale", "expire"])
def test_what_is_at_the_mail_servers_door_stays_scheduled(act: str, message_state: str, settings: Any):
    settings.MAIL_CATCHER = True
    follow_up, by = follow_up_in("scheduled", message_state=message_state)
    if act in SWEEPS:
        (ACTS | SWEEPS)[act][0](follow_up, by)
    else:
        with pytest.raises(CRMError):
            (ACTS | SWEEPS)[act][0](follow_up, by)
    follow_up.refresh_from_db()
    assert (follow_up.state, follow_up.message.state) == ("scheduled", message_state)
