"""Look at the pools of agents and steer them."""

import json
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ai_agents.actions.pools import (
    PoolNow,
    pause_agents,
    pools_now,
    restart_agents,
    resume_agents,
    scale_agents,
    set_pool,
)
from ai_agents.actions.status import ai_status, current_troubles
from ai_agents.management.costs import add_cost_verbs, cost_lines
from ai_agents.management.drafts import add_draft_verb, drafted
from ai_agents.models import AgentPool
from crm.errors import CRMError
from crm.models import Actor

LIMITS = ("is_auto", "min_concurrency", "max_concurrency", "rpm", "budget_day_usd")


class Command(BaseCommand):
    help = "Show the pools of agents and what they cost; set scale, limits, budgets, prices; ask for a draft."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        status = verbs.add_parser("status", help="what each pool does now")
        status.add_argument("--json", action="store_true", dest="as_json", help="for programs")
        scale = verbs.add_parser("scale", help="let this many agents of a kind work at a time")
        scale.add_argument("kind")
        scale.add_argument("target", type=int)
        add_cost_verbs(verbs)
        for verb, text in (("pause", "claim nothing more of a kind"), ("resume", "go on")):
            verbs.add_parser(verb, help=text).add_argument("kind")
        limits = verbs.add_parser("limits", help="set a pool's limits; what is left out stays")
        limits.add_argument("kind")
        limits.add_argument(
            "--auto", dest="is_auto", choices=("on", "off"), help="the autoscaler moves the target"
        )
        limits.add_argument("--min", type=int, dest="min_concurrency", help="what the autoscaler keeps ready")
        limits.add_argument("--max", type=int, dest="max_concurrency", help="the most at a time")
        limits.add_argument("--rpm", type=int, help="calls a minute, 0 for no limit")
        limits.add_argument("--budget", dest="budget_day_usd", help="US dollars a day, or none")
        add_draft_verb(verbs)
        verbs.add_parser("restart", help="let every pump finish what it has in hand, and start afresh")

    def handle(
        self, *, verb: str, kind: str = "", target: int = 0, as_json: bool = False, **options: Any
    ) -> None:
        by = Actor.system("manage.py agents")
        try:
            if lines := cost_lines(verb, by=by, as_json=as_json, **options):
                self.stdout.write("\n".join(lines))
                return
            if verb == "scale":
                scale_agents(kind, target=target, by=by)
            elif verb == "pause":
                pause_agents(kind, by=by, because="Paused by manage.py agents.")
            elif verb == "resume":
                resume_agents(kind, by=by)
            elif verb == "limits":
                set_pool(kind, by=by, **self._limits(options))
            elif verb == "draft":
                self.stdout.write(drafted(by=by, **options))
                return
            elif verb == "restart":
                self.stdout.write(f"{restart_agents(by=by)} pumps finish what they have in hand")
        except AgentPool.DoesNotExist:
            known = ", ".join(AgentPool.objects.values_list("kind", flat=True))
            raise CommandError(f"There is no pool {kind!r}; there are: {known}.", returncode=2) from None
        except CRMError as refused:
            raise CommandError(str(refused), returncode=2) from None
        self._print(as_json)

    @staticmethod
    def _limits(options: dict[str, Any]) -> dict[str, Any]:
        given = {name: options[name] for name in LIMITS if options.get(name) is not None}
        if "is_auto" in given:
            given["is_auto"] = given["is_auto"] == "on"
        if "budget_day_usd" in given:
            try:
                none = given["budget_day_usd"] == "none"
                given["budget_day_usd"] = None if none else Decimal(given["budget_day_usd"])
            except InvalidOperation:
                raise CommandError("--budget takes an amount like 2.50, or none.", returncode=2) from None
        return given

    def _print(self, as_json: bool) -> None:
        status, rows = ai_status(), [self._row(now) for now in pools_now()]
        if as_json:
            answer = {
                "provider": status.provider,
                "model": status.model,
                "spent_today_usd": float(status.spent_today_usd),
                "budget_usd": float(status.budget_usd),
                "trouble": status.trouble,
                "pools": rows,
            }
            self.stdout.write(json.dumps(answer, indent=2))
            return
        self.stdout.write(f"provider {status.provider}  model {status.model or '-'}")
        self.stdout.write(f"today ${status.spent_today_usd:.4f} of ${status.budget_usd:.2f}")
        for trouble in current_troubles():
            self.stdout.write(self.style.WARNING(trouble.text))
        for row in rows:
            self.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()))

    @staticmethod
    def _row(now: PoolNow) -> dict[str, object]:
        pool = now.pool
        return {
            "kind": pool.kind,
            "state": "paused" if pool.paused else "on",
            "target": pool.target,
            "auto": pool.is_auto,
            "running": now.running,
            "queued": now.queued,
            "done_today": now.done_today,
            "failed_today": now.failed_today,
            "cost_today_usd": float(now.cost_today_usd),
        }
