"""Notes on leads, contacts, accounts and opportunities. A private one is its author's."""

from datetime import timedelta
from typing import Any, cast

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import (
    Subject,
    check_version,
    hold_parents,
    offer_undo,
    record_for_change,
    tell,
    undoable,
)
from crm.actions.maintenance import maintenance
from crm.errors import InvalidValue, PermissionRefused
from crm.models import Actor, Note, Opportunity, Undo

EDIT_FOR = timedelta(hours=24)
LONGEST = 20_000


@transaction.atomic
def write_note(about: Subject, *, by: Actor, body: str, is_private: bool = False) -> Note:
    """Write a note. Of a private one the story tells only that it was written; no agent reads it.

    Raises DoesNotExist of the record, PermissionRefused, InvalidValue (`body`). Publishes, on a lead,
    NoteAdded and, unless it is private, LeadFactsChanged. Undoable.
    """
    body = checked_body(body)
    record = locked_subject(about, by=by)
    summary = _("wrote a private note") if is_private else body.replace("\n", " ")
    event = tell(record, "note.added", summary, by=by)
    note = Note(author=by.user, body=body, is_private=is_private, event=event)
    setattr(note, str(record._meta.model_name), record)
    note.save()
    offer_undo("add_note", by=by, label=_("Wrote a note"), before=_before(note), rows=[note])
    _publish(note)
    return note


@undoable("add_note")
def _undo_add(row: Undo, by: Actor) -> None:
    note = Note.objects.get(pk=row.before["note"])
    with maintenance("undo", "a note that was just written", by=by, target=note):
        note.event.delete()  # and the note with it
    if note.lead_id:
        events.publish(events.LeadFactsChanged(note.lead_id))


@transaction.atomic
def edit_note(note_id: int, *, by: Actor, body: str, version: int | None = None) -> Note:
    """Change one's own note, within EDIT_FOR. Whether it is private stays, because its story was told.

    Raises Note.DoesNotExist, PermissionRefused (somebody else's, too old), VersionConflict, InvalidValue.
    Publishes as `write_note`. Undoable.
    """
    body = checked_body(body)
    note = Note.objects.visible_to(by).select_for_update(of=("self",)).get(pk=note_id)
    if by.user is None or note.author_id != by.user.pk:
        raise PermissionRefused(_("Only its author may change a note."))
    if note.created_at < clock.now() - EDIT_FOR:
        raise PermissionRefused(_("This note is older than a day. Write another one."))
    check_version(note, version)
    if body == note.body:
        return note
    before, note.body = note.body, body
    note.save_changed("body")
    tell(_about(note), "note.edited", _("edited a note"), by=by)
    offer_undo(
        "edit_note", by=by, label=_("Edited a note"), before=_before(note) | {"body": before}, rows=[note]
    )
    _publish(note)
    return note


@undoable("edit_note")
def _undo_edit(row: Undo, by: Actor) -> None:
    note = Note.objects.select_for_update(of=("self",)).get(pk=row.before["note"])
    note.body = row.before["body"]
    note.save_changed("body")
    tell(_about(note), "note.edited", _("took the change of a note back"), by=by)
    _publish(note)


def checked_body(body: str) -> str:
    """Raises InvalidValue (`body`)."""
    body = body.strip()
    if not body:
        raise InvalidValue(_("Write something first."), field="body")
    if len(body) > LONGEST or "\0" in body:
        raise InvalidValue(_("Use at most 20,000 characters of plain text."), field="body")
    return body


def locked_subject(about: Subject, *, by: Actor) -> Subject:
    """The record, locked, if `by` may edit it. Raises its DoesNotExist, PermissionRefused."""
    if isinstance(about, Opportunity):
        hold_parents(about.pk)
    return cast(Subject, record_for_change(cast(Any, type(about)), about.pk, by=by))


def _about(note: Note) -> Subject:
    about = note.lead or note.opportunity or note.contact or note.account
    assert about is not None  # crm_note_has_subject
    return about


def _before(note: Note) -> dict[str, Any]:
    return {"note": note.pk} | ({"lead": note.lead_id} if note.lead_id else {})


def _publish(note: Note) -> None:
    if note.lead_id is None:
        return
    events.publish(events.NoteAdded(note.lead_id, note.pk))
    if not note.is_private:
        events.publish(events.LeadFactsChanged(note.lead_id))
