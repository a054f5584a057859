"""Notes, calls and files beside records."""

from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from ai_agents.agents.facts import LeadFacts
from crm import clock
from crm.actions.attachments import MOST_BYTES, add_attachment, path_of, remove_attachment
from crm.actions.base import undo
from crm.actions.calls import log_call
from crm.actions.notes import edit_note, write_note
from crm.errors import InvalidValue, PermissionRefused
from crm.models import (
    Account,
    Attachment,
    AuditLog,
    CallLog,
    Contact,
    LeadStatus,
    Note,
    Role,
    TimelineEvent,
)
from crm.web.timeline import story
from tests.crm.test_admin import ADMIN, errors_of, form_of, url_of
from tests.crm.test_work import make_opportunity
from tests.factories import actor, make_admin, make_lead, make_team, make_user
from tests.tables import state_of_tables

pytestmark = pytest.mark.django_db


def browse(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


# --- notes --------------------------------------------------------------------------------------------------


def test_a_note_stands_on_any_record_and_in_its_story():
    me = make_user()
    for record in (
        make_lead(owner=me),
        Contact.objects.create(full_name="Ada", owner=me),
        Account.objects.create(name="Acme", owner=me),
        make_opportunity(owner=me),
    ):
        note = write_note(record, by=actor(me), body="Likes roses.")
        assert getattr(note, record._meta.model_name) == record
        assert note.event.summary == "Likes roses."
        with pytest.raises(type(record).DoesNotExist):
            write_note(record, by=actor(make_user()), body="No")


def test_a_private_note_is_read_by_its_author_alone():
    team = make_team()
    me, manager, admin = make_user(team=team), make_user(Role.MANAGER, team=team), make_admin()
    lead = make_lead(owner=me, team=team)
    note = write_note(lead, by=actor(me), body="Owes me a secret.", is_private=True)
    write_note(lead, by=actor(me), body="Said in the open.")
    for who in (manager, admin):
        assert "secret" not in str([(e.summary, e.body) for e in story(lead, reader=who).entries])
        assert note not in Note.objects.visible_to(who)
        with pytest.raises(Note.DoesNotExist):
            edit_note(note.pk, by=actor(who), body="x")
    assert "secret" in str([e.body for e in story(lead, reader=me).entries])
    assert not TimelineEvent.objects.filter(summary__contains="secret").exists()
    facts = str([fact.shown for fact in LeadFacts.of(lead, today=clock.now()).facts])
    assert "in the open" in facts
    assert "secret" not in facts


def test_an_admin_opens_a_private_note_for_audit_and_that_is_written_down():
    team = make_team()
    me, manager, admin = make_user(team=team), make_user(Role.MANAGER, team=team), make_admin()
    note = write_note(make_lead(owner=me, team=team), by=actor(me), body="A secret.", is_private=True)
    assert "A secret" not in browse(admin).get(f"{ADMIN}crm/note/").content.decode()
    assert not AuditLog.objects.filter(action="note.read").exists()
    assert "A secret" in browse(admin).get(url_of(note)).content.decode()
    assert AuditLog.objects.get(action="note.read").actor == admin
    assert browse(manager).get(url_of(note)).status_code == 302


def test_only_the_author_edits_a_note_for_a_day_and_takes_it_back(noon):
    me, boss = make_user(), make_admin()
    note = write_note(make_lead(owner=me), by=actor(me), body="Roses")
    with pytest.raises(PermissionRefused, match="author"):
        edit_note(note.pk, by=actor(boss), body="Tulips")
    edited = edit_note(note.pk, by=actor(me), body="Tulips", version=1)
    undo(edited.undo_offer.public_id, by=actor(me))
    note.refresh_from_db()
    assert note.body == "Roses"
    Note.objects.filter(pk=note.pk).update(created_at=noon - timedelta(hours=25))
    with pytest.raises(PermissionRefused, match="older"):
        edit_note(note.pk, by=actor(me), body="Too late")


def test_a_note_just_written_is_taken_back_with_its_line_in_the_story():
    me = make_user()
    lead = make_lead(owner=me)
    note = write_note(lead, by=actor(me), body="Oops")
    undo(note.undo_offer.public_id, by=actor(me))
    assert Note.objects.count() == 0
    assert not TimelineEvent.objects.filter(summary__contains="Oops").exists()


# --- calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "disposition", "attempts", "needs_answer"),
    [
        ("out", "no_answer", 3, True),
        ("out", "voicemail", 3, True),
        ("out", "answered", 0, False),
        ("in", "answered", 0, False),
        ("in", "voicemail", 0, True),
    ],
)
def test_a_call_counts_as_a_try_or_as_an_answer(noon, direction, disposition, attempts, needs_answer):
    me = make_user()
    lead = make_lead(
        owner=me, status=LeadStatus.WORKING, attempts=2, last_inbound_at=noon - timedelta(days=9)
    )
    log_call(lead, by=actor(me), direction=direction, disposition=disposition, seconds=90, body="Hm.",
             next_action_at=noon + timedelta(days=1), next_action_kind="call")  # fmt: skip
    lead.refresh_from_db()
    assert lead.attempts == attempts
    if direction == "in":
        assert (lead.last_outbound_at is None) == needs_answer
    assert lead.next_action_at == noon + timedelta(days=1)
    assert TimelineEvent.objects.get(kind="call.logged").summary.endswith("– Hm.")


