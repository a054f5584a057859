"""The money part of `manage.py agents`: costs, budget, price."""

import json
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date

from ai_agents.actions.caps import budgets_now, set_budget
from ai_agents.actions.costs import Costs, KindCost, WhatIf, costs, what_if
from ai_agents.actions.prices import PROVIDERS, set_price
from crm import clock
from crm.models import Actor

DAYS = 30


def add_cost_verbs(verbs: Any) -> None:
    """Add the verbs to the command's subparsers."""
    shown = verbs.add_parser("costs", help="what the agents cost: by kind, model, person, won deal")
    shown.add_argument("--since", type=_day, help=f"the first day, YYYY-MM-DD (default: {DAYS} days ago)")
    shown.add_argument("--compare", action="store_true", help="the same tokens at the prices of other models")
    shown.add_argument("--json", action="store_true", dest="as_json", help="for programs")
    cap = verbs.add_parser("budget", help="today's budgets, and setting one")
    cap.add_argument("scope", nargs="?", help='"all", a kind, "replay", or "user:" and a person\'s id')
    cap.add_argument("usd", nargs="?", type=_usd_or_none, help='USD a day, "none" takes the cap away')
    cap.add_argument("--json", action="store_true", dest="as_json", help="for programs")
    price = verbs.add_parser("price", help="say what a model costs from a day on")
    price.add_argument("provider", choices=PROVIDERS)
    price.add_argument("model")
    price.add_argument("--since", type=_day, required=True, help="the first day, YYYY-MM-DD")
    price.add_argument("--in", type=_usd, required=True, dest="usd_in", help="USD per million tokens")
    price.add_argument("--cached", type=_usd, dest="usd_cached", help="of the input, when it was cached")
    price.add_argument("--out", type=_usd, required=True, dest="usd_out", help="USD per million tokens")
    price.add_argument("--note", default="", help="where that was read")


def cost_lines(verb: str, *, by: Actor, as_json: bool, **options: Any) -> Sequence[str]:
    """Do the verb and return what to print; nothing for verbs of somebody else. Raises CRMError."""
    act = _VERBS.get(verb)
    return act(by, as_json, options) if act else ()


def _costs(by: Actor, as_json: bool, options: dict[str, Any]) -> Sequence[str]:
    now = clock.now()
    since = _midnight(options["since"]) if options["since"] else now - timedelta(days=DAYS)
    found = costs(since, now)
    compared = {kind.kind: what_if(kind) for kind in found.kinds} if options["compare"] else {}
    return [json.dumps(_as_json(found, compared), indent=2)] if as_json else _as_text(found, compared)


def _budget(by: Actor, as_json: bool, options: dict[str, Any]) -> Sequence[str]:
    if options["scope"] and options["usd"] is not None:
        set_budget(options["scope"], usd_day=None if options["usd"] == "none" else options["usd"], by=by)
    rows = budgets_now([options["scope"]] if options["scope"] and options["usd"] is None else None)
    if as_json:
        names = ("scope", "name", "cap", "spent", "reserved", "left")
        return [json.dumps([{name: _plain(getattr(row, name)) for name in names} for row in rows], indent=2)]
    return [
        f"{row.scope} ({row.name})  ${row.spent:.4f} of ${row.cap:.2f}, ${row.reserved:.4f} set aside"
        + ("  SPENT" if row.is_spent else "")
        for row in rows
    ] or ["There is no such budget."]


def _price(by: Actor, as_json: bool, options: dict[str, Any]) -> Sequence[str]:
    row = set_price(
        options["provider"],
        options["model"],
        valid_from=options["since"],
        usd_in=options["usd_in"],
        usd_cached=options["usd_cached"],
        usd_out=options["usd_out"],
        note=options["note"],
        by=by,
    )
    return [f"{row}: ${row.usd_in} in, ${row.usd_cached} cached, ${row.usd_out} out, per million tokens"]


_VERBS: dict[str, Callable[[Actor, bool, dict[str, Any]], Sequence[str]]] = {
    "costs": _costs,
    "budget": _budget,
    "price": _price,
}


# --- printing ---------------------------------------------------------------------------------------------


def _as_json(found: Costs, compared: dict[str, list[WhatIf]]) -> dict[str, Any]:
    answer = {
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "total": _kind(found.total),
        "kinds": [_kind(kind) for kind in found.kinds],
        "models": [{name: _plain(value) for name, value in row.items()} for row in found.models],
        "people": [{name: _plain(value) for name, value in row.items()} for row in found.people],
        "won": found.won,
        "usd_per_won_deal": _plain(found.usd_per_won_deal),
    }
    if compared:
        answer["compared"] = {
            kind: [{"model": one.model, "usd_per_task": float(one.usd), "source": one.source} for one in rows]
            for kind, rows in compared.items()
        }
    return answer


def _kind(kind: KindCost) -> dict[str, Any]:
    names = ("kind", "tasks", "leads", "calls", "invalid", "unknown", "tokens_in", "tokens_out", "usd")
    more = ("usd_per_task", "usd_per_lead", "invalid_share")
    return {name: _plain(getattr(kind, name)) for name in (*names, *more)}


def _as_text(found: Costs, compared: dict[str, list[WhatIf]]) -> list[str]:
    lines = [f"since {timezone.localtime(found.since):%Y-%m-%d %H:%M}"]
    for kind in (*found.kinds, found.total):
        lines.append(
            f"{kind.kind}  ${kind.usd:.6f}  tasks {kind.tasks}  leads {kind.leads}  calls {kind.calls}"
            f"  invalid {kind.invalid}  tokens {kind.tokens_in} in, {kind.tokens_out} out"
            f"  per task {_or_dash(kind.usd_per_task)}  per lead {_or_dash(kind.usd_per_lead)}"
        )
    lines.append(f"won deals {found.won}  per won deal {_or_dash(found.usd_per_won_deal)}")
    lines += [
        f"{row['provider']} {row['model']}  ${row['usd']:.6f}  calls {row['calls']}" for row in found.models
    ]
    lines += [f"asked by {row['name']}  ${row['usd']:.6f}  calls {row['calls']}" for row in found.people]
    for name, rows in compared.items():
        lines += [f"{name} with {one.model}  ${one.usd:.6f} a task  ({one.source})" for one in rows]
    return lines


def _or_dash(usd: Decimal | None) -> str:
    return "-" if usd is None else f"${usd:.6f}"


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


# --- reading ----------------------------------------------------------------------------------------------


def _day(text: str) -> date:
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError("write a day as in 2026-11-30")
    return found


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


def _usd(text: str) -> Decimal:
    try:
        usd = Decimal(text)
    except InvalidOperation:
        raise ArgumentTypeError("write an amount as in 0.27") from None
    if not usd.is_finite():
        raise ArgumentTypeError("write an amount as in 0.27")
    return usd


def _usd_or_none(text: str) -> Decimal | str:
    return text if text == "none" else _usd(text)
