"""How much of an agent's text its approver changed, and why a draft was dismissed."""

import pytest

from crm.actions.base import undo
from crm.actions.edit_ratio import edit_ratio
from crm.actions.follow_ups import (
    approve_follow_up,
    edit_follow_up,
    mark_stale,
    reject_follow_up,
    store_draft,
    write_follow_up,
)
from crm.errors import InvalidValue
from crm.models import Actor, FollowUp, TimelineEvent, Undo
from tests.factories import make_admin, make_lead

AGENT = Actor.agent("FollowUpAgent")


@pytest.mark.parametrize(
    ("written", "approved", "ratio"),
    [
        ("When may we visit you?", "When may we visit you?", 0),
        ("When may  we\nvisit you?", "When may we visit you?", 0),
        ("When may we visit you?", "When may we call you?", 0.2),  # one of five words in both texts
        ("one two three four", "one two three four five six seven eight", 1 - 8 / 12),
        ("one two three", "four five", 1),
        ("", "", 0),
        ("one", "", 1),
        ("one two", "two one", 0.5),
    ],
)
def test_the_ratio_is_the_share_of_words_that_differ(written: str, approved: str, ratio: float):
    assert edit_ratio(written, approved) == pytest.approx(ratio, abs=1e-4)


@pytest.fixture
def me(db, settings):
    settings.MAIL_CATCHER = True
    return make_admin()


@pytest.fixture
def draft(me) -> FollowUp:
    lead = make_lead(owner=me, email="ada@example.com")
    return store_draft(lead.pk, subject="Your pond", body="Shall we come on a day of yours?", by=AGENT)


def test_an_approval_keeps_how_much_was_changed_without_the_closing(me, draft):
    by = Actor.of(me)
    assert approve_follow_up(draft.pk, by=by).edit_ratio == 0
    edited = edit_follow_up(
        draft.pk, by=by, version=None, body=draft.body.replace("on a day of yours", "this week")
    )
    assert edited.edit_ratio is None  # nothing is approved now
    approved = approve_follow_up(draft.pk, by=by)
    assert approved.edit_ratio == edit_ratio(
        "Your pond Shall we come on a day of yours?", "Your pond Shall we come this week?"
    )


def test_what_no_agent_wrote_has_no_ratio(me, draft):
    by = Actor.of(me)
    own = write_follow_up(draft.lead_id, by=by, subject="Hello", body="Dear Ada")
    assert approve_follow_up(own.pk, by=by).edit_ratio is None
    refused = store_draft(draft.lead_id, subject="", body="", needs_writing="no price", by=AGENT)
    edit_follow_up(refused.pk, by=by, version=None, subject="Hello", body="Dear Ada")
    assert approve_follow_up(refused.pk, by=by).edit_ratio is None


def test_a_dismissal_keeps_its_reason_in_ones_own_words(me, draft):
    by = Actor.of(me)
    reject_follow_up(draft.pk, by=by, reason="wrong_tone", note=" We never\nsay Sie. ")
    draft.refresh_from_db()
    assert (draft.reject_reason, draft.reject_note) == ("wrong_tone", "We never say Sie.")
    assert draft.settled_at is not None
    event = TimelineEvent.objects.get(lead=draft.lead, kind="follow_up.rejected")
    assert event.summary.endswith("Tone is wrong – We never say Sie.")
    undo(Undo.objects.get().public_id, by=by)
    draft.refresh_from_db()
    assert (draft.reject_reason, draft.reject_note, draft.settled_at) == ("", "", None)


def test_a_note_that_is_too_long_is_refused(me, draft):
    with pytest.raises(InvalidValue) as refused:
        reject_follow_up(draft.pk, by=Actor.of(me), reason="other", note="x" * 301)
    assert refused.value.field == "note"


def test_what_is_over_says_since_when(me, draft):
    assert draft.settled_at is None
    mark_stale(draft.lead_id, because="the customer wrote")
    draft.refresh_from_db()
    assert draft.settled_at is not None
