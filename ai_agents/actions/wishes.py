"""How a draft is wanted: purpose, tone, length, language, and a few words of whoever asks."""

from collections.abc import Mapping
from typing import Any

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.actions.purposes import purposes_of
from crm.errors import OutOfBounds
from crm.models import FollowUp, Language, Length, Purpose, Tone

LONGEST_INSTRUCTION = 500
_CHOICES: dict[str, tuple[type[TextChoices], Promise]] = {
    "purpose": (Purpose, gettext_lazy("Choose a purpose from the list.")),
    "tone": (Tone, gettext_lazy("Choose a tone from the list.")),
    "length": (Length, gettext_lazy("Choose a length from the list.")),
    "language": (Language, gettext_lazy("Choose a language from the list.")),
}
WISHES = (*_CHOICES, "instruction")


def checked_wishes(lead_id: int, wanted: Mapping[str, str]) -> dict[str, Any]:
    """The wishes as a task keeps them. An empty purpose is told from what happened on the lead; the rest may
    stay empty: then the prompt decides, and the language is the customer's.

    Raises OutOfBounds naming the field.
    """
    for name, (choices, sentence) in _CHOICES.items():
        if wanted.get(name) and wanted[name] not in choices.values:
            raise OutOfBounds(str(sentence), field=name)
    instruction = wanted.get("instruction", "")
    if len(instruction) > LONGEST_INSTRUCTION:
        raise OutOfBounds(_("An instruction may have 500 characters."), field="instruction")
    if "\0" in instruction:
        raise OutOfBounds(_("This text holds characters that cannot be stored."), field="instruction")
    purpose = wanted.get("purpose") or purposes_of([lead_id]).get(lead_id, Purpose.FIRST_ANSWER)
    more = {name: wanted.get(name, "") for name in _CHOICES if name != "purpose"}
    return as_params(purpose, instruction=instruction, **more)


def as_params(purpose: str, *, instruction: str = "", **more: str) -> dict[str, Any]:
    """A task's params. What was not wished for is left out, so that equal questions have equal keys."""
    return {
        "purpose": str(purpose),
        "instruction": instruction,
        **{name: str(value) for name, value in more.items() if value},
    }


def wishes_of(follow_up: FollowUp) -> dict[str, str]:
    """How this draft was asked for: what a rewrite starts from."""
    return {name: str(getattr(follow_up, name)) for name in WISHES}
