"""What an agent proposes about a reply happens only when a person accepts it, and then as by them."""

from datetime import date, timedelta
from typing import Any

import pytest

from crm import clock
from crm.actions.base import undo
from crm.actions.messages import record_inbound_message
from crm.actions.replies import NewTriage, accept_triage, dismiss_triage, store_triage
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused, VersionConflict
from crm.models import Actor, Lead, Message, ReplyTriage, Role, Suppression
from crm.plaintext import Span
from tests.factories import actor, make_lead, make_team, make_triage, make_user

pytestmark = pytest.mark.django_db
AGENT = Actor.agent("ReplyTriageAgent")


def lead_of(rep: Any) -> Lead:
    return make_lead(owner=rep, email="customer@example.com", message="A pond?")


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("answer", {"next_action_kind": "email", "status": "working"}),
        ("call", {"next_action_kind": "call", "status": "working"}),
        ("meeting", {"next_action_kind": "meeting", "status": "working"}),
        ("disqualify", {"status": "disqualified", "disqualify_reason": "Not interested"}),
        ("sleep", {"status": "nurturing"}),
    ],
)
def test_accepting_does_what_it_says_and_undo_takes_it_back(step: str, expected: dict[str, Any]):
    rep = make_user()
    lead = lead_of(rep)
    wake_on = clock.now().date() + timedelta(days=20) if step == "sleep" else None
    intent = "not_interested" if step == "disqualify" else "question"
    triage = make_triage(lead, step=step, wake_on=wake_on, intent=intent)
    done = accept_triage(triage.pk, by=actor(rep), version=1)
    lead.refresh_from_db()
    assert {name: getattr(lead, name) for name in expected} == expected
    if wake_on:
        assert lead.snoozed_until.date() == wake_on
    assert (done.state, done.decided_by) == ("accepted", rep)
    undo(done.undo_offer.public_id, by=actor(rep))
    lead.refresh_from_db()
    assert lead.status == "new"


def test_only_accepting_bars_an_address():
    rep = make_user()
    triage = make_triage(lead_of(rep), intent="unsubscribe", step="suppress")
    assert not Suppression.objects.exists()
    accept_triage(triage.pk, by=actor(rep))
    assert [(row.norm, row.reason, row.by) for row in Suppression.objects.all()] == [
        ("customer@example.com", "unsubscribed", rep)
    ]


def test_a_dismissed_proposal_changes_nothing_and_is_over():
    rep = make_user()
    lead = lead_of(rep)
    triage = make_triage(lead, step="disqualify", intent="spam")
    dismiss_triage(triage.pk, by=actor(rep))
    lead.refresh_from_db()
    assert lead.status == "new"
    with pytest.raises(TransitionRefused):
        accept_triage(triage.pk, by=actor(rep))


def test_neither_agents_nor_strangers_nor_readers_decide():
    team = make_team()
    triage = make_triage(make_lead(team=team, owner=make_user(team=team)))
    for who in (AGENT, Actor.system(), actor(make_user(Role.READ_ONLY, team=team))):
        with pytest.raises(PermissionRefused):
            accept_triage(triage.pk, by=who)
    with pytest.raises(ReplyTriage.DoesNotExist):
        accept_triage(triage.pk, by=actor(make_user()))


def test_who_read_an_older_version_is_told():
    rep = make_user()
    with pytest.raises(VersionConflict):
        accept_triage(make_triage(lead_of(rep)).pk, by=actor(rep), version=7)


def test_a_newer_message_makes_the_proposal_stale():
    lead = lead_of(make_user())
    triage = make_triage(lead)
    record_inbound_message(lead.pk, by=Actor.system(), from_address="c@example.com", subject="", text="Stop.")
    triage.refresh_from_db()
    assert triage.state == "stale"


def new(message: Message, task_id: int, **changes: Any) -> NewTriage:
    values: dict[str, Any] = {
        "message_id": message.pk,
        "intent": "question",
        "step": "answer",
        "summary": "Asks.",
        "quote": "How long",
        "place": Span(0, 8),
        "task_id": task_id,
    }
    return NewTriage(**values | changes)


def test_a_second_proposal_replaces_the_first_and_a_late_one_is_stale_at_once():
    lead = lead_of(make_user())
    first = make_triage(lead)
    second = store_triage(new(first.message, first.task_id), by=AGENT)
    first.refresh_from_db()
    assert (first.state, second.state) == ("stale", "proposed")
    record_inbound_message(lead.pk, by=Actor.system(), from_address="c@example.com", subject="", text="Stop.")
    assert store_triage(new(first.message, first.task_id), by=AGENT).state == "stale"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quote": "How short"}, "quote"),
        ({"place": Span(1, 9)}, "quote"),
        ({"step": "sleep", "wake_on": date(2020, 1, 1)}, "wake_on"),
        ({"step": "sleep"}, "wake_on"),
    ],
)
def test_what_no_honest_agent_stores_is_refused(changes: dict[str, Any], field: str):
    triage = make_triage(lead_of(make_user()))
    with pytest.raises(InvalidValue) as refused:
        store_triage(new(triage.message, triage.task_id, **changes), by=AGENT)
    assert refused.value.field == field


def test_a_person_leaves_no_proposal():
    triage = make_triage(lead_of(make_user()))
    with pytest.raises(PermissionRefused):
        store_triage(new(triage.message, triage.task_id), by=actor(make_user(Role.ADMIN)))
