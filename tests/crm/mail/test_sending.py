"""From approved to arrived: once, with the approved bytes, or asked of a person. The server is a real one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from crm import clock
from crm.actions import approvals, delivering
from crm.actions.base import undo
from crm.actions.follow_ups import (
    approve_follow_up,
    edit_follow_up,
    reject_follow_up,
    store_draft,
    write_follow_up,
)
from crm.actions.leads import add_note, update_lead
from crm.actions.messages import (
    LEASE,
    RETRY_AFTER,
    claim_due_messages,
    find_lost_sendings,
    finish_sending,
    record_inbound_message,
    resolve_uncertain,
)
from crm.errors import (
    ApprovalRefused,
    CRMError,
    InvalidValue,
    PermissionRefused,
    TransitionRefused,
    UndoRefused,
)
from crm.mail.compose import clean_body
from crm.mail.transport import Delivery, Outcome, deliver
from crm.models import Actor, FollowUp, FollowUpState, Lead, Message, MessageState, Role
from crm.tasks import heartbeat_age_s, send_due_messages, send_heartbeat
from tests.crm.mail.smtp_server import Sink, text_of
from tests.crm.mail.test_compose import ANY_TEXT, letter
from tests.factories import actor, make_lead, make_team, make_user

REPOSITORY = Path(__file__).parents[3]
AFTER_UNDO = timedelta(seconds=8.01)


def approved(to: str = "cara@example.com", **texts: str) -> FollowUp:
    """A person's message, approved just now."""
    user = make_user(name="Ann Berg")
    lead = make_lead(name="Cara", email=to, owner=user, team=make_team())
    texts = {"subject": "Your garden", "body": "Hello Cara,\n\nGrüße 🌿  \n.\nFrom us", **texts}
    follow_up = write_follow_up(lead.pk, by=actor(user), **texts)
    return approve_follow_up(follow_up.pk, by=actor(user))


def send(after: timedelta = AFTER_UNDO) -> None:
    """What the queue does once the time has come."""
    with clock.frozen(clock.now() + after):
        send_due_messages()


def state_of(follow_up: FollowUp) -> tuple[str, str]:
    follow_up.refresh_from_db()
    return follow_up.state, Message.objects.get(follow_up=follow_up).state


@pytest.mark.django_db
class TestArriving:
    def test_the_mail_arrives_once_with_the_approved_text(self, sink: Sink):
        follow_up = approved()
        send()
        send()
        (mail,) = sink.mails()
        message = Message.objects.get()
        assert text_of(mail) == follow_up.body
        assert mail["subject"] == follow_up.subject
        assert mail["to"] == "cara@example.com"
        assert str(mail["from"]) == "Ann Berg <crm@firm.example>"
        assert str(mail["reply-to"]) == f"Ann Berg <{follow_up.approved_by.email}>"
        assert mail["message-id"] == f"<{message.message_id}>"
        assert state_of(follow_up) == (FollowUpState.SENT, MessageState.SENT)

    def test_the_lead_shows_it(self, sink: Sink):
        follow_up = approved()
        send()
        lead = Lead.objects.get(pk=follow_up.lead_id)
        assert (lead.status, lead.attempts) == ("working", 1)
        assert lead.last_outbound_at is not None
        assert lead.next_action_at == lead.last_outbound_at + timedelta(days=3)
        assert lead.timeline.filter(kind="message.sent", message__follow_up=follow_up).count() == 1

    def test_a_later_plan_is_left_as_it_is(self, sink: Sink):
        follow_up = approved()
        planned = clock.now() + timedelta(days=30)
        Lead.objects.update(next_action_at=planned, next_action_kind="meeting")
        send()
        lead = Lead.objects.get(pk=follow_up.lead_id)
        assert (lead.next_action_at, lead.next_action_kind) == (planned, "meeting")

    def test_nothing_leaves_within_the_undo_window(self, sink: Sink):
        approved()
        send(after=timedelta(seconds=7))
        assert sink.mails() == []

    def test_what_was_taken_back_does_not_leave(self, sink: Sink):
        follow_up = approved()
        undo(follow_up.undo_offer.public_id, by=actor(follow_up.approved_by))
        send()
        assert sink.mails() == []

    def test_an_edit_in_the_window_sends_nothing_until_approved_again(self, sink: Sink):
        follow_up = approved()
        ann = actor(follow_up.approved_by)
        edit_follow_up(follow_up.pk, by=ann, version=None, body="New words")
        send()
        assert sink.mails() == []
        approve_follow_up(follow_up.pk, by=ann)
        send()
        assert [text_of(mail) for mail in sink.mails()] == ["New words"]

    def test_an_answer_of_the_customer_in_the_window_stops_it(self, sink: Sink):
        follow_up = approved()
        record_inbound_message(
            follow_up.lead_id, by=Actor.system(), from_address="cara@example.com", subject="Wait", text="No"
        )
        send()
        assert sink.mails() == []

    def test_a_lead_disqualified_in_the_window_is_not_written_to(self, sink: Sink):
        follow_up = approved()
        Lead.objects.update(status="disqualified", disqualify_reason="asked us to stop")
        send()
        assert sink.mails() == []
        assert state_of(follow_up) == (FollowUpState.APPROVED, MessageState.FAILED)
        assert "disqualified" in Message.objects.get().error

    def test_without_email_url_it_lies_in_the_catcher(self, settings, tmp_path: Path):
        settings.EMAIL_BACKEND, settings.GARDENOS_DATA_DIR = "crm.mail.CatcherBackend", tmp_path
        follow_up = approved()
        send()
        (path,) = (tmp_path / "mail").glob("*.eml")
        assert path.stat().st_mode & 0o777 == 0o600
        assert state_of(follow_up) == (FollowUpState.SENT, MessageState.SENT)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=ANY_TEXT)
