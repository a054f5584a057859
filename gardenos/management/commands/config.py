"""Every setting, its value and where the value came from."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gardenos.databases import owner_database
from gardenos.env import Reading

MASK = "********"


class Command(BaseCommand):
    help = "List every setting with its source. Secrets are masked."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="as JSON, for programs")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        from gardenos.settings import GARDENOS_DATA_DIR, env

        owner_database(
            env, GARDENOS_DATA_DIR
        )  # reads DATABASE_OWNER_URL, which only `migrate` needs otherwise
        readings = sorted(env.readings.values(), key=lambda reading: reading.name)
        self.stdout.write(_as_json(readings) if as_json else _as_table(readings))


def _shown(reading: Reading) -> str:
    return MASK if reading.is_secret and reading.value else reading.value


def _as_json(readings: list[Reading]) -> str:
    rows = [
        {"name": reading.name, "value": _shown(reading), "source": reading.source} for reading in readings
    ]
    return json.dumps(rows, indent=2)


def _as_table(readings: list[Reading]) -> str:
    width = max(len(reading.name) for reading in readings)
    return "\n".join(
        f"{reading.name:<{width}}  {reading.source:<11}  {_shown(reading)}".rstrip() for reading in readings
    )
