"""manage.py recount_dashboard: are the dashboard's counts true?"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.actions.counts import fold_dashboard_counts, recount_dashboard


class Command(BaseCommand):
    help = "Count leads and opportunities again, correct the dashboard's summaries, report what differed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the differences as JSON")

    def handle(self, *, json: bool, **options: Any) -> None:  # type: ignore[override]
        differences = recount_dashboard()
        fold_dashboard_counts()
        if json:
            self.stdout.write(as_json(differences))
        else:
            for difference in differences:
                group = ", ".join(f"{name} {value}" for name, value in difference.group.items() if value)
                self.stdout.write(f"{group}: {difference.n:+d}, amount {difference.amount:+}")
        if differences:
            raise CommandError(f"{len(differences)} counts were wrong; they are right now.", returncode=1)
        if not json:
            self.stdout.write("All counts were right.")


def as_json(differences: list[Any]) -> str:
    rows = [{**d.group, "n": d.n, "amount": str(d.amount)} for d in differences]
    return json.dumps(rows)
