"""What did the model see? The calls about one lead, and those of one task, word for word."""

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from ai_agents.actions.seen import Seen, calls_of_lead, seen, visible_tasks
from ai_agents.agents import NAMES
from ai_agents.models import AgentCall
from crm import clock
from crm.models import Lead
from crm.web import base
from crm.web.base import words

SHOWN = 20


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as text."""

    agent: str
    status: str
    is_bad: bool
    is_repair: bool
    model: str
    prompt: str
    tokens: str
    cost: str
    ms: int
    when: str
    exact: str
    error: str
    system: str
    user: str
    output: str
    is_blank: bool


@base.screen
@require_GET
def lead_calls(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The newest calls about a lead, for who may see it."""
    lead = get_object_or_404(Lead.objects.visible_to(base.person(request)), public_id=public_id)
    calls = list(calls_of_lead(lead.pk).order_by("-pk")[: SHOWN + 1])
    return _page(request, lead, calls)


@base.screen
@require_GET
def task_calls(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The calls of one task; 404 for one about a record that the person may not see."""
    task = get_object_or_404(visible_tasks(base.by(request)).select_related("lead"), public_id=public_id)
    calls = list(task.calls.select_related("task").order_by("-pk")[: SHOWN + 1])
    return _page(request, task.lead, calls)


def _page(request: HttpRequest, lead: Lead | None, calls: list[AgentCall]) -> HttpResponse:
    context = {
        "lead": lead,
        "calls": [_row(seen(call)) for call in calls[:SHOWN]],
        "more": len(calls) > SHOWN,
    }
    return render(request, "ai_agents/calls.html", context)


def _row(one: Seen) -> CallRow:
    call = one.call
    tokens = "" if call.tokens_in is None else f"{call.tokens_in} + {call.tokens_out}"
    return CallRow(
        agent=NAMES.get(call.task.kind, call.task.kind),
        status=str(call.get_status_display()),
        is_bad=call.status != "ok",
        is_repair=call.is_repair,
        model=call.model,
        prompt=one.prompt,
        tokens=tokens,
        cost=words.usd(call.cost_usd),
        ms=call.ms,
        when=words.ago(call.created_at, clock.now()),
        exact=words.exact(call.created_at),
        error=call.error.replace("_", " "),
        system=one.system,
        user=one.user,
        output=call.output,
        is_blank=one.is_blank,
    )
