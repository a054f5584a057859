"""Asks for an agent's work: once per set of facts, in the caller's transaction."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from ai_agents.actions import budget, queue
from ai_agents.actions.prompts import prompt_in_use
from ai_agents.actions.wishes import as_params, checked_wishes, wishes_of
from ai_agents.agents import AGENTS, FollowUpAgent
from ai_agents.agents.base import Asked
from ai_agents.agents.facts import LeadFacts, RecordFacts
from ai_agents.agents.follow_up import in_their_language
from ai_agents.llm.providers import current_provider
from ai_agents.models import AgentTask, TaskState
from crm import events
from crm.errors import AIUnavailable, OutOfBounds
from crm.models import Actor, FollowUp, Lead, Opportunity
from crm.permissions import Verb, require

ANALYSIS, DRAFT = "lead_analysis", "follow_up"
BATCH_PRIORITY = 8
LIVE = (TaskState.QUEUED, TaskState.RUNNING)


def request_analysis(lead_id: int, *, by: Actor, priority: int = 5) -> AgentTask | None:
    """Queue an analysis of a lead. Priority 0 (first) to 9.

    Returns the live twin if these facts are queued or being read already. Facts that were analysed today
    are only analysed again when a person asks; otherwise the finished twin is returned. None: there is
    nothing to read. Raises Lead.DoesNotExist, PermissionRefused, AIUnavailable, OutOfBounds. Publishes
    AgentTaskQueued.
    """
    return request_run(ANALYSIS, Asked(lead_id, priority=priority), by=by)


def request_draft(
    lead_id: int,
    *,
    by: Actor,
    purpose: str = "",
    tone: str = "",
    length: str = "",
    language: str = "",
    instruction: str = "",
    priority: int = 5,
) -> AgentTask | None:
    """Queue a follow-up draft. As request_analysis; what is wished for is part of what is asked.

    `purpose`, `tone`, `length` and `language` are values of the enumerations of those names; an empty purpose
    is told from what happened on the lead (crm.actions.purposes), an empty language is the customer's.
    `instruction` has up to 500 characters. Raises OutOfBounds naming the field.
    """
    wanted = {
        "purpose": purpose, "tone": tone, "length": length, "language": language, "instruction": instruction
    }  # fmt: skip
    params = checked_wishes(lead_id, wanted)
    return request_run(DRAFT, Asked(lead_id, params=params, priority=priority), by=by)


def request_rewrite(follow_up: FollowUp, *, by: Actor, priority: int = 5, **changes: str) -> AgentTask | None:
    """Queue another draft in place of this one, with the wishes it was asked for, save for those given.

    An empty wish that is given takes the old one back. Raises as request_draft.
    """
    wanted = wishes_of(follow_up) | changes
    return request_draft(follow_up.lead_id, by=by, priority=priority, **wanted)


@transaction.atomic
def request_analysis_batch(lead_ids: Sequence[int], *, by: Actor, priority: int = BATCH_PRIORITY) -> int:
    """Queue analyses of many leads, a few hundred a call, set-based. Returns how many were new.

    Raises AIUnavailable, OutOfBounds. Publishes AgentPoolChanged once instead of an event a task.
    """
    wanted = [_new_task(ANALYSIS, Asked(lead_id, priority=priority), by) for lead_id in lead_ids]
    created = _insert(wanted, skip_done=True)
    queue.supersede(created)
    if created:
        events.publish(events.AgentPoolChanged(ANALYSIS))
    return len(created)


@transaction.atomic
def request_drafts(
    purposes: Mapping[int, str], *, by: Actor, priority: int, known: Mapping[int, LeadFacts]
) -> int:
    """Queue a draft for each lead, by lead id and purpose, set-based. Returns how many were new.

    `known` are facts just read by another agent; leads that are not in it are read. Publishes AgentTaskQueued
    for each.
    """
    created: list[AgentTask] = []
    for group in (purposes.keys() & known.keys(), purposes.keys() - known.keys()):
        leads = sorted(group)
        wanted = [
            _new_task(DRAFT, Asked(lead_id, params=as_params(purposes[lead_id]), priority=priority), by)
            for lead_id in leads
        ]
        agent = FollowUpAgent()
        facts = [
            known[lead_id].asked_for(**agent.asked(task))
            for lead_id, task in zip(leads, wanted, strict=True)
            if lead_id in known
        ]
        created += _insert(wanted, in_their_language(facts) if facts else None, skip_done=True)
    queue.supersede(created)
    events.publish_all([events.AgentTaskQueued(task.pk, DRAFT, task.lead_id) for task in created])
    return len(created)


@transaction.atomic
def request_run(kind: str, asked: Asked, *, by: Actor) -> AgentTask | None:
    """Queue an agent's work on one record: what every kind is asked by.

    Returns as request_analysis. Raises Lead.DoesNotExist or Opportunity.DoesNotExist for a record that `by`
    may not see, PermissionRefused, AIUnavailable, OutOfBounds. Publishes AgentTaskQueued.
    """
    lead = _checked_subject(asked, by)
    if lead and lead.is_ai_off and by.user:
        raise AIUnavailable(_("No agent may read this lead: AI is switched off for it."))
    _refuse_if_spent(by)
    task = _new_task(kind, asked, by)
    created = _insert([task], skip_done=by.user is None)
    if created:
        queue.supersede(created)
        events.publish(events.AgentTaskQueued(created[0].pk, kind, task.lead_id))
        return created[0]
    if not task.dedup_key:
        return None
    twins = _twins([task])
    twin = twins.filter(state__in=LIVE).first() or twins.filter(state=TaskState.DONE).first()
    if twin and twin.state == TaskState.QUEUED and asked.priority < twin.priority:
        twin.priority = asked.priority
        twin.save(update_fields=["priority", "updated_at"])
    return twin


def _checked_subject(asked: Asked, by: Actor) -> Lead | None:
    """The lead it is about, if any. Who asks must be allowed to change what they ask about."""
    if asked.opportunity_id:
        card = Opportunity.objects.visible_to(by).select_related("lead").get(pk=asked.opportunity_id)
        require(by, Verb.EDIT, card)
        return card.lead
    lead = Lead.objects.visible_to(by).get(pk=asked.lead_id)
    require(by, Verb.EDIT, lead)
    return lead


def _refuse_if_spent(by: Actor) -> None:
    """A person whose own budget is spent hears it at once; the task would only wait."""
    cap = budget.spent_cap_of(by.user.pk, queue.today()) if by.user else None
    if cap is not None:
        raise AIUnavailable(
            _("Your AI budget of $%s for today is spent. It opens again at midnight UTC.") % f"{cap:.2f}"
        )


def _new_task(kind: str, asked: Asked, by: Actor) -> AgentTask:
    if not current_provider().is_on:
        raise AIUnavailable(_("AI is switched off (AI_PROVIDER=off)."))
    if not 0 <= asked.priority <= 9:
        raise OutOfBounds(_("Priority goes from 0 (first) to 9."), field="priority")
    return AgentTask(
        kind=kind,
        lead_id=asked.lead_id,
        opportunity_id=asked.opportunity_id,
        params=dict(asked.params),
        priority=asked.priority,
        requested_by=by.user,
        requested_as=by.label[:120],
    )


def _insert(
    tasks: Sequence[AgentTask], known: Sequence[RecordFacts | None] | None = None, *, skip_done: bool
) -> list[AgentTask]:
    """Insert those that are not there yet; the unique index decides between callers at the same moment.

    Fills in `input_hash`, `prompt_version` and `dedup_key`; a task whose facts cannot be read keeps an empty
    key and is left out.
    """
    if not tasks:
        return []
    day, provider = queue.today().isoformat(), current_provider().name
    prompt = prompt_in_use(tasks[0].kind)
    readable = []
    for task, facts in zip(tasks, known or AGENTS[tasks[0].kind].read(tasks), strict=True):
        if facts is not None:
            task.input_hash, task.prompt_version = facts.digest, prompt
            task.dedup_key = dedup_key(task, provider=provider, day=day)
            readable.append(task)
    if skip_done:
        done = set(_twins(readable).filter(state=TaskState.DONE).values_list("dedup_key", flat=True))
        readable = [task for task in readable if task.dedup_key not in done]
    AgentTask.objects.bulk_create(readable, ignore_conflicts=True)
    inserted = AgentTask.objects.filter(public_id__in=[task.public_id for task in readable])
    return list(inserted.order_by("pk")) if readable else []


def _twins(tasks: Sequence[AgentTask]) -> models.QuerySet[AgentTask]:
    """Tasks with the keys of these, newest first; records and kind are named for the index."""
    leads = {task.lead_id for task in tasks if task.lead_id}
    cards = {task.opportunity_id for task in tasks if task.opportunity_id}
    same_record = Q(lead_id__in=leads) if not cards else Q(lead_id__in=leads) | Q(opportunity_id__in=cards)
    return AgentTask.objects.filter(
        same_record,
        kind__in={task.kind for task in tasks},
        dedup_key__in=[task.dedup_key for task in tasks],
    ).order_by("-pk")


def dedup_key(task: AgentTask, *, provider: str, day: str) -> str:
    """The same for the same question on the same facts, by the same prompt and provider, on one day."""
    asked = hashlib.sha256(json.dumps(task.params, sort_keys=True).encode()).hexdigest()[:12]
    record = f"o{task.opportunity_id}" if task.opportunity_id else task.lead_id
    return f"{task.kind}:{record}:{asked}:{task.input_hash[:32]}:{task.prompt_version}:{provider}:{day}"
