"""`manage.py agents draft`: ask for the draft of a message to a lead."""

from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from ai_agents.actions.requests import request_draft
from ai_agents.actions.wishes import WISHES
from crm.models import Actor, Language, Lead, Length, Purpose, Tone


def add_draft_verb(verbs: Any) -> None:
    """Adds `draft LEAD` to the subparsers of `manage.py agents`."""
    draft = verbs.add_parser("draft", help="draft a message to a lead; it waits for a person's approval")
    draft.add_argument("lead", help="the lead's id, as in its address")
    draft.add_argument("--purpose", choices=Purpose.values, default="", help="left out: by what happened")
    draft.add_argument("--tone", choices=Tone.values, default="")
    draft.add_argument("--length", choices=Length.values, default="")
    draft.add_argument("--language", choices=Language.values, default="", help="left out: the customer's")
    draft.add_argument("--instruction", default="", help="in your words, at most 500 characters")


def drafted(*, by: Actor, lead: str, **options: Any) -> str:
    """What was queued, as a line. Raises CommandError, CRMError."""
    try:
        found = Lead.objects.live().get(public_id=UUID(lead))
    except (ValueError, Lead.DoesNotExist):
        raise CommandError(f"There is no lead {lead}.", returncode=2) from None
    task = request_draft(found.pk, by=by, **{name: options[name] for name in WISHES})
    if task is None:
        raise CommandError("Nothing to read: AI is switched off for this lead.", returncode=1)
    return f"{task.state} draft {task.public_id} for {task.params['purpose']}"
