"""Look at the pools of agents and steer them."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from ai_agents.actions.pools import PoolNow, pause_agents, pools_now, resume_agents, scale_agents
from ai_agents.actions.status import ai_status
from ai_agents.models import AgentPool
from crm.errors import CRMError
from crm.models import Actor


class Command(BaseCommand):
    help = "Show the pools of agents, set how many work at a time, pause or resume them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        status = verbs.add_parser("status", help="what each pool does now")
        status.add_argument("--json", action="store_true", dest="as_json", help="for programs")
        scale = verbs.add_parser("scale", help="let this many agents of a kind work at a time")
        scale.add_argument("kind")
        scale.add_argument("target", type=int)
        for verb, text in (("pause", "claim nothing more of a kind"), ("resume", "go on")):
            verbs.add_parser(verb, help=text).add_argument("kind")

    def handle(
        self, *, verb: str, kind: str = "", target: int = 0, as_json: bool = False, **options: object
    ) -> None:
        by = Actor.system("manage.py agents")
        try:
            if verb == "scale":
                scale_agents(kind, target=target, by=by)
            elif verb == "pause":
                pause_agents(kind, by=by, because="Paused by manage.py agents.")
            elif verb == "resume":
                resume_agents(kind, by=by)
        except AgentPool.DoesNotExist:
            known = ", ".join(AgentPool.objects.values_list("kind", flat=True))
            raise CommandError(f"There is no pool {kind!r}; there are: {known}.", returncode=2) from None
        except CRMError as refused:
            raise CommandError(str(refused), returncode=2) from None
        self._print(as_json)

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
        if status.trouble:
            self.stdout.write(self.style.WARNING(status.trouble))
        for row in rows:
            self.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()))

    @staticmethod
    def _row(now: PoolNow) -> dict[str, object]:
        pool = now.pool
        return {
            "kind": pool.kind,
            "state": "paused" if pool.paused else "on",
            "target": pool.target,
            "running": now.running,
            "queued": now.queued,
            "done_today": now.done_today,
            "failed_today": now.failed_today,
            "cost_today_usd": float(now.cost_today_usd),
        }
