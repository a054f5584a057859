"""What may not be kept for ever."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from crm import clock
from crm.actions.retention import keep_no_longer, overdue


class Command(BaseCommand):
    help = (
        "Delete or anonymise what is overdue: deleted leads after 30 days, spam, rows of old imports, and "
        "disqualified leads after RETENTION_DISQUALIFIED_DAYS. Runs every night by itself, too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count, change nothing")
        parser.add_argument("--json", action="store_true", dest="as_json")

    def handle(self, *, dry_run: bool, as_json: bool, **options: Any) -> None:
        now = clock.now()
        counts = (
            {name: rows.count() for name, rows in overdue(now).items()} if dry_run else keep_no_longer(now)
        )
        if as_json:
            self.stdout.write(json.dumps(counts))
            return
        for name, count in counts.items():
            self.stdout.write(f"{count:>8,} {name}{' would go' if dry_run else ''}")
