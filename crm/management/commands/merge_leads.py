"""Make one lead of two."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from crm.actions.merging import merge_leads
from crm.errors import CRMError, InvalidValue
from crm.models import Actor, Lead, MergeLog

FAILED, WRONG_USE = 1, 2


class Command(BaseCommand):
    help = "Merge one lead into another; all that hangs on it moves. May be undone for seven days."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("winner", metavar="WINNER", help="the lead that stays: its number or public id")
        parser.add_argument("loser", metavar="LOSER", help="the lead that is merged into it")
        parser.add_argument("--reason", default="")
        parser.add_argument("--dry-run", action="store_true", help="say what would move, change nothing")

    def handle(self, *, winner: str, loser: str, reason: str, dry_run: bool, **options: Any) -> None:
        try:
            with transaction.atomic():
                log = merge_leads(_lead(winner), _lead(loser), by=Actor.system("merge_leads"), reason=reason)
                self._report(log, dry_run)
                transaction.set_rollback(dry_run)
        except Lead.DoesNotExist:
            raise CommandError("there is no such lead", returncode=FAILED) from None
        except CRMError as refused:
            wrong = isinstance(refused, InvalidValue)
            raise CommandError(str(refused), returncode=WRONG_USE if wrong else FAILED) from None

    def _report(self, log: MergeLog, dry_run: bool) -> None:
        words = "would move" if dry_run else "moved"
        moved = {label: sum(map(len, names.values())) for label, names in log.moved.items()}
        for label, count in sorted(moved.items()):
            self.stdout.write(f"  {words} {count:,} of {label}")
        self.stdout.write(f"{words} {sum(moved.values()):,} rows to “{log.winner_lead}”")
        if not dry_run:
            self.stdout.write(
                f"merge {log.public_id}, may be undone until {log.expires_at:%Y-%m-%d %H:%M} UTC"
            )


def _lead(text: str) -> int:
    """Raises CommandError for what is no id, Lead.DoesNotExist."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    try:
        return Lead.objects.get(public_id=UUID(text)).pk
    except ValueError:
        raise CommandError(f"{text!r} is neither a number nor a public id", returncode=WRONG_USE) from None
