"""Works on a replay in slices: the same agents, the same line to the model, the same books and budgets.

Every question is an AgentTask of the kind "replay" (no pool claims it), leased while it is asked: a killed
slice leaves leases that run out, and its leads are asked again.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from ai_agents.actions import budget, queue
from ai_agents.actions.calls import price_of, record_calls
from ai_agents.actions.outcomes import DONE, Outcome
from ai_agents.actions.replays import BUSY_S, MOST_TRIES, end_replay, leave_replay, take_replay
from ai_agents.agents import AGENTS, Agent, agent_for
from ai_agents.agents.facts import LeadFacts
from ai_agents.errors import AgentError, BadAnswer, NoAccess, ProviderError, Refused
from ai_agents.llm.base import CallRecord
from ai_agents.llm.client import ModelClient
from ai_agents.llm.line import Line
from ai_agents.llm.prices import Price
from ai_agents.llm.providers import Provider, current_provider
from ai_agents.models import AgentTask, AnswerState, Arm, Replay, ReplayAnswer, ReplayState, TaskState
from crm import clock

AT_ONCE = 16  # questions in flight; leases and budget are for so many
REPAIR_NOTE_BYTES = 900


@dataclass(slots=True)
class Question:
    """One lead for one arm, and what came of it."""

    answer: ReplayAnswer
    agent: Agent
    model: str
    price: Price
    task: AgentTask
    facts: LeadFacts | None = None
    calls: list[CallRecord] = field(default_factory=list)
    result: Any = None
    error: BaseException | None = None


def advance_replay(replay_id: int, *, seconds: float) -> bool:
    """Ask for so long. Whether there is more to ask at once; blocks.

    Nothing is raised for a provider's trouble: the replay rests then, and is taken up by the sweep.
    """
    replay = take_replay(replay_id)
    if replay is None:
        return False
    provider = current_provider()
    if provider.name != replay.provider:
        end_replay(replay, ReplayState.STOPPED, note="The provider has changed; start it again.")
        return False
    stop_at = time.monotonic() + min(seconds, BUSY_S / 2)
    while time.monotonic() < stop_at:
        batch = list(replay.answers.filter(state=AnswerState.WAITING).order_by("pk")[:AT_ONCE])
        if not batch:
            end_replay(replay, ReplayState.DONE)
            return False
        if not _ask_all(replay, batch, provider):
            return False
        if not Replay.objects.filter(pk=replay.pk, state=ReplayState.RUNNING).exists():
            return False  # stopped meanwhile
    leave_replay(replay)
    return True


def _ask_all(replay: Replay, batch: Sequence[ReplayAnswer], provider: Provider) -> bool:
    """Ask a batch and keep what came. False: the replay ended, or rests."""
    questions = _questions(replay, batch, provider)
    readable = _with_facts(questions)
    granted = _reserved(readable)
    if readable and not granted:
        end_replay(replay, ReplayState.STOPPED, note="The AI budget of today does not reach; start it again.")
        return False
    if granted:
        asyncio.run(_ask(granted, provider))
    _keep(granted)
    if any(isinstance(one.error, NoAccess) for one in granted):
        end_replay(replay, ReplayState.STOPPED, note="The provider refuses the key.")
        return False
    if granted and all(isinstance(one.error, ProviderError) for one in granted):
        leave_replay(replay)
        return False
    return True


def _questions(replay: Replay, batch: Sequence[ReplayAnswer], provider: Provider) -> list[Question]:
    today = queue.today()
    arms: Mapping[str, tuple[str, str]] = {
        Arm.PRESENT: (replay.present_prompt, replay.present_model),
        Arm.CANDIDATE: (replay.candidate_prompt, replay.candidate_model),
    }
    prices = {model: price_of(provider.name, model, today) for _prompt, model in arms.values()}
    now = clock.now()
    return [
        Question(
            answer,
            agent_for(replay.kind, arms[answer.arm][0]),
            arms[answer.arm][1],
            prices[arms[answer.arm][1]],
            AgentTask(
                kind=budget.REPLAY,
                lead_id=answer.lead_key,
                dedup_key=f"replay:{replay.pk}:{answer.pk}",
                state=TaskState.RUNNING,
                priority=9,
                attempts=1,
                max_attempts=1,
                lease_token=uuid.uuid4(),
                lease_until=now + timedelta(seconds=BUSY_S),
                started_at=now,
                called_at=now,
                prompt_version=arms[answer.arm][0],
                requested_by_id=replay.requested_by_id,
                requested_as="Replay lab",
            ),
        )
        for answer in batch
    ]


def _with_facts(questions: Sequence[Question]) -> list[Question]:
    """Those whose lead can still be read, with what was known then, and a task on the books."""
    found = AGENTS[questions[0].agent.kind].read([one.task for one in questions]) if questions else []
    readable = []
    for one, facts in zip(questions, found, strict=True):
        if isinstance(facts, LeadFacts):
            one.facts = as_known(facts, one.answer)
            readable.append(one)
        else:
            one.answer.state = AnswerState.UNREAD
    ReplayAnswer.objects.bulk_update([one.answer for one in questions if one.facts is None], ["state"])
    AgentTask.objects.bulk_create([one.task for one in readable])
    return readable


def as_known(facts: LeadFacts, answer: ReplayAnswer) -> LeadFacts:
    """What was known of the lead at that time, asked as on that day."""
    known = tuple(fact for fact in facts.facts if fact.at is None or fact.at < answer.known_until)
    return replace(facts, facts=known, today=answer.known_until.date().isoformat())


def _reserved(questions: Sequence[Question]) -> list[Question]:
    """Those for which the budget reaches; the tasks of the others are cancelled."""
    if not questions:
        return []
    budget.open_day(queue.today())
    granted = {task.pk for task in budget.reserve([(one.task, _worst(one)) for one in questions])}
    queue.end(
        [one.task for one in questions if one.task.pk not in granted],
        Outcome(TaskState.CANCELLED, "over_budget"),
    )
    return [one for one in questions if one.task.pk in granted]


def _worst(one: Question) -> Decimal:
    size = sum(len(text.encode("utf-8", "replace")) for text in one.agent.messages(one.facts))
    return one.price.worst(size + REPAIR_NOTE_BYTES, max_tokens=one.agent.max_tokens) * budget.CALLS_PER_RUN


async def _ask(questions: Sequence[Question], provider: Provider) -> None:
    async with ModelClient(provider) as client:
        await asyncio.gather(*(_ask_one(one, client) for one in questions))


async def _ask_one(one: Question, client: ModelClient) -> None:
    line = Line(client, one.model, one.price, one.agent.version)
    one.calls = line.calls
    try:
        async with asyncio.timeout(2 * one.agent.timeout_s + 5):
            one.result = await one.agent.run(one.facts, line)
    except Exception as error:  # every end of a question is an answer; the others go on
        one.error = error


@transaction.atomic
def _keep(questions: Sequence[Question]) -> None:
    """Book the calls, then store each answer once, by whoever still holds its lease."""
    record_calls([(one.task, one.calls) for one in questions])
    held = {task.pk for task in queue.lock_held([one.task for one in questions])}
    for one in questions:
        spent = budget.spent_by(one.calls)
        if one.task.pk not in held:
            budget.book_late(one.task, spent)
            continue
        budget.settle([(one.task, spent)])
        _judge(one, spent)
        one.answer.save(update_fields=["state", "tries", "fit", "action", "cost_usd", "task"])
        code = one.error.code if isinstance(one.error, AgentError) else "agent_failed"
        outcome = Outcome(TaskState.DEAD, code) if one.error else DONE
        queue.finish([(one.task, outcome)])


def _judge(one: Question, spent: Decimal) -> None:
    answer = one.answer
    answer.tries += 1
    answer.cost_usd += spent
    answer.task = one.task
    if one.error is None:
        answer.state, answer.fit = AnswerState.ANSWERED, one.result.fit
        answer.action = one.result.recommended_action
    elif isinstance(one.error, BadAnswer):
        answer.state = AnswerState.INVALID
    elif isinstance(one.error, Refused):
        answer.state = AnswerState.REFUSED
    elif answer.tries >= MOST_TRIES or not isinstance(one.error, ProviderError):
        answer.state = AnswerState.FAILED
