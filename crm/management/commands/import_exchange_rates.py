"""manage.py import_exchange_rates: read what currencies are worth from a CSV file."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm.actions.exchange_rates import import_exchange_rates
from crm.errors import CRMError
from crm.models import Actor, User


class Command(BaseCommand):
    help = "Read exchange rates from a CSV file with the header date,base,quote,rate. All of it, or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--by", required=True, help="e-mail of the admin in whose name it is done")
        parser.add_argument("--json", action="store_true", help="print the number of rates as JSON")

    def handle(self, *, file: Path, by: str, json: bool, **options: Any) -> None:  # type: ignore[override]
        user = User.objects.active().filter(email__iexact=by).first()
        if user is None:
            raise CommandError(f"There is no active user {by}.", returncode=2)
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                number = import_exchange_rates(lines, by=Actor.of(user))
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}", returncode=2) from None
        except UnicodeDecodeError:
            raise CommandError(f"{file} is not UTF-8 text.", returncode=1) from None
        except CRMError as refused:
            raise CommandError(str(refused), returncode=1) from None
        self.stdout.write(as_json(number) if json else f"{number} rates read.")


def as_json(number: int) -> str:
    return json.dumps({"rates": number})
