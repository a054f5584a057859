"""What must always hold is held by the database, whatever the code above it does."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from crm.models import (
    Actor,
    FollowUp,
    FollowUpState,
    Lead,
    LeadStatus,
    Message,
    Score,
    TimelineEvent,
)
from tests.factories import make_follow_up, make_lead, make_user

pytestmark = pytest.mark.django_db


def refused(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


def test_a_disqualified_lead_without_a_reason():
    lead = make_lead()
    with refused("crm_lead_disqualified_has_reason"):
        Lead.objects.filter(pk=lead.pk).update(status=LeadStatus.DISQUALIFIED)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"status": "converted"}, "crm_lead_converted_has_time"),
        ({"status": "nurturing"}, "crm_lead_nurturing_has_wake_time"),
        ({"status": "lost"}, "crm_lead_status_known"),
        ({"score": 101, "score_source": "model"}, "crm_lead_score_0_to_100"),
        ({"score": 50}, "crm_lead_score_has_source"),
        ({"name": ""}, "crm_lead_has_name"),
        ({"outcome": "won"}, "crm_lead_outcome_has_time_and_origin"),
        ({"next_action_kind": "call"}, "crm_lead_next_action_whole"),
        ({"est_value": -1}, "crm_lead_value_not_negative"),
    ],
)
def test_a_lead_that_contradicts_itself(values, constraint):
    lead = make_lead()
    with refused(constraint):
        Lead.objects.filter(pk=lead.pk).update(**values)


def test_a_model_score_without_a_task():
    with refused("crm_score_model_has_task"):
        Score.objects.create(lead=make_lead(), kind="model", value=80, band="hot")


def test_two_current_scores_of_a_kind():
    lead = make_lead()
    Score.objects.create(lead=lead, kind="rules", value=20, band="cool")
    with refused("crm_score_one_current"):
        Score.objects.create(lead=lead, kind="rules", value=30, band="cool")


def test_a_score_in_the_wrong_band():
    with refused("crm_score_band_fits"):
        Score.objects.create(lead=make_lead(), kind="rules", value=74, band="hot")


def test_a_verified_factor_without_its_place():
    score = Score.objects.create(lead=make_lead(), kind="rules", value=20, band="cool")
    with refused("crm_scorefactor_verified_has_place"):
        score.factors.create(label="asked for a quote", verified=True, quote="a quote")


@pytest.mark.parametrize("state", ["approved", "scheduled", "sent"])
def test_an_approval_that_nobody_gave(state):
    draft = make_follow_up(make_lead())
    with refused("crm_followup_approved_as_it_is"):
        FollowUp.objects.filter(pk=draft.pk).update(state=state)


def test_a_changed_text_under_an_old_approval():
    user = make_user()
    draft = make_follow_up(
        make_lead(), state=FollowUpState.APPROVED, approved_by=user, approved_at="2026-01-01T00:00Z"
    )
    with refused("crm_followup_hash_is_true"), transaction.atomic():
        FollowUp.objects.filter(pk=draft.pk).update(body="We give you a discount.")
    draft.body = "We give you a discount."
    draft.rehash()
    with refused("crm_followup_approved_as_it_is"):
        draft.save()


def outgoing(draft: FollowUp, **fields) -> Message:
    values = {
        "lead": draft.lead,
        "follow_up": draft,
        "direction": "out",
        "state": "sending",
        "from_address": "us@example.com",
        "to_address": draft.to_address,
        "subject": draft.subject,
        "text": draft.body,
        "message_id": "<1@example.com>",
    }
    return Message.objects.create(**{**values, **fields})


def scheduled() -> FollowUp:
    return make_follow_up(
        make_lead(), state="scheduled", approved_by=make_user(), approved_at="2026-01-01T00:00Z"
    )


def test_sending_an_unapproved_follow_up():
    with refused("crm_message_is_approved"):
        outgoing(make_follow_up(make_lead()))


@pytest.mark.parametrize("change", [{"text": "Other"}, {"to_address": "x@example.com"}, {"subject": "Other"}])
def test_sending_other_bytes_than_the_approved_ones(change):
    draft = scheduled()
    with refused("crm_message_is_approved"), transaction.atomic():
        outgoing(draft, **change)
    assert outgoing(draft).pk  # the control: the approved bytes pass


def test_taking_back_what_is_being_sent():
    draft = scheduled()
    outgoing(draft)
    with refused("crm_followup_not_while_sending"):
        FollowUp.objects.filter(pk=draft.pk).update(state="rejected", reject_reason="no")


def test_rewriting_the_timeline():
    event = TimelineEvent.objects.create(
        lead=make_lead(), kind="x", summary="x", actor_kind=Actor.system().kind
    )
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        TimelineEvent.objects.filter(pk=event.pk).update(summary="y")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        TimelineEvent.objects.filter(pk=event.pk).delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('gardenos.maintenance', 'erase', true)")
    assert TimelineEvent.objects.filter(pk=event.pk).update(summary="") == 1


def test_the_app_role_changes_no_table():
    for statement in ("TRUNCATE crm_lead CASCADE", "DROP TABLE crm_note", "CREATE TABLE mine ()"):
        with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)
