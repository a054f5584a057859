"""What people do with a lead: one action per arrow, each with its refusals."""

from datetime import timedelta

import pytest

from crm import clock
from crm.actions.base import undo
from crm.actions.intake import receive_inquiry
from crm.actions.lead_plans import default_plan
from crm.actions.leads import (
    add_note,
    assign_lead,
    disqualify_lead,
    plan_next_action,
    reopen_lead,
    snooze_lead,
    start_work,
    update_lead,
    wake_due_leads,
)
from crm.errors import InvalidValue, PermissionRefused, TransitionRefused, UndoRefused, VersionConflict
from crm.models import Actor, CustomField, Lead, LeadStatus, MatchKey, Outcome, Role, TimelineEvent, Undo
from tests.factories import actor, make_admin, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def team():
    return make_team()


@pytest.fixture
def rep(team):
    return make_user(team=team)


@pytest.fixture
def lead(rep, team):
    return make_lead(owner=rep, team=team, email="ida@example.org")


def test_a_change_is_told_counted_and_can_be_taken_back(lead, rep):
    update_lead(lead.pk, by=actor(rep), company="Moss & Co", est_value="18400")
    lead.refresh_from_db()
    assert (lead.company, lead.version) == ("Moss & Co", 2)
    told = TimelineEvent.objects.get(lead=lead, kind="lead.changed").summary
    assert "Moss & Co" in told
    assert "18,400.00" in told
    undo(Undo.objects.get().public_id, by=actor(rep))
    lead.refresh_from_db()
    assert (lead.company, lead.est_value, lead.version) == ("", None, 3)


def test_a_change_that_changes_nothing_leaves_no_trace(lead, rep):
    update_lead(lead.pk, by=actor(rep), name=lead.name)
    lead.refresh_from_db()
    assert lead.version == 1
    assert not TimelineEvent.objects.exists()


def test_an_old_version_is_refused_with_the_record_as_it_is(lead, rep):
    update_lead(lead.pk, by=actor(rep), version=1, title="Owner")
    with pytest.raises(VersionConflict) as refused:
        update_lead(lead.pk, by=actor(rep), version=1, title="Buyer")
    assert refused.value.details["current"].title == "Owner"


def test_a_new_address_is_recognised_and_the_old_one_no_longer(lead, rep):
    update_lead(lead.pk, by=actor(rep), email="Ida@new.example")
    assert set(MatchKey.objects.filter(lead=lead, kind="email").values_list("value", flat=True)) == {
        "ida@new.example"
    }
    again = receive_inquiry(channel="form", payload={"email": "ida@new.example"}, by=Actor.system())
    assert again.lead == lead
    lead.refresh_from_db()
    assert "new.example" in lead.search_text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"owner": 1}, "owner"),
        ({"score": 100}, "score"),
        ({"name": " "}, "name"),
        ({"email": "nobody"}, "email"),
        ({"custom": {"ghost": 1}}, "custom.ghost"),
        ({"est_value": "Infinity"}, "est_value"),
        ({"interest": "x\0"}, "interest"),
    ],
)
def test_a_wrong_change_names_its_field(lead, rep, changes, field):
    with pytest.raises(InvalidValue) as refused:
        update_lead(lead.pk, by=actor(rep), **changes)
    assert refused.value.field == field


def test_own_fields_are_typed_and_merged(lead, rep):
    CustomField.objects.create(key="plot", label="Plot", type="number")
    CustomField.objects.create(key="pond", label="Pond", type="boolean")
    update_lead(lead.pk, by=actor(rep), custom={"plot": 400, "pond": True})
    update_lead(lead.pk, by=actor(rep), custom={"pond": None})
    lead.refresh_from_db()
    assert lead.custom == {"plot": 400}
    with pytest.raises(InvalidValue):
        update_lead(lead.pk, by=actor(rep), custom={"plot": "big"})


def test_a_colleagues_lead_does_not_exist_for_me_and_a_pool_lead_is_read_only(lead, team):
    other = make_user(team=team)
    with pytest.raises(Lead.DoesNotExist):
        disqualify_lead(lead.pk, by=actor(other), reason="spam")
    pool = make_lead(team=team)
    with pytest.raises(PermissionRefused):
        update_lead(pool.pk, by=actor(other), title="x")
    assign_lead(pool.pk, by=actor(other), owner=other)
    update_lead(pool.pk, by=actor(other), title="x")


@pytest.mark.parametrize("role", [Role.READ_ONLY])
def test_a_reader_changes_nothing(lead, team, role):
    reader = make_user(role, team=team)
    for act in (
        lambda: update_lead(lead.pk, by=actor(reader), title="x"),
        lambda: disqualify_lead(lead.pk, by=actor(reader), reason="x"),
        lambda: assign_lead(lead.pk, by=actor(reader), owner=reader),
        lambda: add_note(lead.pk, by=actor(reader), body="x"),
    ):
        with pytest.raises(PermissionRefused):
            act()


