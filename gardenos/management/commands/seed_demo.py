"""`manage.py seed_demo [--leads N] [--clear]`: sample leads to look around with, gone again in one
command.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm import clock
from gardenos.demo.clearing import clear
from gardenos.demo.planting import is_planted, plant

MOST = 20_000


class Command(BaseCommand):
    help = (
        "Add sample leads of a garden design company, with history, scores and drafts; or remove them again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--leads", type=int, default=60, metavar="N", help="how many (default: 60)")
        parser.add_argument(
            "--seed", type=int, default=7, help="the same seed gives the same people (default: 7)"
        )
        parser.add_argument("--clear", action="store_true", help="remove all sample data and nothing else")

    def handle(self, *, leads: int, seed: int, **options: Any) -> None:
        if options["clear"]:
            return self._clear()
        if not 1 <= leads <= MOST:
            raise CommandError(f"--leads must lie between 1 and {MOST:,}.", returncode=2)
        if is_planted():
            raise CommandError("There is sample data already. Remove it first: manage.py seed_demo --clear")
        planted = plant(leads, at=clock.now(), seed=seed)
        self.stdout.write(
            f"Added {planted.leads} sample leads, {planted.assessments} sample scores and {planted.drafts} "
            "sample drafts. Remove them with: manage.py seed_demo --clear"
        )
        return None

    def _clear(self) -> None:
        cleared = clear()
        self.stdout.write(f"Removed {cleared.leads} sample leads and all that belonged to them.")
        for name in cleared.kept:
            self.stdout.write(f"Kept {name}: it is used by data that is not a sample.")
