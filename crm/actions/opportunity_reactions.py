"""What happens to a lead keeps its open opportunities from being called stalled."""

from crm import clock, events
from crm.models import MessageState, Opportunity


@events.on(events.MessageReceived, events.NoteAdded)
def _something_happened(event: events.MessageReceived | events.NoteAdded) -> None:
    _note_event(event.lead_id)


@events.on(events.MessageChanged)
def _we_wrote(event: events.MessageChanged) -> None:
    if event.state == MessageState.SENT:
        _note_event(event.lead_id)


def _note_event(lead_id: int) -> None:
    Opportunity.objects.open().filter(lead=lead_id).update(last_event_at=clock.now())
