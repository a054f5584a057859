"""A draft's life until it is approved: who may do what with it, and when the answer is no."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from crm import clock, events
from crm.actions.base import undo
from crm.actions.follow_ups import (
    EXPIRES_AFTER,
    RejectReason,
    approve_follow_up,
    edit_follow_up,
    expire_follow_ups,
    mark_stale,
    reject_follow_up,
    store_draft,
    why_not_approvable,
    write_follow_up,
)
from crm.actions.intake import receive_inquiry
from crm.actions.leads import assign_lead, update_lead
from crm.actions.messages import record_inbound_message
from crm.errors import (
    ApprovalRefused,
    InvalidValue,
    PermissionRefused,
    TransitionRefused,
    UndoRefused,
    VersionConflict,
)
from crm.models import Actor, FollowUp, FollowUpState, Lead, Message, MessageState, Role, TimelineEvent
from tests.factories import actor, make_follow_up, make_lead, make_team, make_user

pytestmark = pytest.mark.django_db
AGENT = Actor.agent("FollowUpAgent")


@pytest.fixture
def team():
    return make_team()


@pytest.fixture
def ann(team):
    return make_user(team=team, name="Ann", signature="Kind regards\nAnn Berg")


@pytest.fixture
def lead(ann, team) -> Lead:
    return make_lead(name="Cara Customer", email="Cara@example.com", owner=ann, team=team)


@pytest.fixture
def draft(lead) -> FollowUp:
    return store_draft(lead.pk, subject="Your garden", body="Hello Cara,\n\nthank you.", by=AGENT)


class TestStoring:
    def test_a_draft_ends_with_the_owners_signature_and_the_footer(self, lead, settings):
        settings.MAIL_FOOTER = "Firm Ltd, 1 Garden Lane"
        draft = store_draft(lead.pk, subject=" Your\ngarden ", body="Hello\r\n", by=AGENT)
        assert draft.subject == "Your garden"
        assert draft.body == "Hello\n\nKind regards\nAnn Berg\n\nFirm Ltd, 1 Garden Lane"
        assert (draft.state, draft.original_body) == (FollowUpState.GENERATED, draft.body)

    def test_a_draft_for_a_lead_of_the_pool_is_signed_by_the_house_until_somebody_takes_it(
        self, ann, team, settings
    ):
        settings.DEFAULT_FROM_EMAIL = "Firm Ltd <crm@firm.example>"
        lead = make_lead(email="cara@example.com", team=team)
        draft = store_draft(lead.pk, subject="s", body="Hello", by=AGENT)
        assert draft.body == "Hello\n\nFirm Ltd"
        assign_lead(lead.pk, by=actor(ann), owner=ann)
        draft.refresh_from_db()
        assert draft.body == "Hello\n\nKind regards\nAnn Berg"

    def test_the_recipient_is_the_leads_own_address(self, draft):
        assert draft.to_address == "Cara@example.com"

    def test_an_earlier_untouched_draft_becomes_stale_and_an_edited_one_stays(self, lead, ann):
        first = store_draft(lead.pk, subject="1", body="one", by=AGENT)
        edited = store_draft(lead.pk, subject="2", body="two", by=AGENT)
        edit_follow_up(edited.pk, by=actor(ann), version=edited.version, body="two and a half")
        store_draft(lead.pk, subject="3", body="three", by=AGENT)
        states = FollowUp.objects.order_by("pk").values_list("state", flat=True)
        assert list(states) == ["stale", "edited", "generated"]
        assert first.pk

    def test_a_draft_that_does_not_know_the_customers_newest_words_is_stale_at_once(self, lead):
        known = TimelineEvent.objects.create(lead=lead, kind="x", actor_kind="system", summary="x")
        record_inbound_message(
            lead.pk, by=Actor.system(), from_address="cara@example.com", subject="Wait", text="Not now"
        )
        draft = store_draft(lead.pk, subject="s", body="b", by=AGENT, context_event_id=known.pk)
        assert draft.state == FollowUpState.STALE

    def test_an_unusable_answer_is_kept_for_a_person_to_write(self, lead, ann):
        draft = store_draft(lead.pk, subject="", body="", by=AGENT, needs_writing="The answer was empty.")
        with pytest.raises(ApprovalRefused, match="Write the message"):
            approve_follow_up(draft.pk, by=actor(ann))
        written = edit_follow_up(draft.pk, by=actor(ann), version=None, subject="Hello", body="My own words")
        assert approve_follow_up(written.pk, by=actor(ann)).state == FollowUpState.SCHEDULED

    def test_people_do_not_leave_drafts_in_an_agents_name(self, lead, ann):
        with pytest.raises(PermissionRefused):
            store_draft(lead.pk, subject="s", body="b", by=actor(ann))

    def test_a_new_owners_signature_replaces_the_old_one(self, draft, lead, team, ann):
        bob = make_user(team=team, name="Bob Oak")
        assign_lead(lead.pk, by=actor(ann), owner=bob)
        draft.refresh_from_db()
        assert draft.body == "Hello Cara,\n\nthank you.\n\nBob Oak"

    def test_a_new_address_goes_into_the_draft_and_drops_its_approval(self, draft, lead, ann):
        approve_follow_up(draft.pk, by=actor(ann))
        update_lead(lead.pk, by=actor(ann), email="new@example.com")
        draft.refresh_from_db()
        assert (draft.to_address, draft.state, draft.approved_sha256) == ("new@example.com", "edited", "")
        assert draft.message.state == MessageState.DRAFT


class TestWriting:
    def test_a_person_writes_without_any_agent(self, lead, ann):
        own = write_follow_up(lead.pk, by=actor(ann), subject="Visit", body="I come on Monday.")
        assert own.body == "I come on Monday.\n\nKind regards\nAnn Berg"
        assert (own.state, own.created_by, own.provider) == (FollowUpState.EDITED, ann, "")

    def test_a_signature_that_is_there_already_is_not_repeated(self, lead, ann):
        text = "I come on Monday.\n\nKind regards\nAnn Berg"
        assert write_follow_up(lead.pk, by=actor(ann), subject="Visit", body=text).body == text

    def test_an_empty_message_is_refused(self, lead, ann):
        with pytest.raises(InvalidValue):
            write_follow_up(lead.pk, by=actor(ann), subject="Visit", body=" \n")


class TestEditing:
    def test_an_edit_keeps_the_original_for_comparison(self, draft, ann):
        edited = edit_follow_up(draft.pk, by=actor(ann), version=draft.version, body="Shorter")
        assert (edited.state, edited.body, edited.version) == (FollowUpState.EDITED, "Shorter", 2)
        assert edited.original_body == draft.body

    def test_an_edit_drops_the_approval_and_stops_the_message(self, draft, ann):
        approved = approve_follow_up(draft.pk, by=actor(ann))
        edited = edit_follow_up(draft.pk, by=actor(ann), version=approved.version, body="Other")
        assert (edited.approved_by, edited.approved_at, edited.approved_sha256) == (None, None, "")
        assert Message.objects.get().state == MessageState.DRAFT

    def test_an_edit_of_an_older_version_is_refused_with_the_current_one(self, draft, ann):
        edit_follow_up(draft.pk, by=actor(ann), version=1, body="First")
        with pytest.raises(VersionConflict) as refused:
            edit_follow_up(draft.pk, by=actor(ann), version=1, body="Second")
        assert refused.value.details["current"].body == "First"

    def test_control_characters_are_refused(self, draft, ann):
        with pytest.raises(InvalidValue) as refused:
            edit_follow_up(draft.pk, by=actor(ann), version=None, body="a\0b")
        assert refused.value.field == "body"


class TestApproving:
    def test_approval_is_bound_to_the_bytes_and_queues_them_for_in_8_seconds(self, draft, ann, noon):
        approved = approve_follow_up(draft.pk, by=actor(ann), version=draft.version)
        message = approved.message
        assert (approved.state, approved.approved_by, approved.approved_at) == ("scheduled", ann, noon)
        assert approved.approved_sha256 == approved.body_sha256
        assert (message.state, message.send_at) == (MessageState.QUEUED, noon + timedelta(seconds=8))
        assert (message.to_address, message.subject, message.text) == (
            draft.to_address,
            draft.subject,
            draft.body,
        )
        assert message.message_id.endswith("@127.0.0.1")

    def test_it_is_announced_with_the_new_state(self, draft, ann, monkeypatch):
        seen = []
        monkeypatch.setattr(events, "publish", seen.append)
        approve_follow_up(draft.pk, by=actor(ann))
        assert events.FollowUpChanged(draft.lead_id, draft.pk, "scheduled") in seen
        assert events.MessageChanged(draft.lead_id, Message.objects.get().pk, "queued") in seen

    def test_undo_within_the_window_brings_it_back_approved(self, draft, ann):
        approved = approve_follow_up(draft.pk, by=actor(ann))
        undo(approved.undo_offer.public_id, by=actor(ann))
        draft.refresh_from_db()
        assert (draft.state, draft.message.state) == (FollowUpState.APPROVED, MessageState.DRAFT)
        again = approve_follow_up(draft.pk, by=actor(ann))
        assert again.message.state == MessageState.QUEUED
        assert again.message.message_id == draft.message.message_id

    def test_undo_after_the_window_is_refused(self, draft, ann, noon):
        approved = approve_follow_up(draft.pk, by=actor(ann))
        with clock.frozen(noon + timedelta(seconds=8.1)), pytest.raises(UndoRefused):
            undo(approved.undo_offer.public_id, by=actor(ann))

    @pytest.mark.parametrize(
        "text",
        [
            "Hello {{first_name}}",
            "Hello [Your name]",
            "Hello {company}",
            "On <<date>>",
            "[Insert price here]",
        ],
    )
    def test_an_unfilled_placeholder_is_named(self, draft, ann, text):
        edit_follow_up(draft.pk, by=actor(ann), version=None, body=text)
        with pytest.raises(ApprovalRefused, match="Fill in") as refused:
            approve_follow_up(draft.pk, by=actor(ann))
        assert refused.value.field == "body"

    def test_square_brackets_of_ordinary_text_are_no_placeholder(self, draft, ann):
        edit_follow_up(draft.pk, by=actor(ann), version=None, body="See [1] and {2} and [the plan].")
        assert approve_follow_up(draft.pk, by=actor(ann)).state == FollowUpState.SCHEDULED

    def test_without_an_address_it_is_refused(self, ann):
        draft = store_draft(make_lead(owner=ann).pk, subject="s", body="b", by=AGENT)
        with pytest.raises(ApprovalRefused, match="no e-mail address") as refused:
            approve_follow_up(draft.pk, by=actor(ann))
        assert refused.value.field == "to_address"
        assert "no e-mail address" in why_not_approvable(draft)

    @pytest.mark.parametrize("state", ["bounced", "invalid"])
    def test_an_address_that_came_back_is_refused(self, draft, lead, ann, state):
        lead.contact_points.update(state=state)
        with pytest.raises(ApprovalRefused, match="came back"):
            approve_follow_up(draft.pk, by=actor(ann))

    def test_a_disqualified_lead_is_not_written_to(self, draft, lead, ann):
        Lead.objects.filter(pk=lead.pk).update(status="disqualified", disqualify_reason="asked us to stop")
        with pytest.raises(ApprovalRefused, match="disqualified"):
            approve_follow_up(draft.pk, by=actor(ann))

    def test_a_sample_never_leaves_the_machine(self, lead, ann, settings):
        draft = store_draft(lead.pk, subject="s", body="b", by=AGENT, provider="scripted")
        settings.EMAIL_URL = "smtps://mail.example.com"
        with pytest.raises(ApprovalRefused, match="sample"):
            approve_follow_up(draft.pk, by=actor(ann))
        settings.EMAIL_URL = "smtp://127.0.0.1:2525"
        assert approve_follow_up(draft.pk, by=actor(ann)).state == FollowUpState.SCHEDULED

    def test_where_mail_has_no_way_out_it_is_refused(self, draft, ann, settings):
        settings.MAIL_CATCHER, settings.EMAIL_URL = False, ""
        with pytest.raises(ApprovalRefused, match="EMAIL_URL"):
            approve_follow_up(draft.pk, by=actor(ann))

    def test_after_the_customer_wrote_it_says_so(self, draft, lead, ann):
        record_inbound_message(
            lead.pk, by=Actor.system(), from_address="cara@example.com", subject="Wait", text="Not now"
        )
        with pytest.raises(ApprovalRefused, match="what happened since"):
            approve_follow_up(draft.pk, by=actor(ann))

    def test_a_second_approval_is_refused(self, draft, ann):
        approve_follow_up(draft.pk, by=actor(ann))
        with pytest.raises(ApprovalRefused, match="on its way"):
            approve_follow_up(draft.pk, by=actor(ann))


class TestRights:
    def test_a_colleague_of_another_team_does_not_know_of_it(self, draft):
        stranger = actor(make_user(team=make_team()))
        for act in (
            lambda: approve_follow_up(draft.pk, by=stranger),
            lambda: edit_follow_up(draft.pk, by=stranger, version=None, body="x"),
            lambda: reject_follow_up(draft.pk, by=stranger, reason="other"),
        ):
            with pytest.raises(FollowUp.DoesNotExist):
                act()

    def test_who_only_reads_may_not_approve(self, draft, team):
        reader = actor(make_user(Role.READ_ONLY, team=team))
        with pytest.raises(PermissionRefused):
            approve_follow_up(draft.pk, by=reader)

    def test_a_manager_may_approve_for_the_team(self, draft, team):
        manager = make_user(Role.MANAGER, team=team)
        assert approve_follow_up(draft.pk, by=actor(manager)).approved_by == manager

    @pytest.mark.parametrize("who", [AGENT, Actor.system(), Actor.customer("Cara")])
    def test_no_program_ever_approves(self, draft, who):
        with pytest.raises(PermissionRefused):
            approve_follow_up(draft.pk, by=who)
        draft.refresh_from_db()
        assert draft.state == FollowUpState.GENERATED

    def test_a_token_needs_the_scope_to_send(self, draft, ann):
        with pytest.raises(PermissionRefused, match="send"):
            approve_follow_up(draft.pk, by=Actor.api(ann, label="t", scopes=frozenset({"read", "write"})))


class TestDismissing:
    def test_a_reason_is_kept_and_undo_brings_the_draft_back(self, draft, ann):
        rejected = reject_follow_up(draft.pk, by=actor(ann), reason=RejectReason.WRONG_TONE)
        assert (rejected.state, rejected.reject_reason) == ("rejected", "wrong_tone")
        undo(rejected.undo_offer.public_id, by=actor(ann))
        draft.refresh_from_db()
        assert (draft.state, draft.reject_reason) == ("generated", "")

    def test_an_unknown_reason_is_refused(self, draft, ann):
        with pytest.raises(InvalidValue) as refused:
            reject_follow_up(draft.pk, by=actor(ann), reason="because")
        assert refused.value.field == "reason"

    def test_what_was_queued_is_not_sent(self, draft, ann):
        approve_follow_up(draft.pk, by=actor(ann))
        reject_follow_up(draft.pk, by=actor(ann), reason="other")
        assert Message.objects.get().state == MessageState.DRAFT

    def test_what_is_over_stays_over(self, draft, ann):
        reject_follow_up(draft.pk, by=actor(ann), reason="other")
        with pytest.raises(TransitionRefused):
            edit_follow_up(draft.pk, by=actor(ann), version=None, body="x")


class TestGoingOutOfDate:
    def test_a_new_inquiry_puts_the_draft_aside_and_stops_what_was_queued(self, draft, lead, ann):
        approve_follow_up(draft.pk, by=actor(ann))
        result = receive_inquiry(
            channel="form",
            payload={"name": lead.name, "email": "cara@example.com", "message": "Forget it"},
            by=Actor.system(),
        )
        draft.refresh_from_db()
        assert result.lead.pk == lead.pk
        assert (draft.state, draft.message.state) == (FollowUpState.STALE, MessageState.DRAFT)

    def test_an_inbound_message_wakes_a_sleeping_lead(self, lead):
        Lead.objects.filter(pk=lead.pk).update(
            status="nurturing", snoozed_until=clock.now() + timedelta(days=9), attempts=3
        )
        record_inbound_message(
            lead.pk, by=Actor.system(), from_address="cara@example.com", subject="Hello", text="again"
        )
        lead.refresh_from_db()
        assert (lead.status, lead.snoozed_until, lead.attempts) == ("working", None, 0)
        assert lead.last_inbound_at is not None

    def test_the_same_inbound_mail_is_kept_once(self, lead):
        for _time in range(2):
            record_inbound_message(
                lead.pk,
                by=Actor.system(),
                from_address="cara@example.com",
                subject="Hello",
                text="again",
                message_id="1@example.com",
            )
        assert Message.objects.filter(direction="in").count() == 1

    def test_drafts_nobody_touched_for_30_days_expire(self, draft, lead):
        now = draft.updated_at
        assert expire_follow_ups(at=now + EXPIRES_AFTER) == 0
        assert expire_follow_ups(at=now + EXPIRES_AFTER + timedelta(seconds=1)) == 1
        draft.refresh_from_db()
        assert draft.state == FollowUpState.EXPIRED

    def test_marking_stale_says_why_in_the_timeline(self, draft, lead):
        assert mark_stale(lead.pk, because="the customer wrote") == 1
        assert lead.timeline.filter(kind="follow_up.stale", summary__contains="the customer wrote").exists()


class TestTheDatabaseRefuses:
    """The last line: raw SQL by the application's own role."""

    def refuses(self, sql: str, *values: object, by: str) -> None:
        with pytest.raises(IntegrityError, match=by), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, values)

    def test_a_follow_up_sent_without_approval(self, draft):
        for state in ("approved", "scheduled", "sent"):
            self.refuses(
                "UPDATE crm_followup SET state = %s WHERE id = %s",
                state,
                draft.pk,
                by="crm_followup_approved_as_it_is",
            )

    def test_a_change_of_what_was_approved(self, draft, ann):
        approve_follow_up(draft.pk, by=actor(ann))
        change = "UPDATE crm_followup SET body = 'other' WHERE id = %s"
        self.refuses(change, draft.pk, by="crm_followup_hash_is_true")
        honest = (
            "UPDATE crm_followup SET body = 'other', "
            "body_sha256 = crm_outgoing_sha256(to_address, subject, 'other') WHERE id = %s"
        )
        self.refuses(honest, draft.pk, by="crm_followup_approved_as_it_is")

    @pytest.mark.parametrize("column", ["text", "subject", "to_address"])
    def test_a_message_with_other_bytes(self, draft, ann, column):
        approve_follow_up(draft.pk, by=actor(ann))
        sql = f"UPDATE crm_message SET {column} = 'other@example.com'"
        self.refuses(sql, by="crm_message_is_approved")

    @pytest.mark.parametrize("state", ["queued", "sending", "sent"])
    def test_a_message_of_an_unapproved_follow_up(self, lead, draft, state):
        sql = (
            "INSERT INTO crm_message (public_id, created_at, updated_at, version, lead_id, follow_up_id, "
            "direction, state, mail_account, message_id, thread, headers, from_address, to_address, subject, "
            "text, attempts, error, occurred_at, sent_at) VALUES (gen_random_uuid(), now(), now(), 1, %s, "
            "%s, 'out', %s, '', '', '', '{}', 'a@b', %s, %s, %s, 0, '', now(), now())"
        )
        values = (lead.pk, draft.pk, state, draft.to_address, draft.subject, draft.body)
        self.refuses(sql, *values, by="crm_message_is_approved")

    def test_taking_back_what_is_being_sent(self, draft, ann):
        approve_follow_up(draft.pk, by=actor(ann))
        Message.objects.update(state=MessageState.SENDING)
        for state in ("approved", "stale", "rejected"):
            self.refuses(
                "UPDATE crm_followup SET state = %s, reject_reason = 'x' WHERE id = %s",
                state,
                draft.pk,
                by="crm_followup_not_while_sending",
            )

    def test_but_the_approved_one_may_be_sent(self, draft, ann):
        approve_follow_up(draft.pk, by=actor(ann))
        assert Message.objects.update(state=MessageState.SENDING) == 1


def test_a_follow_up_made_by_hand_in_tests_is_as_the_database_wants_it():
    assert make_follow_up(make_lead()).state == FollowUpState.GENERATED
