"""The agents' page: what each pool does, costs and fails at; scaling and pausing for admins."""

from dataclasses import dataclass
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from ai_agents.actions.pools import (
    PoolNow,
    pause_agents,
    pools_now,
    restart_agents,
    resume_agents,
    scale_agents,
    set_pool,
)
from ai_agents.actions.requests import request_analysis, request_draft, request_rewrite
from ai_agents.actions.slots import held_back
from ai_agents.actions.status import current_troubles
from ai_agents.actions.watching import Calls, QueueLine, circuits_of, last_calls, queue_lines
from ai_agents.actions.wishes import WISHES
from ai_agents.agents import AGENTS, NAMES
from ai_agents.llm.providers import current_provider
from ai_agents.models import AgentPool, AgentTask, CircuitState, TaskState
from ai_agents.web.drafts import DAYS, draft_rows
from ai_agents.web.scoring import scoring_card
from crm import clock
from crm.errors import CRMError
from crm.models import FollowUp, Lead
from crm.permissions import Verb, may
from crm.web import base
from crm.web.base import words

FAILURES = 12


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool as text."""

    kind: str
    name: str
    does: str
    target: int
    least: int
    most: int
    queued: int
    waiting: str
    running: int
    done: int
    failed: int
    cost: str
    budget: str  # of its own; empty: none
    is_auto: bool
    is_paused: bool
    because: str
    held_to: int | None  # after 429s
    unreadable: str  # share of the last hour's calls; empty: none were made


@dataclass(frozen=True, slots=True)
class ModelRow:
    """The circuit of one model as text."""

    model: str
    is_closed: bool
    is_trying: bool
    reason: str
    since: str
    again: str
    takes: str


@dataclass(frozen=True, slots=True)
class QueueRow:
    """What waits and runs of one kind and priority."""

    agent: str
    priority: int
    queued: int
    running: int
    waiting: str


@dataclass(frozen=True, slots=True)
class FailureRow:
    task_id: str  # "" when the person may not see what it is about
    agent: str
    lead_id: str
    lead_name: str
    error: str
    attempts: int
    when: str
    exact: str


@base.screen
@require_GET
def agents(request: HttpRequest) -> HttpResponse:
    figures = {"scoring": scoring_card(), "drafts": draft_rows(), "draft_days": DAYS}
    return render(request, "ai_agents/agents.html", _context(request) | figures)


@base.screen
@require_GET
def agents_pools(request: HttpRequest) -> HttpResponse:
    """The part that changes by itself."""
    return base.piece(request, "ai_agents/partials/pools.html", _context(request))


def _context(request: HttpRequest, *, error: str = "", wrong: str = "", typed: str = "") -> dict:
    calls, held = last_calls(list(NAMES)), held_back()
    return {
        "pools": [
            _row(now, calls.get(now.pool.kind, Calls()), held.get(now.pool.kind)) for now in pools_now()
        ],
        "troubles": [trouble.text for trouble in current_troubles()],
        "models": _models(),
        "queues": [_queue(line) for line in queue_lines()],
        "failures": _failures(request),
        "may_scale": may(base.person(request), Verb.SET_UP),
        "ai": base.ai_of(request),
        "error": error,
        "wrong": wrong,
        "typed": typed,
    }


def _row(now: PoolNow, calls: Calls, held_to: int | None) -> PoolRow:
    pool = now.pool
    return PoolRow(
        kind=pool.kind,
        name=NAMES.get(pool.kind, pool.kind),
        does=str(AGENTS[pool.kind].does) if pool.kind in AGENTS else "",
        target=pool.target,
        least=0,
        most=pool.max_concurrency,
        queued=now.queued,
        waiting=_seconds(now.waiting_s),
        running=now.running,
        done=now.done_today,
        failed=now.failed_today,
        cost=words.usd(now.cost_today_usd),
        budget=words.usd(pool.budget_day_usd) if pool.budget_day_usd is not None else "",
        is_auto=pool.is_auto,
        is_paused=pool.paused,
        because=pool.paused_because,
        held_to=held_to,
        unreadable="" if calls.invalid_share is None else f"{calls.invalid_share:.0%}",
    )


def _models() -> list[ModelRow]:
    now = clock.now()
    return [
        ModelRow(
            model=row.model,
            is_closed=row.state == CircuitState.CLOSED,
            is_trying=row.state == CircuitState.HALF_OPEN,
            reason=row.reason.replace("_", " ") if row.state != CircuitState.CLOSED else "",
            since=words.day_and_time(row.opened_at or row.slow_since, now),
            again=words.day_and_time(row.retry_at, now) if row.state == CircuitState.OPEN else "",
            takes=_("%.1f s") % (row.ms / 1000) if row.ms else "",
        )
        for row in circuits_of(current_provider().name)
    ]


def _queue(line: QueueLine) -> QueueRow:
    return QueueRow(
        agent=NAMES.get(line.kind, line.kind),
        priority=line.priority,
        queued=line.queued,
        running=line.running,
        waiting=_seconds(line.oldest_s),
    )


def _seconds(seconds: float | None) -> str:
    """An age in its largest whole unit: "40 s", "3 min", "2 h"."""
    if seconds is None:
        return ""
    if seconds < 60:
        return _("%d s") % seconds
    if seconds < 3600:
        return _("%d min") % (seconds // 60)
    return _("%d h") % (seconds // 3600)


def _failures(request: HttpRequest) -> list[FailureRow]:
    """The newest dead tasks, newest first; leads the person may not see stay nameless. Two queries, however
    many kinds there are: each kind's newest come from an index of their own.
    """
    dead = AgentTask.objects.filter(state=TaskState.DEAD).select_related("lead").order_by("-finished_at")
    first, *others = (dead.filter(kind=kind)[:FAILURES] for kind in NAMES)
    tasks = list(first.union(*others, all=True).order_by("-finished_at")[:FAILURES])
    ids = [task.lead_id for task in tasks if task.lead_id]
    visible = set(
        Lead.objects.visible_to(base.person(request)).filter(pk__in=ids).values_list("pk", flat=True)
    )
    now = clock.now()
    return [
        FailureRow(
            task_id=str(task.public_id) if task.lead and task.lead_id in visible else "",
            agent=NAMES.get(task.kind, task.kind),
            lead_id=str(task.lead.public_id) if task.lead and task.lead_id in visible else "",
            lead_name=task.lead.name if task.lead and task.lead_id in visible else "",
            error=task.error.replace("_", " "),
            attempts=task.attempts,
            when=words.ago(task.finished_at, now),
            exact=words.exact(task.finished_at),
        )
        for task in tasks
    ]


@base.screen
@require_POST
def agents_scale(request: HttpRequest, kind: str) -> HttpResponse:
    """How many of a kind work at a time."""
    text = request.POST.get("target", "").strip()
    error = ""
    try:
        target = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
        pool = scale_agents(kind, target=target, by=base.by(request))
    except AgentPool.DoesNotExist:
        raise Http404 from None
    except CRMError as refused:
        error = str(refused)
    else:
        base.say(
            request, _("%(agent)s: %(n)d at a time") % {"agent": NAMES.get(kind, kind), "n": pool.target}
        )
    return _answer(request, error=error, wrong=kind if error else "", typed=text)


@base.screen
@require_POST
def agents_switch(request: HttpRequest, kind: str) -> HttpResponse:
    """Pause or resume a kind, or leave it to the autoscaler."""
    error = ""
    try:
        if request.POST.get("to") == "auto":
            set_pool(kind, by=base.by(request), is_auto=True)
        elif request.POST.get("to") == "pause":
            pause_agents(kind, by=base.by(request), because=_("%s paused it.") % base.person(request))
        else:
            resume_agents(kind, by=base.by(request))
    except AgentPool.DoesNotExist:
        raise Http404 from None
    except CRMError as refused:
        error = str(refused)
    return _answer(request, error=error, wrong=kind if error else "")


@base.screen
@require_POST
def agents_restart(request: HttpRequest) -> HttpResponse:
    """Let every pump finish what it has in hand while a fresh one takes its place."""
    error = ""
    try:
        let_go = restart_agents(by=base.by(request))
    except CRMError as refused:
        error = str(refused)
    else:
        text = ngettext(
            "%d pump finishes its calls; a fresh one takes over",
            "%d pumps finish their calls; fresh ones take over",
            let_go,
        )
        base.say(request, text % let_go if let_go else _("No pump was at work; one starts when work is due"))
    return _answer(request, error=error, wrong="restart" if error else "")


def _answer(request: HttpRequest, *, error: str, wrong: str, typed: str = "") -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]
        context = _context(request, error=error, wrong=wrong, typed=typed)
        return base.piece(request, "ai_agents/partials/pools.html", context)
    if error:
        return render(
            request,
            "ai_agents/agents.html",
            _context(request, error=error, wrong=wrong, typed=typed),
            status=422,
        )
    return redirect("ai_agents:agents")


@base.screen
@require_POST
def analyse(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Score a lead again."""
    lead = _lead(request, public_id)
    try:
        request_analysis(lead.pk, by=base.by(request), priority=1)
    except CRMError as refused:
        base.say_no(request, refused)
    else:
        base.say(request, _("LeadAnalysisAgent reads the lead again"))
    return _back(request, lead)


