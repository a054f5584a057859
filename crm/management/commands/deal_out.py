"""Give the leads that wait in a pool to people, by the assignment rules."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.actions.assignment import assign_pool, preview_assignment
from crm.models import Actor, Lead, Team

WRONG_USE = 2
SHOWN = 20


class Command(BaseCommand):
    help = "Give the leads of a team's pool to people, by the assignment rules, oldest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", metavar="NAME", help="whose pool (default: of leads without a team)")
        parser.add_argument("--limit", type=int, default=1_000, help="at most this many (default: 1000)")
        parser.add_argument("--dry-run", action="store_true", help=f"say who would get the first {SHOWN}")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *, team: str | None, limit: int, dry_run: bool, **options: Any) -> None:
        found = Team.objects.filter(name=team).first() if team else None
        if team and found is None:
            raise CommandError(f"there is no team “{team}”", returncode=WRONG_USE)
        if limit < 1:
            raise CommandError("--limit takes a number from 1 on", returncode=WRONG_USE)
        team_id = found.pk if found else None
        if dry_run:
            self._preview(team_id, min(limit, SHOWN), as_json=options["json"])
            return
        given = assign_pool(team_id, by=Actor.system(), limit=limit)
        self.stdout.write(
            json.dumps({"given": given}) if options["json"] else f"{given:,} leads given to people"
        )

    def _preview(self, team_id: int | None, limit: int, *, as_json: bool) -> None:
        leads = Lead.objects.open().filter(owner=None, team=team_id).select_related("source")
        choices = [(lead, preview_assignment(lead)) for lead in leads.order_by("created_at", "pk")[:limit]]
        if as_json:
            rows = [
                {
                    "lead": str(lead.public_id),
                    "to": choice.chosen and choice.chosen.name,
                    "why": choice.reason,
                }
                for lead, choice in choices
            ]
            self.stdout.write(json.dumps(rows))
            return
        for lead, choice in choices:
            self.stdout.write(f"{lead.name}: {choice.reason}")
