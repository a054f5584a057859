"""Write made-up leads with known chances to the screen."""

import csv
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from ai_agents.scoring.sample import HEADER, sample_rows

MOST_ROWS = 1_000_000


class Command(BaseCommand):
    help = (
        "Print a CSV file of made-up leads whose true chance is known (column “True probability”), to try "
        "score_evaluate and the import on. Same seed, same rows."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=3_000)
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *, rows: int, seed: int, **options: object) -> None:
        if not 1 <= rows <= MOST_ROWS:
            raise CommandError(f"--rows takes 1 to {MOST_ROWS:,}.", returncode=2)
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(sample_rows(rows, seed=seed))
