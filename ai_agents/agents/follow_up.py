"""FollowUpAgent: the first draft of an answer, for a person to approve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from django.db.models import Sum
from django.utils.translation import gettext_lazy as _

from ai_agents.agents.answers import DraftAnswer, FirstDraftAnswer, parse
from ai_agents.agents.base import Finished, LeadAgent, Words
from ai_agents.agents.facts import LeadFacts
from ai_agents.agents.languages import language_of, usual_languages
from ai_agents.agents.validators import Said, Written, problems_of
from ai_agents.errors import BadAnswer
from ai_agents.llm.base import LLM
from ai_agents.models import AgentCall, AgentTask
from crm.actions.follow_ups import DraftWishes, Mark, store_draft
from crm.models import Actor, Lead, Purpose, acting_as
from crm.plaintext import normalised, one_line

BY = Actor.agent("FollowUpAgent")


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked draft with its names filled in. When `needs_writing` says why, there is no text: a person
    writes.
    """

    subject: str = ""
    body: str = ""
    facts_used: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    needs_writing: str = ""


class FollowUpAgent(LeadAgent):
    """Reads a lead, asks the model, returns a Draft that passed every validator. Sends nothing."""

    kind: ClassVar[str] = "follow_up"
    prompt: ClassVar[str] = "follow_up.v2"
    timeout_s: ClassVar[float] = 45
    does: ClassVar[Words] = _("drafts the next message")
    waiting_word: ClassVar[str] = "drafting"

    def asked(self, task: AgentTask) -> dict[str, str]:
        """What the draft is for, how it is wanted, and what a person says of it."""
        wishes = {name: task.params.get(name, "") for name in ("tone", "length", "language")}
        asked = {name: task.params.get(name, "") for name in ("purpose", "instruction")}
        return asked | {name: wish for name, wish in wishes.items() if wish}

    def read(self, tasks: Sequence[AgentTask]) -> Sequence[LeadFacts | None]:
        """As every lead's agent. Where nobody named a language it is the customer's."""
        return in_their_language(super().read(tasks))

    async def run(self, facts: LeadFacts, llm: LLM) -> Draft:
        """As every agent, but a draft that is refused twice becomes "needs writing": a person writes."""
        try:
            return await super().run(facts, llm)
        except BadAnswer as again:
            return Draft(needs_writing=one_line(again.detail or again.reason, 300))

    def parse(self, text: str, facts: LeadFacts) -> Draft:
        """The draft in a model's text. Raises BadAnswer with every rule it breaks."""
        written = _read_first(text) if self.version == "follow_up.v1" else _read(text)
        if problems := problems_of(written, facts, prompt=self.instructions):
            raise BadAnswer(next(iter(problems)), "; ".join(problems.values()))
        return Draft(
            subject=one_line(facts.fill(written.subject), 200),
            body=facts.fill(written.body),
            facts_used=tuple(dict.fromkeys(written.facts_used)),
            marks=tuple(Mark(facts.fill(said.text), said.facts) for said in written.sentences if said.facts),
        )

    @acting_as(BY)
    def store(self, finished: Sequence[Finished]) -> None:
        """Keep each draft as a generated follow-up; one that needs writing has no text, and says why.

        Only a person can approve it. Leads that are gone are left out. Publishes FollowUpChanged.
        """
        leads = Lead.objects.live().filter(pk__in=[done.task.lead_id for done in finished])
        living = set(leads.values_list("pk", flat=True))
        costs = _costs(finished)
        for done in finished:
            if done.task.lead_id in living:
                _store(done, costs.get(done.task.pk, Decimal(0)))


def in_their_language(found: Sequence[LeadFacts | None]) -> list[LeadFacts | None]:
    """The same facts with a language to write in: the one in which the customer wrote last. When that cannot
    be told it stays open, and the model writes as the customer does; of those who wrote nothing see
    `usual_languages`. At most one query.
    """
    open_ones = [facts for facts in found if facts and not facts.asked.get("language")]
    words = {facts.lead_id: _newest_word(facts) for facts in open_ones}
    silent = [lead_id for lead_id, word in words.items() if not word]
    usual = usual_languages(silent) if silent else {}
    languages = {lead_id: language_of(word) or usual.get(lead_id, "") for lead_id, word in words.items()}
    return [_in(languages, facts) if facts else None for facts in found]


def _in(languages: Mapping[int, str], facts: LeadFacts) -> LeadFacts:
    language = facts.asked.get("language") or languages.get(facts.lead_id)
    return facts.asked_for(**{**facts.asked, "language": language}) if language else facts


def _newest_word(facts: LeadFacts) -> str:
    """What the customer wrote last, or "": fields and our own words do not tell their language."""
    theirs = (fact.seen.text for fact in reversed(facts.facts) if not fact.is_ours and not fact.field)
    return next(theirs, "")


def _read(text: str) -> Written:
    """Raises BadAnswer."""
    answer = parse(DraftAnswer, text)
    paragraphs = [
        [Said(normalised(one.text), tuple(one.facts)) for one in paragraph] for paragraph in answer.paragraphs
    ]
    sentences = tuple(said for paragraph in paragraphs for said in paragraph)
    return Written(
        subject=answer.subject.strip(),
        body="\n\n".join(" ".join(said.text for said in paragraph) for paragraph in paragraphs),
        facts_used=tuple(dict.fromkeys(fact_id for said in sentences for fact_id in said.facts)),
        sentences=sentences,
    )


def _read_first(text: str) -> Written:
    """The shape of follow_up.v1: tasks that were queued with it, and whoever goes back to it. Raises
    BadAnswer.
    """
    answer = parse(FirstDraftAnswer, text)
    return Written(answer.subject.strip(), normalised(answer.body), tuple(answer.facts_used))


def _store(done: Finished, cost_usd: Decimal) -> None:
    draft: Draft = done.result
    facts: LeadFacts = done.facts
    store_draft(
        facts.lead_id,
        subject=draft.subject,
        body=draft.body,
        purpose=facts.purpose or Purpose.FIRST_ANSWER,
        wishes=DraftWishes(
            tone=facts.asked.get("tone", ""),
            length=facts.asked.get("length", ""),
            language=facts.asked.get("language", ""),
            instruction=done.task.params.get("instruction", ""),
        ),
        agent_task_id=done.task.pk,
        context_event_id=facts.context_event_id,
        provider=done.provider,
        model=done.model,
        cost_usd=cost_usd,
        facts_used=[
            {"id": fact.id, "kind": fact.kind, "source_id": fact.source_id, "field": fact.field}
            for fact_id in draft.facts_used
            if (fact := facts.by_id(fact_id))
        ],
        marks=draft.marks,
        needs_writing=draft.needs_writing,
        by=BY,
    )


def _costs(finished: Sequence[Finished]) -> dict[int, Decimal]:
    """Task id -> what all its calls cost, in USD."""
    calls = AgentCall.objects.filter(task__in=[done.task.pk for done in finished])
    return dict(calls.values_list("task").annotate(Sum("cost_usd", default=Decimal(0))))
