"""What all actions share: reading a lead under lock, writing the timeline, and undo."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.apps import apps
from django.db import connection, models, transaction
from django.utils.translation import gettext as _

from crm import clock
from crm.actions.identity import lock_identities
from crm.errors import UndoRefused, VersionConflict
from crm.models import Account, Actor, Contact, Lead, Opportunity, TimelineEvent, Undo
from crm.permissions import Verb, require

UNDO_WINDOW = timedelta(seconds=8)

UndoFunction = Callable[[Undo, Actor], None]
_undoers: dict[str, UndoFunction] = {}
Subject = Lead | Contact | Account | Opportunity  # what has an owner, a team and a story
Owned = TypeVar("Owned", Lead, Contact, Account, Opportunity)


def record_for_change(model: type[Owned], record_id: int, *, by: Actor, verb: Verb = Verb.EDIT) -> Owned:
    """The record, locked. Raises its DoesNotExist when `by` may not see it, PermissionRefused."""
    record = model.objects.visible_to(by).select_for_update(of=("self",)).get(pk=record_id)
    require(by, verb, record)
    return record


def lead_for_change(lead_id: int, *, by: Actor, verb: Verb = Verb.EDIT) -> Lead:
    """The lead, locked. Raises Lead.DoesNotExist when `by` may not see it, PermissionRefused."""
    return record_for_change(Lead, lead_id, by=by, verb=verb)


def opportunity_for_change(opportunity_id: int, *, by: Actor, verb: Verb = Verb.EDIT) -> Opportunity:
    """The opportunity, locked, after its parents. Raises Opportunity.DoesNotExist, PermissionRefused."""
    hold_parents(opportunity_id)
    return record_for_change(Opportunity, opportunity_id, by=by, verb=verb)


PARENTS = (("crm_lead", "lead_id"), ("crm_account", "account_id"), ("crm_contact", "primary_contact_id"))


def hold_parents(*opportunity_ids: int, strength: str = "KEY SHARE") -> None:
    """Lock what the opportunities hang on, before the opportunities themselves.

    A line of their story refers to lead, account and contact, and so waits for whoever holds those. Waiting
    while holding the opportunity (or a stage) would meet somebody who comes from the lead: a deadlock. The
    order of all actions is lead, account, contact, stage, opportunity.
    """
    with connection.cursor() as cursor:
        for table, column in PARENTS:
            cursor.execute(
                f"SELECT 1 FROM {table} WHERE id IN "  # noqa: S608 names of our own
                f"(SELECT {column} FROM crm_opportunity WHERE id = ANY(%s)) ORDER BY id FOR {strength}",
                [list(opportunity_ids)],
            )


def check_version(record: models.Model, version: int | None) -> None:
    """Raises VersionConflict when the caller read an older version. None means: whatever it is."""
    if version is not None and record.version != version:  # type: ignore[attr-defined]
        raise VersionConflict(
            _("Someone else changed this first. Look at their values, then save again."), current=record
        )


def tell(
    subject: Subject | Iterable[Subject],
    kind: str,
    summary: str,
    *,
    by: Actor,
    occurred_at: Any = None,
    **data: Any,
) -> TimelineEvent:
    """Write one line of the story of these records (at most one of a kind), cut to 300 characters.

    An opportunity in it is no longer stalled: its `last_event_at` is now.
    """
    subjects = [subject] if isinstance(subject, Subject) else list(subject)
    line = line_of(subjects, kind, summary, by=by, occurred_at=occurred_at, data=data)
    for record in subjects:
        if isinstance(record, Opportunity):
            Opportunity.objects.filter(pk=record.pk).update(last_event_at=record.last_event_at)
    line.save()
    return line


def line_of(
    subjects: Iterable[Subject],
    kind: str,
    summary: str,
    *,
    by: Actor,
    occurred_at: Any = None,
    data: dict[str, Any],
) -> TimelineEvent:
    """The line that `tell` writes, unsaved. An opportunity's `last_event_at` is set in memory."""
    subjects = list(subjects)
    for record in subjects:
        if isinstance(record, Opportunity):
            record.last_event_at = max(record.last_event_at, clock.now())
    return TimelineEvent(
        **{str(record._meta.model_name): record for record in subjects},
        kind=kind,
        summary=summary[:299] + "…" if len(summary) > 300 else summary,
        actor_kind=by.kind,
        actor=by.user,
        actor_label=by.label[:120],
        occurred_at=occurred_at or clock.now(),
        data=data,
    )


