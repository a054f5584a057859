"""Move the leads of another system on PostgreSQL into this one, through a mapping file."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from crm.errors import ImportRefused
from crm.imports.legacy.mapping import SET_UP, read_mapping
from crm.imports.legacy.reading import check_tables, connected, rows_of
from crm.imports.legacy.writing import LegacyImport
from crm.models import Actor, User
from crm.permissions import Verb, may

FAILED, WRONG_USE = 1, 2
TOLD_EVERY = 1_000  # rows


class Command(BaseCommand):
    help = (
        "Read pipelines, companies, people, leads, opportunities, notes and activities of another system on"
        " PostgreSQL (such as a Supabase schema) and bring them in by our own rules, dated as they were. Run"
        " it with --dry-run first; run again, it brings only what is new."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--dsn", help="postgresql://user:password@host:5432/name; it is only read from")
        where.add_argument("--dsn-file", type=Path, metavar="FILE", help="the same from a file")
        parser.add_argument("--mapping", type=Path, required=True, metavar="FILE.toml")
        parser.add_argument("--by", metavar="E-MAIL", help="the admin in whose name pipelines are set up")
        parser.add_argument("--dry-run", action="store_true", help="say what would become, write nothing")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *, mapping: Path, dry_run: bool, **options: Any) -> None:
        try:
            found = read_mapping(mapping)
            admin = _admin(options["by"])
            if admin is None and not dry_run and any(part.kind in SET_UP for part in found.parts):
                raise ImportRefused(_("Name the admin in whose name pipelines are set up (--by)."))
            with connected(options["dsn"] or _dsn_of(options["dsn_file"])) as connection:
                check_tables(connection, found)
                work = LegacyImport(found, by=Actor.system("import_legacy"), is_dry=dry_run, admin=admin)
                for part in found.parts:
                    for number, row in enumerate(rows_of(connection, found, part), start=1):
                        work.take(part, row)
                        if number % TOLD_EVERY == 0:
                            self.stderr.write(f"  {part.kind}: {number:,} rows")
                    work.finish(part)
        except ImportRefused as refused:
            raise CommandError(str(refused), returncode=WRONG_USE) from None
        report = {kind: one.as_json() for kind, one in work.reports.items()}
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": dry_run, **report}))
        else:
            self._tell(report, dry_run)
        if any(one["failed"] for one in report.values()) and not dry_run:
            raise CommandError("some rows did not come in; the report names them", returncode=FAILED)

    def _tell(self, report: dict[str, dict[str, Any]], dry_run: bool) -> None:
        would = "would be " if dry_run else ""
        for kind, one in report.items():
            self.stdout.write(
                f"{kind}: {one['rows']:,} rows, {one['new']:,} {would}brought in,"
                f" {one['known']:,} here already, {one['failed']:,} {would}refused"
            )
            if one["became"]:
                shown = ", ".join(f"{number:,} {word}" for word, number in sorted(one["became"].items()))
                self.stdout.write(f"  of these: {shown}")
            if one["joined"]:
                self.stdout.write(f"  {one['joined']:,} {would}added to an open lead that is here already")
            if one["undated"]:
                self.stdout.write(f"  {one['undated']:,} ended at a time that nothing says: now")
            for name, words in one["unmapped"].items():
                shown = ", ".join(f"“{word}” ({number:,})" for word, number in words.items())
                what = "owners who are none of ours" if name == "owner" else f"{name} without a meaning here"
                self.stdout.write(f"  {what}: {shown}")
            for reason, number in one["reasons"].items():
                self.stdout.write(f"  {would}refused ({number:,}): {reason}")
            for problem in one["problems"]:
                self.stdout.write(f"  {problem}")
        if dry_run:
            self.stdout.write("dry run: nothing was written")


def _admin(email: str | None) -> Actor | None:
    if not email:
        return None
    user = User.objects.active().filter(email__iexact=email).first()
    if user is None or not may(user, Verb.SET_UP):
        raise ImportRefused(_("There is no active admin %s.") % email)
    return Actor.of(user)


def _dsn_of(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise ImportRefused(f"{path} cannot be read") from None
