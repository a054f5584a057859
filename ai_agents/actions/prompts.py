"""Which version of its prompt each kind of agent uses. A promotion is a row: no deploy, and a way back."""

from django.db import transaction
from django.utils.translation import gettext as _

from ai_agents import prompts
from ai_agents.agents import AGENTS
from ai_agents.models import PromptUse
from ai_agents.prompts import PromptRefused, load, published
from crm import events
from crm.actions.audit import audit
from crm.errors import InvalidValue, TransitionRefused
from crm.models import Actor, ActorKind
from crm.permissions import Verb, require
from crm.plaintext import one_line


def prompt_in_use(kind: str) -> str:
    """The version that new tasks of this kind get: the newest promotion's, else the one the agent came with.

    One query. A version whose file is gone counts as none.
    """
    newest = PromptUse.objects.filter(kind=kind).order_by("-pk").values_list("prompt", flat=True).first()
    return newest if newest and newest in versions_of(kind) else AGENTS[kind].prompt


def versions_of(kind: str) -> list[str]:
    """The published versions of a kind's prompt, the oldest first."""
    names = [name.removesuffix(".md") for name in published(prompts.FOLDER)]
    own = [name for name in names if name.rpartition(".v")[0] == kind]
    return sorted(own, key=lambda name: int(name.rpartition(".v")[2]))


@transaction.atomic
def promote_prompt(prompt: str, *, by: Actor, because: str = "") -> PromptUse:
    """Use this published version for its kind from now on; tasks in the queue keep theirs.

    Raises PermissionRefused, InvalidValue for an unknown version, TransitionRefused when it is in use
    already. Publishes AgentPoolChanged.
    """
    return _use(kind_of(prompt), prompt, by=by, because=because)


@transaction.atomic
def roll_back_prompt(kind: str, *, by: Actor, because: str = "") -> PromptUse:
    """Use again what was in use before. Errors as promote_prompt; TransitionRefused without a promotion."""
    _allowed(by)
    if kind not in AGENTS:
        raise InvalidValue(_("Choose one of: %s.") % ", ".join(AGENTS), field="kind")
    newest = PromptUse.objects.filter(kind=kind).order_by("-pk").first()
    if newest is None:
        raise TransitionRefused(_("No prompt of this kind was promoted."))
    return _use(kind, newest.previous, by=by, because=because)


def kind_of(prompt: str) -> str:
    """The kind whose published prompt this is. Raises InvalidValue."""
    kind = prompt.rpartition(".v")[0]
    known = versions_of(kind) if kind in AGENTS else [name for one in AGENTS for name in versions_of(one)]
    if prompt not in known:
        raise InvalidValue(_("There is no such prompt; there are: %s.") % ", ".join(known), field="prompt")
    try:
        load(prompt)
    except PromptRefused as refused:
        raise InvalidValue(str(refused), field="prompt") from None
    return kind


def _allowed(by: Actor) -> None:
    if by.kind != ActorKind.SYSTEM:  # whoever holds the machine and its commands is trusted
        require(by, Verb.SET_UP)


def _use(kind: str, prompt: str, *, by: Actor, because: str) -> PromptUse:
    _allowed(by)
    previous = prompt_in_use(kind)
    if prompt == previous:
        raise TransitionRefused(_("%s is in use already.") % prompt)
    row = PromptUse.objects.create(
        kind=kind, prompt=prompt, previous=previous, because=one_line(because, 200), by=by.user,
        by_label=by.label[:120],
    )  # fmt: skip
    audit("prompt.promoted", f"uses {prompt} instead of {previous}", by=by, target=row, kind=kind)
    events.publish(events.AgentPoolChanged(kind))
    return row
