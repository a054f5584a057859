"""Deleting a lead softly, and bringing it back within 30 days."""

from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from crm import clock, events
from crm.actions.base import check_version, lead_for_change, offer_undo, tell, undoable
from crm.errors import TransitionRefused
from crm.models import Actor, Lead, LeadStatus, Undo
from crm.permissions import Verb, may, require

RESTORE_FOR = timedelta(days=30)


@transaction.atomic
def delete_lead(lead_id: int, *, by: Actor, version: int | None = None) -> Lead:
    """Take a lead out of all lists; it can be restored for RESTORE_FOR. Nothing of it is sent meanwhile.

    A converted one is kept, because its contact and opportunity rest on it.
    Raises Lead.DoesNotExist, PermissionRefused, VersionConflict, TransitionRefused. Publishes LeadChanged.
    Undoable.
    """
    lead = lead_for_change(lead_id, by=by, verb=Verb.DELETE)
    check_version(lead, version)
    if lead.status == LeadStatus.CONVERTED:
        raise TransitionRefused(_("A converted lead stays: its contact and opportunity come from it."))
    lead.deleted_at = clock.now()
    lead.save_changed("deleted_at")
    tell(lead, "lead.deleted", _("deleted this lead"), by=by)
    offer_undo("delete_lead", by=by, label=_("Deleted %s") % lead.name, before={"lead": lead.pk}, rows=[lead])
    events.publish(events.LeadChanged(lead.pk, fields=("deleted_at",)))
    return lead


@undoable("delete_lead")
def _undo_delete(row: Undo, by: Actor) -> None:
    _restore(Lead.objects.select_for_update(of=("self",)).get(pk=row.before["lead"]), by=by)


@transaction.atomic
def restore_lead(lead_id: int, *, by: Actor) -> Lead:
    """Bring a deleted lead back as it was.

    Raises Lead.DoesNotExist (not deleted, or not to be seen), PermissionRefused, TransitionRefused (deleted
    too long ago). Publishes LeadChanged.
    """
    deleted = Lead.objects.filter(deleted_at__isnull=False, merged_into=None)
    lead = deleted.select_for_update(of=("self",)).get(pk=lead_id)
    if not may(by, Verb.SEE, lead):
        raise Lead.DoesNotExist
    require(by, Verb.RESTORE, lead)
    if lead.deleted_at and lead.deleted_at < clock.now() - RESTORE_FOR:
        raise TransitionRefused(_("This was deleted too long ago to be restored."))
    return _restore(lead, by=by)


def _restore(lead: Lead, *, by: Actor) -> Lead:
    lead.deleted_at = None
    lead.save_changed("deleted_at")
    tell(lead, "lead.restored", _("restored this lead"), by=by)
    events.publish(events.LeadChanged(lead.pk, fields=("deleted_at",)))
    return lead
