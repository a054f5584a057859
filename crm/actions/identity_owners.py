"""Whose an account or contact is: given to somebody, or back to its team's pool."""

from typing import Any, TypeVar

from django.db import transaction
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import offer_undo, record_for_change, tell, undoable
from crm.errors import InvalidValue, PermissionRefused
from crm.models import Account, Actor, Contact, Team, Undo, User
from crm.permissions import Reach, Verb, reach

Identity = TypeVar("Identity", Account, Contact)


def assign_account(account_id: int, *, by: Actor, owner: User | None) -> Account:
    """Give an account to a person, or back to its team's pool (None). Its contacts stay whose they are.

    A rep may take from the pool for themselves and give away their own; a manager assigns inside the team.
    Raises Account.DoesNotExist, PermissionRefused, InvalidValue (`owner`). Publishes AccountChanged.
    Undoable.
    """
    return _assign(Account, account_id, by=by, owner=owner)


def assign_contact(contact_id: int, *, by: Actor, owner: User | None) -> Contact:
    """The same for a contact. Raises Contact.DoesNotExist, and as `assign_account`. Publishes
    ContactChanged.
    """
    return _assign(Contact, contact_id, by=by, owner=owner)


@transaction.atomic
def _assign(model: type[Identity], record_id: int, *, by: Actor, owner: User | None) -> Identity:
    record = record_for_change(model, record_id, by=by, verb=Verb.REASSIGN)
    if owner and not owner.is_active:
        raise InvalidValue(_("%s no longer works here.") % owner, field="owner")
    if record.owner_id == (owner.pk if owner else None):
        return record
    allowed = reach(by, Verb.REASSIGN)
    if allowed == Reach.OWN_OR_POOL and record.owner_id is None and owner != by.user:
        raise PermissionRefused(_("Take it from the pool yourself; then you may give it away."))
    teams = Team.objects.filter(members__user=owner).order_by("pk") if owner else Team.objects.none()
    if owner and allowed != Reach.ALL and record.team_id and not teams.filter(pk=record.team_id).exists():
        raise InvalidValue(_("%s is not in the team of this record.") % owner, field="owner")
    before = {"id": record.pk, "owner": record.owner_id, "team": record.team_id}
    record.owner = owner
    if owner and record.team_id is None:
        record.team = teams.first()
    words = _("assigned to %s") % owner if owner else _("put back into the team's pool")
    _save(record, words, by=by)
    label = _("Assigned %s") % record
    offer_undo(f"assign_{record._meta.model_name}", by=by, label=label, before=before, rows=[record])
    return record


def _save(record: Any, words: str, *, by: Actor) -> None:
    record.save_changed("owner", "team")
    tell(record, f"{record._meta.model_name}.assigned", words, by=by)
    happened = events.AccountChanged if isinstance(record, Account) else events.ContactChanged
    events.publish(happened(record.pk, fields=("owner", "team")))


def _undo(model: type[Account] | type[Contact], row: Undo, by: Actor) -> None:
    # the one who assigned may no longer see the record, so the lock is taken as the system
    record = model._default_manager.select_for_update(of=("self",)).get(pk=row.before["id"])
    record.owner_id, record.team_id = row.before["owner"], row.before["team"]
    _save(record, _("took the assignment back"), by=by)


@undoable("assign_account")
def _undo_account(row: Undo, by: Actor) -> None:
    _undo(Account, row, by)


@undoable("assign_contact")
def _undo_contact(row: Undo, by: Actor) -> None:
    _undo(Contact, row, by)
