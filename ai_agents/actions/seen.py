"""What models were shown and what they answered, for those who may see the record it is about."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from ai_agents.models import AgentCall, AgentTask
from ai_agents.prompts import PromptRefused, load
from crm.models import Actor, Lead, Opportunity
from crm.permissions import Reach, Verb, reach


@dataclass(frozen=True, slots=True)
class Seen:
    """One call. `system` are our instructions without their canary, `user` the record as it left the process:
    personal data masked. Both are empty once the person is erased.
    """

    call: AgentCall
    system: str
    user: str

    @property
    def prompt(self) -> str:
        return str(self.call.input.get("prompt", ""))

    @property
    def is_blank(self) -> bool:
        return not self.user and not self.call.output


def visible_tasks(by: Actor) -> QuerySet[AgentTask]:
    """The tasks about records that `by` may see; those about none are for who sees everything."""
    if reach(by, Verb.SEE) == Reach.ALL:
        return AgentTask.objects.all()
    about = Q(lead__in=Lead.objects.visible_to(by).order_by().values("pk"))
    about |= Q(lead=None, opportunity__in=Opportunity.objects.visible_to(by).order_by().values("pk"))
    return AgentTask.objects.filter(about)


def visible_calls(by: Actor) -> QuerySet[AgentCall]:
    """The calls of visible tasks."""
    return AgentCall.objects.select_related("task").filter(task__in=visible_tasks(by).values("pk"))


def calls_of_lead(lead_id: int) -> QuerySet[AgentCall]:
    """The calls about one lead, for who was found to see it."""
    return AgentCall.objects.select_related("task").filter(task__lead=lead_id)


def seen(call: AgentCall) -> Seen:
    """The call with the text of its prompt's version."""
    shown: dict[str, Any] = call.input if isinstance(call.input, dict) else {}
    system = ""
    if shown.get("prompt"):
        try:
            prompt = load(str(shown["prompt"]))
            system = prompt.text.replace(prompt.canary, "[canary]")
        except PromptRefused as refused:
            system = str(refused)
    return Seen(call, system, str(shown.get("user", "")))
