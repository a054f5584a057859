"""Which open leads have no next step."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm import clock
from crm.actions.asleep import asleep_report

FAILED = 1


class Command(BaseCommand):
    help = "Say which open leads have no next step, by owner. Writes nothing and tells nobody."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--check", action="store_true", help="end with 1 when there is any such lead")

    def handle(self, *, check: bool, **options: Any) -> None:
        report = asleep_report(clock.now())
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            self.stdout.write(f"{report['total']:,} open leads without a next step")
            for row in report["owners"]:
                self.stdout.write(f"  {row['name'] or 'the pool'}: {row['count']:,}")
                for lead in row["leads"]:
                    self.stdout.write(f"    {lead['name']}, since {lead['since'][:10]}")
        if check and report["total"]:
            raise CommandError(f"{report['total']:,} open leads have no next step", returncode=FAILED)
