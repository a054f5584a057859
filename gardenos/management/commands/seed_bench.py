"""Many made-up leads, quickly, for measuring. Not for people to look at: that is `seed_demo`."""

import time
from argparse import ArgumentParser
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from crm.actions.counts import fold_dashboard_counts
from crm.actions.pipelines import default_pipeline
from crm.actions.users import create_first_admin
from crm.models import Channel, LeadSource, Role, Team, TeamMember, User
from gardenos.bulk_load import without_indexes
from gardenos.management.commands.migrate import as_owner

SOURCE = "bench"
PEOPLE = 7
BATCH = 50_000
DAYS = 400  # over which the leads came in
BIG = 20_000  # from here on, rebuilding the indexes costs less than keeping them
TABLES = (
    *("crm_account", "crm_contact", "crm_lead", "crm_leadstatuschange", "crm_opportunity", "crm_stagechange"),
    *("crm_contactpoint", "crm_matchkey", "crm_inquiry", "crm_timelineevent", "crm_score", "crm_task"),
    "crm_followup",
)

STATEMENTS = (Path(__file__).resolve().parents[1] / "seed_bench.sql").read_text().split(";")


class Command(BaseCommand):
    help = (
        "Fill the database with made-up leads for measuring, until there are N of them. A big load takes the "
        "tables' indexes and foreign keys away and builds them again, in one transaction: run it on a "
        "database that nobody works in."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--leads", type=int, required=True, help="how many there shall be in all")

    def handle(self, *, leads: int, **options: Any) -> None:
        if not 0 < leads <= 20_000_000:
            raise CommandError("--leads must lie between 1 and 20000000.", returncode=2)
        began = time.monotonic()
        with as_owner("default"):
            values = _surroundings()
            there = values["source"].leads.count()
            values["source"] = values["source"].pk
            is_big = leads - there >= max(BIG, there)
            with transaction.atomic(), without_indexes(TABLES) if is_big else nullcontext():
                for first in range(there + 1, leads + 1, BATCH):
                    _batch(first, min(first + BATCH - 1, leads), values)
            fold_dashboard_counts()
            if leads > there and not connection.in_atomic_block:
                with connection.cursor() as cursor:
                    cursor.execute("VACUUM (ANALYZE)")
        made, seconds = max(0, leads - there), time.monotonic() - began
        self.stdout.write(f"{made} leads made in {seconds:.1f} s; {max(leads, there)} in all")


def _batch(first: int, last: int, values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        for statement in filter(str.strip, STATEMENTS):
            cursor.execute(statement, {"first": first, "last": last, "days": DAYS, **values})


def _surroundings() -> dict[str, Any]:
    """The source, the team, the people and the stages of the made-up leads."""
    create_first_admin()
    team, _made = Team.objects.get_or_create(name="Bench")
    people = []
    for number in range(PEOPLE):
        email = f"bench{number}@gardenos.local"
        person = User.objects.filter(email=email).first() or User.objects.create_user(
            email, None, name=f"Bench {number}", role=Role.REP
        )
        TeamMember.objects.get_or_create(team=team, user=person)
        people.append(person.pk)
    source, _made = LeadSource.objects.get_or_create(
        code=SOURCE, defaults={"name": "Bench", "kind": Channel.API, "default_team": team}
    )
    stages = list(default_pipeline().stages.filter(is_active=True).order_by("position"))
    return {
        "source": source,
        "team": team.pk,
        "people": people,
        "stages": [stage.pk for stage in stages],
        "kinds": [stage.kind for stage in stages],
    }