@base.screen
@require_POST
def draft(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask for a draft, as it is wanted."""
    lead = _lead(request, public_id)
    try:
        request_draft(lead.pk, by=base.by(request), priority=1, **_wishes(request))
    except CRMError as refused:
        base.say_no(request, refused)
    return _back(request, lead)


@base.screen
@require_POST
def rewrite(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask for another draft. What is not said again stays as the old one was asked for."""
    follow_ups = FollowUp.objects.visible_to(base.person(request)).select_related("lead")
    old = get_object_or_404(follow_ups, public_id=public_id)
    try:
        request_rewrite(old, by=base.by(request), priority=1, **_wishes(request))
    except CRMError as refused:
        base.say_no(request, refused)
    return _back(request, old.lead)


def _wishes(request: HttpRequest) -> dict[str, str]:
    """What the form says; a wish that it does not name stays as it was."""
    return {name: request.POST[name].strip() for name in WISHES if name in request.POST}


def _lead(request: HttpRequest, public_id: UUID) -> Lead:
    return get_object_or_404(Lead.objects.visible_to(base.person(request)), public_id=public_id)


def _back(request: HttpRequest, lead: Lead) -> HttpResponse:
    """The page fetches the pieces that changed; without htmx, the whole page again."""
    if not request.htmx:  # type: ignore[attr-defined]
        return base.back(request, f"/leads/{lead.public_id}/")
    response = HttpResponse(base.toasts(request))
    response["HX-Reswap"] = "none"  # the toast comes out of band; the box fetches itself
    return base.changed(response)
