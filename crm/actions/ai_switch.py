"""Whether agents may read a lead."""

from django.db import transaction
from django.utils.translation import gettext as _

from crm import events
from crm.actions.base import lead_for_change, offer_undo, tell, undoable
from crm.models import Actor, Lead, Undo


@transaction.atomic
def switch_ai(lead_id: int, *, by: Actor, is_off: bool) -> Lead:
    """Keep agents from a lead, or let them read it again: queued work ends, nothing of it goes to a model.

    Raises Lead.DoesNotExist, PermissionRefused. Publishes LeadAISwitched, LeadChanged, and LeadFactsChanged
    when agents may read again. Undoable.
    """
    lead = lead_for_change(lead_id, by=by)
    if lead.is_ai_off == is_off:
        return lead
    _switch(lead, is_off, by)
    label = _("AI off for %s") if is_off else _("AI on for %s")
    offer_undo("switch_ai", by=by, label=label % lead.name, before={"lead": lead.pk}, rows=[lead])
    return lead


@undoable("switch_ai")
def _undo_switch(row: Undo, by: Actor) -> None:
    lead = lead_for_change(row.before["lead"], by=by)
    _switch(lead, not lead.is_ai_off, by)


def _switch(lead: Lead, is_off: bool, by: Actor) -> None:
    lead.is_ai_off = is_off
    lead.save_changed("is_ai_off")
    words = _("switched AI off for this lead") if is_off else _("let agents read this lead again")
    tell(lead, "lead.ai_switched", words, by=by, is_off=is_off)
    events.publish(events.LeadAISwitched(lead.pk, is_off))
    events.publish(events.LeadChanged(lead.pk, fields=("is_ai_off",)))
    if not is_off:
        events.publish(events.LeadFactsChanged(lead.pk))
