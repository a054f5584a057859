"""Many made-up leads, quickly, for measuring. Not for people to look at: that is `seed_demo`."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from crm.actions.users import create_first_admin
from crm.models import Channel, LeadSource, Role, Team, TeamMember, User
from gardenos.management.commands.migrate import as_owner

SOURCE = "bench"
PEOPLE = 7
BATCH = 50_000
DAYS = 400  # over which the leads came in

STATEMENTS = (Path(__file__).resolve().parents[1] / "seed_bench.sql").read_text().split(";")


class Command(BaseCommand):
    help = "Fill the database with made-up leads for measuring, until there are N of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--leads", type=int, required=True, help="how many there shall be in all")

    def handle(self, *, leads: int, **options: Any) -> None:
        if not 0 < leads <= 20_000_000:
            raise CommandError("--leads must lie between 1 and 20000000.", returncode=2)
        began = time.monotonic()
        with as_owner("default"):
            source, team, people = _surroundings()
            there = source.leads.count()
            for first in range(there + 1, leads + 1, BATCH):
                last = min(first + BATCH - 1, leads)
                self._batch(first, last, source=source.pk, team=team.pk, people=[p.pk for p in people])
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE)")
        made, seconds = max(0, leads - there), time.monotonic() - began
        self.stdout.write(f"{made} leads made in {seconds:.1f} s; {max(leads, there)} in all")

    @transaction.atomic
    def _batch(self, first: int, last: int, **values: Any) -> None:
        with connection.cursor() as cursor:
            for statement in filter(str.strip, STATEMENTS):
                cursor.execute(statement, {"first": first, "last": last, "days": DAYS, **values})


def _surroundings() -> tuple[LeadSource, Team, list[User]]:
    """The source, the team and the people of the made-up leads."""
    create_first_admin()
    team, _made = Team.objects.get_or_create(name="Bench")
    people = []
    for number in range(PEOPLE):
        email = f"bench{number}@gardenos.local"
        person = User.objects.filter(email=email).first() or User.objects.create_user(
            email, None, name=f"Bench {number}", role=Role.REP
        )
        TeamMember.objects.get_or_create(team=team, user=person)
        people.append(person)
    source, _made = LeadSource.objects.get_or_create(
        code=SOURCE, defaults={"name": "Bench", "kind": Channel.API, "default_team": team}
    )
    return source, team, people
