"""The money part of the agents' page: costs of the last 30 days, budgets of today."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from ai_agents.actions.caps import BudgetNow, budgets_now, set_budget
from ai_agents.actions.costs import KindCost, costs
from crm import clock
from crm.errors import CRMError, InvalidValue
from crm.permissions import Verb, may
from crm.web import base
from crm.web.base import words

DAYS = 30


@dataclass(frozen=True, slots=True)
class CostRow:
    """One kind of work as text."""

    name: str
    tasks: int
    tokens: int
    usd: str
    per_task: str
    per_lead: str
    invalid: str


@dataclass(frozen=True, slots=True)
class BudgetRow:
    scope: str
    name: str
    cap: str
    typed: str
    spent: str
    used: int  # per cent
    is_spent: bool


@base.screen
@require_GET
def agents_costs(request: HttpRequest) -> HttpResponse:
    return _page(request)


@base.screen
@require_POST
def agents_budget(request: HttpRequest) -> HttpResponse:
    """Set the cap of one scope; an empty amount takes it away."""
    error, scope, typed = "", request.POST.get("scope", ""), request.POST.get("usd_day", "").strip()
    try:
        set_budget(scope, usd_day=_amount(typed) if typed else None, by=base.by(request))
    except CRMError as refused:
        error = str(refused)
    if not error and not request.htmx:  # type: ignore[attr-defined]
        return redirect("ai_agents:agents_costs")
    return _page(request, error=error, wrong=scope if error else "", typed=typed)


def _amount(text: str) -> Decimal:
    text = text.removeprefix("$")
    if not (text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 14):
        raise InvalidValue(_("Write an amount in US dollars, as in 2.50."), field="usd_day")
    return Decimal(text)


def _page(request: HttpRequest, *, error: str = "", wrong: str = "", typed: str = "") -> HttpResponse:
    now = clock.now()
    found = costs(now - timedelta(days=DAYS), now)
    sees_all = may(base.person(request), Verb.SET_UP)
    context = {
        "days": DAYS,
        "kinds": [_row(kind) for kind in found.kinds],
        "total": _row(found.total),
        "won": found.won,
        "per_won": words.usd(found.usd_per_won_deal),
        "people": [(row["name"], words.usd(row["usd"]), row["calls"]) for row in found.people]
        if sees_all
        else [],
        "budgets": [
            _budget(row) for row in _visible(budgets_now(), base.person(request).public_id, sees_all)
        ],
        "may_set": sees_all,
        "error": error,
        "wrong": wrong,
        "typed": typed,
    }
    if request.htmx:  # type: ignore[attr-defined]
        return base.piece(request, "ai_agents/partials/costs.html", context)
    return render(request, "ai_agents/costs.html", context, status=422 if error else 200)


def _visible(rows: list[BudgetNow], me: UUID, sees_all: bool) -> list[BudgetNow]:
    """Other people's budgets are shown to those who set them only."""
    return [row for row in rows if sees_all or not row.scope.startswith("user:") or row.scope == f"user:{me}"]


def _row(kind: KindCost) -> CostRow:
    share = kind.invalid_share
    return CostRow(
        name=kind.name,
        tasks=kind.tasks,
        tokens=kind.tokens_in + kind.tokens_out,
        usd=words.usd(kind.usd),
        per_task=words.usd(kind.usd_per_task),
        per_lead=words.usd(kind.usd_per_lead),
        invalid="" if share is None else f"{100 * share:.1f} %",
    )


def _budget(now: BudgetNow) -> BudgetRow:
    used = 100 if not now.cap else min(100, int(100 * (now.spent + now.reserved) / now.cap))
    name = _("All agents") if now.scope == "all" else now.name
    return BudgetRow(
        now.scope, name, words.usd(now.cap), f"{now.cap:.2f}", words.usd(now.spent), used, now.is_spent
    )