def undoable(action: str) -> Callable[[UndoFunction], UndoFunction]:
    """Register how the action `action` is taken back: a function (undo row, by)."""

    def register(function: UndoFunction) -> UndoFunction:
        _undoers[action] = function
        return function

    return register


def offer_undo(
    action: str,
    *,
    by: Actor,
    label: str,
    before: dict[str, Any],
    rows: Iterable[models.Model],
    window: timedelta = UNDO_WINDOW,
) -> Undo | None:
    """Write the Undo row of the running action, for people only. `before` must be JSON; it names the lead as
    "lead" when the rows hang on one, and as "keys" the match keys that taking it back writes.

    The rows carry it as `undo_offer`, so that a door can show the button.
    """
    if by.user is None:
        return None
    offer = undo_of(action, by=by, label=label, before=before, rows=rows, window=window)
    offer.save()
    return offer


def undo_of(
    action: str,
    *,
    by: Actor,
    label: str,
    before: dict[str, Any],
    rows: Iterable[models.Model],
    window: timedelta,
) -> Undo:
    """The row that `offer_undo` writes, unsaved."""
    rows = list(rows)
    versions: dict[str, dict[str, int]] = {}
    for row in rows:
        versions.setdefault(row._meta.label_lower, {})[str(row.pk)] = row.version  # type: ignore[attr-defined]
    offer = Undo(
        action=action,
        by=by.user,
        label=label[:200],
        before=before,
        versions=versions,
        expires_at=clock.now() + window,
    )
    for row in rows:
        row.undo_offer = offer  # type: ignore[attr-defined]
    return offer


@transaction.atomic
def undo(public_id: UUID | str, *, by: Actor) -> Undo:
    """Take an action back.

    Raises Undo.DoesNotExist for somebody else's, UndoRefused when it is too late, done already, or a row has
    moved on since (the message names it).
    """
    row = Undo.objects.select_for_update().get(public_id=public_id, by=by.user)
    refuse_if_over(row)
    if row.before.get("keys"):  # before any row, as everywhere
        lock_identities(row.before["keys"])
    if "lead" in row.before:  # locks go from the lead down, as in the action itself
        Lead.objects.select_for_update(of=("self",)).filter(pk=row.before["lead"]).first()
    for opportunity_id in row.versions.get("crm.opportunity", {}):
        hold_parents(int(opportunity_id))
    for label, versions in row.versions.items():
        model = apps.get_model(label)
        now = dict(
            model._default_manager.select_for_update()
            .filter(pk__in=list(versions))
            .values_list("pk", "version")
        )
        moved = [pk for pk, version in versions.items() if now.get(int(pk)) != version]
        if moved:
            names = ", ".join(str(record) for record in model._default_manager.filter(pk__in=moved)[:5])
            raise moved_on(names or label)
    _undoers[row.action](row, by)
    row.undone_at = clock.now()
    row.save(update_fields=["undone_at"])
    return row


def refuse_if_over(row: Undo) -> None:
    """Raises UndoRefused when it is done already or too late."""
    if row.undone_at:
        raise UndoRefused(_("This was undone already."))
    if row.expires_at < clock.now():
        raise UndoRefused(_("The time to undo this is over."))


def moved_on(names: str) -> UndoRefused:
    """The refusal to overwrite what was changed since."""
    return UndoRefused(_("Changed since, so it stays as it is: %s") % names)
