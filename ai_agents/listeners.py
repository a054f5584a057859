"""Which event starts which agent. Durable: what is queued here is taken back with the transaction it
belongs to.

What an agent starts on by itself it says in its own file (`starts_on`). Here is what no agent can say alone:
drafts that follow from scores, imports in slices, and what ends queued work.
"""

from django.db.models import Q

from ai_agents import tasks
from ai_agents.actions import queue
from ai_agents.actions.follow_on import draft_for_promising
from ai_agents.actions.requests import request_draft, request_run
from ai_agents.actions.statistics import active_model, score_by_statistics
from ai_agents.agents import AGENTS, Agent
from ai_agents.agents.base import Asked, Start
from ai_agents.llm.providers import current_provider
from ai_agents.models import AgentTask, TaskState
from crm import events
from crm.models import Actor, Lead, ScoreSource, User
from crm.tasks import enqueue

ASKED_BY_A_PERSON = 1  # priority


@events.on(events.AgentTaskQueued, events.AgentPoolChanged)
def wake_a_pump(event: events.AgentTaskQueued | events.AgentPoolChanged) -> None:
    tasks.kick_on_commit()


def _start(agent: Agent, event_type: type, asked_by: Start) -> None:
    """When this happens, queue what the agent makes of it, once per set of facts. To a person who asked, a
    refusal is raised.
    """

    @events.on(event_type)
    def start(event: object) -> None:
        asked = asked_by(event)
        if asked and asked.user_id:
            request_run(agent.kind, asked, by=Actor.of(User.objects.get(pk=asked.user_id)))
        elif asked and current_provider().is_on and _is_readable(asked):
            request_run(agent.kind, asked, by=Actor.system())


def _is_readable(asked: Asked) -> bool:
    """Closed leads are not worth a call, and what is barred is not read."""
    readable = Lead.objects.open().filter(pk=asked.lead_id, is_ai_off=False)
    return asked.opportunity_id is not None or readable.exists()


for _agent in AGENTS.values():
    for _event_type, _asked_by in _agent.starts_on.items():
        _start(_agent, _event_type, _asked_by)


@events.on(events.LeadFactsChanged)
def score_changed_lead_by_statistics(event: events.LeadFactsChanged) -> None:
    """If a fit is active; in the same transaction, as the rules are."""
    score_by_statistics([event.lead_id])


@events.on(events.ScoringModelChanged)
def score_all_again(event: events.ScoringModelChanged) -> None:
    enqueue("ai_agents.tasks.score_all_by_statistics")


@events.on(events.ImportFinished)
def score_imported_by_statistics(event: events.ImportFinished) -> None:
    if active_model():
        enqueue("ai_agents.tasks.score_import_by_statistics", event.import_id)


@events.on(events.LeadScored)
def draft_for_a_promising_lead(event: events.LeadScored) -> None:
    """A blend at or above the pool's `draft_from` asks for a draft, when there is somebody to answer.

    Not here for a model's scores: the pump asks for those itself, many at a time (actions/results.py).
    """
    if event.source not in {ScoreSource.RULES, ScoreSource.MODEL} and current_provider().is_on:
        draft_for_promising([event.lead_id])


@events.on(events.DraftRequested)
def draft_on_request(event: events.DraftRequested) -> None:
    """Somebody asks. Raises AIUnavailable to them when there is no AI."""
    user = User.objects.filter(pk=event.user_id).first() if event.user_id else None
    request_draft(
        event.lead_id,
        by=Actor.of(user) if user else Actor.system(),
        purpose=event.purpose,
        tone=event.tone,
        length=event.length,
        language=event.language,
        instruction=event.instruction,
        priority=ASKED_BY_A_PERSON,
    )


@events.on(events.ImportFinished)
def analyse_imported(event: events.ImportFinished) -> None:
    """In slices, by the queue: reading the facts of thousands does not belong into one transaction."""
    if event.analyse != "none" and current_provider().is_on:
        enqueue("ai_agents.tasks.analyse_import", event.import_id, event.analyse)


@events.on(events.LeadAISwitched)
def obey_the_switch(event: events.LeadAISwitched) -> None:
    """What is queued is not asked any more. A call in flight has left; its answer is still stored."""
    if event.is_off:
        _cancel_queued(event.lead_id, "ai_off")


@events.on(events.PersonErased)
def forget_queued_work(event: events.PersonErased) -> None:
    """What models were shown and said is blanked by the erasure itself (ai_agents/personal_data.py)."""
    _cancel_queued(event.lead_id, "erased")


def _cancel_queued(lead_id: int, error: str) -> None:
    about = Q(lead_id=lead_id) | Q(opportunity__lead_id=lead_id)
    waiting = AgentTask.objects.filter(about, state=TaskState.QUEUED)
    queue.cancel(waiting, error=error)


@events.on(events.LeadsRemoved)
def forget_work_on_removed_leads(event: events.LeadsRemoved) -> None:
    waiting = AgentTask.objects.filter(lead_id__in=event.lead_ids, state=TaskState.QUEUED)
    queue.cancel(waiting, error="lead_removed")
