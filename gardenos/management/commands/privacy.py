"""What a person may ask for, by the operator's hand: what is known of them, to be forgotten."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from crm.actions.erasure import erase_person, replay_ledger, sync_ledger
from crm.actions.outbox import renew_epoch
from crm.actions.person_export import write_person
from crm.actions.person_naming import person_called
from crm.actions.personal_data import Person
from crm.errors import CRMError, InvalidValue
from crm.models import Actor, Contact, Lead

BY = Actor.system("manage.py privacy")


class Command(BaseCommand):
    help = (
        "Write out what is known of a person, erase them, or erase again after a restore whom the ledger "
        "names. PERSON is the id of a lead, contact or inquiry, an e-mail address, or a telephone number "
        "with its country's code."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        export = verbs.add_parser("export", help="write a ZIP file with all that is known")
        export.add_argument("person")
        export.add_argument("--out", type=Path, required=True, help="the file; must not exist")
        erase = verbs.add_parser("erase", help="anonymise; cannot be undone")
        erase.add_argument("person")
        erase.add_argument("--dry-run", action="store_true", help="say who would be erased")
        erase.add_argument("--yes", action="store_true", help="do not ask")
        replay = verbs.add_parser("replay", help="erase again whom a restored backup brought back")
        replay.add_argument("--ledger", type=Path, help="the file (default: ERASURE_LEDGER)")
        replay.add_argument("--dry-run", action="store_true", help="say who would be erased")

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(**options)
        except InvalidValue as refused:
            wrong_use = refused.field == "person"
            raise CommandError(str(refused), returncode=2 if wrong_use else 1) from None
        except CRMError as refused:
            raise CommandError(str(refused)) from None

    def _export(self, *, person: str, out: Path, **options: Any) -> None:
        whom = person_called(person)
        try:
            with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                counts = write_person(whom, target, by=BY)
        except FileExistsError:
            raise CommandError(f"{out} exists; name a new file.", returncode=2) from None
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.") from None
        self.stdout.write(f"{out}: {sum(counts.values())} rows of {len(counts)} tables")

    def _erase(self, *, person: str, dry_run: bool, yes: bool, **options: Any) -> None:
        whom = person_called(person)
        self.stdout.write(f"{len(whom.leads)} leads and {len(whom.contacts)} contacts are this person:")
        if not (whom.leads or whom.contacts):
            self.stdout.write("  what made no lead: inquiries, rows and files that give " + _said(whom))
        for record in (
            *Lead.objects.filter(pk__in=whom.leads).order_by("pk"),
            *Contact.objects.filter(pk__in=whom.contacts).order_by("pk"),
        ):
            self.stdout.write(f"  {record._meta.model_name} {record.public_id}, {record}")
        if dry_run:
            return
        if not yes and not self._agreed():
            raise CommandError("Nothing was erased.")
        done = erase_person(whom, by=BY)
        rows = sum(done.counts.values())
        self.stdout.write(f"erased: {rows} rows of {len(done.counts)} tables; ledger {done.entry.public_id}")

    def _agreed(self) -> bool:
        try:
            return input("Erase them for good? Write yes: ").strip() == "yes"
        except EOFError:
            raise CommandError("Nobody is there to ask: add --yes.", returncode=2) from None

    def _replay(self, *, ledger: Path | None, dry_run: bool, **options: Any) -> None:
        path = ledger or Path(settings.ERASURE_LEDGER)
        if ledger and not ledger.exists():
            raise CommandError(f"There is no file {ledger}.", returncode=2)
        erased = entries = 0
        for entry, found in replay_ledger(path, by=BY, dry_run=dry_run):
            entries += 1
            erased += found
            if found:
                self.stdout.write(f"  {entry}: {found} records")
        synced = 0 if dry_run else sync_ledger()
        if not dry_run:
            renew_epoch()  # pages that stayed open across the restore hold positions of the other database
        said = "would be erased" if dry_run else "erased again"
        self.stdout.write(f"{entries} entries; {erased} records {said}; {synced} added to {path}")


def _said(whom: Person) -> str:
    return ", ".join(sorted(norm for _kind, norm in whom.ways))
