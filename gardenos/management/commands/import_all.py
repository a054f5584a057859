"""A site out of the file that export_all wrote."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crm.actions.audit import audit
from crm.models import Actor
from gardenos.archive.manifest import ArchiveRefused, Manifest
from gardenos.archive.reading import read_archive, read_manifest
from gardenos.management.commands.migrate import as_owner
from gardenos.progress import Line


class Command(BaseCommand):
    help = (
        "Fill an empty, migrated database from an archive of export_all, and prove row by row that it reads "
        "the same. All or nothing. Stop web and workers meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="say what it holds, write nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the manifest")

    def handle(self, *, file: Path, dry_run: bool, as_json: bool, **options: Any) -> None:
        with Line(self.stderr) as line:
            try:
                manifest = read_manifest(file) if dry_run else self._read(file, line)
            except ArchiveRefused as refused:
                raise CommandError(f"{file}: {refused}. Nothing was changed.") from None
        if as_json:
            self.stdout.write(json.dumps(asdict(manifest)))
            return
        said = "holds" if dry_run else "read and found equal:"
        self.stdout.write(
            f"{said} {manifest.rows:,} rows of {len(manifest.tables)} tables and {len(manifest.files):,} "
            f"files, written {manifest.made_at} by build {manifest.build[:12]}"
        )

    def _read(self, file: Path, line: Line) -> Manifest:
        with as_owner("default"):
            manifest = read_archive(file, progress=line.show)
        audit("site.imported", "filled the database from an archive", by=Actor.system("import_all"))
        return manifest
