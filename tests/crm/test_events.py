"""Durable handlers share the transaction, live ones wait for its commit."""

import pytest
from django.db import transaction

from crm import events


@pytest.fixture
def heard(monkeypatch):
    monkeypatch.setattr(events, "_durable", {events.AgentPoolChanged: []})
    monkeypatch.setattr(events, "_live", {events.AgentPoolChanged: []})
    calls = []
    events.on(events.AgentPoolChanged)(lambda event: calls.append(("durable", event.kind)))
    events.on(events.AgentPoolChanged, live=True)(lambda event: calls.append(("live", event.kind)))
    return calls


@pytest.mark.django_db(transaction=True)
def test_live_handlers_hear_only_what_was_committed(heard):
    with transaction.atomic():
        events.publish(events.AgentPoolChanged("follow_up"))
        assert heard == [("durable", "follow_up")]
    assert heard == [("durable", "follow_up"), ("live", "follow_up")]
    with transaction.atomic():
        events.publish(events.AgentPoolChanged("lost"))
        transaction.set_rollback(True)
    assert ("live", "lost") not in heard


@pytest.mark.django_db(transaction=True)
def test_a_live_handler_that_fails_harms_nobody(heard):
    events.on(events.AgentPoolChanged, live=True)(lambda event: 1 / 0)
    with transaction.atomic():
        events.publish(events.AgentPoolChanged("x"))
    assert ("live", "x") in heard


@pytest.mark.django_db(transaction=True)
def test_telling_outside_a_transaction_is_a_mistake():
    with pytest.raises(RuntimeError, match="outside a transaction"):
        events.publish(events.AgentPoolChanged("x"))


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (events.LeadDisqualified, "lead.disqualified"),
        (events.LeadFactsChanged, "lead.facts_changed"),
        (events.AgentTaskQueued, "agent_task.queued"),
        (events.ReplyTriaged, "reply.triaged"),
        (events.FollowUpChanged, "follow_up.changed"),
    ],
)
def test_events_are_named_by_noun_and_participle(event, name):
    assert events.wire_name(event) == name