def test_the_servers_bytes_decode_to_the_text_whatever_it_holds(sink: Sink, body: str):
    try:
        body = clean_body(body)
    except InvalidValue:
        return
    for path in sink.folder.iterdir():
        path.unlink()
    assert deliver(letter(text=body)).outcome == Outcome.SENT
    (mail,) = sink.mails()
    assert text_of(mail) == body


class TestFaults:
    @pytest.mark.parametrize(
        ("word", "outcome", "arrived"),
        [
            ("reject", Outcome.REFUSED, 0),
            ("late-reject", Outcome.REFUSED, 0),
            ("later", Outcome.LATER, 0),
            ("lost", Outcome.UNKNOWN, 0),
            ("drop", Outcome.UNKNOWN, 1),
            ("hang", Outcome.UNKNOWN, 0),
        ],
    )
    def test_each_fault_has_its_outcome(self, sink: Sink, word: str, outcome: Outcome, arrived: int):
        delivery = deliver(letter(to=f"{word}@example.com"))
        assert delivery.outcome == outcome
        assert "@" not in delivery.reason
        assert len(sink.raw()) == arrived

    def test_a_connection_lost_before_the_last_byte_was_written_is_worth_another_try(self, sink: Sink):
        delivery = deliver(letter(to="cut@example.com", text="x" * 6_000_000))
        assert delivery.outcome == Outcome.LATER
        assert sink.raw() == []

    def test_a_server_that_is_not_there_is_worth_another_try(self, sink: Sink, settings):
        settings.EMAIL_PORT = 1
        assert deliver(letter()).outcome == Outcome.LATER

    def test_a_server_that_wants_tls_we_do_not_trust_gets_nothing(self, sink: Sink, settings):
        settings.EMAIL_USE_TLS = True
        assert deliver(letter()).outcome == Outcome.LATER
        assert sink.raw() == []

    def test_a_full_disk_of_the_catcher_is_worth_another_try(self, settings, tmp_path: Path):
        (tmp_path / "mail").write_text("not a folder")
        settings.EMAIL_BACKEND, settings.GARDENOS_DATA_DIR = "crm.mail.CatcherBackend", tmp_path
        assert deliver(letter()).outcome == Outcome.LATER


