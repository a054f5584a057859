"""ReplyTriageAgent: what does the customer's message mean, and what could come next?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, ClassVar

from django.db.models import Model
from django.utils.translation import gettext_lazy as _
from pydantic import Field, StringConstraints

from ai_agents.agents.answers import Answer, FactId, parse
from ai_agents.agents.base import Asked, Finished, LeadAgent, Start, Words
from ai_agents.agents.facts import LeadFacts, Quote
from ai_agents.errors import BadAnswer
from ai_agents.models import AgentTask
from crm import events
from crm.actions.replies import NewTriage, store_triage
from crm.actions.unsubscribing import unsubscribing_of
from crm.models import Actor, Message, ReplyIntent, ReplyStep, acting_as
from crm.plaintext import Span

BY = Actor.agent("ReplyTriageAgent")
LONGEST_SLEEP = timedelta(days=720)
# The steps that may follow from an intent. Whatever the text says, an out-of-office note disqualifies nobody.
STEPS_OF: dict[str, frozenset[str]] = {
    ReplyIntent.INTERESTED: frozenset({ReplyStep.ANSWER, ReplyStep.CALL, ReplyStep.MEETING}),
    ReplyIntent.QUESTION: frozenset({ReplyStep.ANSWER, ReplyStep.CALL}),
    ReplyIntent.NOT_NOW: frozenset({ReplyStep.SLEEP, ReplyStep.ANSWER}),
    ReplyIntent.NOT_INTERESTED: frozenset({ReplyStep.DISQUALIFY, ReplyStep.ANSWER}),
    ReplyIntent.OUT_OF_OFFICE: frozenset({ReplyStep.SLEEP}),
    ReplyIntent.UNSUBSCRIBE: frozenset({ReplyStep.SUPPRESS}),
    ReplyIntent.SPAM: frozenset({ReplyStep.DISQUALIFY}),
}


class TriageAnswer(Answer):
    """What the model must answer."""

    intent: Annotated[str, Field(pattern="^[a-z_]{1,20}$")]
    step: Annotated[str, Field(pattern="^[a-z_]{1,20}$")]
    wake_on: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")] | None
    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
    quote: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    source: FactId


@dataclass(frozen=True, slots=True)
class Triage:
    """A checked answer: the quote stands in the message, the step fits the intent, the day lies ahead."""

    intent: str
    step: str
    wake_on: date | None
    summary: str
    quote: Quote


class ReplyTriageAgent(LeadAgent):
    """Reads a customer's message, returns a Triage: a proposal that a person accepts or dismisses."""

    kind: ClassVar[str] = "reply_triage"
    prompt: ClassVar[str] = "reply_triage.v1"
    does: ClassVar[Words] = _("reads a reply, proposes the next step")
    subject: ClassVar[type[Model]] = Message
    starts_on: ClassVar[Mapping[type, Start]] = {
        events.MessageReceived: lambda event: (
            None
            if _is_settled(event.message_id)
            else Asked(event.lead_id, params={"message": event.message_id}, priority=2)
        ),
    }

    def asked(self, task: AgentTask) -> dict[str, str]:
        """Which of the facts is to be judged."""
        return {"message": f"message-{task.params.get('message')}"}

    def read(self, tasks: Sequence[AgentTask]) -> Sequence[LeadFacts | None]:
        """As every lead's agent; None also where the message is not among the newest any more."""
        return [
            facts if facts and facts.by_id(facts.asked["message"]) else None for facts in super().read(tasks)
        ]

    def parse(self, text: str, facts: LeadFacts) -> Triage:
        """The triage in a model's text. Raises BadAnswer."""
        answer = parse(TriageAnswer, text)
        self.refuse_leaks(answer.summary)
        if answer.intent not in STEPS_OF:
            raise BadAnswer("unknown_value", f"intent is one of: {', '.join(STEPS_OF)}")
        if answer.step not in STEPS_OF[answer.intent]:
            allowed = ", ".join(sorted(STEPS_OF[answer.intent]))
            raise BadAnswer("step_does_not_fit", f"with {answer.intent} the step is one of: {allowed}")
        quote = facts.quoted(answer.source, answer.quote)
        if quote is None or answer.source != facts.asked["message"]:
            raise BadAnswer("quote_not_found", "quote must be copied letter for letter from the message")
        return Triage(
            intent=answer.intent,
            step=answer.step,
            wake_on=_day(answer, today=date.fromisoformat(facts.today)),
            summary=facts.filled_line(answer.summary, 300),
            quote=quote,
        )

    @acting_as(BY)
    def store(self, finished: Sequence[Finished]) -> None:
        """Leave each triage as a proposal. Messages that are gone are left out. Publishes ReplyTriaged."""
        ids = [done.task.params["message"] for done in finished]
        there = set(Message.objects.filter(pk__in=ids, lead__deleted_at=None).values_list("pk", flat=True))
        for done in finished:
            if done.task.params["message"] in there:
                store_triage(_new_triage(done), by=BY)


def _is_settled(message_id: int) -> bool:
    """Whether a rule has read it already: no model is asked whether "unsubscribe" means it. One query."""
    return unsubscribing_of(Message.objects.select_related("lead").get(pk=message_id)) is not None


def _day(answer: TriageAnswer, *, today: date) -> date | None:
    """The day to wake, which only sleeping has. Raises BadAnswer."""
    if answer.step != ReplyStep.SLEEP:
        if answer.wake_on is not None:
            raise BadAnswer("unexpected_day", "wake_on is null unless the step is sleep")
        return None
    try:
        day = date.fromisoformat(answer.wake_on or "")
    except ValueError:
        raise BadAnswer("no_such_day", "wake_on is a day as YYYY-MM-DD") from None
    if not today < day <= today + LONGEST_SLEEP:
        raise BadAnswer("no_such_day", f"wake_on lies after {today}, at most two years")
    return day


def _new_triage(done: Finished) -> NewTriage:
    found: Triage = done.result
    return NewTriage(
        message_id=done.task.params["message"],
        intent=found.intent,
        step=found.step,
        summary=found.summary,
        quote=found.quote.text,
        place=Span(found.quote.start, found.quote.end),
        task_id=done.task.pk,
        wake_on=found.wake_on,
        provider=done.provider,
        model=done.model,
        prompt=done.task.prompt_version,
    )
