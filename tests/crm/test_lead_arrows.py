"""Every arrow of a lead's life, from every status: where it leads, or that it is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from crm import clock
from crm.actions.attempts import exhausted
from crm.actions.base import undo
from crm.actions.conversion import convert_lead
from crm.actions.lead_plans import default_plan
from crm.actions.leads import (
    assign_lead,
    delete_lead,
    disqualify_lead,
    plan_next_action,
    reopen_lead,
    restore_lead,
    snooze_lead,
    start_work,
    wake_lead,
)
from crm.actions.messages import _book_sent, record_inbound_message
from crm.errors import CRMError, InvalidValue, PermissionRefused, TransitionRefused
from crm.models import Actor, Contact, FollowUpState, Lead, LeadStatus, Role, TimelineEvent
from tests.factories import actor, make_admin, make_follow_up, make_lead, make_team, make_user
from tests.tables import state_of_tables

SYSTEM = Actor.system()
STATUSES: dict[str, dict[str, Any]] = {
    "new": {},
    "working": {"next_action_at": timezone.now(), "next_action_kind": "call"},
    "nurturing": {"snoozed_until": timezone.now() + timedelta(days=9)},
    "converted": {"converted_at": timezone.now()},
    "disqualified": {"disqualify_reason": "No garden"},
}
soon = lambda: clock.now() + timedelta(days=3)
ARROWS: dict[str, tuple[Callable[[int], Any], str, set[str]]] = {  # act, where to, from where
    "start": (lambda pk: start_work(pk, by=SYSTEM, **default_plan()), "working", {"new"}),
    "plan": (
        lambda pk: plan_next_action(pk, by=SYSTEM, at=soon(), kind="call"),
        "",
        {"new", "working", "nurturing"},
    ),
    "snooze": (
        lambda pk: snooze_lead(pk, by=SYSTEM, until=soon()),
        "nurturing",
        {"new", "working", "nurturing"},
    ),
    "wake": (lambda pk: wake_lead(pk, by=SYSTEM), "working", {"nurturing"}),
    "disqualify": (
        lambda pk: disqualify_lead(pk, by=SYSTEM, reason="No garden"),
        "disqualified",
        {"new", "working", "nurturing"},
    ),
    "convert": (
        lambda pk: convert_lead(pk, by=SYSTEM, contact={}),
        "converted",
        {"new", "working", "nurturing"},
    ),
    "reopen": (lambda pk: reopen_lead(pk, by=SYSTEM, **default_plan()), "working", {"disqualified"}),
    "delete": (
        lambda pk: delete_lead(pk, by=actor(make_admin())),
        "",
        {"new", "working", "nurturing", "disqualified"},
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("arrow", ARROWS)
def test_every_arrow_leads_where_it_should_or_is_refused(arrow: str, status: str):
    act, to, from_where = ARROWS[arrow]
    lead = make_lead(status=status, **STATUSES[status])
    if status not in from_where:
        before = state_of_tables() if arrow != "delete" else None
        with pytest.raises(TransitionRefused):
            act(lead.pk)
        assert before is None or state_of_tables() == before
        return
    act(lead.pk)
    lead.refresh_from_db()
    expected = to or ("working" if (arrow, status) == ("plan", "new") else status)
    assert lead.status == expected
    assert lead.status != LeadStatus.WORKING or lead.next_action_at is not None
    changes = list(lead.status_changes.values_list("from_status", "to_status"))
    assert changes == ([] if expected == status else [(status, expected)])


@pytest.mark.django_db
@pytest.mark.parametrize("arrow", [name for name in ARROWS if name != "delete"])
def test_undo_takes_each_arrow_back(arrow: str, noon: Any):
    admin = make_admin()
    status = sorted(ARROWS[arrow][2])[0]
    lead = make_lead(status=status, **STATUSES[status])
    traces = ("version", "updated_at")
    facts = lambda: {k: v for k, v in Lead.objects.values().get(pk=lead.pk).items() if k not in traces}
    before, by = facts(), actor(admin)
    acts: dict[str, Callable[[], Any]] = {
        "start": lambda: start_work(lead.pk, by=by, **default_plan()),
        "plan": lambda: plan_next_action(lead.pk, by=by, at=soon(), kind="call"),
        "snooze": lambda: snooze_lead(lead.pk, by=by, until=soon()),
        "wake": lambda: wake_lead(lead.pk, by=by),
        "disqualify": lambda: disqualify_lead(lead.pk, by=by, reason="No garden"),
        "convert": lambda: convert_lead(lead.pk, by=by, contact={}).lead,
        "reopen": lambda: reopen_lead(lead.pk, by=by, **default_plan()),
    }
    changed = acts[arrow]()
    assert facts() != before
    undo(changed.undo_offer.public_id, by=by)
    assert facts() == before


@pytest.mark.django_db
def test_a_person_cannot_leave_a_lead_in_work_without_a_next_step(noon: Any):
    rep = make_user(team=make_team())
    lead = make_lead(owner=rep)
    for act in (
        lambda: start_work(lead.pk, by=actor(rep)),
        lambda: plan_next_action(lead.pk, by=actor(rep), at=None),
    ):
        with pytest.raises(InvalidValue):
            act()
    plan_next_action(lead.pk, by=actor(rep), at=noon, kind="call")
    plan_next_action(lead.pk, by=SYSTEM, at=None)  # a task is over and nothing follows
    lead.refresh_from_db()
    assert (lead.next_action_at, lead.next_action_kind) == (noon + timedelta(days=1), "review")
    bare = make_lead(owner=rep, status="working")
    assign_lead(bare.pk, by=actor(make_admin()), owner=make_user())
    bare.refresh_from_db()
    assert (bare.next_action_at, bare.next_action_kind) == (noon, "review")


@pytest.mark.django_db
def test_the_last_try_proposes_and_decides_nothing_and_an_answer_starts_anew(noon: Any):
    rep = make_user()
    lead = make_lead(owner=rep, email="ida@example.org", max_attempts=2)

    def send() -> None:
        follow_up = make_follow_up(
            lead,
            state=FollowUpState.SCHEDULED,
            approved_by=rep,
            approved_at=noon,
            to_address="ida@example.org",
        )
        message = follow_up_message(follow_up)
        _book_sent(Lead.objects.get(pk=lead.pk), follow_up, message, by=SYSTEM, at=noon)

    send()
    assert not exhausted(Lead.objects.open()).exists()
    send()
    lead.refresh_from_db()
    assert (lead.attempts, lead.status, lead.next_action_kind) == (2, "working", "review")
    assert list(exhausted(Lead.objects.open())) == [lead]
    send()
    assert TimelineEvent.objects.filter(kind="lead.exhausted").count() == 1
    record_inbound_message(lead.pk, by=SYSTEM, from_address="ida@example.org", subject="Yes", text="Yes")
    assert not exhausted(Lead.objects.open()).exists()


def follow_up_message(follow_up: Any) -> Any:
    from crm.models import Message

    return Message.objects.create(
        lead=follow_up.lead,
        follow_up=follow_up,
        direction="out",
        state="sending",
        from_address="a@example.com",
        to_address=follow_up.to_address,
        subject=follow_up.subject,
        text=follow_up.body,
    )


@pytest.mark.django_db
def test_deleting_is_for_managers_of_the_team_and_can_be_taken_back_for_thirty_days(noon: Any):
    team = make_team()
    rep, manager = make_user(team=team), make_user(Role.MANAGER, team=team)
    lead = make_lead(owner=rep, team=team)
    with pytest.raises(PermissionRefused):
        delete_lead(lead.pk, by=actor(rep))
    undo(delete_lead(lead.pk, by=actor(manager)).undo_offer.public_id, by=actor(manager))
    delete_lead(lead.pk, by=actor(manager))
    assert not Lead.objects.visible_to(rep).exists()
    with pytest.raises(Lead.DoesNotExist):
        snooze_lead(lead.pk, by=actor(rep), until=soon())
    with pytest.raises(PermissionRefused):
        restore_lead(lead.pk, by=actor(rep))
    with pytest.raises(Lead.DoesNotExist):
        restore_lead(lead.pk, by=actor(make_user(Role.MANAGER, team=make_team())))
    with clock.frozen(noon + timedelta(days=31)), pytest.raises(TransitionRefused):
        restore_lead(lead.pk, by=actor(manager))
    restore_lead(lead.pk, by=actor(manager))
    assert Lead.objects.visible_to(rep).get() == lead
    with pytest.raises(Lead.DoesNotExist):
        restore_lead(lead.pk, by=actor(manager))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["convert", "assign"])
def test_of_fifty_at_once_exactly_one_wins(what: str):
    team = make_team()
    lead = make_lead(team=team, email="ida@example.org", company="Moss & Co")
    people = [make_user(team=team) for _person in range(50)]
    admin = make_admin()

    def act(number: int) -> str:
        try:
            if what == "convert":
                convert_lead(lead.pk, by=actor(admin), contact={}, account={}, opportunity={})
            else:
                assign_lead(lead.pk, by=actor(people[number]), owner=people[number])
            return "won"
        except (CRMError, Lead.DoesNotExist):
            return "lost"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(act, range(50)))
    assert results.count("won") == 1
    assert Contact.objects.count() == (what == "convert")
    connection.close()