@pytest.mark.django_db
class TestTryingAgain:
    def test_a_mail_refused_for_now_goes_out_later_with_the_same_bytes(self, sink: Sink):
        follow_up = approved(to="greylist@example.com")
        before = Message.objects.get().message_id
        send()
        message = Message.objects.get()
        assert (message.state, message.attempts) == (MessageState.QUEUED, 1)
        assert "451" in message.error
        send()
        assert sink.raw() == []
        send(after=AFTER_UNDO + RETRY_AFTER[0])
        (mail,) = sink.mails()
        assert mail["message-id"] == f"<{before}>"
        assert state_of(follow_up) == (FollowUpState.SENT, MessageState.SENT)

    def test_after_the_last_try_it_has_failed_and_is_shown_to_a_person(self, sink: Sink):
        follow_up = approved(to="later@example.com")
        passed = AFTER_UNDO
        for wait in (*RETRY_AFTER, timedelta()):
            assert state_of(follow_up) == (FollowUpState.SCHEDULED, MessageState.QUEUED)
            send(after=passed)
            passed += wait + timedelta(seconds=1)
        assert state_of(follow_up) == (FollowUpState.APPROVED, MessageState.FAILED)
        assert Message.objects.get().attempts == len(RETRY_AFTER) + 1
        assert follow_up.lead.timeline.filter(kind="message.failed").count() == 1

    def test_a_refused_mail_can_be_corrected_and_approved_again(self, sink: Sink):
        follow_up = approved(to="reject@example.com")
        send()
        assert state_of(follow_up) == (FollowUpState.APPROVED, MessageState.FAILED)
        follow_up.lead.contact_points.update(raw="right@example.com", norm="right@example.com")
        ann = actor(follow_up.approved_by)
        with pytest.raises(ApprovalRefused, match="changed"):
            approve_follow_up(follow_up.pk, by=ann)
        edit_follow_up(follow_up.pk, by=ann, version=None)
        approve_follow_up(follow_up.pk, by=ann)
        send()
        assert [mail["to"] for mail in sink.mails()] == ["right@example.com"]

    def test_an_unknown_outcome_is_never_sent_again_by_itself(self, sink: Sink):
        follow_up = approved(to="drop@example.com")
        send()
        assert state_of(follow_up) == (FollowUpState.SCHEDULED, MessageState.UNCERTAIN)
        for hours in (1, 25, 200):
            send(after=timedelta(hours=hours))
        assert len(sink.raw()) == 1


@pytest.mark.django_db
class TestTheUncertain:
    @pytest.fixture
    def follow_up(self, sink: Sink) -> FollowUp:
        follow_up = approved(to="lost@example.com")
        send()
        return follow_up

    def test_a_person_may_say_that_it_was_sent(self, follow_up: FollowUp):
        resolve_uncertain(follow_up.message.pk, by=actor(follow_up.approved_by), outcome="sent")
        assert state_of(follow_up) == (FollowUpState.SENT, MessageState.SENT)

    def test_or_that_it_was_not_and_approve_it_again(self, follow_up: FollowUp, sink: Sink):
        ann = actor(follow_up.approved_by)
        before = follow_up.message.message_id
        resolve_uncertain(follow_up.message.pk, by=ann, outcome="not_sent")
        assert state_of(follow_up) == (FollowUpState.APPROVED, MessageState.FAILED)
        again = approve_follow_up(follow_up.pk, by=ann)
        assert again.message.message_id == before

    def test_meanwhile_it_cannot_be_changed_or_dismissed(self, follow_up: FollowUp):
        ann = actor(follow_up.approved_by)
        with pytest.raises(TransitionRefused, match="not known"):
            edit_follow_up(follow_up.pk, by=ann, version=None, body="x")
        with pytest.raises(TransitionRefused):
            reject_follow_up(follow_up.pk, by=ann, reason="other")
        with pytest.raises(ApprovalRefused):
            approve_follow_up(follow_up.pk, by=ann)

    def test_only_who_may_send_may_say_so(self, follow_up: FollowUp):
        reader = make_user(Role.READ_ONLY, team=follow_up.lead.team)
        with pytest.raises(PermissionRefused):
            resolve_uncertain(follow_up.message.pk, by=actor(reader), outcome="sent")
        with pytest.raises(Message.DoesNotExist):
            resolve_uncertain(follow_up.message.pk, by=actor(make_user()), outcome="sent")

    def test_it_is_asked_once(self, follow_up: FollowUp):
        ann = actor(follow_up.approved_by)
        resolve_uncertain(follow_up.message.pk, by=ann, outcome="sent")
        with pytest.raises(TransitionRefused):
            resolve_uncertain(follow_up.message.pk, by=ann, outcome="not_sent")