def test_a_call_from_the_customer_wakes_their_lead(noon):
    me = make_user()
    lead = make_lead(owner=me, status=LeadStatus.NURTURING, snoozed_until=noon + timedelta(days=3))
    log_call(lead, by=actor(me), direction="in", disposition="answered")
    lead.refresh_from_db()
    assert (lead.status, lead.snoozed_until) == ("working", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("direction", "up"),
        ("disposition", "sung"),
        ("seconds", -1),
        ("seconds", 86_401),
        ("seconds", "60"),
        ("body", "a\0b"),
        ("body", "x" * 20_001),
        ("occurred_at", clock.now() + timedelta(hours=1)),
        ("next_action_kind", "dance"),
    ],
)
def test_a_bad_call_is_refused_whole(field, value):
    me = make_user()
    lead = make_lead(owner=me, status=LeadStatus.WORKING)
    good = {
        "direction": "out",
        "disposition": "busy",
        "next_action_at": clock.now(),
        "next_action_kind": "call",
    }
    before = state_of_tables()
    with pytest.raises(InvalidValue):
        log_call(lead, by=actor(me), **(good | {field: value}))
    assert state_of_tables() == before
    log_call(lead, by=actor(me), **good)
    assert CallLog.objects.count() == 1


# --- files --------------------------------------------------------------------------------------------------


def files() -> list[Path]:
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "content", "shown", "kind"),
    [
        ("plan.pdf", b"%PDF-1.7 ...", "plan.pdf", "application/pdf"),
        ("innocent.png", b"<svg onload=alert(1)>", "innocent.png", "text/plain"),
        ("page.html", b"<script>alert(1)</script>", "page.html", "text/plain"),
        ("..\\..\\etc/passwd", b"\x00\x01", "passwd", "application/octet-stream"),
        ("a\0b\r\nX: y.txt", b"text", "abX: y.txt", "text/plain"),
        ("...", b"text", "file", "text/plain"),
    ],
)
def test_a_file_is_kept_under_a_random_name_and_only_downloaded(name, content, shown, kind):
    me = make_user()
    attachment = add_attachment(make_lead(owner=me), by=actor(me), file=BytesIO(content), file_name=name)
    assert (attachment.file_name, attachment.content_type, attachment.size_bytes) == (
        shown,
        kind,
        len(content),
    )
    assert [path.parent.name for path in files()] == ["attachments"]
    assert name not in attachment.stored_as
    response = browse(me).get(f"/attachments/{attachment.public_id}/")
    assert b"".join(response.streaming_content) == content
    assert response["Content-Disposition"].startswith("attachment")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    assert browse(make_user()).get(f"/attachments/{attachment.public_id}/").status_code == 404


class Huge:
    """More than is allowed, without holding it."""

    left = MOST_BYTES + 1

    def read(self, size: int) -> bytes:
        piece = min(size, self.left)
        self.left -= piece
        return b"x" * piece


@pytest.mark.parametrize("file", [Huge(), BytesIO(b"")])
def test_a_file_that_is_too_large_or_empty_leaves_nothing(file):
    me = make_user()
    lead = make_lead(owner=me)
    with pytest.raises(InvalidValue) as refused:
        add_attachment(lead, by=actor(me), file=file, file_name="x")
    assert refused.value.field == "file"
    assert files() == []
    assert Attachment.objects.count() == 0


def test_a_file_is_removed_with_its_bytes(django_capture_on_commit_callbacks):
    me = make_user()
    attachment = add_attachment(make_lead(owner=me), by=actor(me), file=BytesIO(b"x"), file_name="x")
    with pytest.raises(Attachment.DoesNotExist):
        remove_attachment(attachment.pk, by=actor(make_user()))
    assert path_of(attachment.stored_as).exists()
    with django_capture_on_commit_callbacks(execute=True):
        remove_attachment(attachment.pk, by=actor(me))
    assert files() == []
    assert browse(me).get(f"/attachments/{attachment.public_id}/").status_code == 404


def test_the_admin_stores_and_removes_files(django_capture_on_commit_callbacks):
    admin, lead = make_admin(), make_lead()
    client = browse(admin)
    form = form_of(client.get(f"{ADMIN}crm/attachment/add/"))
    assert "lead" in errors_of(
        client.post(f"{ADMIN}crm/attachment/add/", {"file": SimpleUploadedFile("a.txt", b"a")})
    )
    form |= {"file": SimpleUploadedFile("a.txt", b"a"), "lead": lead.pk}
    response = client.post(f"{ADMIN}crm/attachment/add/", form)
    assert response.status_code == 302, errors_of(response)
    attachment = Attachment.objects.get()
    assert client.get(url_of(attachment)).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"{ADMIN}crm/attachment/", {"action": "remove", "_selected_action": [attachment.pk]})
    assert (Attachment.objects.count(), files()) == (0, [])