def test_an_agent_may_read_a_lead_and_change_nothing(lead):
    agent = Actor.agent("LeadAnalysisAgent")
    assert Lead.objects.visible_to(agent).filter(pk=lead.pk).exists()
    with pytest.raises(PermissionRefused):
        update_lead(lead.pk, by=agent, title="x")


def test_a_manager_assigns_inside_the_team_only(lead, team):
    manager, member, stranger = make_user(Role.MANAGER, team=team), make_user(team=team), make_user()
    assign_lead(lead.pk, by=actor(manager), owner=member)
    with pytest.raises(InvalidValue):
        assign_lead(lead.pk, by=actor(manager), owner=stranger)
    undo(Undo.objects.get().public_id, by=actor(manager))
    lead.refresh_from_db()
    assert lead.owner != member


def test_a_rep_cannot_hand_out_the_pool(team, rep):
    pool = make_lead(team=team)
    with pytest.raises(PermissionRefused):
        assign_lead(pool.pk, by=actor(rep), owner=make_user(team=team))


def test_disqualifying_needs_a_reason_and_counts_as_lost_until_reopened(lead, rep):
    with pytest.raises(InvalidValue):
        disqualify_lead(lead.pk, by=actor(rep), reason="  ")
    plan_next_action(lead.pk, by=actor(rep), at=clock.now(), kind="call")
    disqualify_lead(lead.pk, by=actor(rep), reason="No garden")
    lead.refresh_from_db()
    assert (lead.outcome, lead.outcome_from, lead.next_action_at) == (Outcome.LOST, "action", None)
    with pytest.raises(TransitionRefused):
        disqualify_lead(lead.pk, by=actor(rep), reason="again")
    with pytest.raises(InvalidValue, match="what comes next"):
        reopen_lead(lead.pk, by=actor(rep))
    reopen_lead(lead.pk, by=actor(rep), **default_plan())
    lead.refresh_from_db()
    assert (lead.status, lead.outcome, lead.disqualify_reason) == (LeadStatus.WORKING, Outcome.UNKNOWN, "")


def test_undoing_a_disqualification_brings_the_plan_back(lead, rep):
    at = clock.now()
    plan_next_action(lead.pk, by=actor(rep), at=at, kind="call")
    disqualify_lead(lead.pk, by=actor(rep), reason="No garden")
    undo(Undo.objects.latest("pk").public_id, by=actor(rep))
    lead.refresh_from_db()
    assert (lead.status, lead.next_action_at, lead.next_action_kind) == (LeadStatus.WORKING, at, "call")


def test_an_undo_is_refused_too_late_twice_for_others_and_after_another_change(lead, rep, noon):
    update_lead(lead.pk, by=actor(rep), title="Owner")
    offered = Undo.objects.get().public_id
    with pytest.raises(Undo.DoesNotExist):
        undo(offered, by=actor(make_admin()))
    with clock.frozen(noon + timedelta(seconds=9)), pytest.raises(UndoRefused, match="over"):
        undo(offered, by=actor(rep))
    update_lead(lead.pk, by=actor(rep), title="Buyer")
    with pytest.raises(UndoRefused, match=lead.name):
        undo(offered, by=actor(rep))
    last = Undo.objects.latest("pk").public_id
    undo(last, by=actor(rep))
    with pytest.raises(UndoRefused, match="already"):
        undo(last, by=actor(rep))


def test_a_snoozed_lead_wakes_when_its_time_has_come(lead, rep, noon):
    with pytest.raises(InvalidValue):
        snooze_lead(lead.pk, by=actor(rep), until=noon)
    snooze_lead(lead.pk, by=actor(rep), until=noon + timedelta(days=3))
    assert wake_due_leads(noon + timedelta(days=2)) == 0
    assert wake_due_leads(noon + timedelta(days=3)) == 1
    lead.refresh_from_db()
    assert (lead.status, lead.snoozed_until) == (LeadStatus.WORKING, None)


def test_planning_starts_the_work_on_a_new_lead(lead, rep, noon):
    plan_next_action(lead.pk, by=actor(rep), at=noon, kind="email")
    lead.refresh_from_db()
    assert (lead.status, lead.next_action_kind) == (LeadStatus.WORKING, "email")
    with pytest.raises(InvalidValue):
        plan_next_action(lead.pk, by=actor(rep), at=noon, kind="dance")
    with pytest.raises(TransitionRefused):
        start_work(lead.pk, by=actor(rep))


def test_a_note_is_kept_and_told(lead, rep):
    note = add_note(lead.pk, by=actor(rep), body="Wants a pond.\nCall after six.")
    assert note.event.summary == "Wants a pond. Call after six."
    with pytest.raises(InvalidValue):
        add_note(lead.pk, by=actor(rep), body="  ")


def test_undoing_an_assignment_takes_the_team_back_that_came_with_the_owner(rep):
    bare = make_lead()
    given = assign_lead(bare.pk, by=actor(make_admin()), owner=rep)
    assert given.team is not None
    undo(given.undo_offer.public_id, by=Actor.of(given.undo_offer.by))
    bare.refresh_from_db()
    assert (bare.owner, bare.team) == (None, None)