@pytest.mark.django_db
class TestClaiming:
    def test_a_message_being_sent_can_no_longer_be_taken_back(self):
        follow_up = approved()
        claim_due_messages(clock.now() + AFTER_UNDO)
        with pytest.raises(UndoRefused, match="on its way"):
            undo(follow_up.undo_offer.public_id, by=actor(follow_up.approved_by))
        with pytest.raises(TransitionRefused, match="being sent"):
            edit_follow_up(follow_up.pk, by=actor(follow_up.approved_by), version=None, body="x")

    def test_a_claim_is_given_once(self):
        approved()
        later = clock.now() + AFTER_UNDO
        assert len(claim_due_messages(later)) == 1
        assert claim_due_messages(later) == []

    def test_an_answer_that_comes_too_late_changes_nothing(self):
        follow_up = approved()
        ann = actor(follow_up.approved_by)
        (late,) = claim_due_messages(clock.now() + AFTER_UNDO)
        Message.objects.update(sending_since=Now() - LEASE * 2)
        assert find_lost_sendings() == 1
        resolve_uncertain(late.message_id, by=ann, outcome="not_sent")
        approve_follow_up(follow_up.pk, by=ann)
        claim_due_messages(clock.now() + AFTER_UNDO)
        refused = Delivery(Outcome.REFUSED)
        finish_sending(late.message_id, version=late.version, delivery=refused, at=clock.now())
        assert state_of(follow_up) == (FollowUpState.SCHEDULED, MessageState.SENDING)

    def test_a_fresh_sending_is_left_alone(self):
        approved()
        claim_due_messages(clock.now() + AFTER_UNDO)
        assert find_lost_sendings() == 0

    def test_the_wake_up_lies_on_the_queue_for_the_messages_time(self):
        approved()
        (row,) = apps.get_model("django_q", "OrmQ").objects.all()
        assert row.lock == Message.objects.get().send_at
        assert json.loads(row.payload)["func"] == "crm.tasks.send_due_messages"


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """What `work` returned or raised in each of so many threads that start together."""
    start = threading.Barrier(count)

    def one(number: int) -> object:
        start.wait()
        try:
            return work(number)
        except CRMError as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def database_url() -> str:
    of = connection.settings_dict
    return f"postgresql://{of['USER']}:{of['PASSWORD']}@{of['HOST']}:{of['PORT']}/{of['NAME']}"


