"""Look for records that may be the same."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from crm.actions.duplicates import sweep_duplicates
from crm.models import CandidateState, DuplicateCandidate


class Command(BaseCommand):
    help = "Find leads, contacts and accounts that may be the same, among those changed since the last time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        looked_at = new = 0
        while True:
            records, pairs = sweep_duplicates()
            if not records:
                break
            looked_at, new = looked_at + records, new + pairs
        waiting = DuplicateCandidate.objects.filter(state=CandidateState.OPEN).count()
        if as_json:
            self.stdout.write(json.dumps({"looked_at": looked_at, "new": new, "open": waiting}))
            return
        self.stdout.write(f"{looked_at:,} records looked at, {new:,} new pairs, {waiting:,} to be decided")
