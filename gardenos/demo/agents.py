"""Scores and drafts for sample leads, by the agents' own code with the scripted model's answers: no call
leaves.

Tasks and calls are written as a pump would have left them, marked "scripted", at no cost.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from ai_agents.agents import AGENTS, FollowUpAgent, LeadAnalysisAgent
from ai_agents.agents.base import Finished
from ai_agents.llm import scripted_answers
from ai_agents.llm.prices import estimate_tokens
from ai_agents.llm.providers import SCRIPTED_MODEL
from ai_agents.models import AgentCall, AgentTask, CallStatus, TaskState
from crm import clock
from crm.models import FollowUp, Lead, Score, ScoreKind, TimelineEvent

PROVIDER = "scripted"
TOO_LATE = timedelta(days=21)  # older drafts would have expired or been sent
HOT = 75  # from here on a lead that waits for an answer finds a draft


@dataclass(frozen=True, slots=True)
class Found:
    assessments: int
    drafts: int


def assess_and_draft(leads: Sequence[Lead]) -> Found:
    """Score the leads, then draft an answer for those that are worth it and wait for one."""
    by_rules = dict(
        Score.objects.filter(lead__in=leads, is_current=True, kind=ScoreKind.RULES).values_list(
            "lead", "value"
        )
    )
    assessed = list(_run("lead_analysis", leads))
    LeadAnalysisAgent().store(assessed, quietly=True)
    _tell(assessed, by_rules)
    hot = [done.task.lead for done in assessed if done.result.fit >= HOT and _waits(done.task.lead)]
    drafted = list(_run("follow_up", [lead for lead in hot if lead]))
    for done in drafted:  # one by one, each in its own time
        with clock.frozen(done.task.finished_at or clock.now()):
            FollowUpAgent().store([done])
    _backdate(assessed, drafted)
    return Found(len(assessed), len(drafted))


def _waits(lead: Lead | None) -> bool:
    """Whether the customer had the last word, not long ago."""
    if lead is None or not lead.last_inbound_at:
        return False
    is_recent = clock.now() - lead.last_inbound_at < TOO_LATE
    return is_recent and (lead.last_outbound_at is None or lead.last_inbound_at > lead.last_outbound_at)


def _run(kind: str, leads: Sequence[Lead]) -> Iterator[Finished]:
    """What the agent makes of the scripted answers, with the tasks and calls that a pump would have left."""
    agent = AGENTS[kind]
    params = {"purpose": "first_answer", "instruction": ""} if kind == "follow_up" else {}
    tasks = [_task(kind, lead, params, agent.prompt) for lead in leads]
    AgentTask.objects.bulk_create(tasks)
    calls = []
    for task, facts in zip(tasks, agent.read(tasks), strict=True):
        if facts is None:
            continue
        task.input_hash = facts.digest
        system, user = agent.messages(facts)
        text = _answer(system, user)
        calls.append(_call(task, user, text, tokens_in=estimate_tokens(system + user)))
        yield Finished(task, facts, agent.parse(text, facts), PROVIDER, SCRIPTED_MODEL)
    AgentCall.objects.bulk_create(calls)
    AgentTask.objects.bulk_update(tasks, ["input_hash"])


def _answer(system: str, user: str) -> str:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return json.dumps(scripted_answers.answer(scripted_answers.read_request(messages)), ensure_ascii=False)


def _task(kind: str, lead: Lead, params: dict[str, str], prompt: str) -> AgentTask:
    heard = lead.last_inbound_at or clock.now()
    started = heard + timedelta(seconds=4 if kind == "lead_analysis" else 9)
    return AgentTask(
        kind=kind,
        lead=lead,
        dedup_key=f"sample:{uuid4().hex}",
        state=TaskState.DONE,
        attempts=1,
        prompt_version=prompt,
        params=params,
        requested_as="Sample data",
        run_after=heard,
        started_at=started,
        finished_at=started + timedelta(seconds=3),
    )


def _call(task: AgentTask, user: str, text: str, *, tokens_in: int) -> AgentCall:
    return AgentCall(
        task=task,
        attempt=1,
        provider=PROVIDER,
        model=SCRIPTED_MODEL,
        status=CallStatus.OK,
        tokens_in=tokens_in,
        tokens_cached=0,
        tokens_out=estimate_tokens(text),
        cost_usd=0,
        ms=1_000,
        input={"prompt": task.prompt_version, "user": user},
        output=text,
    )


def _tell(assessed: Sequence[Finished], by_rules: dict[int, int]) -> None:
    """The line that the agent leaves in the story, in its time."""
    TimelineEvent.objects.bulk_create(
        TimelineEvent(
            lead_id=done.facts.lead_id,
            kind="lead.scored",
            actor_kind="agent",
            actor_label="LeadAnalysisAgent",
            summary=_moved(by_rules.get(done.facts.lead_id), done.result.fit),
            occurred_at=done.task.finished_at or clock.now(),
            data={
                "score": done.result.fit,
                "previous": by_rules.get(done.facts.lead_id),
                "source": "model",
                "provider": PROVIDER,
            },
        )
        for done in assessed
    )


def _moved(before: int | None, now: int) -> str:
    if before is None or before == now:
        return f"Scored {now}"
    return f"Score {'raised' if before < now else 'lowered'} from {before} to {now}"


def _backdate(assessed: Sequence[Finished], drafted: Sequence[Finished]) -> None:
    """auto_now_add knows only now."""
    at: dict[int, datetime | None] = {done.task.pk: done.task.finished_at for done in (*assessed, *drafted)}
    scores = list(Score.objects.filter(task__in=at))
    for score in scores:
        score.created_at = at[score.task_id]  # type: ignore[assignment,index]
    Score.objects.bulk_update(scores, ["created_at"])
    follow_ups = list(FollowUp.objects.filter(agent_task__in=at))
    for follow_up in follow_ups:
        follow_up.created_at = at[follow_up.agent_task_id]  # type: ignore[assignment,index]
    FollowUp.objects.bulk_update(follow_ups, ["created_at"])