def child(sink: Sink, *arguments: str) -> subprocess.Popen[bytes]:
    """A process of the product on this test's database and mail server."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.crm.mail.child_settings",
        "DATABASE_URL": database_url(),
        "SECRET_KEY": settings.SECRET_KEY,  # signs what lies on the queue
        "EMAIL_URL": f"smtp://127.0.0.1:{sink.port}",
        "AI_PROVIDER": "off",
    }
    return subprocess.Popen([sys.executable, *arguments], cwd=REPOSITORY, env=environment)


def eventually(true: Callable[[], bool], timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
class TestTogether:
    def test_of_20_parallel_approvals_one_wins(self, sink: Sink):
        follow_up = approved()
        undo(follow_up.undo_offer.public_id, by=actor(follow_up.approved_by))
        ann = actor(follow_up.approved_by)
        results = in_threads(20, lambda _n: approve_follow_up(follow_up.pk, by=ann))
        assert sum(isinstance(result, FollowUp) for result in results) == 1
        assert sum(isinstance(result, ApprovalRefused) for result in results) == 19
        send()
        assert len(sink.raw()) == 1

    def test_four_senders_at_once_send_twelve_mails_once_each(self, sink: Sink):
        for number in range(12):
            approved(subject=f"Mail {number}")
        with clock.frozen(clock.now() + AFTER_UNDO):
            in_threads(4, lambda _n: send_due_messages())
        assert sorted(mail["subject"] for mail in sink.mails()) == sorted(f"Mail {n}" for n in range(12))

    def test_a_mail_that_left_while_the_primary_changed_is_booked_as_sent_and_not_sent_again(
        self, sink: Sink, monkeypatch: pytest.MonkeyPatch
    ):
        first, second = approved(subject="one"), approved(subject="two")
        answers_as_standby = iter([True])

        def on_a_standby_at_first(*args, **given):
            with transaction.atomic():
                if next(answers_as_standby, False):
                    connection.cursor().execute("SET TRANSACTION READ ONLY")
                return finish_sending(*args, **given)

        monkeypatch.setattr(delivering, "finish_sending", on_a_standby_at_first)
        monkeypatch.setattr(delivering, "AGAIN_S", 0)
        send()
        assert sorted(mail["subject"] for mail in sink.mails()) == ["one", "two"]
        assert {state_of(first), state_of(second)} == {("sent", "sent")}

    @pytest.mark.parametrize("round", range(5))
    def test_undo_and_sending_at_the_same_moment_end_in_one_of_the_two(self, sink: Sink, round: int):
        follow_up = approved()
        offer, ann = follow_up.undo_offer.public_id, actor(follow_up.approved_by)
        Message.objects.update(send_at=clock.now())
        in_threads(2, lambda n: undo(offer, by=ann) if n else send_due_messages())
        assert state_of(follow_up)[0] == (FollowUpState.SENT if sink.raw() else FollowUpState.APPROVED)

    @pytest.mark.parametrize("round", range(5))
    def test_undo_and_the_customers_answer_at_the_same_moment_do_not_block_each_other(self, round: int):
        follow_up = approved()
        offer, ann = follow_up.undo_offer.public_id, actor(follow_up.approved_by)

        def answer() -> Message:
            return record_inbound_message(
                follow_up.lead_id, by=Actor.system(), from_address="cara@example.com", subject="s", text="t"
            )

        in_threads(2, lambda n: undo(offer, by=ann) if n else answer())
        assert state_of(follow_up) == (FollowUpState.STALE, MessageState.DRAFT)

    @pytest.mark.parametrize("round", range(4))
    def test_everything_at_once_to_one_follow_up_ends_in_refusals_at_worst(self, sink: Sink, round: int):
        follow_up = approved()
        lead_id, ann = follow_up.lead_id, actor(follow_up.approved_by)
        Message.objects.update(send_at=clock.now())
        acts = [
            lambda: undo(follow_up.undo_offer.public_id, by=ann),
            lambda: approve_follow_up(follow_up.pk, by=ann),
            lambda: edit_follow_up(follow_up.pk, by=ann, version=None, body="Other words"),
            lambda: reject_follow_up(follow_up.pk, by=ann, reason="other"),
            lambda: update_lead(lead_id, by=ann, email="new@example.com"),
            lambda: store_draft(lead_id, subject="s", body="b", by=Actor.agent("FollowUpAgent")),
            lambda: add_note(lead_id, by=ann, body="Called"),
            send_due_messages,
        ]
        in_threads(len(acts), lambda n: acts[n]())
        arrived = len(sink.raw())
        state, message_state = state_of(follow_up)
        assert arrived <= 1
        assert (state == FollowUpState.SENT) == (message_state == MessageState.SENT) == (arrived == 1)

    @pytest.mark.parametrize("word", ["hang", "keep-and-hang"])
    def test_a_sender_killed_between_sending_and_the_answer_leaves_a_question(self, sink: Sink, word: str):
        follow_up = approved(to=f"{word}@example.com")
        Message.objects.update(send_at=clock.now() - timedelta(seconds=1))
        code = "import django; django.setup(); from crm.tasks import send_due_messages as s; s()"
        sender = child(sink, "-c", code)
        eventually(lambda: Message.objects.get().state == MessageState.SENDING)
        time.sleep(0.3)
        sender.send_signal(signal.SIGKILL)
        sender.wait(10)

        send()
        assert state_of(follow_up) == (FollowUpState.SCHEDULED, MessageState.SENDING)
        Message.objects.update(sending_since=Now() - LEASE - timedelta(seconds=1))
        send()
        send(after=timedelta(days=2))
        assert state_of(follow_up) == (FollowUpState.SCHEDULED, MessageState.UNCERTAIN)
        assert len(sink.raw()) == (1 if word == "keep-and-hang" else 0)

    def test_senders_killed_again_and_again_double_nothing_and_lose_nothing(self, sink: Sink):
        kills = int(os.environ.get("KILLS", "4"))
        count = 6 * kills
        for _number in range(count):
            approved(to="slow@example.com")
        Message.objects.update(send_at=clock.now() - timedelta(seconds=1))
        start = "import django; django.setup(); from crm.tasks import send_due_messages as s; s()"
        for number in range(kills):
            before = len(sink.raw())
            sender = child(sink, "-c", start)
            eventually(lambda before=before: len(sink.raw()) > before + 1)
            time.sleep(0.037 * (number % 7))  # somewhere else in the exchange each time
            sender.send_signal(signal.SIGKILL)
            sender.wait(10)
        send()
        Message.objects.filter(state=MessageState.SENDING).update(sending_since=Now() - LEASE * 2)
        send()
        states = Counter(Message.objects.values_list("state", flat=True))
        assert set(states) <= {MessageState.SENT, MessageState.UNCERTAIN}
        assert states.total() == count
        assert states[MessageState.UNCERTAIN] <= kills
        arrived = Counter(mail["message-id"].strip("<>") for mail in sink.mails())
        assert set(arrived.values()) == {1}
        sent = Message.objects.filter(state=MessageState.SENT).values_list("message_id", flat=True)
        assert set(sent) <= set(arrived)

    def test_a_cluster_sends_within_2_seconds_of_the_time(self, sink: Sink, monkeypatch):
        monkeypatch.setattr(approvals, "UNDO_WINDOW", timedelta(seconds=1))
        send_heartbeat("default")
        cluster = child(sink, "manage.py", "qcluster", "--skip-checks")
        try:
            eventually(lambda: heartbeat_age_s("default") is not None)
            follow_up = approved()
            due = Message.objects.get().send_at
            eventually(lambda: len(sink.raw()) == 1)
            late_s = (clock.now() - due).total_seconds()
            eventually(lambda: state_of(follow_up) == (FollowUpState.SENT, MessageState.SENT))
        finally:
            cluster.send_signal(signal.SIGTERM)
            cluster.wait(30)
        assert 0 <= late_s < 2
